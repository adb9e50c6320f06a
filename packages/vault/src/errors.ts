import { CodedError } from '@portcullis/kernel'

export type VaultErrorCode =
  /** The reference is none, or of a kind that is not configured. */
  | 'reference'
  /** The source answered: there is no such secret, or no such field in it. */
  | 'not_found'
  /** The source answered: the gate may not read it. */
  | 'denied'
  /** No answer, or none in time, or one that says "not now". */
  | 'unavailable'
  /** The source answered with what cannot be understood. */
  | 'malformed'
  /** What was sealed does not open: another key, another place, or altered bytes. */
  | 'unsealable'

/**
 * `message` is for the operator: which reference, what is wrong, what to do. It never has a secret's value, a token, or
 * any part of a source's answer, and neither has `cause`.
 */
export class VaultError extends CodedError<VaultErrorCode> {}
