/**
 * Whether a caller was proven but gets nothing more: a verdict stops whom it was proven as, or what it was proven with was
 * withdrawn. Asked at each request, and each second of an open stream: a token is long valid, and its bearer may be a thief
 * who would lift the very verdict. It refuses to tell from half of the control log, which holds keys that the other half
 * takes away.
 */
import type { Prover } from '@portcullis/identity'
import type { Authenticator, Caller } from './auth.ts'
import type { ControlLog } from '@portcullis/platform/control'
import { ApiError } from './problems.ts'
import { stoppedBy, type Verdicts } from './verdicts.ts'

export type IsStopped = (caller: Pick<Caller, 'proof'>) => boolean

/** Static tokens of the API are nobody whom a verdict could be on. */
export function createIsStopped(
  verdicts: Pick<Verdicts, 'active'>,
  prover: Pick<Prover, 'withdrawn'>,
): IsStopped {
  return ({ proof }) =>
    proof !== undefined &&
    (stoppedBy(verdicts.active(), proof.identity) !== undefined ||
      prover.withdrawn(proof.identity) !== undefined)
}

/**
 * As `auth`, but it refuses (ApiError forbidden) whoever is stopped, and (control_unavailable) whoever is proven before the
 * log was read; at a page they are nobody.
 */
export function refusingStopped(
  auth: Authenticator,
  isStopped: IsStopped,
  control: Pick<ControlLog, 'caughtUp'>,
): Authenticator {
  function unstopped(caller: Caller): Caller {
    if (!isStopped(caller)) return caller
    throw new ApiError('forbidden', 'You are stopped by a verdict; ask who is on call.')
  }
  return {
    async authenticate(...how) {
      const caller = await auth.authenticate(...how)
      if (caller.proof && !control.caughtUp())
        throw new ApiError('control_unavailable', 'The control log is still being read.', {
          retryAfterSec: 2,
        })
      return unstopped(caller)
    },
    vouched: (...who) => unstopped(auth.vouched(...who)),
    bySession(cookie) {
      const caller = auth.bySession(cookie)
      return caller && control.caughtUp() && !isStopped(caller) ? caller : undefined
    },
  }
}
