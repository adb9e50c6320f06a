/** One client on both sides. */
import type { Bed } from './bed.ts'
import type { Client, Command } from './catalogue.ts'
import { compare, type Verdict } from './compare.ts'
import { perform } from './perform.ts'
import type { Work } from './works.ts'

export type Result =
  | { readonly kind: 'not-installable'; readonly why: string }
  | {
      readonly kind: 'ran'
      readonly verdicts: ReadonlyMap<Work, Verdict>
      readonly same: number
      readonly unsupported: number
      /** What differs, and what did not work at all. */
      readonly bad: readonly Work[]
    }

export async function compareClient(client: Client, bed: Bed): Promise<Result> {
  let command: Command
  try {
    command = await client.prepare()
  } catch (error) {
    return { kind: 'not-installable', why: (error as Error).message }
  }
  await bed.reset()
  const direct = await perform(command, bed.direct, bed.caFile)
  await bed.reset()
  const gate = await perform(command, bed.gate, bed.caFile)
  const verdicts = new Map<Work, Verdict>()
  for (const [work, answer] of direct) {
    const other = gate.get(work)
    if (other) verdicts.set(work, compare(answer, other))
  }
  const of = (...kinds: Verdict['kind'][]) =>
    [...verdicts].flatMap(([work, verdict]) => (kinds.includes(verdict.kind) ? [work] : []))
  return {
    kind: 'ran',
    verdicts,
    same: of('ok').length,
    unsupported: of('unsupported').length,
    bad: of('differs', 'broken'),
  }
}
