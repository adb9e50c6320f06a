import { CodedError } from '@portcullis/kernel'
import type { Proof } from './verifier.ts'

/**
 * Why a token proved nobody, or why this package could not start. For the log and the trail only: a client hears
 * nothing but "not authorised".
 */
export type IdentityErrorCode =
  /** An issuer's configuration cannot be served safely. */
  | 'config'
  /** A geographic database is missing or unreadable. */
  | 'origin_database'
  | 'too_large'
  | 'malformed'
  /** `crit`, or an encoded payload that is not a plain JWT's. */
  | 'unsupported_header'
  /** `typ` says that this JWT was made for something else. */
  | 'token_type'
  | 'algorithm'
  /** `cnf`: good only together with a key or a certificate that was not shown. */
  | 'bound_to_key'
  | 'unknown_issuer'
  | 'issuer_unavailable'
  | 'unknown_key'
  | 'bad_signature'
  | 'expired'
  | 'not_yet_valid'
  | 'wrong_audience'
  /** `azp` (or `client_id`) is not one of the issuer's authorised parties. */
  | 'wrong_party'
  | 'claim_missing'
  | 'claim_mismatch'
  | 'claim_invalid'
  /** A condition of the issuer's configuration is not true of the claims, or reads what is not there. */
  | 'condition'
  /** The `act` chain is malformed, too long, or names a foreign issuer. */
  | 'delegation'
  /** An API key was disabled, or what a token was traded from. */
  | 'disabled'
  /** A client certificate that nobody trusted vouches for, that is over, or that no rule names anybody by. */
  | 'certificate'
  /** A DPoP proof that is malformed, wrong for this request, too old, or was used before. */
  | 'dpop'
  /** A token that may not be used from this address, since it was used from another. */
  | 'replay'
  /** An API key came from an address that it may not come from. */
  | 'network'
  /** A trade asks for a group, a role or a task that what is traded in does not have, or that is not understood. */
  | 'scope'
  /** The same of a target. */
  | 'target'

export class IdentityError extends CodedError<IdentityErrorCode> {
  /** Whom a token proved but for its time, its withdrawal or where it came from: its signature is as it must be. */
  readonly proven: Proof | undefined
  constructor(code: IdentityErrorCode, message: string, options?: ErrorOptions & { proven?: Proof }) {
    super(code, message, options)
    this.proven = options?.proven
  }
}

/** Text from a token that is not proven, made fit for a log line: short, quoted, no control characters. */
export function quoteUnproven(value: unknown): string {
  const text = typeof value === 'string' ? value : `(${value === null ? 'null' : typeof value})`
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
