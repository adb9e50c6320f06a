/**
 * The bus of many machines: Kafka 3.5 or later, over kafkajs, which nothing outside this folder names. It creates
 * topics and never changes or deletes one; what operators set on a topic stays.
 */
import { randomUUID } from 'node:crypto'
import type {
  Bus,
  BusRecord,
  ConsumeOptions,
  Started,
  TailOptions,
  Topic,
  TopicSpec,
} from '@portcullis/kernel'
import type { Admin } from 'kafkajs'
import { partitionName } from '../assign.ts'
import { createBackoff } from '../backoff.ts'
import { BusError } from '../errors.ts'
import {
  batchBytesMaxDefault,
  batchRecordsMaxDefault,
  checkRecord,
  publishTimeoutMsDefault,
  recordBytesMax,
  sessionTimeoutMsDefault,
} from '../limits.ts'
import type { BusOptions } from '../options.ts'
import { createPublisher } from '../publisher.ts'
import { createClient } from './client.ts'
import { startGroupConsumer } from './group-consumer.ts'
import { brokerErrorType, createWriter } from './producer.ts'
import { quietIdleConnections } from './quiet.ts'

export async function openKafkaBus(url: string, options: BusOptions): Promise<Started<Bus>> {
  const { logger } = options
  const kafka = createClient(url, options)
  quietIdleConnections(logger)
  const limits = {
    recordsMax: options.batchRecordsMax ?? batchRecordsMaxDefault,
    bytesMax: options.batchBytesMax ?? batchBytesMaxDefault,
  }
  const sessionTimeoutMs = options.sessionTimeoutMs ?? sessionTimeoutMsDefault
  const common = { kafka, limits, logger, sessionTimeoutMs, ...withStall(options.kafka?.stallMs) }
  const publishTimeoutMs = options.publishTimeoutMs ?? publishTimeoutMsDefault
  const writer = createWriter(kafka, logger)
  const publisher = createPublisher({
    timeoutMs: publishTimeoutMs,
    logger,
    // Below a topic's usual max.message.bytes, which bounds what one request brings to a partition.
    groupBytesMax: 768 * 1024,
    write: (records) => writer.write(records),
  })
  const consumers = new Set<Started<void>>()
  const publishing = new Set<Promise<void>>()
  const known = new Set<Topic>()
  let lane = Promise.resolve()
  let stopped: Promise<void> | undefined

  function assertRunning(): void {
    if (stopped) throw new BusError('stopped', 'the bus was stopped')
  }

  function keep(stop: () => Promise<void>): Started<void> {
    const kept: Started<void> = {
      value: undefined,
      async stop() {
        await stop()
        consumers.delete(kept)
      },
    }
    consumers.add(kept)
    return kept
  }

  /** Tries again while what went wrong may pass (a broker that restarts, a leader that moves). All uses are idempotent. */
  async function withAdmin<T>(use: (admin: Admin) => Promise<T>, timeoutMs = publishTimeoutMs): Promise<T> {
    const backoff = createBackoff(100, 2_000)
    const giveUpAtMs = performance.now() + timeoutMs
    for (;;) {
      try {
        return await withAdminOnce(use)
      } catch (error) {
        const mayPass = error instanceof BusError && error.code === 'unavailable' && !isFinal(error.cause)
        if (!mayPass || performance.now() > giveUpAtMs) throw error
        await backoff.wait(new AbortController().signal)
      }
    }
  }

  /** A connection for this call alone: calls are rare, and one that is kept would be one more to watch. */
  async function withAdminOnce<T>(use: (admin: Admin) => Promise<T>): Promise<T> {
    const admin = kafka.admin()
    try {
      await admin.connect()
      return await use(admin)
    } catch (cause) {
      if (cause instanceof BusError) throw cause
      const why = cause instanceof Error ? cause.message : String(cause)
      if (brokerErrorType(cause) === 'UNKNOWN_TOPIC_OR_PARTITION')
        throw new BusError('unknown_topic', 'a topic does not exist: ensureTopics creates it', { cause })
      throw new BusError('unavailable', `Kafka: ${why}`, { cause })
    } finally {
      admin
        .disconnect()
        .catch((error) => logger.debug({ err: error }, 'admin connection could not be closed'))
    }
  }

  /** Asks once for each topic: kafkajs would retry for long before it said so. */
  async function assertTopics(names: readonly Topic[]): Promise<void> {
    if (names.every((name) => known.has(name))) return
    const present = new Set(await withAdmin((admin) => admin.listTopics()))
    for (const name of names) {
      if (!present.has(name))
        throw new BusError('unknown_topic', `${name} does not exist: ensureTopics creates it`)
      known.add(name)
    }
  }

  const bus: Bus = {
    async ensureTopics(specs) {
      assertRunning()
      await withAdmin((admin) => ensureTopics(admin, specs, options))
    },
    async publish(records) {
      assertRunning()
      for (const record of records) checkRecord(record)
      const call = publish(records)
      publishing.add(call)
      await call.finally(() => publishing.delete(call))
    },
    async consume(consume: ConsumeOptions) {
      assertRunning()
      await assertTopics(consume.topics)
      const consumer = startGroupConsumer({
        ...common,
        groupId: consume.group,
        topics: consume.topics,
        commits: true,
        resumeAt: async (partition) => consume.startAt?.(partition),
        onBatch: (records) => consume.onBatch(records),
        onRevoked: async (partitions) => consume.onRevoked?.(partitions),
      })
      return keep(consumer.stop)
    },
    async tail(tail: TailOptions) {
      assertRunning()
      await assertTopics(tail.topics)
      const ends = await withAdmin((admin) => offsetsOf(admin, tail.topics))
      const isEarliest = tail.from === 'earliest'
      const positions = new Map([...ends].map(([name, { low, high }]) => [name, isEarliest ? low : high]))
      const behind = new Set(
        isEarliest ? [...ends].filter(([, { low, high }]) => low < high).map(([name]) => name) : [],
      )
      const group = `portcullis-tail-${randomUUID()}`
      const catchUp = (name: string, next: number) => {
        if (next < (ends.get(name)?.high ?? 0) || !behind.delete(name) || behind.size > 0) return
        tail.onCaughtUp?.()
      }
      const consumer = startGroupConsumer({
        ...common,
        groupId: group,
        topics: tail.topics,
        commits: false,
        resumeAt: async (partition) => positions.get(partitionName(partition)),
        onBatch: (records) => tail.onBatch(records),
        onHandled: (partition, next) => catchUp(partitionName(partition), next),
        onHealth: (healthy) => tail.onHealth?.(healthy),
        // Compaction and expiry can leave offsets before the end with no record.
        onIdle() {
          if (behind.size === 0) return
          behind.clear()
          tail.onCaughtUp?.()
        },
      })
      if (behind.size === 0) void consumer.joined.then(() => tail.onCaughtUp?.())
      return keep(async () => {
        await consumer.stop()
        await withAdmin((admin) => admin.deleteGroups([group]), 0).catch((error) =>
          logger.debug(
            { group, err: error },
            'the group of a tail could not be deleted; the broker will expire it',
          ),
        )
      })
    },
    async endOffsets(topic) {
      assertRunning()
      const offsets = await withAdmin((admin) => admin.fetchTopicOffsets(topic))
      return new Map(offsets.map(({ partition, high }) => [partition, Number(high)]))
    },
  }

  async function publish(records: readonly BusRecord[]): Promise<void> {
    if (records.length === 0) return
    // One after the other, so that calls reach the publisher in the order in which they were made.
    const ready = lane.then(() => assertTopics([...new Set(records.map(({ topic }) => topic))]))
    lane = ready.catch(() => undefined)
    await ready
    await publisher.publish(records)
  }

  async function stop(): Promise<void> {
    await Promise.all([...consumers].map((consumer) => consumer.stop()))
    await Promise.allSettled(publishing)
    await writer.close()
  }

  return {
    value: bus,
    stop() {
      stopped ??= stop()
      return stopped
    },
  }
}

