/**
 * What the writer knows of its open sessions and running commands, and which of that stands on disk. Each entry carries
 * the number of the frame that holds it: frames below `frame()` are written. A failed frame takes back exactly what it
 * alone held. Refuses to know bytes and files.
 */
import type {
  Analysis,
  CommandResult,
  Decision,
  Intent,
  SessionRecord,
  SessionTotals,
} from '@portcullis/kernel'
import type { DecisionKind } from './format.ts'

export interface RunningEntry {
  /** With the latest decision. */
  intent: Intent
  readonly frame: number
  /** Frame of the first progress; 0 for none. */
  startedFrame: number
  /** Its outcome was made, though perhaps not written. */
  result: CommandResult | undefined
}

export interface LiveSession {
  readonly session: number
  readonly record: SessionRecord
  readonly decision: Decision
  readonly detail: string
  readonly running: Map<number, RunningEntry>
  readonly totals: { -readonly [K in keyof SessionTotals]: number }
  frame: number
  /** False only under allow-and-count, after the frame that was to hold it failed. */
  written: boolean
  closed: boolean
}

export interface Ledger {
  /** Number of the frame that is being gathered. */
  frame(): number
  open(record: SessionRecord, decision: Decision, detail: string): LiveSession
  session(sessionId: string): LiveSession | undefined
  /** It is in this frame after all. */
  rewrite(live: LiveSession): void
  intent(live: LiveSession, intent: Intent): RunningEntry
  finish(live: LiveSession, entry: RunningEntry, result: CommandResult): void
  close(live: LiveSession): void
  /** The statement's number in this segment; `define` is called where it is new. */
  statement(analysis: Analysis, define: (number: number, analysis: Analysis) => void): number
  decision(decision: Decision, define: (number: number, kind: DecisionKind) => void): number
  frameWritten(): void
  /** Takes back what this frame alone held. Returns how many commands and closed sessions that were. */
  frameFailed(): number
  /**
   * What is written but perhaps not on the disk. Takes back the commands among it, since nothing ran them, unless what
   * is unwritten goes on anyway. The sessions' opening may have been shipped: they are to be closed, not forgotten.
   */
  unsyncedAfter(frame: number): { readonly opened: readonly LiveSession[]; readonly commands: number }
  /** Open sessions that are written. */
  recorded(): LiveSession[]
  /** Empties the dictionary for a new segment; the function returned puts the old one back. */
  newWords(): () => void
}

interface Words {
  readonly statements: Map<Analysis, number>
  readonly decisions: Map<string, number>
}

