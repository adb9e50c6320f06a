/**
 * What the gate decided and what the candidate would have it decide, in the same words. Only the policy's share counts: what a
 * verdict or a cap refused is left out, since no rule would have been asked, or the rules had let it pass.
 */
import type { Judged } from '@portcullis/policy'
import type { Row } from './query.ts'

/** would …: a rule that only observes said so. */
export type Outcome = 'allow' | 'deny' | 'hold' | 'block' | 'would hold' | 'would block'

export interface Decided {
  readonly outcome: Outcome
  /** Empty where no rule made it so; undefined where the record does not say which. */
  readonly rule: string | undefined
}

/** What became of it, or the reason for which no rule had a say. */
export function decidedThen(row: Row): Decided | { readonly leftOut: string } {
  const { reason, rule, action } = row
  if (row.approved || reason.startsWith('approval_')) return heldThen(row)
  const restricted = byReason[reason]
  if (restricted !== undefined) {
    if (row.enforced || row.observing) return { outcome: restricted, rule }
    return { outcome: restricted === 'hold' ? 'would hold' : 'would block', rule }
  }
  if (reason === '' && action === 'allow') return { outcome: 'allow', rule }
  // A verdict that was only observed comes before the rules, and hides what they said.
  if (row.stopped || (!row.enforced && reason !== 'verdict_throttle' && reason.startsWith('verdict_')))
    return { leftOut: reason }
  // It ran: it waited first, or was cut or ended later, which is all that the record says.
  return { outcome: 'allow', rule: undefined }
}

/** Whatever people answered, or did not. A hold without a rule is a verdict's alone. */
function heldThen({ reason, rule, stopped }: Row): ReturnType<typeof decidedThen> {
  if (rule !== '') return { outcome: 'hold', rule }
  return stopped || reason !== ''
    ? { leftOut: reason || 'verdict_hold' }
    : { outcome: 'allow', rule: undefined }
}

const byReason: Readonly<Record<string, 'block' | 'hold' | 'deny'>> = {
  policy_block: 'block',
  policy_hold: 'hold',
  policy_default: 'deny',
}

/** Of each command of a message; they are refused together, by the strictest. */
export function decidedAnew(judged: readonly Judged[]): readonly Decided[] {
  for (const action of ['block', 'deny', 'hold'] as const) {
    const found = judged.find((one) => one.action === action)
    if (found) return judged.map(() => ({ outcome: action, rule: found.rule }))
  }
  return judged.map(({ rule, observed }) =>
    observed ? { outcome: `would ${observed.action}`, rule: observed.rule } : { outcome: 'allow', rule },
  )
}

/** Only undoes, and passed without a rule being asked. */
export function isUnasked({ verb, action, reason, rule }: Row): boolean {
  return verb === 'ROLLBACK' && action === 'allow' && reason === '' && rule === ''
}
