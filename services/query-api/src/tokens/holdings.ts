/** The keys of the control log, and the issuers that were taken out of it, handed to whoever proves by them, with each change. */
import type { Prover } from '@portcullis/identity'
import { type ControlEvent, type Evolved, holdingsOf } from '@portcullis/kernel'

/** To be called with each control event as it was folded. */
export function createHoldingsFollower(prover: Pick<Prover, 'replace'>) {
  return ({ type }: ControlEvent, { accepted, state }: Evolved): void => {
    if (accepted && /^(signing-key|api-key|issuer)\./.test(type)) prover.replace(holdingsOf(state))
  }
}
