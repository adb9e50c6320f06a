/** Why a change of control state was not made, as a closed list. The message says what to do about it. */
import { CodedError, type RejectionCode } from '@portcullis/kernel'

export type ControlErrorCode =
  /** Another writer was first: read the state again and decide anew. */
  | 'conflict'
  /** The fold refused the change; `rejection` says which rule. Nothing was changed. */
  | 'rejected'
  /** It is not known whether the change was made: it may still take effect. */
  | 'timeout'
  /** `stop` was called; as with `timeout`, what was on its way may still take effect. */
  | 'stopped'

export class ControlError extends CodedError<ControlErrorCode> {
  /** What the fold said; undefined where it said nothing. */
  readonly rejection: RejectionCode | undefined
  constructor(
    code: ControlErrorCode,
    message: string,
    options?: ErrorOptions & { readonly rejection?: RejectionCode },
  ) {
    super(code, message, options)
    this.rejection = options?.rejection
  }
}
