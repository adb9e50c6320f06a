/**
 * Retention and compaction in the background: one of the processes that share the folder does it, in small steps, so
 * that no publisher waits long behind it. Correctness does not rest on there being only one.
 */
import { randomUUID } from 'node:crypto'
import { type Started, topics } from '@portcullis/kernel'
import { sleep } from '../backoff.ts'
import type { BusLogger } from '../options.ts'
import type { Groups, Membership } from './groups.ts'
import type { TopicLog } from './topic-log.ts'

export interface CleaningOptions {
  /** Default 2 000. */
  readonly everyMs?: number
  /** How long superseded records stay at least. Default 10 000. */
  readonly compactionLagMs?: number
  /** How long a tombstone is shown at least. Default one day. */
  readonly tombstoneMs?: number
}

export interface CleanerParts {
  readonly groups: Groups
  readonly logger: BusLogger
  /** Every topic in the folder. */
  logs(): Promise<readonly TopicLog[]>
  nowMs(): number
}

export function startCleaner(parts: CleanerParts, options: CleaningOptions): Started<void> {
  const everyMs = options.everyMs ?? 2_000
  const stopping = new AbortController()
  const compactOptions = {
    recordsMax: stepRecordsMax,
    lagMs: options.compactionLagMs ?? 10_000,
    tombstoneMs: options.tombstoneMs ?? 24 * 3600_000,
  }

  async function run(): Promise<void> {
    let membership: Membership | undefined
    let checkedAtMs = performance.now()
    for (;;) {
      await sleep(everyMs, stopping.signal)
      if (stopping.signal.aborted) break
      try {
        membership ??= await parts.groups.join(cleanersGroup, randomUUID(), new Map([[topics.control, 1]]))
        await membership.heartbeat()
        const { held, release } = await membership.reconcile()
        if (release.length > 0) await membership.release(release)
        else if (held.length > 0) await clean()
        if (performance.now() - checkedAtMs > readerCheckMs) {
          checkedAtMs = performance.now()
          parts.groups.readerCheck()
          for (const log of await parts.logs()) log.readerCheck()
        }
      } catch (error) {
        parts.logger.error({ err: error }, 'cleaning the bus failed; trying again')
      }
    }
    await membership?.leave()
  }

  async function clean(): Promise<void> {
    for (const log of await parts.logs()) {
      for (let steps = 0; steps < stepsMax && !stopping.signal.aborted; steps++) {
        const { cleanup } = log.spec()
        const done =
          cleanup === 'delete'
            ? await log.trim(parts.nowMs(), stepRecordsMax)
            : await log.compact(parts.nowMs(), compactOptions)
        if (done === 0) break
        // Others wait for the write lock meanwhile: leave them most of the time.
        await sleep(5, stopping.signal)
      }
    }
  }

  const done = run()
  return {
    value: undefined,
    async stop() {
      stopping.abort()
      await done
    },
  }
}

/** A group like any other; which topic stands for the work does not matter. */
const cleanersGroup = '.cleaners'
const stepRecordsMax = 1_000
const stepsMax = 200
const readerCheckMs = 60_000
