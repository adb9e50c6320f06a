import { CodedError } from '@portcullis/kernel'

/**
 * `unreadable`: an answer's bytes are not of their protocol, so nobody can tell what in them must be masked. `no_key`: a form
 * is keyed and no key is configured.
 */
export type MaskingErrorCode = 'unreadable' | 'no_key'

export class MaskingError extends CodedError<MaskingErrorCode> {}
