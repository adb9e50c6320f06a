/**
 * The projector: bus to ClickHouse, with the effect of exactly once though every step may happen twice. Where it goes on
 * is what ClickHouse itself says it has (docs/adr/0002-exactly-once-audit-trail.md). It drops nothing silently: a
 * record that cannot become a row is a dead letter, and while the store is away the bus waits.
 */
import {
  type Bus,
  type Clock,
  type Received,
  type Started,
  type TopicPartition,
  topics,
} from '@portcullis/kernel'
import type { AuditLog, AuditStore } from '@portcullis/platform/audit'
import type { Codecs } from '@portcullis/platform/codec'
import { createGather } from './gather.ts'
import { type ControlView, createControlView, createProject } from './rows.ts'
import { writeBatch } from './write.ts'

export interface ProjectorOptions {
  readonly bus: Bus
  readonly store: AuditStore
  readonly codecs: Codecs
  readonly log: AuditLog
  readonly clock: Clock
  /** Most rows in one insert, and how long a lone record waits for others. */
  readonly batchRows: number
  readonly batchMs: number
  /** Projectors of one group share the partitions. */
  readonly group?: string
  /** Told after each batch, for metrics. */
  readonly onBatch?: (batch: ProjectedBatch) => void
}

export interface ProjectedBatch {
  readonly records: number
  /** 0 where it failed and comes again. */
  readonly rows: number
  readonly deadLetters: number
  readonly failed: boolean
  /** From the bus taking its oldest record to its row being there. */
  readonly lagMs: number
}

export interface Projector {
  /** Why it does not get on, or undefined. */
  problem(): string | undefined
}

const projected = [
  topics.sessions,
  topics.commands,
  topics.recordings,
  topics.findings,
  topics.verdicts,
  topics.control,
  topics.signIns,
] as const

/** From so many records on there is a backlog, and no more is waited for. */
const hurryAt = 250

export async function startProjector(options: ProjectorOptions): Promise<Started<Projector>> {
  const { bus, store, codecs, log, clock } = options
  let problem: string | undefined
  let control: ControlView = createControlView()
  // Looked up anew for each record: a new assignment of the control log starts a new fold.
  const project = createProject(codecs, {
    decide: (offset, event) => control.decide(offset, event),
    forget: (beforeOffset) => control.forget(beforeOffset),
  })

  const gather = createGather({
    waitMs: options.batchMs,
    // A live view wants to be within a second.
    waitMsMax: 500,
    hurryAt: Math.min(hurryAt, options.batchRows),
    itemsMax: options.batchRows,
    async write(records: readonly Received[]) {
      try {
        const { rows, dead } = await writeBatch(store, project, records)
        told(records, { rows, deadLetters: dead.length, failed: false })
        problem = undefined
        forgetControl(records)
        for (const { record, reason } of dead) {
          const { topic, partition, offset } = record
          log.error({ topic, partition, offset, reason }, 'a record cannot be projected: it is a dead letter')
        }
      } catch (cause) {
        told(records, { rows: 0, deadLetters: 0, failed: true })
        problem = cause instanceof Error ? cause.message : String(cause)
        log.warn({ err: cause, records: records.length }, 'a batch was not written: it comes again')
        throw cause
      }
    },
  })

  function told(records: readonly Received[], batch: Omit<ProjectedBatch, 'records' | 'lagMs'>): void {
    const lagMs = Math.max(0, clock.nowUs() / 1000 - oldest(records))
    options.onBatch?.({ ...batch, records: records.length, lagMs })
  }

  function forgetControl(records: readonly Received[]): void {
    const last = records.findLast(({ topic }) => topic === topics.control)
    if (last) control.forget(last.offset + 1)
  }

  const consumer = await bus.consume({
    group: options.group ?? 'projector',
    topics: projected,
    async startAt(partition) {
      if (partition.topic === topics.control) {
        // Which changes were accepted only a fold from the beginning can say; what is written again collapses.
        control = createControlView()
        return 0
      }
      return resumeAt(partition, bus, store, log)
    },
    onBatch: (records) => gather.add(records),
  })
  return {
    value: { problem: () => problem },
    async stop() {
      // What waits is written at once, so that the consumer's own stop, which waits for it, is not slow.
      await Promise.all([consumer.stop(), gather.close()])
    },
  }
}

/** What ClickHouse says, and not the group's committed offset: that one may be of a trail that is gone. */
async function resumeAt(
  { topic, partition }: TopicPartition,
  bus: Bus,
  store: AuditStore,
  log: AuditLog,
): Promise<number> {
  const [row] = await store.query<{ next: number }>(
    `SELECT max(next_offset) AS next FROM projector_progress WHERE topic = {topic:String} AND partition = {partition:Int32}`,
    { topic, partition },
  )
  const next = row?.next ?? 0
  const end = (await bus.endOffsets(topic)).get(partition) ?? 0
  if (next <= end) return next
  log.error(
    { topic, partition, next, end },
    'the bus has fewer records than ClickHouse has seen: it was made anew; projecting all of it',
  )
  // Or it would count again as soon as the new bus has grown beyond it.
  await store.command(
    'DELETE FROM projector_progress WHERE topic = {topic:String} AND partition = {partition:Int32}',
    {
      params: { topic, partition },
    },
  )
  return 0
}

function oldest(records: readonly { readonly publishedMs: number }[]): number {
  let ms = Number.POSITIVE_INFINITY
  for (const { publishedMs } of records) ms = Math.min(ms, publishedMs)
  return ms
}
