/**
 * One partition of the commands topic, folded: decode -> whose baseline -> inspect, decide, evolve. Pure: records in,
 * outcomes out; it publishes nothing, reads no clock and knows no bus, so the whole topology runs in a test without a
 * broker. The one thing that crosses identities is the partition's event time, by which idle identities are forgotten.
 */
import {
  type CommandEvent,
  type FindingEvent,
  identityKey,
  type Received,
  type VerdictEvent,
} from '@portcullis/kernel'
import type { Baseline, BaselineFold } from './baseline.ts'
import { dayUs, hourUs, minuteUs } from './settings.ts'

export interface Partition {
  readonly partition: number
  /** First offset not yet handled. */
  nextOffset: number
  /** Latest event time seen on the partition, microseconds. */
  lastAt: number
  readonly identities: Map<string, Held>
  /** Identities dropped since the last mark, with the offset of the snapshot it counted (see snapshots.ts). */
  readonly forgotten: Map<string, number>
  /** Dropped before the last mark: their snapshots are to go. */
  readonly toBury: Set<string>
  /** Over all snapshots that the last mark counted. */
  digest: number
}

export interface Held {
  baseline: Baseline
  /** First offset not folded into this baseline; a replay skips what lies before. */
  nextOffset: number
  /** Changed since its last snapshot. */
  dirty: boolean
  /** Offset of the snapshot that the last mark counted; -1 for none. */
  markedOffset: number
}

export type DeadLetterReason = 'undecodable' | 'wrong_key' | 'bad_time' | 'clock_ahead' | 'fold_failed'

/** What became of one record. One place (analyzer.ts) turns it into effects and metrics. */
export type Step =
  | {
      readonly kind: 'ok'
      readonly event: CommandEvent
      readonly findings: readonly FindingEvent[]
      readonly verdict: VerdictEvent | undefined
    }
  /** duplicate: the recorder sent it before. folded: a snapshot holds it already. tombstone: it has no value. */
  | { readonly kind: 'drop'; readonly reason: 'duplicate' | 'folded' | 'tombstone' }
  /** It stays on the topic under its offset for whoever looks into it; it teaches nothing. */
  | { readonly kind: 'dead-letter'; readonly reason: DeadLetterReason; readonly cause: unknown }

export interface PipelineOptions {
  readonly fold: BaselineFold
  /** Throws where the bytes are no command event. */
  decode(bytes: Uint8Array): CommandEvent
}

export interface Pipeline {
  /** Changes `partition`. */
  handle(partition: Partition, record: Received): Step
}

export function emptyPartition(partition: number): Partition {
  return {
    partition,
    nextOffset: 0,
    lastAt: 0,
    identities: new Map(),
    forgotten: new Map(),
    toBury: new Set(),
    digest: 0,
  }
}

export function createPipeline({ fold, decode }: PipelineOptions): Pipeline {
  return {
    handle(partition, record) {
      partition.nextOffset = record.offset + 1
      if (record.value === null) return { kind: 'drop', reason: 'tombstone' }
      let event: CommandEvent
      try {
        event = decode(record.value)
      } catch (cause) {
        return { kind: 'dead-letter', reason: 'undecodable', cause }
      }
      const wrong = wrongWith(event, record)
      if (wrong) return { kind: 'dead-letter', reason: wrong, cause: `command ${event.commandId}` }
      forgetIdle(partition, event.startedAt)
      const held = heldFor(partition, record.key, fold)
      if (record.offset < held.nextOffset) return { kind: 'drop', reason: 'folded' }
      held.nextOffset = record.offset + 1
      held.dirty = true
      try {
        const outcome = fold.fold(held.baseline, event)
        return outcome.kind === 'ok' ? { ...outcome, event } : outcome
      } catch (cause) {
        return { kind: 'dead-letter', reason: 'fold_failed', cause }
      }
    },
  }
}

/** An identity idle for this long (event time) is forgotten; the longest memory of a detector. */
export const forgetUs = 90 * dayUs
/** A recorder's clock may be ahead of the bus's by this much; beyond it the event would make all others late. */
const aheadUsMax = 10 * minuteUs

function wrongWith(event: CommandEvent, { key, publishedMs }: Received): DeadLetterReason | undefined {
  if (identityKey(event.identity) !== key) return 'wrong_key'
  if (event.startedAt < 0 || event.durationUs < 0 || event.decision.delayUs < 0) return 'bad_time'
  return event.startedAt > publishedMs * 1000 + aheadUsMax ? 'clock_ahead' : undefined
}

function heldFor({ identities, forgotten, toBury }: Partition, key: string, fold: BaselineFold): Held {
  const known = identities.get(key)
  if (known) return known
  const markedOffset = forgotten.get(key) ?? -1
  const held: Held = { baseline: fold.initial(), nextOffset: 0, dirty: true, markedOffset }
  identities.set(key, held)
  forgotten.delete(key)
  toBury.delete(key)
  return held
}

/** Once an hour of event time, so that it happens at the same records in every run. */
function forgetIdle(partition: Partition, at: number): void {
  const { lastAt, identities, forgotten } = partition
  partition.lastAt = Math.max(lastAt, at)
  if (Math.floor(partition.lastAt / hourUs) === Math.floor(lastAt / hourUs)) return
  for (const [key, { baseline, markedOffset }] of identities) {
    if (baseline.lastAt >= partition.lastAt - forgetUs) continue
    identities.delete(key)
    forgotten.set(key, markedOffset)
  }
}
