/**
 * One consumer group membership over kafkajs, kept alive: it decides where each partition resumes, hands out records in
 * pieces, and makes the kafkajs consumer anew when that crashed or fell silent. Positions are kept here, across those
 * lives. Whether offsets are committed, and where to start, is its caller's.
 *
 * Guard: after dropped connections kafkajs can hang without an error or an event. A broker answers a fetch within
 * `fetchWaitMs` even when there is nothing, so a consumer that had no answer of any kind for `stallMs` is given up.
 */
import type { Received, Topic, TopicPartition } from '@portcullis/kernel'
import type { Consumer, ConsumerGroupJoinEvent, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs'
import { partitionName } from '../assign.ts'
import { createBackoff, sleep } from '../backoff.ts'
import type { BatchLimits } from '../limits.ts'
import type { BusLogger } from '../options.ts'
import { stickyAssigner } from './assigner.ts'

export interface GroupConsumerOptions {
  readonly kafka: Kafka
  readonly groupId: string
  readonly topics: readonly Topic[]
  readonly limits: BatchLimits
  readonly logger: BusLogger
  readonly sessionTimeoutMs: number
  /** Without any answer from a broker for so long, the consumer is made anew. Default 8 000. */
  readonly stallMs?: number
  readonly commits: boolean
  /** Where a partition that was just assigned resumes; undefined for the committed offset, else the beginning. */
  resumeAt(partition: TopicPartition): Promise<number | undefined>
  onBatch(records: readonly Received[]): Promise<void> | void
  /** After each piece that was handled; `next` is the new position. */
  onHandled?(partition: TopicPartition, next: number): void
  onRevoked?(partitions: readonly TopicPartition[]): Promise<void>
  onHealth?(healthy: boolean): void
}

export interface GroupConsumer {
  /** Resolves when this member first joined the group. */
  readonly joined: Promise<void>
  stop(): Promise<void>
}

export function startGroupConsumer(options: GroupConsumerOptions): GroupConsumer {
  const { logger, groupId } = options
  const stopping = new AbortController()
  const held = new Map<string, Held>()
  /** What is being handled, by partition: a new life must not hand out what an old one still has in hand. */
  const inHand = new Map<string, Promise<void>>()
  const firstJoin = Promise.withResolvers<void>()
  const health = createHealth(options)

  async function run(): Promise<void> {
    const backoff = createBackoff(100, 2_000)
    while (!stopping.signal.aborted) {
      const life = await startLife()
      const end = await life.over
      if (end.joined) backoff.reset()
      await disconnect(life)
      if (stopping.signal.aborted) break
      health.set(false)
      logger.warn({ group: groupId, why: end.why }, 'making the Kafka consumer anew')
      await backoff.wait(stopping.signal)
    }
    await Promise.allSettled(inHand.values())
    await revoke([...held.values()])
  }

  async function startLife(): Promise<Life> {
    const over = Promise.withResolvers<{ why: string; joined: boolean }>()
    let hasJoined = false
    const end = (why: string) => over.resolve({ why, joined: hasJoined })
    const pulse = createPulse(options, end)
    const consumer = options.kafka.consumer({
      groupId,
      partitionAssigners: [stickyAssigner(() => [...held.keys()])],
      sessionTimeout: options.sessionTimeoutMs,
      heartbeatInterval: Math.floor(options.sessionTimeoutMs / 4),
      rebalanceTimeout: rebalanceTimeoutMs,
      allowAutoTopicCreation: false,
      minBytes: 1,
      maxWaitTimeInMs: fetchWaitMs,
      maxBytesPerPartition: 1024 * 1024,
      maxBytes: 4 * 1024 * 1024,
      // A crash ends this life; the next one is ours to start.
      retry: { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000, restartOnFailure: async () => false },
    })
    const committer = options.commits ? createCommitter(consumer, options) : undefined
    const { GROUP_JOIN, REBALANCING, CRASH, REQUEST } = consumer.events
    consumer.on(REQUEST, () => {
      pulse.beat()
      if (hasJoined) health.set(true)
    })
    consumer.on(REBALANCING, () => pulse.joining(true))
    consumer.on(GROUP_JOIN, (event) => {
      hasJoined = true
      pulse.joining(false)
      take(consumer, event)
      firstJoin.resolve()
    })
    consumer.on(CRASH, ({ payload }) => end(payload.error.message))
    stopping.signal.addEventListener('abort', () => end('stopped'))
    try {
      await consumer.connect()
      await consumer.subscribe({ topics: [...options.topics], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: concurrency,
        eachBatch: (payload) => handOut(payload, pulse, committer),
      })
    } catch (error) {
      end(error instanceof Error ? error.message : String(error))
    }
    return { consumer, committer, over: over.promise.finally(() => pulse.stop()) }
  }

  /** Runs inside kafkajs's join, before the first fetch: seeks must be in place when it returns. */
  function take(consumer: Consumer, { payload }: ConsumerGroupJoinEvent): void {
    const assigned = new Map<string, TopicPartition>()
    for (const [topic, partitions] of Object.entries(payload.memberAssignment))
      for (const partition of partitions)
        assigned.set(partitionName({ topic: topic as Topic, partition }), {
          topic: topic as Topic,
          partition,
        })
    const lost = [...held].filter(([name]) => !assigned.has(name)).map(([, one]) => one)
    for (const one of lost) held.delete(partitionName(one.place))
    const revoked = revoke(lost)
    for (const [name, place] of assigned) {
      const kept = held.get(name)
      if (kept?.position !== undefined) seek(consumer, place, kept.position)
      if (kept && kept.position === undefined) kept.ready = kept.ready.then(() => seekTo(kept))
      if (kept) continue
      const taken: Held = {
        place,
        position: undefined,
        ready: Promise.resolve(),
        lost: new AbortController(),
      }
      taken.ready = revoked.then(() => position(taken)).then(() => seekTo(taken))
      held.set(name, taken)
    }

    function seekTo({ place, position, lost: gone }: Held): void {
      if (position !== undefined && !gone.signal.aborted) seek(consumer, place, position)
    }
  }

  async function position(taken: Held): Promise<void> {
    const backoff = createBackoff(50, 5_000)
    const signal = AbortSignal.any([stopping.signal, taken.lost.signal])
    while (!signal.aborted) {
      try {
        taken.position = await options.resumeAt(taken.place)
        return
      } catch (error) {
        logger.error({ group: groupId, ...taken.place, err: error }, 'startAt failed; trying again')
        await backoff.wait(signal)
      }
    }
  }

  async function revoke(lost: readonly Held[]): Promise<void> {
    if (lost.length === 0) return
    for (const one of lost) one.lost.abort()
    await Promise.allSettled(lost.map(({ place }) => inHand.get(partitionName(place))))
    try {
      await options.onRevoked?.(lost.map(({ place }) => place))
    } catch (error) {
      logger.error({ group: groupId, err: error }, 'onRevoked failed')
    }
  }

  /** kafkajs's eachBatch. Throws what a heartbeat throws (a rebalance): kafkajs then joins again. */
  async function handOut(
    payload: EachBatchPayload,
    pulse: Pulse,
    committer: Committer | undefined,
  ): Promise<void> {
    const { batch, heartbeat, isRunning, isStale, resolveOffset } = payload
    const place: TopicPartition = { topic: batch.topic as Topic, partition: batch.partition }
    const name = partitionName(place)
    const mine = held.get(name)
    if (!mine) return
    const beating = keepBeating(heartbeat, options.sessionTimeoutMs / 4)
    pulse.working(1)
    try {
      await Promise.race([Promise.all([mine.ready, inHand.get(name)]), beating.failed])
      for (const piece of pieces(batch.messages, options.limits)) {
        if (!isRunning() || isStale() || held.get(name) !== mine || stopping.signal.aborted) return
        const last = piece.at(-1)
        if (!last) return
        const handled = handle(place, piece, mine, beating)
        inHand.set(name, handled)
        await handled.finally(() => inHand.delete(name))
        const next = Number(last.offset) + 1
        mine.position = next
        resolveOffset(last.offset)
        options.onHandled?.(place, next)
        committer?.add(place, next)
        beating.check()
        await heartbeat()
      }
    } catch (error) {
      // kafkajs joins again now, and another member may go on from what is committed.
      await committer?.flush()
      throw error
    } finally {
      beating.stop()
      pulse.working(-1)
    }
  }

  /** Until the handler took it. Gives up only where somebody else will have it: a rebalance, or the end. */
  async function handle(place: TopicPartition, piece: readonly KafkaMessage[], mine: Held, beating: Beating) {
    const records = piece.map((message) => received(place, message))
    const backoff = createBackoff(50, 5_000)
    const signal = AbortSignal.any([stopping.signal, mine.lost.signal, beating.signal])
    for (;;) {
      try {
        await options.onBatch(records)
        return
      } catch (error) {
        const detail = {
          group: groupId,
          ...place,
          offset: records[0]?.offset,
          records: records.length,
          err: error,
        }
        logger.warn(detail, 'the handler failed: the same batch comes again')
        if (signal.aborted) throw error
        await backoff.wait(signal)
        if (signal.aborted) throw error
      }
    }
  }

  function seek(consumer: Consumer, place: TopicPartition, offset: number): void {
    try {
      consumer.seek({ ...place, offset: String(offset) })
    } catch (error) {
      // This life is already over; the next one seeks again.
      logger.debug({ group: groupId, ...place, err: error }, 'seek on an ended consumer')
    }
  }

  /** Lets the batches in hand end, commits, leaves the group; not for longer than `disconnectMs` where brokers are silent. */
  async function disconnect({ consumer, committer }: Life): Promise<void> {
    const patience = new AbortController()
    const leave = async () => {
      try {
        await Promise.allSettled(inHand.values())
        await committer?.flush()
        await consumer.disconnect()
      } catch (error) {
        logger.debug({ group: groupId, err: error }, 'the consumer could not be disconnected')
      }
    }
    await Promise.race([leave(), sleep(disconnectMs, patience.signal)])
    patience.abort()
  }

  const done = run()
  return {
    joined: firstJoin.promise,
    async stop() {
      stopping.abort()
      firstJoin.resolve()
      await done
    },
  }
}

interface Life {
  readonly consumer: Consumer
  readonly committer: Committer | undefined
  readonly over: Promise<{ why: string; joined: boolean }>
}

interface Held {
  readonly place: TopicPartition
  /** Next offset to hand out; undefined while the committed one counts. */
  position: number | undefined
  ready: Promise<void>
  readonly lost: AbortController
}

interface Committer {
  add(partition: TopicPartition, next: number): void
  /** Resolves once nothing is left to commit, or the broker refused. */
  flush(): Promise<void>
}

/** One commit at a time, of the latest offsets, beside the fetches: waiting for each would add its time to every record. */
function createCommitter(consumer: Consumer, { logger, groupId }: GroupConsumerOptions): Committer {
  const pending = new Map<string, TopicPartition & { offset: string }>()
  let running: Promise<void> | undefined
  async function run(): Promise<void> {
    while (pending.size > 0) {
      const offsets = [...pending.values()]
      pending.clear()
      try {
        await consumer.commitOffsets(offsets)
      } catch (error) {
        // The group has moved on, or the broker is gone: whoever resumes gets these records again.
        logger.debug({ group: groupId, err: error }, 'offsets could not be committed')
      }
    }
    running = undefined
  }
  return {
    add({ topic, partition }, next) {
      pending.set(partitionName({ topic, partition }), { topic, partition, offset: String(next) })
      running ??= run()
    },
    async flush() {
      await running
    },
  }
}

interface Pulse {
  beat(): void
  joining(yes: boolean): void
  working(change: 1 | -1): void
  stop(): void
}

function createPulse(options: GroupConsumerOptions, end: (why: string) => void): Pulse {
  const stallMs = options.stallMs ?? stallMsDefault
  let lastMs = performance.now()
  let isJoining = true
  let working = 0
  const timer = setInterval(() => {
    // A join waits for the other members. A batch in hand heartbeats, and is answered, too.
    const patienceMs = isJoining && options.commits ? Math.max(stallMs, rebalanceTimeoutMs + 5_000) : stallMs
    const silentMs = performance.now() - lastMs
    if (silentMs > patienceMs + (working > 0 ? options.sessionTimeoutMs : 0))
      end(`no answer from a broker for ${Math.round(silentMs)} ms`)
  }, stallMs / 8)
  return {
    beat() {
      lastMs = performance.now()
    },
    joining(yes) {
      isJoining = yes
    },
    working(change) {
      working += change
    },
    stop: () => clearInterval(timer),
  }
}

interface Beating {
  /** Aborted by the first heartbeat that failed. */
  readonly signal: AbortSignal
  /** Rejects with what the first failing heartbeat threw. */
  readonly failed: Promise<never>
  /** Throws it. */
  check(): void
  stop(): void
}

/** Heartbeats while a handler works, however long that takes; remembers the first failure. */
function keepBeating(heartbeat: () => Promise<void>, everyMs: number): Beating {
  const broken = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  const timer = setInterval(() => {
    heartbeat().catch((error) => {
      broken.abort(error)
      failed.reject(error)
    })
  }, everyMs)
  return {
    signal: broken.signal,
    failed: failed.promise,
    check: () => broken.signal.throwIfAborted(),
    stop: () => clearInterval(timer),
  }
}

function createHealth(options: GroupConsumerOptions): { set(healthy: boolean): void } {
  let last: boolean | undefined
  return {
    set(healthy) {
      if (healthy === last) return
      last = healthy
      options.onHealth?.(healthy)
    },
  }
}

function* pieces(messages: readonly KafkaMessage[], limits: BatchLimits): Generator<KafkaMessage[]> {
  let piece: KafkaMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const size = (message.value?.length ?? 0) + (message.key?.length ?? 0)
    if (piece.length > 0 && (piece.length >= limits.recordsMax || bytes + size > limits.bytesMax)) {
      yield piece
      piece = []
      bytes = 0
    }
    piece.push(message)
    bytes += size
  }
  if (piece.length > 0) yield piece
}

function received({ topic, partition }: TopicPartition, message: KafkaMessage): Received {
  return {
    topic,
    partition,
    offset: Number(message.offset),
    key: message.key?.toString() ?? '',
    value: message.value,
    publishedMs: Number(message.timestamp),
  }
}

/** How long a broker holds a fetch that finds nothing; one that finds something is answered at once. */
const fetchWaitMs = 250
const stallMsDefault = 8_000
const rebalanceTimeoutMs = 30_000
const disconnectMs = 3_000
/** Partitions handled at the same time. */
const concurrency = 32
