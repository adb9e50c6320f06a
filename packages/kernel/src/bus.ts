import type { Started } from './started.ts'

/** The topics. The major version is part of the name; every value is Avro in single-object encoding. */
export const topics = {
  sessions: 'portcullis.sessions.v1',
  commands: 'portcullis.commands.v1',
  recordings: 'portcullis.recordings.v1',
  control: 'portcullis.control.v1',
  verdicts: 'portcullis.verdicts.v1',
  findings: 'portcullis.findings.v1',
  baselines: 'portcullis.baselines.v1',
  signIns: 'portcullis.sign-ins.v1',
} as const
export type Topic = (typeof topics)[keyof typeof topics]

/** How a topic is kept. `control` has one partition for ever, so that the log's order decides. */
export interface TopicSpec {
  readonly topic: Topic
  readonly partitions: number
  /** compact: the latest record of each key for ever. delete: records younger than `retentionMs`; -1 for ever. */
  readonly cleanup: 'compact' | 'delete'
  readonly retentionMs: number
}

export interface BusRecord {
  readonly topic: Topic
  /** Records of one key stay in the order in which they were published. */
  readonly key: string
  /** null is a tombstone: compaction removes the key. */
  readonly value: Uint8Array | null
}

export interface Received {
  readonly topic: Topic
  readonly partition: number
  readonly offset: number
  readonly key: string
  readonly value: Uint8Array | null
  /** When the bus took it, milliseconds since 1970 UTC. */
  readonly publishedMs: number
}

export interface TopicPartition {
  readonly topic: Topic
  readonly partition: number
}

export interface ConsumeOptions {
  /** Members of one group share the partitions of their topics; after a crash or a stop another member takes over. */
  readonly group: string
  readonly topics: readonly Topic[]
  /**
   * Where to resume an assigned partition: an offset of one's own (the consumer keeps its position with its results),
   * or undefined for the group's committed offset, else the beginning. Called at each assignment, before its first batch.
   */
  startAt?(partition: TopicPartition): Promise<number | undefined>
  /** Called when partitions are taken away, after the last batch of theirs was handled: state for them can be let go. */
  onRevoked?(partitions: readonly TopicPartition[]): Promise<void>
  /**
   * Records of one partition in order, never two batches of one partition at once. The offset after the batch is
   * committed once this resolves; when it throws the batch comes again (at-least-once) after a back-off.
   */
  onBatch(records: readonly Received[]): Promise<void>
}

export interface TailOptions {
  readonly topics: readonly Topic[]
  /** earliest: all that is kept, then what comes. latest: only what comes after `tail` resolved. */
  readonly from: 'earliest' | 'latest'
  /** As ConsumeOptions.onBatch; without a group there is nothing to commit. A throw stops nothing: it is logged and the batch comes again. */
  onBatch(records: readonly Received[]): Promise<void> | void
  /** Once, when all that stood in the topics at the time of the call was handed to `onBatch`. */
  onCaughtUp?(): void
  /** Whether the bus can be read now; called at each change. */
  onHealth?(healthy: boolean): void
}

/**
 * The event log. At-least-once: a record may come twice, with the same bytes; event ids make effects idempotent.
 * Implementations: embedded (lmdb) and Kafka, held together by one contract suite.
 */
export interface Bus {
  /** Creates what is missing; never shrinks or deletes. */
  ensureTopics(specs: readonly TopicSpec[]): Promise<void>
  /** Resolves once every record is durable (Kafka: acks of all in-sync replicas). Retries inside; throws BusError('unavailable') when it gives up. */
  publish(records: readonly BusRecord[]): Promise<void>
  consume(options: ConsumeOptions): Promise<Started<void>>
  /** Every record of every partition, in no group. */
  tail(options: TailOptions): Promise<Started<void>>
  /** Offset after the last record of each partition. */
  endOffsets(topic: Topic): Promise<ReadonlyMap<number, number>>
}