/** What no retry changes: a password that is refused, a right that is missing. */
function isFinal(cause: unknown): boolean {
  const name = cause instanceof Error ? cause.name : ''
  return name.startsWith('KafkaJSSASL') || (brokerErrorType(cause) ?? '').endsWith('AUTHORIZATION_FAILED')
}

async function ensureTopics(admin: Admin, specs: readonly TopicSpec[], options: BusOptions): Promise<void> {
  const present = new Set(await admin.listTopics())
  for (const spec of specs) {
    if (!present.has(spec.topic)) await createTopic(admin, spec, options)
  }
  const { topics } = await admin
    .fetchTopicMetadata({ topics: specs.map(({ topic }) => topic) })
    .catch((cause) => {
      throw new BusError('unavailable', 'Kafka: a broker does not know the new topics yet', { cause })
    })
  for (const { topic, partitions } of specs) {
    const found = topics.find(({ name }) => name === topic)?.partitions.length ?? 0
    if (partitions === 1 && found !== 1)
      throw new BusError('topic_conflict', `${topic} must have one partition and has ${found}`)
    // Another count would send a key's next record to another partition and break its order: what is there stays.
    if (found !== partitions)
      options.logger.warn(
        { topic, partitions: found, configured: partitions },
        'the topic keeps its partitions',
      )
  }
}

async function createTopic(admin: Admin, spec: TopicSpec, options: BusOptions): Promise<void> {
  const { replicationFactor, topicConfig } = options.kafka ?? {}
  const settings = {
    'cleanup.policy': spec.cleanup,
    'retention.ms': String(spec.retentionMs),
    'message.timestamp.type': 'LogAppendTime',
    'max.message.bytes': String(recordBytesMax + 64 * 1024),
    ...topicConfig,
  }
  // Resolves to false where another service was first.
  await admin.createTopics({
    waitForLeaders: true,
    topics: [
      {
        topic: spec.topic,
        numPartitions: spec.partitions,
        ...(replicationFactor === undefined ? {} : { replicationFactor }),
        configEntries: Object.entries(settings).map(([name, value]) => ({ name, value })),
      },
    ],
  })
}

async function offsetsOf(
  admin: Admin,
  topics: readonly Topic[],
): Promise<Map<string, { low: number; high: number }>> {
  const all = new Map<string, { low: number; high: number }>()
  for (const topic of topics)
    for (const { partition, low, high } of await admin.fetchTopicOffsets(topic))
      all.set(partitionName({ topic, partition }), { low: Number(low), high: Number(high) })
  return all
}

function withStall(stallMs: number | undefined): { stallMs?: number } {
  return stallMs === undefined ? {} : { stallMs }
}
