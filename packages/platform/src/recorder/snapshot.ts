/**
 * The first frame of a segment, and an intent with the words it needs: shared by the writer and by the agent that ends a
 * dead recorder's log. Refuses to decide what is open.
 */
import type { Analysis, Decision, Intent } from '@portcullis/kernel'
import type { ByteWriter } from './bytes.ts'
import { putDecision, putHead, putIntent, putSessionStillOpen, putStatement } from './encode.ts'
import { beginFrame, type DecisionKind, type Head, type OpenSession } from './format.ts'

/** Gives each statement and each kind of decision its number in the segment, and says when one is new there. */
export interface Dictionary {
  statement(analysis: Analysis, define: (number: number, analysis: Analysis) => void): number
  decision(decision: Decision, define: (number: number, kind: DecisionKind) => void): number
}

/** Begins the frame; the caller may add records and seals it. */
export function putSnapshot(
  out: ByteWriter,
  head: Head,
  sessions: readonly OpenSession[],
  dictionary: Dictionary,
): void {
  beginFrame(out)
  putHead(out, head)
  for (const { session, record, totals, running } of sessions) {
    putSessionStillOpen(out, session, record, totals)
    for (const { intent, started } of running)
      putIntentWithWords(out, dictionary, session, intent, true, started)
  }
}

export function putIntentWithWords(
  out: ByteWriter,
  dictionary: Dictionary,
  session: number,
  intent: Intent,
  repeated: boolean,
  started: boolean,
): void {
  const statement = dictionary.statement(intent.analysis, (number, analysis) =>
    putStatement(out, number, analysis),
  )
  const decision = dictionary.decision(intent.decision, (number, kind) => putDecision(out, number, kind))
  putIntent(out, session, statement, decision, repeated, started, intent)
}
