/** Why the gate has no connection to a target. The server's own words name users and hosts, so no client gets them. */
import { CodedError } from '@portcullis/kernel'

export type UpstreamErrorCode =
  /** No answer, or none in time. */
  | 'unreachable'
  /** The server says that it cannot take a connection now (57P03). */
  | 'not_ready'
  /** It answers and is not of the kind that the target asks for. */
  | 'unfit'
  | 'tls'
  | 'sign_in'
  | 'refused'
  | 'protocol'

/** `message` is fit for the client; the cause is for the log. */
export class UpstreamError extends CodedError<UpstreamErrorCode> {
  /** The server's own SQLSTATE where it gave one, else 08006. */
  readonly sqlstate: string
  constructor(code: UpstreamErrorCode, text: string, sqlstate: string, options?: ErrorOptions) {
    super(code, text, options)
    this.sqlstate = sqlstate
  }
}
