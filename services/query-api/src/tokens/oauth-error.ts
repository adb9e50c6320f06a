/** Errors of the token endpoint, in the form of RFC 6749 section 5.2, which its clients expect in place of a problem. */
import { CodedError } from '@portcullis/kernel'

const statuses = {
  invalid_request: 400,
  invalid_scope: 400,
  /** RFC 8707 section 2. */
  invalid_target: 400,
  unsupported_grant_type: 400,
  /** RFC 9449 section 5. */
  invalid_dpop_proof: 400,
  invalid_grant: 400,
  /** RFC 8628 section 3.5. */
  authorization_pending: 400,
  slow_down: 400,
  access_denied: 400,
  expired_token: 400,
  server_error: 500,
  temporarily_unavailable: 503,
} as const

export type OauthErrorCode = keyof typeof statuses

/** `message` is for the client: `error_description`. */
export class OauthError extends CodedError<OauthErrorCode> {
  /** Where it is the client that must wait: the answer is 429 (RFC 6585) then. */
  readonly retryAfterSec: number | undefined
  constructor(
    code: OauthErrorCode,
    description: string,
    options?: ErrorOptions & { readonly retryAfterSec?: number },
  ) {
    super(code, description, options)
    this.retryAfterSec = options?.retryAfterSec
  }
  get status(): number {
    return this.retryAfterSec === undefined ? statuses[this.code] : 429
  }
}
