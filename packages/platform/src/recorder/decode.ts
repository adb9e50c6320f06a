/** Bytes to records. Refuses to guess: what passed its checksum and still does not read is RecorderError('corrupt'). */
import type { Analysis, CommandResult, Decision, SessionRecord, SessionTotals } from '@portcullis/kernel'
import { ByteReader } from './bytes.ts'
import { RecorderError } from './error.ts'
import {
  formatVersion,
  frameHeadBytes,
  type Head,
  type IntentRecord,
  outcomes,
  recordType,
  type SegmentRecord,
  stages,
} from './format.ts'

/** The records of one whole frame. Throws RecorderError('corrupt') where they cannot be read. */
export function* readFrame(buffer: Buffer, at: number, end: number): Generator<SegmentRecord> {
  const reader = new ByteReader(buffer, at + frameHeadBytes, end)
  while (reader.at < end) {
    const type = reader.byte()
    const bytes = reader.u32()
    const recordEnd = reader.at + bytes
    if (recordEnd > end) throw new RecorderError('corrupt', `record of ${bytes} bytes runs over its frame`)
    reader.end = recordEnd
    const record = decode(type, reader)
    if (record) yield record
    reader.end = end
    reader.at = recordEnd
  }
}

function decode(type: number, from: ByteReader): SegmentRecord | undefined {
  switch (type) {
    case recordType.head:
      return { type: 'head', ...readHead(from) }
    case recordType.sessionOpened:
    case recordType.sessionRefused:
      return {
        type: 'session',
        phase: type === recordType.sessionOpened ? 'opened' : 'refused',
        session: from.varint(),
        record: readSession(from),
        decision: readJson(from),
        detail: from.string(),
      }
    case recordType.sessionStillOpen:
      return {
        type: 'sessionStillOpen',
        session: from.varint(),
        record: readSession(from),
        totals: readTotals(from),
      }
    case recordType.statement:
      return { type: 'statement', statement: from.varint(), analysis: readJson(from) }
    case recordType.longStatement:
      return {
        type: 'statement',
        statement: from.varint(),
        analysis: { ...readJson<Analysis>(from), text: from.string() },
      }
    case recordType.decision:
      return { type: 'decision', decision: from.varint(), kind: readJson(from) }
    case recordType.intent:
      return { type: 'intent', ...readIntent(from) }
    case recordType.progress:
      return {
        type: 'progress',
        session: from.varint(),
        number: from.varint(),
        at: from.fixed53(),
        progress: {
          rowsIn: from.varint(),
          rowsOut: from.varint(),
          bytesIn: from.varint(),
          bytesOut: from.varint(),
        },
      }
    case recordType.masked:
      return { type: 'masked', session: from.varint(), number: from.varint(), masked: readJson(from) }
    case recordType.outcome:
      return {
        type: 'outcome',
        session: from.varint(),
        number: from.varint(),
        at: from.fixed53(),
        result: readResult(from),
        ...(from.at < from.end && { decision: readJson<Decision>(from) }),
      }
    case recordType.sessionClosed:
      return {
        type: 'sessionClosed',
        session: from.varint(),
        at: from.fixed53(),
        decision: readJson(from),
        detail: from.string(),
        totals: readTotals(from),
      }
    case recordType.end:
      return { type: 'end' }
    default:
      return undefined
  }
}

function readHead(from: ByteReader): Head {
  const version = from.byte()
  if (version !== formatVersion)
    throw new RecorderError(
      'corrupt',
      `segment has format ${version}, this version of Portcullis reads ${formatVersion}: ship it with the version that wrote it`,
    )
  return {
    version,
    recorder: from.string(),
    segment: from.varint(),
    seqFirst: from.varint(),
    proxy: { name: from.string(), version: from.string() },
  }
}

function readIntent(from: ByteReader): IntentRecord {
  const session = from.varint()
  const number = from.varint()
  const statement = from.varint()
  const decision = from.varint()
  const flags = from.byte()
  return {
    session,
    number,
    statement,
    decision,
    repeated: (flags & 1) !== 0,
    started: (flags & 2) !== 0,
    startedAt: from.fixed53(),
    delayUs: from.varint(),
    decisionId: from.string(),
    attributes: from.string(),
  }
}

function readResult(from: ByteReader): CommandResult {
  return {
    outcome: outcomes[from.byte()] ?? 'unknown',
    stage: stages[from.byte()] ?? 'run',
    errorCode: from.string(),
    tag: from.string(),
    rowsIn: from.varint(),
    rowsOut: from.varint(),
    rowsAffected: from.varint(),
    bytesIn: from.varint(),
    bytesOut: from.varint(),
  }
}

function readTotals(from: ByteReader): SessionTotals {
  return {
    commands: from.varint(),
    rowsOut: from.varint(),
    bytesIn: from.varint(),
    bytesOut: from.varint(),
  }
}

/** A version before tasks and ancestors wrote neither: its segments are shipped by whoever comes after it. */
function readSession(from: ByteReader): SessionRecord {
  const record = readJson<SessionRecord>(from)
  return record.identity
    ? { ...record, identity: { ...{ task: '', ancestors: [] }, ...record.identity } }
    : record
}

/** What stands here was written by JSON.stringify of the same type and has passed its checksum. */
function readJson<T>(from: ByteReader): T {
  return JSON.parse(from.string()) as T
}
