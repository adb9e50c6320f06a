/**
 * What stands in a segment file.
 *
 *   segment = frame*                      frame  = u32 bytes | u32 crc32 of the payload | payload
 *   payload = record*                     record = u8 type | u32 bytes | fields
 *
 * One frame is one write, so a commit is whole or absent: whoever reads stops at the first frame that is short or whose
 * checksum differs. The first frame of a segment holds a `head` record and everything that later records refer to
 * (open sessions, their running commands), so that a segment can be read without those before it.
 *
 * Numbers of statements and decisions hold within one segment, numbers of sessions within one recorder. A reader skips
 * record types that it does not know. Refuses to know files or events: only bytes and records.
 */
import { crc32 } from 'node:zlib'
import type {
  Analysis,
  CommandResult,
  Decision,
  Intent,
  MaskedValues,
  Outcome,
  Progress,
  SessionRecord,
  SessionTotals,
  Stage,
} from '@portcullis/kernel'
import type { ByteWriter } from './bytes.ts'

export const formatVersion = 1
export const frameHeadBytes = 8
export const recordHeadBytes = 5

export const recordType = {
  head: 1,
  sessionOpened: 2,
  sessionRefused: 3,
  sessionStillOpen: 4,
  statement: 5,
  decision: 6,
  intent: 7,
  progress: 8,
  outcome: 9,
  sessionClosed: 10,
  end: 11,
  nothing: 12,
  /** A statement whose text stands behind it as it is. */
  longStatement: 13,
  /** What was masked of a command, before its outcome. */
  masked: 14,
} as const
export type RecordType = (typeof recordType)[keyof typeof recordType]

/** The order is part of the format: append only. */
export const outcomes: readonly Outcome[] = [
  'ok',
  'error',
  'refused',
  'cut',
  'cancelled',
  'skipped',
  'unknown',
]
export const stages: readonly Stage[] = ['run', 'prepare']

export interface Head {
  readonly version: number
  readonly recorder: string
  readonly segment: number
  /** Sequence number of the first event in this segment. */
  readonly seqFirst: number
  readonly proxy: { readonly name: string; readonly version: string }
}

/** A decision without what differs from command to command. */
export type DecisionKind = Omit<Decision, 'id' | 'delayUs'>

export interface IntentRecord {
  readonly session: number
  readonly number: number
  readonly statement: number
  readonly decision: number
  /** It stands in a segment before this one: repeated because it still runs. */
  readonly repeated: boolean
  /** A `started` event was made for it already. */
  readonly started: boolean
  readonly startedAt: number
  readonly delayUs: number
  readonly decisionId: string
  /** JSON, empty for none. */
  readonly attributes: string
}

/** What a segment's head repeats of the segments before it. */
export interface OpenSession {
  readonly session: number
  readonly record: SessionRecord
  readonly totals: SessionTotals
  readonly running: readonly { readonly intent: Intent; readonly started: boolean }[]
}

export type SegmentRecord =
  | ({ readonly type: 'head' } & Head)
  | {
      readonly type: 'session'
      readonly phase: 'opened' | 'refused'
      readonly session: number
      readonly record: SessionRecord
      readonly decision: Decision
      readonly detail: string
    }
  | {
      readonly type: 'sessionStillOpen'
      readonly session: number
      readonly record: SessionRecord
      readonly totals: SessionTotals
    }
  | { readonly type: 'statement'; readonly statement: number; readonly analysis: Analysis }
  | { readonly type: 'decision'; readonly decision: number; readonly kind: DecisionKind }
  | ({ readonly type: 'intent' } & IntentRecord)
  | {
      readonly type: 'progress'
      readonly session: number
      readonly number: number
      readonly at: number
      readonly progress: Progress
    }
  | {
      readonly type: 'masked'
      readonly session: number
      readonly number: number
      readonly masked: readonly MaskedValues[]
    }
  | {
      readonly type: 'outcome'
      readonly session: number
      readonly number: number
      readonly at: number
      readonly result: CommandResult
      /** What ended it, where that is not what let it pass. */
      readonly decision?: Decision
    }
  | {
      readonly type: 'sessionClosed'
      readonly session: number
      readonly at: number
      readonly decision: Decision
      readonly detail: string
      readonly totals: SessionTotals
    }
  | { readonly type: 'end' }

/** Reserves the frame's head; records follow, then `sealFrame`. */
export function beginFrame(out: ByteWriter): void {
  out.at = frameHeadBytes
}

/** Fills in length and checksum; the frame is `out.buffer` up to `out.at`. */
export function sealFrame(out: ByteWriter): void {
  out.u32At(0, out.at - frameHeadBytes)
  out.u32At(4, crc32(out.buffer.subarray(frameHeadBytes, out.at)))
}

/** End of the frame that begins at `at`, or -1 where it is not all there or its checksum differs. */
export function frameEnd(buffer: Buffer, at: number, end: number): number {
  if (end - at < frameHeadBytes) return -1
  const bytes = buffer.readUInt32LE(at)
  const payloadAt = at + frameHeadBytes
  if (bytes === 0 || bytes > end - payloadAt) return -1
  const payload = buffer.subarray(payloadAt, payloadAt + bytes)
  return crc32(payload) === buffer.readUInt32LE(at + 4) ? payloadAt + bytes : -1
}
