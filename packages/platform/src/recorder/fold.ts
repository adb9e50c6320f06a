/**
 * From the records of a recorder's segments to its events. A pure function of the bytes: whoever reads the same
 * segments, however often and from wherever it resumes, gets the same events with the same ids and numbers. That is
 * what makes shipping after a crash idempotent. Refuses clocks, files and randomness.
 */
import {
  type Analysis,
  type CommandEvent,
  type CommandResult,
  type Decision,
  identityKey,
  type SessionEvent,
  type SessionRecord,
} from '@portcullis/kernel'
import { RecorderError } from './error.ts'
import type { DecisionKind, Head, IntentRecord, OpenSession, SegmentRecord } from './format.ts'

/** An event whose `link` still lacks its hashes; see chain.ts. */
export type Draft =
  | { readonly kind: 'session'; readonly key: string; readonly event: SessionEvent }
  | { readonly kind: 'command'; readonly key: string; readonly event: CommandEvent }

export interface SegmentFold {
  /** One record in, at most one event out. */
  apply(record: SegmentRecord): Draft | undefined
  head(): Head | undefined
  /** Sequence number of the next event. */
  seqNext(): number
  /** Latest time that any record carries, microseconds; 0 for none. */
  atMax(): number
  /** An `end` record was read. */
  ended(): boolean
  /** What a dead recorder left open. */
  open(): OpenSession[]
}

interface Running extends IntentRecord {
  readonly analysis: Analysis
  readonly kind: DecisionKind
  begun: boolean
  masked: CommandEvent['masked']
}

interface Live {
  readonly session: number
  readonly record: SessionRecord
  readonly totals: { commands: number; rowsOut: number; bytesIn: number; bytesOut: number }
  readonly running: Map<number, Running>
}

const noHash = new Uint8Array(0)

