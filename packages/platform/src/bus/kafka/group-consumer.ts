/**
 * One consumer group membership over kafkajs, kept alive: it decides where each partition resumes, hands out records in
 * pieces, and makes the kafkajs consumer anew when that crashed or fell silent. Positions are kept here, across those
 * lives. Whether offsets are committed, and where to start, is its caller's.
 *
 * Guard: after dropped connections kafkajs can hang without an error or an event. A broker answers a fetch within
 * `fetchWaitMs` even when there is nothing, so a consumer that had no answer of any kind for `stallMs` is given up.
 */
import { setMaxListeners } from 'node:events'
import type { Received, Topic, TopicPartition } from '@portcullis/kernel'
import type { Consumer, ConsumerGroupJoinEvent, EachBatchPayload, Kafka, KafkaMessage } from 'kafkajs'
import { partitionName } from '../assign.ts'
import { createBackoff, sleep } from '../backoff.ts'
import { type Committer, commitEveryMs, createCommitter } from '../committer.ts'
import type { BatchLimits } from '../limits.ts'
import type { BusLogger } from '../options.ts'
import { stickyAssigner } from './assigner.ts'
import {
  type Beating,
  createHealth,
  createPulse,
  heartbeatMs,
  keepBeating,
  type Pulse,
  rebalanceTimeoutMs,
} from './pulse.ts'
import { pieces, received } from './records.ts'

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
  /** When several fetches in a row brought nothing: there is nothing left to bring. */
  onIdle?(): void
}

export interface GroupConsumer {
  /** Resolves when this member first joined the group. */
  readonly joined: Promise<void>
  stop(): Promise<void>
}

