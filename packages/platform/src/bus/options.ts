/** What a bus is handed, whichever stands behind the URL. Defaults are in words here and in code where they are used. */
import type { Clock } from '@portcullis/kernel'
import type { CleaningOptions } from './embedded/cleaner.ts'

/** The part of pino that the bus uses. */
export interface BusLogger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface BusOptions {
  readonly logger: BusLogger
  /** Shown to a broker and in the embedded bus's membership; the process's name. Default `portcullis`. */
  readonly clientId?: string
  readonly clock?: Clock
  /** How long `publish` retries before it throws BusError('unavailable'). Default 30 000. */
  readonly publishTimeoutMs?: number
  /** Most records handed to one `onBatch`. Default 500. */
  readonly batchRecordsMax?: number
  /** Most bytes of values handed to one `onBatch`, unless one record alone is larger. Default 1 MiB. */
  readonly batchBytesMax?: number
  /** How long a silent member keeps its partitions, where its death was not noticed otherwise. Default 10 000. */
  readonly sessionTimeoutMs?: number
  /** Embedded only: how retention and compaction go about their work. */
  readonly cleaning?: CleaningOptions
  /** Kafka only. Secrets are values, already resolved. */
  readonly kafka?: KafkaOptions
}

export interface KafkaOptions {
  readonly ssl?: boolean | { readonly ca?: string; readonly cert?: string; readonly key?: string }
  readonly sasl?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512'
    readonly username: string
    readonly password: string
  }
  /** Copies of each new topic. Default: the broker's own default. */
  readonly replicationFactor?: number
  /** More settings for each new topic, such as `min.insync.replicas`. */
  readonly topicConfig?: Readonly<Record<string, string>>
  /** A consumer that had no answer from a broker for so long is made anew. Default 8 000. */
  readonly stallMs?: number
}
