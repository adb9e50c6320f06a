/**
 * The bus of one machine: the topics lie in a folder, in lmdb, and several processes publish and consume there at once.
 * There is no server to start or to lose. It refuses to span machines: lmdb must not lie on a network file system.
 *
 *   DIR/topics/TOPIC/  data.mdb lock.mdb bell     one environment a topic: topic-log.ts
 *   DIR/groups/        data.mdb lock.mdb bell     members, who holds what, offsets: groups.ts
 */
import { randomUUID } from 'node:crypto'
import { readdirSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  type Bus,
  type BusRecord,
  type ConsumeOptions,
  type Started,
  systemClock,
  type TailOptions,
  type Topic,
  type TopicSpec,
} from '@portcullis/kernel'
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
import { startCleaner } from './cleaner.ts'
import { startConsumer } from './consumer.ts'
import { openGroups } from './groups.ts'
import { createPublisher, type Publisher } from '../publisher.ts'
import { makePrivateDir } from './store.ts'
import { startTail } from './tail.ts'
import { openTopicLog, type TopicLog } from './topic-log.ts'

export async function openEmbeddedBus(path: string, options: BusOptions): Promise<Started<Bus>> {
  if (path === '') throw new BusError('invalid_url', 'bus: lmdb:DIR names no folder')
  const dir = resolve(path)
  const { logger } = options
  const clock = options.clock ?? systemClock
  const nowMs = () => Math.floor(clock.nowUs() / 1000)
  const limits = {
    recordsMax: options.batchRecordsMax ?? batchRecordsMaxDefault,
    bytesMax: options.batchBytesMax ?? batchBytesMaxDefault,
  }
  const sessionTimeoutMs = options.sessionTimeoutMs ?? sessionTimeoutMsDefault
  makePrivateDir(dir)
  makePrivateDir(join(dir, 'topics'))
  const groups = openGroups(join(dir, 'groups'), sessionTimeoutMs)
  const opened = new Map<Topic, Promise<TopicLog>>()
  const publishers = new Map<Topic, Publisher>()
  const consumers = new Set<Started<void>>()
  const publishing = new Set<Promise<void>>()
  let lane = Promise.resolve()
  let stopped: Promise<void> | undefined

  function assertRunning(): void {
    if (stopped) throw new BusError('stopped', 'the bus was stopped')
  }

  function open(topic: Topic, create?: TopicSpec): Promise<TopicLog> {
    const known = opened.get(topic)
    if (known) return known
    const log = openTopicLog(join(dir, 'topics', topic), topic, create)
    opened.set(topic, log)
    log.catch(() => opened.delete(topic))
    return log
  }

  async function openAll(names: readonly Topic[]): Promise<Map<Topic, TopicLog>> {
    return new Map(await Promise.all(names.map(async (name) => [name, await open(name)] as const)))
  }

  async function publisher(topic: Topic): Promise<Publisher> {
    const log = await open(topic)
    const known = publishers.get(topic)
    if (known) return known
    const created = createPublisher({
      timeoutMs: options.publishTimeoutMs ?? publishTimeoutMsDefault,
      logger,
      groupBytesMax: recordBytesMax,
      write: (records) => log.append(records, nowMs()),
    })
    publishers.set(topic, created)
    return created
  }

  /** Keeps what was started until it is stopped, so that stopping the bus stops it too. */
  function keep(started: Started<void>): Started<void> {
    const kept: Started<void> = {
      value: undefined,
      async stop() {
        await started.stop()
        consumers.delete(kept)
      },
    }
    consumers.add(kept)
    return kept
  }

  const cleaner = startCleaner(
    {
      groups,
      logger,
      nowMs,
      async logs() {
        const topics = readdirSync(join(dir, 'topics')) as Topic[]
        const logs = await Promise.all(topics.map((topic) => open(topic).catch(unlessBeingMade)))
        return logs.filter((log) => log !== undefined)
      },
    },
    options.cleaning ?? {},
  )

  const bus: Bus = {
    async ensureTopics(specs) {
      assertRunning()
      for (const spec of specs) await (await open(spec.topic, spec)).configure(spec)
    },
    async publish(records) {
      assertRunning()
      for (const record of records) checkRecord(record)
      const call = publish(records)
      publishing.add(call)
      await call.finally(() => publishing.delete(call))
    },
    async consume(consumeOptions: ConsumeOptions) {
      assertRunning()
      const logs = await openAll(consumeOptions.topics)
      const memberId = `${options.clientId ?? 'portcullis'}-${randomUUID()}`
      const parts = { groups, logs, limits, logger, memberId, sessionTimeoutMs }
      return keep(await startConsumer(parts, consumeOptions))
    },
    async tail(tailOptions: TailOptions) {
      assertRunning()
      const logs = await openAll(tailOptions.topics)
      return keep(startTail({ logs, limits, logger }, tailOptions))
    },
    async endOffsets(topic) {
      assertRunning()
      const log = await open(topic)
      return new Map(log.ends().entries())
    },
  }

  async function publish(records: readonly BusRecord[]): Promise<void> {
    const byTopic = Map.groupBy(records, (record) => record.topic)
    // One after the other, so that calls reach the publishers in the order in which they were made.
    const ready = lane.then(() => Promise.all([...byTopic.keys()].map(publisher)))
    lane = ready.then(
      () => undefined,
      () => undefined,
    )
    const writers = await ready
    await Promise.all([...byTopic.values()].map((part, at) => writers[at]?.publish(part)))
  }

  async function stop(): Promise<void> {
    await Promise.all([...consumers].map((consumer) => consumer.stop()))
    await Promise.allSettled(publishing)
    await cleaner.stop()
    for (const log of await Promise.all(opened.values())) await log.close()
    await groups.close()
  }

  return {
    value: bus,
    stop() {
      stopped ??= stop()
      return stopped
    },
  }
}

/** Another process may be about to make the topic: its folder is there, and nothing in it yet. */
function unlessBeingMade(error: unknown): undefined {
  if (!(error instanceof BusError) || error.code !== 'unknown_topic') throw error
}
