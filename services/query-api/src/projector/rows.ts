/**
 * From one record of the bus to the rows it stands for, or the reason why it stands for none. Pure but for the fold of
 * the control log, which it is handed: whether a change by hand was accepted is for the log's order to say, not for the
 * event. It never throws; what it cannot read becomes a dead letter.
 */
import {
  type Approval,
  checkChange,
  type ControlEvent,
  type ControlFold,
  evolveControl,
  initialControl,
  pruneControl,
  type Received,
  topics,
} from '@portcullis/kernel'
import type { Table } from '@portcullis/platform/audit'
import type { Codec, Codecs } from '@portcullis/platform/codec'
import { approvalsLog } from './approvals-table.ts'
import type { Source } from './columns.ts'
import {
  commandPhasesLog,
  commandsLog,
  controlEventsLog,
  type DeadLetter,
  findingsLog,
  handVerdict,
  type LiftRow,
  recordingsLog,
  sessionPhasesLog,
  sessionsLog,
  signInsLog,
  verdictLiftsLog,
  verdictsLog,
} from './tables.ts'

/** Rows of one table; what kind of rows is known where it was made. */
export interface Write {
  readonly table: Table<Source>
  readonly row: Source
}

export type Outcome =
  | { readonly kind: 'rows'; readonly writes: readonly Write[] }
  /** Nothing is missing without it: a tombstone, or a repetition. */
  | { readonly kind: 'skip' }
  | { readonly kind: 'dead'; readonly letter: DeadLetter }

export type Project = (record: Received) => Outcome

export function createProject(codecs: Codecs, control: ControlView): Project {
  return (record) => {
    // Compaction's tombstone: it takes away a key of the bus, and nothing of the trail.
    if (record.value === null) return { kind: 'skip' }
    try {
      return rowsOf({ ...record, value: record.value }, codecs, control)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      return { kind: 'dead', letter: { record, reason } }
    }
  }
}

type Full = Received & { readonly value: Uint8Array }

function rowsOf(record: Full, codecs: Codecs, control: ControlView): Outcome {
  switch (record.topic) {
    case topics.commands: {
      const row = read(record, codecs.command)
      const latest = write(commandsLog, row)
      return rows(row.event.phase === 'finished' ? [latest] : [latest, write(commandPhasesLog, row)])
    }
    case topics.sessions: {
      const row = read(record, codecs.session)
      const latest = write(sessionsLog, row)
      return rows(row.event.phase === 'opened' ? [latest, write(sessionPhasesLog, row)] : [latest])
    }
    case topics.recordings:
      return rows([write(recordingsLog, read(record, codecs.recording))])
    case topics.findings:
      return rows([write(findingsLog, read(record, codecs.finding))])
    case topics.verdicts:
      return rows([write(verdictsLog, read(record, codecs.verdict))])
    case topics.signIns: {
      const row = read(record, codecs.signin)
      // Of a use that is all there is to say; whose it was, another event tells.
      return row.event.kind === 'claimed' ? { kind: 'skip' } : rows([write(signInsLog, row)])
    }
    case topics.control:
      return controlRows(record, codecs, control)
    default:
      throw new Error(`no table is for topic ${record.topic}`)
  }
}

function controlRows(record: Full, codecs: Codecs, control: ControlView): Outcome {
  const row = read(record, codecs.control)
  const decided = control.decide(record.offset, row.event)
  if (decided.kind === 'repeated') return { kind: 'skip' }
  const { accepted, rejection, verdict, lifted, approval } = decided
  const writes = [write(controlEventsLog, { ...row, accepted, rejection })]
  if (verdict) writes.push(write(verdictsLog, { ...row, event: verdict }))
  if (lifted) writes.push(write(verdictLiftsLog, { ...row, ...lifted }))
  if (approval) writes.push(write(approvalsLog, { ...row, approval }))
  return rows(writes)
}

type Decided =
  | { readonly kind: 'repeated' }
  | {
      readonly kind: 'decided'
      readonly accepted: boolean
      readonly rejection: string
      readonly verdict?: ReturnType<typeof handVerdict>
      readonly lifted?: Pick<LiftRow, 'verdictId' | 'lifting'>
      readonly approval?: Approval
    }

export interface ControlView {
  /** What the fold makes of this event. The same offset again gives the same answer until `forget`. */
  decide(offset: number, event: ControlEvent): Decided
  /** Everything before this offset is written: it need not be remembered any more. */
  forget(beforeOffset: number): void
}

/** Must be fed the control log from offset 0. */
export function createControlView(): ControlView {
  const fold = initialControl()
  // A batch whose write failed comes again, after the fold has moved past it.
  const unwritten = new Map<number, Decided>()
  let prunedAtUs = 0
  function prune(atUs: number): void {
    if (atUs - prunedAtUs < pruneEveryUs) return
    prunedAtUs = atUs
    pruneControl(fold, atUs - keptAfterEndUs)
  }
  return {
    decide(offset, event) {
      const known = unwritten.get(offset)
      if (known) return known
      const decided = decide(fold, offset, event)
      unwritten.set(offset, decided)
      prune(event.at)
      return decided
    },
    forget(beforeOffset) {
      for (const offset of unwritten.keys()) if (offset < beforeOffset) unwritten.delete(offset)
    },
  }
}

const pruneEveryUs = 60_000_000
/** As the control log's readers keep what is over: by the log's own times here, since a fold from its start has years to catch up. */
const keptAfterEndUs = 86_400_000_000

function decide(fold: ControlFold, offset: number, event: ControlEvent): Decided {
  const { accepted, rejection } = evolveControl(fold, { event, offset })
  if (rejection?.code === 'duplicate') return { kind: 'repeated' }
  const decided = { kind: 'decided', accepted, rejection: rejection?.code ?? '' } as const
  if (!accepted) return decided
  const change = checkChange(event.type, event.payload)
  if ('code' in change) return decided
  switch (change.type) {
    case 'verdict.issued': {
      const held = fold.verdicts.get(change.verdict.verdictId)
      return held ? { ...decided, verdict: handVerdict(held) } : decided
    }
    case 'verdict.lifted': {
      const lifting = fold.lifted.get(change.verdictId)
      return lifting ? { ...decided, lifted: { verdictId: change.verdictId, lifting } } : decided
    }
    case 'approval.requested':
    case 'approval.answered':
    case 'approval.used':
    case 'approval.withdrawn':
    case 'approval.revoked': {
      const approval = fold.approvals.get(change.approvalId)
      return approval ? { ...decided, approval } : decided
    }
    default:
      return decided
  }
}

function read<Event>(record: Full, codec: Codec<Event>) {
  const event = codec.decode(record.value)
  return { event, record, schema: schemaOf(record.value) }
}

/** Bytes 2 to 9 of single-object encoding, little-endian. */
function schemaOf(value: Uint8Array): string {
  return Buffer.from(value.subarray(2, 10)).reverse().toString('hex')
}

function write<Row extends Source>(table: Table<Row>, row: Row): Write {
  // The pair is sound together: a row is only ever handed to the table it came with.
  return { table: table as Table<Source>, row }
}

function rows(writes: readonly Write[]): Outcome {
  return { kind: 'rows', writes }
}
