/** Records to bytes, in the order of fields that format.ts and decode.ts share. Refuses to judge what it is given. */
import type {
  Analysis,
  CommandResult,
  Decision,
  Intent,
  MaskedValues,
  Progress,
  SessionRecord,
  SessionTotals,
} from '@portcullis/kernel'
import type { ByteWriter } from './bytes.ts'
import {
  type DecisionKind,
  type Head,
  outcomes,
  type RecordType,
  recordHeadBytes,
  recordType,
  stages,
} from './format.ts'

export function putHead(out: ByteWriter, head: Head): void {
  const start = begin(out, recordType.head)
  out.byte(head.version)
  out.string(head.recorder)
  out.varint(head.segment)
  out.varint(head.seqFirst)
  out.string(head.proxy.name)
  out.string(head.proxy.version)
  end(out, start)
}

export function putSession(
  out: ByteWriter,
  phase: 'opened' | 'refused',
  session: number,
  record: SessionRecord,
  decision: Decision,
  detail: string,
): void {
  const start = begin(out, phase === 'opened' ? recordType.sessionOpened : recordType.sessionRefused)
  out.varint(session)
  out.string(JSON.stringify(record))
  out.string(JSON.stringify(decision))
  out.string(detail)
  end(out, start)
}

export function putSessionStillOpen(
  out: ByteWriter,
  session: number,
  record: SessionRecord,
  totals: SessionTotals,
): void {
  const start = begin(out, recordType.sessionStillOpen)
  out.varint(session)
  out.string(JSON.stringify(record))
  putTotals(out, totals)
  end(out, start)
}

/** JSON takes a millisecond for a text of a megabyte, which the sessions beside it would wait. */
const jsonTextMax = 4096

export function putStatement(out: ByteWriter, statement: number, analysis: Analysis): void {
  if (analysis.text.length > jsonTextMax) {
    putLongStatement(out, statement, analysis)
    return
  }
  const start = begin(out, recordType.statement)
  out.varint(statement)
  out.string(JSON.stringify(recorded(analysis, analysis.text)))
  end(out, start)
}

function putLongStatement(out: ByteWriter, statement: number, analysis: Analysis): void {
  const start = begin(out, recordType.longStatement)
  out.varint(statement)
  out.string(JSON.stringify(recorded(analysis, '')))
  out.string(analysis.text)
  end(out, start)
}

/** Field by field: what else whoever made it keeps with it may hold literals, and the text alone is without credentials. */
function recorded(analysis: Analysis, text: string): Analysis {
  const { textBytes, fingerprint, verb, effects, objects, privileged, returnsRows, undoes } = analysis
  return { text, textBytes, fingerprint, verb, effects, objects, privileged, returnsRows, undoes }
}

export function putDecision(out: ByteWriter, decision: number, kind: DecisionKind): void {
  const start = begin(out, recordType.decision)
  out.varint(decision)
  out.string(JSON.stringify(kind))
  end(out, start)
}

export function putIntent(
  out: ByteWriter,
  session: number,
  statement: number,
  decision: number,
  repeated: boolean,
  started: boolean,
  intent: Intent,
): void {
  const start = begin(out, recordType.intent)
  out.varint(session)
  out.varint(intent.number)
  out.varint(statement)
  out.varint(decision)
  out.byte((repeated ? 1 : 0) | (started ? 2 : 0))
  out.fixed53(intent.startedAt)
  out.varint(intent.decision.delayUs)
  out.string(intent.decision.id)
  out.string(isEmpty(intent.attributes) ? '' : JSON.stringify(intent.attributes))
  end(out, start)
}

export function putProgress(
  out: ByteWriter,
  session: number,
  number: number,
  at: number,
  progress: Progress,
): void {
  const start = begin(out, recordType.progress)
  out.varint(session)
  out.varint(number)
  out.fixed53(at)
  out.varint(progress.rowsIn)
  out.varint(progress.rowsOut)
  out.varint(progress.bytesIn)
  out.varint(progress.bytesOut)
  end(out, start)
}

export function putOutcome(
  out: ByteWriter,
  session: number,
  number: number,
  at: number,
  result: CommandResult,
  decision?: Decision,
): void {
  // By itself: a version that knows nothing of it skips it, and reads the outcome.
  if (result.masked) putMasked(out, session, number, result.masked)
  const start = begin(out, recordType.outcome)
  out.varint(session)
  out.varint(number)
  out.fixed53(at)
  out.byte(outcomes.indexOf(result.outcome))
  out.byte(stages.indexOf(result.stage))
  out.string(result.errorCode)
  out.string(result.tag)
  out.varint(result.rowsIn)
  out.varint(result.rowsOut)
  out.varint(result.rowsAffected)
  out.varint(result.bytesIn)
  out.varint(result.bytesOut)
  // Whole, and not as a word of the segment: an outcome outlives the frame that would have said what the word means.
  if (decision) out.string(JSON.stringify(decision))
  end(out, start)
}

export function putMasked(
  out: ByteWriter,
  session: number,
  number: number,
  masked: readonly MaskedValues[],
): void {
  const start = begin(out, recordType.masked)
  out.varint(session)
  out.varint(number)
  out.string(JSON.stringify(masked))
  end(out, start)
}

export function putSessionClosed(
  out: ByteWriter,
  session: number,
  at: number,
  decision: Decision,
  detail: string,
  totals: SessionTotals,
): void {
  const start = begin(out, recordType.sessionClosed)
  out.varint(session)
  out.fixed53(at)
  out.string(JSON.stringify(decision))
  out.string(detail)
  putTotals(out, totals)
  end(out, start)
}

/** Nothing comes after it: the recorder is complete. */
export function putEnd(out: ByteWriter): void {
  end(out, begin(out, recordType.end))
}

/** A record that every reader skips. */
export function putNothing(out: ByteWriter): void {
  end(out, begin(out, recordType.nothing))
}

function begin(out: ByteWriter, type: RecordType): number {
  out.byte(type)
  out.reserve(recordHeadBytes)
  const start = out.at
  out.at += 4
  return start
}

function end(out: ByteWriter, start: number): void {
  out.u32At(start, out.at - start - 4)
}

function putTotals(out: ByteWriter, totals: SessionTotals): void {
  out.varint(totals.commands)
  out.varint(totals.rowsOut)
  out.varint(totals.bytesIn)
  out.varint(totals.bytesOut)
}

function isEmpty(attributes: Readonly<Record<string, string>>): boolean {
  for (const _ in attributes) return false
  return true
}