/** One fold for one recorder: a new segment's head replaces what the segments before it built up. */
export function createSegmentFold(): SegmentFold {
  const sessions = new Map<number, Live>()
  const statements = new Map<number, Analysis>()
  const decisions = new Map<number, DecisionKind>()
  let head: Head | undefined
  let seq = 1
  let atMax = 0
  let ended = false

  return { apply, head: () => head, seqNext: () => seq, atMax: () => atMax, ended: () => ended, open }

  function apply(record: SegmentRecord): Draft | undefined {
    switch (record.type) {
      case 'head':
        // What a segment says of itself counts: where bytes before it were lost, the gap stays visible in `seq`.
        head = record
        seq = record.seqFirst
        sessions.clear()
        statements.clear()
        decisions.clear()
        return undefined
      case 'session':
        return session(record)
      case 'sessionStillOpen':
        sessions.set(record.session, {
          session: record.session,
          record: record.record,
          totals: { ...record.totals },
          running: new Map(),
        })
        return undefined
      case 'statement':
        statements.set(record.statement, record.analysis)
        return undefined
      case 'decision':
        decisions.set(record.decision, record.kind)
        return undefined
      case 'intent':
        return intent(record)
      case 'progress':
        return progress(record)
      case 'masked':
        findRunning(find(record.session), record.number).masked = record.masked
        return undefined
      case 'outcome':
        return outcome(record)
      case 'sessionClosed':
        return closed(record)
      case 'end':
        ended = true
        return undefined
    }
  }

  function session(record: SegmentRecord & { type: 'session' }): Draft {
    const { sessionId, startedAt } = record.record
    if (record.phase === 'opened')
      sessions.set(record.session, {
        session: record.session,
        record: record.record,
        totals: { commands: 0, rowsOut: 0, bytesIn: 0, bytesOut: 0 },
        running: new Map(),
      })
    seen(startedAt)
    return {
      kind: 'session',
      key: sessionId,
      event: {
        ...place(),
        phase: record.phase,
        at: startedAt,
        decision: record.decision,
        detail: record.detail,
        commands: 0,
        rowsOut: 0,
        bytesIn: 0,
        bytesOut: 0,
        ...record.record,
      },
    }
  }

  function intent(record: SegmentRecord & { type: 'intent' }): undefined {
    const live = find(record.session)
    const analysis = statements.get(record.statement)
    const kind = decisions.get(record.decision)
    if (!analysis || !kind)
      throw new RecorderError(
        'corrupt',
        `command ${record.number} refers to a statement or decision not there`,
      )
    if (!record.repeated) live.totals.commands++
    live.running.set(record.number, { ...record, analysis, kind, begun: record.started, masked: [] })
    seen(record.startedAt)
    return undefined
  }

  function progress(record: SegmentRecord & { type: 'progress' }): Draft {
    const live = find(record.session)
    const running = findRunning(live, record.number)
    const phase = running.begun ? 'progress' : 'started'
    running.begun = true
    seen(record.at)
    return command(live, running, phase, record.at, {
      ...record.progress,
      outcome: null,
      stage: 'run',
      errorCode: '',
      tag: '',
      rowsAffected: 0,
    })
  }

  function outcome(record: SegmentRecord & { type: 'outcome' }): Draft {
    const live = find(record.session)
    const running = findRunning(live, record.number)
    live.running.delete(record.number)
    live.totals.rowsOut += record.result.rowsOut
    live.totals.bytesIn += record.result.bytesIn
    live.totals.bytesOut += record.result.bytesOut
    seen(record.at)
    const { decision } = record
    return command(
      live,
      decision ? endedBy(running, decision) : running,
      'finished',
      record.at,
      record.result,
    )
  }

  function closed(record: SegmentRecord & { type: 'sessionClosed' }): Draft {
    const live = find(record.session)
    sessions.delete(record.session)
    seen(record.at)
    return {
      kind: 'session',
      key: live.record.sessionId,
      event: {
        ...place(),
        phase: 'closed',
        at: record.at,
        decision: record.decision,
        detail: record.detail,
        ...record.totals,
        ...live.record,
      },
    }
  }

  function command(
    { record }: Live,
    running: Running,
    phase: CommandEvent['phase'],
    at: number,
    result: Omit<CommandResult, 'outcome'> & { readonly outcome: CommandEvent['outcome'] },
  ): Draft {
    const { analysis } = running
    // Only an authorised session has commands, and who is authorised is somebody.
    const identity = record.identity ?? nobody
    return {
      kind: 'command',
      key: identityKey(identity),
      event: {
        ...place(),
        commandId: `${record.sessionId}.${running.number}`,
        phase,
        sessionId: record.sessionId,
        identity,
        target: record.target,
        role: record.role,
        database: record.database,
        protocol: record.protocol,
        origin: record.origin,
        stage: result.stage,
        text: analysis.text,
        textBytes: analysis.textBytes,
        fingerprint: analysis.fingerprint,
        verb: analysis.verb,
        effects: analysis.effects,
        objects: analysis.objects,
        privileged: analysis.privileged,
        decision: decisionOf(running),
        attributes: attributesOf(running),
        outcome: result.outcome,
        errorCode: result.errorCode,
        tag: result.tag,
        rowsIn: result.rowsIn,
        rowsOut: result.rowsOut,
        rowsAffected: result.rowsAffected,
        bytesIn: result.bytesIn,
        bytesOut: result.bytesOut,
        masked: running.masked,
        startedAt: running.startedAt,
        durationUs: Math.max(0, at - running.startedAt),
      },
    }
  }

  function place() {
    if (!head) throw new RecorderError('corrupt', 'segment does not begin with its head')
    const link = { recorder: head.recorder, seq: seq++, prevHash: noHash, hash: noHash }
    return { eventId: `${head.recorder}:${link.seq}`, link, proxy: head.proxy }
  }

  function find(session: number): Live {
    const live = sessions.get(session)
    if (!live) throw new RecorderError('corrupt', `session ${session} is not open`)
    return live
  }

  function findRunning(live: Live, number: number): Running {
    const running = live.running.get(number)
    if (!running)
      throw new RecorderError('corrupt', `command ${live.record.sessionId}.${number} is not running`)
    return running
  }

  function seen(at: number): void {
    if (at > atMax) atMax = at
  }

  function open(): OpenSession[] {
    return Array.from(sessions.values(), ({ session, record, totals, running }) => ({
      session,
      record,
      totals: { ...totals },
      running: Array.from(running.values(), (one) => ({
        intent: {
          sessionId: record.sessionId,
          number: one.number,
          analysis: one.analysis,
          decision: decisionOf(one),
          startedAt: one.startedAt,
          attributes: attributesOf(one),
        },
        started: one.begun,
      })),
    }))
  }
}

function decisionOf({ decisionId, kind, delayUs }: Running): Decision {
  return { id: decisionId, ...kind, delayUs }
}

/** However it ended, it was held back for as long as it was. */
function endedBy(running: Running, { id, delayUs, ...kind }: Decision): Running {
  return { ...running, decisionId: id, kind, delayUs: Math.max(delayUs, running.delayUs) }
}

function attributesOf({ attributes }: Running): Readonly<Record<string, string>> {
  return attributes === '' ? {} : JSON.parse(attributes)
}

const nobody = { issuer: '', subject: '', groups: [], delegation: [], instance: '', task: '', ancestors: [] }
