/** What two performances of one work come to. Pure. */
import type { Answer } from './works.ts'

export type Verdict =
  | { readonly kind: 'ok' }
  | { readonly kind: 'unsupported'; readonly why: string }
  | { readonly kind: 'differs'; readonly how: string }
  /** It does not work on the direct side either, so nothing was compared. */
  | { readonly kind: 'broken'; readonly why: string }

/** Refuses to call a work good that failed alike on both sides: then the program, not the gate, was tested. */
export function compare(direct: Answer, gate: Answer): Verdict {
  if (direct.failed !== undefined) return { kind: 'broken', why: direct.failed }
  if (gate.failed !== undefined) return { kind: 'differs', how: `through the gate: ${gate.failed}` }
  if (direct.unsupported !== undefined && direct.unsupported === gate.unsupported)
    return { kind: 'unsupported', why: direct.unsupported }
  const [one, other] = [show(direct), show(gate)]
  if (one === other) return { kind: 'ok' }
  return { kind: 'differs', how: firstDifference(one, other) }
}

/** The place where two texts part, with a little of what stands around it. */
export function firstDifference(direct: string, gate: string): string {
  let at = 0
  while (at < direct.length && direct[at] === gate[at]) at++
  const around = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 60), at + 100))
  return `direct ${around(direct)}, gate ${around(gate)}`
}

function show({ value, unsupported }: Answer): string {
  return JSON.stringify(unsupported === undefined ? { value: sorted(value) } : { unsupported })
}

/** Languages write an object's keys in an order of their own, and some in another one each time. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted)
  if (value === null || typeof value !== 'object') return value ?? null
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]))
}
