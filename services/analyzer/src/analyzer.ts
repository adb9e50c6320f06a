/**
 * The edge of the analyzer: takes partitions of the commands topic from the bus, hands their records to the pipeline,
 * and turns every outcome into its effects and metrics. This is the only file that does either.
 *
 * Order of durability: findings and verdicts are published before `onBatch` returns, so before the bus commits the
 * input; a checkpoint follows its outputs. After a crash the same records give the same outputs with the same ids, so
 * what comes twice is the same twice. Where publishing fails, the outputs wait and go with the batch's next try: the
 * fold is not repeated.
 */
import type { Bus, BusRecord, Clock, FindingEvent, Received, Started, VerdictEvent } from '@portcullis/kernel'
import { topics } from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'
import type { Log, Metrics } from '@portcullis/platform/service'
import { createBaselineFold } from './baseline.ts'
import { createDetectors } from './detectors/index.ts'
import { AnalyzerError } from './errors.ts'
import { createMeters } from './meters.ts'
import { createPipeline, type Partition, type Step } from './pipeline.ts'
import type { AnalyzerSettings } from './settings.ts'
import { checkpoint, type Loaded, loadPartitions } from './snapshots.ts'

export interface AnalyzerOptions {
  readonly bus: Bus
  readonly codecs: Codecs
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly settings: AnalyzerSettings
  /** Default `analyzer`: its members share the partitions. */
  readonly group?: string
  /** A checkpoint after this many records of a partition, or after this much of its event time and a second. */
  readonly checkpointRecords?: number
  readonly checkpointMs?: number
}

export interface Analyzer {
  /** Why it cannot do its work now; undefined where it can. */
  problem(): string | undefined
}

