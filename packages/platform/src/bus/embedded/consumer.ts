/**
 * A member of a group: holds its share of the partitions, hands their records out, and remembers how far it came. A
 * partition is given up only after its last batch was handled and `onRevoked` returned, so no two members that live
 * ever handle the same partition at once. Group state is in groups.ts; this only acts on it.
 */
import type { ConsumeOptions, Started, Topic } from '@portcullis/kernel'
import { createBackoff } from '../backoff.ts'
import { commitEveryMs, createCommitter } from '../committer.ts'
import type { BatchLimits } from '../limits.ts'
import type { BusLogger } from '../options.ts'
import { partitionName } from '../assign.ts'
import type { Claim, Groups } from './groups.ts'
import { type Reader, startReader } from './reader.ts'
import type { TopicLog } from './topic-log.ts'

export interface ConsumerParts {
  readonly groups: Groups
  readonly logs: ReadonlyMap<Topic, TopicLog>
  readonly limits: BatchLimits
  readonly logger: BusLogger
  readonly memberId: string
  readonly sessionTimeoutMs: number
}

export async function startConsumer(parts: ConsumerParts, options: ConsumeOptions): Promise<Started<void>> {
  const { groups, logs, logger, memberId } = parts
  const counts = new Map([...logs].map(([topic, log]) => [topic, log.spec().partitions]))
  const membership = await groups.join(options.group, memberId, counts)
  const serving = new Map<string, Serving>()
  const committer = createCommitter(commitEveryMs, commit)
  let stopped = false
  let rounds = Promise.resolve()
  let roundIsDue = false

  const soon = () => {
    if (roundIsDue || stopped) return
    roundIsDue = true
    rounds = rounds.then(async () => {
      roundIsDue = false
      try {
        if (!stopped) await round()
      } catch (error) {
        logger.error(
          { group: options.group, err: error },
          'the group state cannot be read or written; trying again',
        )
      }
    })
  }
  const unlisten = groups.bell.listen(soon)
  const heartbeats = setInterval(() => {
    membership
      .heartbeat()
      .catch((error) => logger.error({ group: options.group, err: error }, 'heartbeat failed'))
  }, parts.sessionTimeoutMs / 4)

  /** Brings what is served in line with what the group's state says is this member's. */
  async function round(): Promise<void> {
    const { held, release } = await membership.reconcile()
    const isIn = (claims: readonly Claim[], one: Claim) => claims.some((claim) => isSame(claim, one))
    const lost = [...serving.values()].filter(({ claim }) => !isIn(held, claim))
    const given = [...serving.values()].filter(({ claim }) => isIn(release, claim))
    if (lost.length > 0) {
      const partitions = lost.map(({ claim }) => partitionName(claim))
      logger.warn(
        { group: options.group, partitions },
        'lost partitions: this member was silent for too long',
      )
    }
    await letGo([...lost, ...given])
    if (release.length > 0) await membership.release(release)
    for (const claim of held) {
      if (isIn(release, claim) || serving.has(partitionName(claim))) continue
      serving.set(partitionName(claim), serve(claim))
    }
    if (lost.length > 0 || release.length > 0) soon()
  }

  async function letGo(leaving: readonly Serving[]): Promise<void> {
    if (leaving.length === 0) return
    await Promise.all(leaving.map((one) => one.stop()))
    await committer.flush()
    for (const { claim } of leaving) serving.delete(partitionName(claim))
    try {
      await options.onRevoked?.(leaving.map(({ claim: { topic, partition } }) => ({ topic, partition })))
    } catch (error) {
      logger.error({ group: options.group, err: error }, 'onRevoked failed')
    }
  }

  function serve(claim: Claim): Serving {
    const stopping = new AbortController()
    const started = start()
    async function start(): Promise<Reader | undefined> {
      const log = logs.get(claim.topic)
      if (!log) return undefined
      const from = await resumeAt(claim, stopping.signal)
      if (from === undefined || stopping.signal.aborted) return undefined
      return startReader({
        log,
        partition: claim.partition,
        from,
        limits: parts.limits,
        logger,
        // A process that was suspended must not handle what another one has taken over meanwhile.
        mayHandle() {
          const isMine = membership.holds(claim)
          if (!isMine) soon()
          return isMine
        },
        onBatch: (records) => options.onBatch(records),
        onHandled: (next) => committer.add(claim, next),
      })
    }
    return {
      claim,
      async stop() {
        stopping.abort()
        const reader = await started
        await reader?.stop()
      },
    }
  }

  async function resumeAt({ topic, partition }: Claim, signal: AbortSignal): Promise<number | undefined> {
    const backoff = createBackoff(50, 5_000)
    while (!signal.aborted) {
      try {
        const own = await options.startAt?.({ topic, partition })
        return own ?? membership.committed({ topic, partition }) ?? 0
      } catch (error) {
        logger.error({ group: options.group, topic, partition, err: error }, 'startAt failed; trying again')
        await backoff.wait(signal)
      }
    }
    return undefined
  }

  async function commit(offsets: ReadonlyMap<Claim, number>): Promise<void> {
    try {
      const fenced = await membership.commit(offsets)
      if (fenced.length > 0) soon()
    } catch (error) {
      logger.error(
        { group: options.group, err: error },
        'offsets could not be committed; records may come again',
      )
    }
  }

  soon()
  return {
    value: undefined,
    async stop() {
      if (stopped) return rounds
      stopped = true
      unlisten()
      // Heartbeats go on until the last batch was handled, or another member would take it over too early.
      rounds = rounds.then(async () => {
        try {
          await letGo([...serving.values()])
        } finally {
          clearInterval(heartbeats)
          await membership.leave()
        }
      })
      await rounds
    },
  }
}

interface Serving {
  readonly claim: Claim
  stop(): Promise<void>
}

function isSame(a: Claim, b: Claim): boolean {
  return a.topic === b.topic && a.partition === b.partition && a.epoch === b.epoch
}