/** `keepUnwritten`: sessions whose frame failed go on, to be recorded later. */
export function createLedger(keepUnwritten: boolean): Ledger {
  const sessions = new Map<string, LiveSession>()
  let words: Words = { statements: new Map(), decisions: new Map() }
  let sessionLast = 0
  let wordLast = 0
  let frame = 1
  let lastDecision: { readonly of: Decision; readonly number: number } | undefined
  // What the frame that is being gathered brought.
  let newSessions: LiveSession[] = []
  let newIntents: { live: LiveSession; number: number }[] = []
  let newStatements: Analysis[] = []
  let newDecisions: string[] = []
  let finished: { live: LiveSession; entry: RunningEntry }[] = []
  let closed: LiveSession[] = []

  return {
    frame: () => frame,
    open(record, decision, detail) {
      const live: LiveSession = {
        session: ++sessionLast,
        record,
        decision,
        detail,
        running: new Map(),
        totals: { commands: 0, rowsOut: 0, bytesIn: 0, bytesOut: 0 },
        frame,
        written: true,
        closed: false,
      }
      sessions.set(record.sessionId, live)
      newSessions.push(live)
      return live
    },
    session: (sessionId) => sessions.get(sessionId),
    rewrite(live) {
      live.frame = frame
      live.written = true
      newSessions.push(live)
    },
    intent(live, intent) {
      const entry: RunningEntry = { intent, frame, startedFrame: 0, result: undefined }
      live.running.set(intent.number, entry)
      live.totals.commands++
      newIntents.push({ live, number: intent.number })
      return entry
    },
    finish(live, entry, result) {
      entry.result = result
      finished.push({ live, entry })
    },
    close(live) {
      live.closed = true
      closed.push(live)
    },
    statement(analysis, define) {
      const known = words.statements.get(analysis)
      if (known !== undefined) return known
      const number = ++wordLast
      define(number, analysis)
      words.statements.set(analysis, number)
      newStatements.push(analysis)
      return number
    },
    decision(decision, define) {
      if (lastDecision && sameKind(lastDecision.of, decision)) return lastDecision.number
      const { id: _id, delayUs: _delayUs, ...kind } = decision
      const key = JSON.stringify(kind)
      let number = words.decisions.get(key)
      if (number === undefined) {
        number = ++wordLast
        define(number, kind)
        words.decisions.set(key, number)
        newDecisions.push(key)
      }
      lastDecision = { of: decision, number }
      return number
    },
    frameWritten() {
      for (const { live, entry } of finished) settle(live, entry)
      for (const live of closed) sessions.delete(live.record.sessionId)
      if (finished.length > 0) finished = []
      if (closed.length > 0) closed = []
      forgetNews()
      frame++
    },
    frameFailed() {
      for (const { live, number } of newIntents) {
        live.running.delete(number)
        live.totals.commands--
      }
      for (const live of newSessions) unwrite(live)
      for (const analysis of newStatements) words.statements.delete(analysis)
      for (const key of newDecisions) words.decisions.delete(key)
      lastDecision = undefined
      const unrecorded = newIntents.length + newSessions.filter((live) => live.closed).length
      finished = finished.filter(({ entry }) => entry.frame < frame)
      closed = closed.filter((live) => live.written && live.frame < frame)
      forgetNews()
      return unrecorded
    },
    unsyncedAfter(synced) {
      const opened: LiveSession[] = []
      let commands = 0
      for (const live of sessions.values()) {
        if (live.frame > synced && live.frame < frame && live.written && !live.closed) opened.push(live)
        for (const entry of live.running.values()) {
          if (entry.frame <= synced || entry.result) continue
          commands++
          if (keepUnwritten) continue
          live.running.delete(entry.intent.number)
          live.totals.commands--
        }
      }
      return { opened, commands }
    },
    recorded: () => Array.from(sessions.values()).filter((live) => live.written && live.frame < frame),
    newWords() {
      const before = words
      words = { statements: new Map(), decisions: new Map() }
      lastDecision = undefined
      newStatements = []
      newDecisions = []
      return () => {
        words = before
        lastDecision = undefined
        newStatements = []
        newDecisions = []
      }
    },
  }

  function settle(live: LiveSession, { intent, result }: RunningEntry): void {
    live.running.delete(intent.number)
    if (!result) return
    live.totals.rowsOut += result.rowsOut
    live.totals.bytesIn += result.bytesIn
    live.totals.bytesOut += result.bytesOut
  }

  function unwrite(live: LiveSession): void {
    live.written = false
    if (!keepUnwritten || live.closed) sessions.delete(live.record.sessionId)
  }

  function forgetNews(): void {
    if (newSessions.length > 0) newSessions = []
    if (newIntents.length > 0) newIntents = []
    if (newStatements.length > 0) newStatements = []
    if (newDecisions.length > 0) newDecisions = []
  }
}

function sameKind(a: Decision, b: Decision): boolean {
  return (
    a.action === b.action &&
    a.reason === b.reason &&
    a.rule === b.rule &&
    a.verdictId === b.verdictId &&
    a.approvalId === b.approvalId &&
    a.policyVersion === b.policyVersion &&
    a.enforced === b.enforced
  )
}