export async function startAnalyzer(options: AnalyzerOptions): Promise<Started<Analyzer>> {
  const { bus, codecs, log, settings, clock } = options
  const fold = createBaselineFold(createDetectors(settings), settings)
  const pipeline = createPipeline({ fold, decode: (bytes) => codecs.command.decode(bytes) })
  const meters = createMeters(options.metrics)
  const owned = new Map<number, Owned>()
  /** Partitions whose snapshots are being read; one stays here while the bus cannot give them. */
  const reading = new Set<number>()
  const load = together((partitions: readonly number[]) =>
    loadPartitions(bus, codecs.baseline, fold, partitions),
  )

  async function startAt(partition: number): Promise<number> {
    reading.add(partition)
    const loaded = await load(partition)
    reading.delete(partition)
    if (loaded.problem)
      log.warn({ partition, problem: loaded.problem }, 'snapshots cannot be used; folding the partition anew')
    const { nextOffset, lastAt, identities } = loaded.partition
    owned.set(partition, {
      partition: loaded.partition,
      unpublished: [],
      checkpointedOffset: nextOffset,
      checkpointedAt: lastAt,
      checkpointedMs: clock.monotonicMs(),
    })
    log.info({ partition, nextOffset, identities: identities.size }, 'partition taken up')
    meters.identities(partition, identities.size)
    return nextOffset
  }

  async function onBatch(records: readonly Received[]): Promise<void> {
    const [first] = records
    if (!first) return
    const one = owned.get(first.partition)
    if (!one) throw new AnalyzerError('not_assigned', `partition ${first.partition} was not taken up`)
    for (const record of records) {
      // A batch that comes again after a failed publish was folded already.
      if (record.offset < one.partition.nextOffset) continue
      one.unpublished.push(...effectsOf(pipeline.handle(one.partition, record), record))
    }
    await publish(one)
    meters.identities(first.partition, one.partition.identities.size)
    if (isDue(one)) await writeCheckpoint(one)
  }

  /** The one place where an outcome becomes effects and metrics. */
  function effectsOf(step: Step, { partition, offset, key }: Received): BusRecord[] {
    switch (step.kind) {
      case 'ok': {
        const { event, findings, verdict } = step
        meters.folded((clock.nowUs() - event.startedAt - event.durationUs) / 1e6)
        for (const finding of findings) meters.finding(finding)
        if (verdict) {
          meters.verdict(verdict)
          const { verdictId, action, reason, explanation, until } = verdict
          log.warn({ verdictId, action, reason, identity: key, until, explanation }, 'verdict')
        }
        return outputs(findings, verdict, key)
      }
      case 'drop':
        meters.dropped(step.reason)
        return []
      case 'dead-letter':
        meters.deadLetter(step.reason)
        log.error({ partition, offset, key, reason: step.reason, err: step.cause }, 'dead letter')
        return []
    }
  }

  function outputs(
    findings: readonly FindingEvent[],
    verdict: VerdictEvent | undefined,
    identity: string,
  ): BusRecord[] {
    const records: BusRecord[] = findings.map((finding) => ({
      topic: topics.findings,
      key: identity,
      value: codecs.finding.encode(finding),
    }))
    if (verdict)
      records.push({
        topic: topics.verdicts,
        key: verdict.verdictId,
        value: codecs.verdict.encode(verdict),
      })
    return records
  }

  async function publish(one: Owned): Promise<void> {
    if (one.unpublished.length === 0) return
    await bus.publish(one.unpublished)
    one.unpublished = []
  }

  function isDue({ partition, checkpointedOffset, checkpointedAt, checkpointedMs }: Owned): boolean {
    const { checkpointRecords = 2000, checkpointMs = 30_000 } = options
    const records = partition.nextOffset - checkpointedOffset
    const isOld = partition.lastAt - checkpointedAt >= checkpointMs * 1000
    return (
      records >= checkpointRecords || (records > 0 && isOld && clock.monotonicMs() - checkpointedMs >= 1000)
    )
  }

  async function writeCheckpoint(one: Owned): Promise<void> {
    const { partition } = one
    const snapshots = await checkpoint(bus, codecs.baseline, partition)
    one.checkpointedOffset = partition.nextOffset
    one.checkpointedAt = partition.lastAt
    one.checkpointedMs = clock.monotonicMs()
    meters.checkpointed(snapshots)
  }

  async function giveUp(partition: number): Promise<void> {
    const one = owned.get(partition)
    owned.delete(partition)
    reading.delete(partition)
    meters.identities(partition, 0)
    if (!one) return
    try {
      // With outputs not published the mark must not pass them: whoever takes over folds from the last one.
      if (one.unpublished.length === 0 && one.partition.nextOffset > one.checkpointedOffset)
        await writeCheckpoint(one)
    } catch (error) {
      log.warn({ partition, err: error }, 'no last checkpoint; the next owner folds from the one before')
    }
  }

  const consumer = await bus.consume({
    group: options.group ?? 'analyzer',
    topics: [topics.commands],
    startAt: ({ partition }) => startAt(partition),
    onRevoked: async (partitions) => {
      await Promise.all(partitions.map(({ partition }) => giveUp(partition)))
    },
    onBatch,
  })
  return {
    value: {
      problem() {
        if (reading.size > 0) return `reading the baselines of partitions ${[...reading].join(', ')}`
        const isStuck = [...owned.values()].some(({ unpublished }) => unpublished.length > 0)
        return isStuck ? 'the bus does not take findings and verdicts' : undefined
      },
    },
    async stop() {
      await consumer.stop()
      await Promise.all([...owned.keys()].map(giveUp))
    },
  }
}

interface Owned {
  readonly partition: Partition
  unpublished: BusRecord[]
  checkpointedOffset: number
  checkpointedAt: number
  /** By the monotonic clock: while it catches up, event time flies. */
  checkpointedMs: number
}

/** Joins the calls of one turn of the event loop, so that an assignment of many partitions reads the topic once. */
function together(
  load: (partitions: readonly number[]) => Promise<Map<number, Loaded>>,
): (partition: number) => Promise<Loaded> {
  let next: { partitions: number[]; loaded: Promise<Map<number, Loaded>> } | undefined
  return async (partition) => {
    if (!next) {
      const partitions: number[] = []
      const loaded = new Promise((resolve) => setImmediate(resolve)).then(() => {
        next = undefined
        return load(partitions)
      })
      next = { partitions, loaded }
    }
    next.partitions.push(partition)
    const found = (await next.loaded).get(partition)
    if (!found) throw new AnalyzerError('snapshot', `partition ${partition} was not loaded`)
    return found
  }
}
