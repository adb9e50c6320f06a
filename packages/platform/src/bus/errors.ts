/** What can go wrong with the bus, as a closed list. It carries no record's content. */
import { CodedError } from '@portcullis/kernel'

export type BusErrorCode =
  /** The URL or its options cannot be used. */
  | 'invalid_url'
  /** A topic that was never created (`ensureTopics`). */
  | 'unknown_topic'
  /** A topic exists with fewer partitions, or other settings that cannot be reconciled. */
  | 'topic_conflict'
  /** A record that no retry can deliver: too large, or an empty key. */
  | 'invalid_record'
  /** The bus could not be reached, or did not acknowledge, within `publishTimeoutMs`. */
  | 'unavailable'
  /** `stop` was called. */
  | 'stopped'

export class BusError extends CodedError<BusErrorCode> {}
