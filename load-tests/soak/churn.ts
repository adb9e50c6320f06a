/** Many clients at a time for a while, of every kind by its weight, in an order that a seed decides. */
import { type Kind, kinds } from './clients.ts'
import type { Door } from './raw.ts'

export interface Churned {
  readonly visits: Record<Kind, number>
  /** What the gate should not have done, at most a hundred. */
  readonly faults: string[]
}

export interface ChurnOptions {
  readonly door: Door
  readonly lanes: number
  readonly ms: number
  /** Of the first visit; every visit has another. */
  readonly firstNumber: number
}

export async function churn({ door, lanes, ms, firstNumber }: ChurnOptions): Promise<Churned> {
  const untilMs = performance.now() + ms
  const visits = Object.fromEntries(Object.keys(kinds).map((kind) => [kind, 0])) as Record<Kind, number>
  const faults: string[] = []
  let number = firstNumber
  const lane = async () => {
    while (performance.now() < untilMs) {
      const mine = number++
      const kind = kindOf(mine)
      visits[kind]++
      try {
        await kinds[kind].visit({ ...door, number: mine })
      } catch (error) {
        const said = error instanceof Error ? error.message : String(error)
        if (faults.length < 100) faults.push(`${kind} (visit ${mine}): ${said.slice(0, 300)}`)
      }
    }
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  return { visits, faults }
}

/** Spreads the kinds evenly: a multiplicative hash of the number falls into one kind's part of the weights. */
function kindOf(number: number): Kind {
  const entries = Object.entries(kinds) as [Kind, { readonly weight: number }][]
  const total = entries.reduce((sum, [, { weight }]) => sum + weight, 0)
  let at = (Math.imul(number, 2_654_435_761) >>> 0) % total
  for (const [kind, { weight }] of entries) {
    if (at < weight) return kind
    at -= weight
  }
  return 'ordinary'
}
