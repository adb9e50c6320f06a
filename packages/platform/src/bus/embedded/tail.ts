/** Every record of every partition, in no group and with nothing to commit. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Started, TailOptions, Topic } from '@portcullis/kernel'
import type { BatchLimits } from '../limits.ts'
import type { BusLogger } from '../options.ts'
import { startReader } from './reader.ts'
import type { TopicLog } from './topic-log.ts'

export interface TailParts {
  readonly logs: ReadonlyMap<Topic, TopicLog>
  readonly limits: BatchLimits
  readonly logger: BusLogger
}

export function startTail({ logs, limits, logger }: TailParts, options: TailOptions): Started<void> {
  const ends = [...logs.values()].flatMap((log) =>
    log.ends().map((end, partition) => ({ log, partition, end })),
  )
  let behind = options.from === 'earliest' ? ends.filter(({ end }) => end > 0).length : 0
  let wasHealthy: boolean | undefined
  const onHealth = (healthy: boolean) => {
    if (healthy === wasHealthy) return
    wasHealthy = healthy
    options.onHealth?.(healthy)
  }
  const readers = ends.map(({ log, partition, end }) => {
    let isBehind = options.from === 'earliest' && end > 0
    return startReader({
      log,
      partition,
      from: options.from === 'earliest' ? 0 : end,
      limits,
      logger,
      onBatch: (records) => options.onBatch(records),
      onHandled(next) {
        if (!isBehind || next < end) return
        isBehind = false
        behind--
        if (behind === 0) options.onCaughtUp?.()
      },
      onHealth,
    })
  })
  if (behind === 0) void nextTurn().then(() => options.onCaughtUp?.())
  return {
    value: undefined,
    async stop() {
      await Promise.all(readers.map((reader) => reader.stop()))
    },
  }
}
