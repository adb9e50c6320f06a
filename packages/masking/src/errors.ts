import { CodedError } from '@portcullis/kernel'

/**
 * `unreadable`: an answer's bytes are not of their protocol, so nobody can tell what in them must be masked.
 * `too_large`: one row, or line, is longer than what is held of it. `no_key`: none was configured for a keyed form.
 */
export type MaskingErrorCode = 'unreadable' | 'too_large' | 'no_key'

export class MaskingError extends CodedError<MaskingErrorCode> {}
