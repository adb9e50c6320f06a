/**
 * Group commit: whatever was published while one transaction was being made durable goes into the next one. Order
 * within a topic is the order of the calls. It gives up, and says so, after `timeoutMs`.
 */
import type { BusRecord } from '@portcullis/kernel'
import { createBackoff } from '../backoff.ts'
import { BusError } from '../errors.ts'
import { recordBytes } from '../limits.ts'
import type { BusLogger } from '../options.ts'
import type { TopicLog } from './topic-log.ts'

export interface Publisher {
  /** All of one topic, already checked. Resolves once durable. */
  publish(records: readonly BusRecord[]): Promise<void>
  /** Resolves once everything accepted is durable or given up. */
  drain(): Promise<void>
}

export interface PublisherOptions {
  readonly timeoutMs: number
  readonly logger: BusLogger
  nowMs(): number
}

export function createPublisher(
  log: Pick<TopicLog, 'topic' | 'append'>,
  options: PublisherOptions,
): Publisher {
  const waiting: Call[] = []
  let flushing: Promise<void> | undefined

  async function flush(): Promise<void> {
    while (waiting.length > 0) await writeGroup(takeGroup(waiting))
    flushing = undefined
  }

  async function writeGroup(group: readonly Part[]): Promise<void> {
    const records = group.flatMap((part) => part.records)
    const backoff = createBackoff(retryMsFirst, retryMsLast)
    const giveUpAtMs = performance.now() + options.timeoutMs
    for (;;) {
      try {
        await log.append(records, options.nowMs())
        for (const { call, records: written } of group) call.written(written.length)
        return
      } catch (cause) {
        options.logger.error({ topic: log.topic, err: cause }, 'the bus could not write; trying again')
        if (performance.now() > giveUpAtMs) {
          const seconds = Math.round(options.timeoutMs / 1000)
          const why = `${log.topic}: could not be written for ${seconds} s (is the disk full?)`
          for (const { call } of group) call.failed(new BusError('unavailable', why, { cause }))
          return
        }
        await backoff.wait(new AbortController().signal)
      }
    }
  }

  return {
    publish(records) {
      const { promise, resolve, reject } = Promise.withResolvers<void>()
      let left = records.length
      let failed = false
      waiting.push({
        records,
        taken: 0,
        written(count) {
          left -= count
          if (left === 0) resolve()
        },
        failed(error) {
          failed = true
          reject(error)
        },
        hasFailed: () => failed,
      })
      flushing ??= flush()
      return promise
    },
    async drain() {
      await flushing
    },
  }
}

interface Call {
  readonly records: readonly BusRecord[]
  taken: number
  written(count: number): void
  failed(error: BusError): void
  hasFailed(): boolean
}
interface Part {
  readonly call: Call
  readonly records: readonly BusRecord[]
}

/** Bounded, because the transaction's callback runs on the event loop. A call larger than that spans several groups. */
function takeGroup(waiting: Call[]): Part[] {
  const group: Part[] = []
  let records = 0
  let bytes = 0
  while (waiting[0] && records < groupRecordsMax && bytes < groupBytesMax) {
    const call = waiting[0]
    const from = call.taken
    // What follows a part that was given up must not arrive without it.
    while (
      call.taken < call.records.length &&
      records < groupRecordsMax &&
      bytes < groupBytesMax &&
      !call.hasFailed()
    ) {
      const record = call.records[call.taken]
      if (record) bytes += recordBytes(record)
      call.taken++
      records++
    }
    if (call.taken > from) group.push({ call, records: call.records.slice(from, call.taken) })
    if (call.taken === call.records.length || call.hasFailed()) waiting.shift()
  }
  return group
}

const groupRecordsMax = 2_000
const groupBytesMax = 4 * 1024 * 1024
const retryMsFirst = 20
const retryMsLast = 1_000
