/**
 * Hands the records of one partition to a handler, in order, one batch at a time, and the same batch again until it
 * took it. It keeps no offset beyond its own life.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Received, TopicPartition } from '@portcullis/kernel'
import { createBackoff } from '../backoff.ts'
import type { BatchLimits } from '../limits.ts'
import type { BusLogger } from '../options.ts'
import type { TopicLog } from './topic-log.ts'

export interface Reader {
  /** Offset of the first record that was not handled yet. */
  position(): number
  /** Resolves once the batch at hand was handled or has failed. Nothing is handed out after. */
  stop(): Promise<void>
}

export interface ReaderOptions {
  readonly log: TopicLog
  readonly partition: number
  readonly from: number
  readonly limits: BatchLimits
  readonly logger: BusLogger
  /** Asked before each batch: false where somebody else may have the partition by now. */
  mayHandle?(): boolean
  onBatch(records: readonly Received[]): Promise<void> | void
  /** After each batch that was handled; `next` is the new position. */
  onHandled(next: number): void
  /** Whether the log could be read, at each change. */
  onHealth?(healthy: boolean): void
}

export function startReader(options: ReaderOptions): Reader {
  const { log, partition, logger } = options
  const where: TopicPartition = { topic: log.topic, partition }
  const stopping = new AbortController()
  const backoff = createBackoff(retryMsFirst, retryMsLast)
  let position = options.from
  let rung = true
  let wake: (() => void) | undefined
  const unlisten = log.listen(partition, () => {
    rung = true
    wake?.()
  })

  async function run(): Promise<void> {
    while (!stopping.signal.aborted) {
      rung = false
      const batch = await readOrWait()
      if (batch) {
        if (batch.records.length > 0 && !(await handle(batch.records))) continue
        if (batch.next !== position) {
          position = batch.next
          options.onHandled(position)
        }
        if (batch.records.length > 0) {
          // Handlers that never leave the event loop must not keep everything else from it.
          await nextTurn()
          continue
        }
      }
      if (!rung && !stopping.signal.aborted) await new Promise<void>((resolve) => (wake = resolve))
    }
  }

  async function readOrWait(): Promise<{ records: Received[]; next: number } | undefined> {
    try {
      if (options.mayHandle?.() === false) return undefined
      const end = log.ends()[partition] ?? 0
      if (position > end) {
        // The log lost its end (a restored copy, another folder): a repeat is allowed, a gap is not.
        logger.error(
          { ...where, position, end },
          'position is beyond the end of the log: reading all that is kept again',
        )
        position = 0
      }
      const batch = log.read(partition, position, options.limits)
      options.onHealth?.(true)
      return batch
    } catch (error) {
      options.onHealth?.(false)
      logger.error({ ...where, err: error }, 'the log cannot be read; trying again')
      await backoff.wait(stopping.signal)
      rung = true
      return undefined
    }
  }

  async function handle(records: readonly Received[]): Promise<boolean> {
    try {
      await options.onBatch(records)
      backoff.reset()
      return true
    } catch (error) {
      const [first] = records
      const place = { ...where, offset: first?.offset, records: records.length, err: error }
      logger.warn(place, 'the handler failed: the same batch comes again')
      await backoff.wait(stopping.signal)
      return false
    }
  }

  const done = run()
  return {
    position: () => position,
    async stop() {
      stopping.abort()
      unlisten()
      wake?.()
      await done
    },
  }
}

const retryMsFirst = 50
const retryMsLast = 5_000