export function startGroupConsumer(options: GroupConsumerOptions): GroupConsumer {
  const { logger, groupId } = options
  const stopping = new AbortController()
  // One listener for each partition that waits.
  setMaxListeners(0, stopping.signal)
  const held = new Map<string, Held>()
  /** What is being handled, by partition: a new life must not hand out what an old one still has in hand. */
  const inHand = new Map<string, Promise<void>>()
  const firstJoin = Promise.withResolvers<void>()
  const health = createHealth(options)
  let emptyFetches = 0
  let working = 0

  async function run(): Promise<void> {
    const backoff = createBackoff(100, 2_000)
    while (!stopping.signal.aborted) {
      const life = startLife()
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

  function startLife(): Life {
    const over = Promise.withResolvers<{ why: string; joined: boolean }>()
    let hasJoined = false
    let isOver = false
    const end = (why: string) => {
      isOver = true
      over.resolve({ why, joined: hasJoined })
    }
    const pulse = createPulse(options, end)
    const consumer = options.kafka.consumer({
      groupId,
      partitionAssigners: [stickyAssigner(() => [...held.keys()])],
      sessionTimeout: options.sessionTimeoutMs,
      heartbeatInterval: heartbeatMs(options),
      rebalanceTimeout: rebalanceTimeoutMs,
      allowAutoTopicCreation: false,
      minBytes: 1,
      maxWaitTimeInMs: fetchWaitMs,
      maxBytesPerPartition: 1024 * 1024,
      maxBytes: 4 * 1024 * 1024,
      // A crash ends this life; the next one is ours to start.
      retry: { retries: 4, initialRetryTime: 100, maxRetryTime: 1_000, restartOnFailure: async () => false },
    })
    const committer = options.commits ? createCommitter(commitEveryMs, commitWith(consumer)) : undefined
    const { GROUP_JOIN, REBALANCING, CRASH, REQUEST } = consumer.events
    consumer.on(REQUEST, ({ payload }) => {
      pulse.beat()
      if (payload.apiName === 'Fetch' && working === 0 && ++emptyFetches === idleFetches) options.onIdle?.()
      if (hasJoined) health.set(true)
    })
    consumer.on(REBALANCING, () => pulse.joining(true))
    consumer.on(GROUP_JOIN, (event) => {
      if (isOver) return
      hasJoined = true
      pulse.joining(false)
      take(consumer, event)
      firstJoin.resolve()
    })
    consumer.on(CRASH, ({ payload }) => end(payload.error.message))
    const onStop = () => end('stopped')
    stopping.signal.addEventListener('abort', onStop)
    const start = async () => {
      await consumer.connect()
      await consumer.subscribe({ topics: [...options.topics], fromBeginning: true })
      await consumer.run({
        autoCommit: false,
        eachBatchAutoResolve: false,
        partitionsConsumedConcurrently: concurrency,
        eachBatch: (payload) => handOut(payload, { isOver: () => isOver, pulse, committer }),
      })
    }
    // Not awaited: connecting and joining can hang, too, and the watchdog already runs.
    start().catch((error) => end(error instanceof Error ? error.message : String(error)))
    const ended = over.promise.finally(() => {
      pulse.stop()
      stopping.signal.removeEventListener('abort', onStop)
    })
    return { consumer, committer, over: ended }
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
  async function handOut(payload: EachBatchPayload, { isOver, pulse, committer }: LifeParts): Promise<void> {
    const { batch, heartbeat, isRunning, isStale, resolveOffset } = payload
    const place: TopicPartition = { topic: batch.topic as Topic, partition: batch.partition }
    const name = partitionName(place)
    const mine = held.get(name)
    // A consumer that was given up may still deliver; the next one delivers the same.
    if (!mine || isOver()) return
    working++
    const beating = keepBeating(heartbeat, heartbeatMs(options))
    pulse.working(1)
    try {
      await Promise.race([Promise.all([mine.ready, inHand.get(name)]), beating.failed])
      for (const piece of pieces(batch.messages, options.limits)) {
        if (isOver() || !isRunning() || isStale() || held.get(name) !== mine) return
        const last = piece.at(-1)
        if (!last) return
        const handled = handle(place, piece, mine, beating)
        inHand.set(name, handled)
        await handled.finally(() => inHand.delete(name))
        const next = Number(last.offset) + 1
        mine.position = next
        resolveOffset(last.offset)
        options.onHandled?.(place, next)
        committer?.add(mine.place, next)
        beating.check()
        await heartbeat()
      }
    } catch (error) {
      if (stopping.signal.aborted) return
      // kafkajs joins again now, and another member may go on from what is committed.
      await committer?.flush()
      beating.check()
      throw error
    } finally {
      beating.stop()
      pulse.working(-1)
      working--
      emptyFetches = 0
    }
  }

  /** Until the handler took it. Gives up only where somebody else will have it: a rebalance, or the end. */
  async function handle(place: TopicPartition, piece: readonly KafkaMessage[], mine: Held, beating: Beating) {
    const records = piece.map((message) => received(place, message))
    const backoff = createBackoff(50, 5_000)
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
        const signal = AbortSignal.any([stopping.signal, mine.lost.signal, beating.signal])
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

  function commitWith(consumer: Consumer) {
    return async (offsets: ReadonlyMap<TopicPartition, number>) => {
      try {
        const all = [...offsets].map(([place, offset]) => ({ ...place, offset: String(offset) }))
        await consumer.commitOffsets(all)
      } catch (error) {
        // The group has moved on, or the broker is gone: whoever resumes gets these records again.
        logger.debug({ group: groupId, err: error }, 'offsets could not be committed')
      }
    }
  }

  /** Leaves the group with everything committed; not for longer than `disconnectMs` where brokers are silent. */
  async function disconnect({ consumer, committer }: Life): Promise<void> {
    if (stopping.signal.aborted) {
      // What is in hand is finished first, however long that takes; nothing more is fetched meanwhile.
      pause(consumer)
      await Promise.allSettled(inHand.values())
    }
    const patience = new AbortController()
    const leave = async () => {
      try {
        await committer?.flush()
        await consumer.disconnect()
      } catch (error) {
        logger.debug({ group: groupId, err: error }, 'the consumer could not be disconnected')
      }
    }
    await Promise.race([leave(), sleep(disconnectMs, patience.signal)])
    patience.abort()
  }

  function pause(consumer: Consumer): void {
    try {
      consumer.pause(options.topics.map((topic) => ({ topic })))
    } catch (error) {
      logger.debug({ group: groupId, err: error }, 'nothing to pause: the consumer never ran')
    }
  }

  const done = run()
  return {
    joined: firstJoin.promise,
    async stop() {
      stopping.abort()
      await done
    },
  }
}

interface LifeParts {
  isOver(): boolean
  readonly pulse: Pulse
  readonly committer: Committer<TopicPartition> | undefined
}

interface Life {
  readonly consumer: Consumer
  readonly committer: Committer<TopicPartition> | undefined
  readonly over: Promise<{ why: string; joined: boolean }>
}

interface Held {
  readonly place: TopicPartition
  /** Next offset to hand out; undefined while the committed one counts. */
  position: number | undefined
  ready: Promise<void>
  readonly lost: AbortController
}

/** How long a broker holds a fetch that finds nothing; one that finds something is answered at once. */
const fetchWaitMs = 250
const disconnectMs = 3_000
const idleFetches = 8
/** Partitions handled at the same time. */
const concurrency = 32
