import { CodedError } from '@portcullis/kernel'

export type AuditErrorCode =
  /** The store cannot be reached, or not now: the same call may succeed later. */
  | 'unavailable'
  /** It did not answer in time; a write may or may not have happened. */
  | 'timeout'
  /** User name or password are wrong. */
  | 'denied'
  /** The store refused the statement; the message is ClickHouse's own. */
  | 'refused'
  /** A value does not fit its column; nothing of the batch was written. */
  | 'invalid_data'
  /** A migration file was changed after it was applied, is missing, or failed. */
  | 'migration'
  /** The caller's signal stopped it. */
  | 'cancelled'
  /** `close` was called before. */
  | 'closed'
  /** audit.url is neither embedded:DIR nor http(s)://. */
  | 'invalid_url'
  /** The embedded engine does not run on this platform. */
  | 'engine_unsupported'
  /** Another process holds the engine's directory. */
  | 'engine_locked'
  /** The engine did not come up; the message has its own words. */
  | 'engine_failed'

/** The audit store's and its engine's one error. `clickhouse` is the server's own code where it gave one. */
export class AuditError extends CodedError<AuditErrorCode> {
  readonly clickhouse: number | undefined
  constructor(code: AuditErrorCode, message: string, options?: ErrorOptions & { clickhouse?: number }) {
    super(code, message, options)
    this.clickhouse = options?.clickhouse
  }
}

export function messageOf(cause: unknown): string {
  return cause instanceof Error ? cause.message : String(cause)
}
