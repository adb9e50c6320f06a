/**
 * Group commit: whatever was published while one write was being made durable goes into the next one, one write at a
 * time, in the order of the calls. It retries for `timeoutMs`, then gives up and says so.
 */
import type { BusRecord } from '@portcullis/kernel'
import { createBackoff } from './backoff.ts'
import { BusError } from './errors.ts'
import { recordBytes } from './limits.ts'
import type { BusLogger } from './options.ts'

export interface Publisher {
  /** The records must have passed `checkRecord`. Resolves once all of them are durable. */
  publish(records: readonly BusRecord[]): Promise<void>
  /** Resolves once everything accepted is durable or given up. */
  drain(): Promise<void>
}

export interface PublisherOptions {
  readonly timeoutMs: number
  readonly logger: BusLogger
  /** A write is closed when it is at least so large; one record alone may be larger. */
  readonly groupBytesMax: number
  /**
   * All of it durable, in order, or a rejection; a repeat after a rejection may write records twice. BusErrors are
   * final and are not tried again.
   */
  write(records: readonly BusRecord[]): Promise<void>
}

export function createPublisher(options: PublisherOptions): Publisher {
  const waiting: Call[] = []
  let flushing: Promise<void> | undefined

  async function flush(): Promise<void> {
    while (waiting.length > 0) await writeGroup(takeGroup(waiting, options.groupBytesMax))
    flushing = undefined
  }

  async function writeGroup(group: readonly Part[]): Promise<void> {
    const records = group.flatMap((part) => part.records)
    const backoff = createBackoff(retryMsFirst, retryMsLast)
    const giveUpAtMs = performance.now() + options.timeoutMs
    for (;;) {
      try {
        await options.write(records)
        for (const { call, records: written } of group) call.written(written.length)
        return
      } catch (cause) {
        if (cause instanceof BusError) {
          // One caller's bad record must not fail the others that happened to share its write.
          if (group.length > 1) for (const part of group) await writeGroup([part])
          else for (const { call } of group) call.failed(cause)
          return
        }
        const places = [...new Set(records.map(({ topic }) => topic))]
        options.logger.error({ topics: places, records: records.length, err: cause }, 'publishing failed')
        if (performance.now() > giveUpAtMs) {
          const seconds = Math.round(options.timeoutMs / 1000)
          const why = `${places.join(', ')}: the bus took nothing for ${seconds} s`
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

/** Bounded, because a write is made up on the event loop. A call larger than that spans several groups. */
function takeGroup(waiting: Call[], groupBytesMax: number): Part[] {
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
const retryMsFirst = 20
const retryMsLast = 1_000
