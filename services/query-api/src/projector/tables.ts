/**
 * Which field of an event stands in which column of schemas/clickhouse: the only place that knows both. Every field of
 * an event is here, so that an auditor can make the event again from its row and verify its hash.
 */
import {
  type CommandEvent,
  type ControlEvent,
  type FindingEvent,
  type HandVerdict,
  type Lifting,
  type Received,
  type RecordingEvent,
  type SessionEvent,
  type SignInEvent,
  type VerdictEvent,
  identityKey,
} from '@portcullis/kernel'
import type { Column, Table } from '@portcullis/platform/audit'
import { bus, decision, identity, link, origin, type Source, text, time } from './columns.ts'

export interface Of<Event> extends Source {
  readonly event: Event
}
export interface ControlRow extends Of<ControlEvent> {
  readonly accepted: boolean
  readonly rejection: string
}
export interface LiftRow extends Source {
  readonly verdictId: string
  readonly lifting: Lifting
}
export type VerdictRow = Of<Omit<VerdictEvent, 'state'> & { readonly state: string }>

const commandColumns: readonly Column<Of<CommandEvent>>[] = [
  { name: 'event_id', type: 'String', of: ({ event }) => event.eventId },
  { name: 'command_id', type: 'String', of: ({ event }) => event.commandId },
  { name: 'phase', type: text, of: ({ event }) => event.phase },
  { name: 'session_id', type: 'String', of: ({ event }) => event.sessionId },
  ...link<Of<CommandEvent>>(({ event }) => event.link),
  ...identity<Of<CommandEvent>>(({ event }) => event.identity),
  { name: 'target', type: text, of: ({ event }) => event.target },
  { name: 'role', type: text, of: ({ event }) => event.role },
  { name: 'database', type: text, of: ({ event }) => event.database },
  { name: 'protocol', type: text, of: ({ event }) => event.protocol },
  ...origin<Of<CommandEvent>>(({ event }) => event.origin),
  { name: 'stage', type: text, of: ({ event }) => event.stage },
  { name: 'text', type: 'String', of: ({ event }) => event.text },
  { name: 'text_bytes', type: 'Int64', of: ({ event }) => event.textBytes },
  { name: 'fingerprint', type: 'String', of: ({ event }) => event.fingerprint },
  { name: 'verb', type: text, of: ({ event }) => event.verb },
  { name: 'effects', type: `Array(${text})`, of: ({ event }) => event.effects },
  {
    name: 'objects',
    type: 'Array(Tuple(String, String, String, String, Array(String)))',
    of: ({ event }) =>
      event.objects.map(({ kind, namespace, name, effect, columns }) => [
        kind,
        namespace,
        name,
        effect,
        columns,
      ]),
  },
  { name: 'privileged', type: 'Bool', of: ({ event }) => event.privileged },
  ...decision<Of<CommandEvent>>(({ event }) => event.decision),
  { name: 'attributes', type: `Map(${text}, String)`, of: ({ event }) => event.attributes },
  { name: 'outcome', type: text, of: ({ event }) => event.outcome ?? '' },
  { name: 'error_code', type: text, of: ({ event }) => event.errorCode },
  { name: 'tag', type: 'String', of: ({ event }) => event.tag },
  { name: 'rows_in', type: 'Int64', of: ({ event }) => event.rowsIn },
  { name: 'rows_out', type: 'Int64', of: ({ event }) => event.rowsOut },
  { name: 'rows_affected', type: 'Int64', of: ({ event }) => event.rowsAffected },
  { name: 'bytes_in', type: 'Int64', of: ({ event }) => event.bytesIn },
  { name: 'bytes_out', type: 'Int64', of: ({ event }) => event.bytesOut },
  {
    name: 'masked',
    type: 'Array(Tuple(String, Int64))',
    of: ({ event }) => event.masked.map(({ column, values }) => [column, values]),
  },
  { name: 'started_at', type: time, of: ({ event }) => event.startedAt },
  { name: 'duration_us', type: 'Int64', of: ({ event }) => event.durationUs },
  { name: 'proxy_name', type: text, of: ({ event }) => event.proxy.name },
  { name: 'proxy_version', type: text, of: ({ event }) => event.proxy.version },
  ...bus<Of<CommandEvent>>(),
]

export const commandsLog: Table<Of<CommandEvent>> = {
  name: 'commands_log',
  columns: [...commandColumns, { name: 'version', type: 'UInt64', of: ({ event }) => commandVersion(event) }],
}
export const commandPhasesLog: Table<Of<CommandEvent>> = {
  name: 'command_phases_log',
  columns: commandColumns,
}

/** Of all events of one command the highest is shown: what is known for certain before what was made up after a crash. */
export function commandVersion({ phase, outcome, durationUs }: CommandEvent): number {
  const rank = phase === 'started' ? 0 : phase === 'progress' ? 1 : outcome === 'unknown' ? 2 : 3
  const longest = 2 ** 50 - 1
  return rank * 2 ** 50 + Math.min(Math.max(durationUs, 0), longest)
}

const sessionColumns: readonly Column<Of<SessionEvent>>[] = [
  { name: 'event_id', type: 'String', of: ({ event }) => event.eventId },
  { name: 'session_id', type: 'String', of: ({ event }) => event.sessionId },
  { name: 'phase', type: text, of: ({ event }) => event.phase },
  ...link<Of<SessionEvent>>(({ event }) => event.link),
  ...identity<Of<SessionEvent>>(({ event }) => event.identity),
  { name: 'has_identity', type: 'Bool', of: ({ event }) => event.identity !== null },
  { name: 'target', type: text, of: ({ event }) => event.target },
  { name: 'role', type: text, of: ({ event }) => event.role },
  { name: 'database', type: text, of: ({ event }) => event.database },
  { name: 'protocol', type: text, of: ({ event }) => event.protocol },
  ...origin<Of<SessionEvent>>(({ event }) => event.origin),
  { name: 'client', type: 'String', of: ({ event }) => event.client },
  { name: 'tls', type: text, of: ({ event }) => event.tls },
  { name: 'token_expires_at', type: `Nullable(${time})`, of: ({ event }) => event.tokenExpiresAt },
  ...decision<Of<SessionEvent>>(({ event }) => event.decision),
  { name: 'detail', type: 'String', of: ({ event }) => event.detail },
  { name: 'commands', type: 'Int64', of: ({ event }) => event.commands },
  { name: 'rows_out', type: 'Int64', of: ({ event }) => event.rowsOut },
  { name: 'bytes_in', type: 'Int64', of: ({ event }) => event.bytesIn },
  { name: 'bytes_out', type: 'Int64', of: ({ event }) => event.bytesOut },
  { name: 'started_at', type: time, of: ({ event }) => event.startedAt },
  { name: 'at', type: time, of: ({ event }) => event.at },
  { name: 'proxy_name', type: text, of: ({ event }) => event.proxy.name },
  { name: 'proxy_version', type: text, of: ({ event }) => event.proxy.version },
  ...bus<Of<SessionEvent>>(),
]
export const sessionsLog: Table<Of<SessionEvent>> = {
  name: 'sessions_log',
  columns: [
    ...sessionColumns,
    { name: 'version', type: 'UInt64', of: ({ event }) => (event.phase === 'opened' ? 0 : 1) },
  ],
}
export const sessionPhasesLog: Table<Of<SessionEvent>> = {
  name: 'session_phases_log',
  columns: sessionColumns,
}

export const recordingsLog: Table<Of<RecordingEvent>> = {
  name: 'recordings_log',
  columns: [
    { name: 'event_id', type: 'String', of: ({ event }) => event.eventId },
    { name: 'session_id', type: 'String', of: ({ event }) => event.sessionId },
    { name: 'chunk', type: 'Int64', of: ({ event }) => event.chunk },
    { name: 'command_id', type: 'String', of: ({ event }) => event.commandId },
    { name: 'stream', type: text, of: ({ event }) => event.stream },
    { name: 'at', type: time, of: ({ event }) => event.at },
    { name: 'data', type: 'String', of: ({ event }) => event.data },
    ...bus<Of<RecordingEvent>>(),
  ],
}

export const findingsLog: Table<Of<FindingEvent>> = {
  name: 'findings_log',
  columns: [
    { name: 'finding_id', type: 'String', of: ({ event }) => event.findingId },
    { name: 'at', type: time, of: ({ event }) => event.at },
    ...identity<Of<FindingEvent>>(({ event }) => event.identity),
    { name: 'session_id', type: 'String', of: ({ event }) => event.sessionId },
    { name: 'target', type: text, of: ({ event }) => event.target },
    { name: 'detector', type: text, of: ({ event }) => event.detector },
    { name: 'feature', type: text, of: ({ event }) => event.feature },
    { name: 'severity', type: text, of: ({ event }) => event.severity },
    { name: 'score', type: 'Float64', of: ({ event }) => event.score },
    { name: 'observed', type: 'Float64', of: ({ event }) => event.observed },
    { name: 'expected', type: 'Float64', of: ({ event }) => event.expected },
    { name: 'unit', type: text, of: ({ event }) => event.unit },
    { name: 'explanation', type: 'String', of: ({ event }) => event.explanation },
    { name: 'command_ids', type: 'Array(String)', of: ({ event }) => event.commandIds },
    { name: 'window_start', type: time, of: ({ event }) => event.windowStart },
    { name: 'window_end', type: time, of: ({ event }) => event.windowEnd },
    ...bus<Of<FindingEvent>>(),
  ],
}

export const verdictsLog: Table<VerdictRow> = {
  name: 'verdicts_log',
  columns: [
    { name: 'verdict_id', type: 'String', of: ({ event }) => event.verdictId },
    { name: 'state', type: text, of: ({ event }) => event.state },
    { name: 'action', type: text, of: ({ event }) => event.action },
    { name: 'subject_kind', type: text, of: ({ event }) => event.subject.kind },
    { name: 'subject_issuer', type: text, of: ({ event }) => event.subject.issuer },
    { name: 'subject_id', type: 'String', of: ({ event }) => event.subject.id },
    { name: 'subject_instance', type: 'String', of: ({ event }) => event.subject.instance },
    { name: 'target', type: text, of: ({ event }) => event.target },
    { name: 'issued_at', type: time, of: ({ event }) => event.issuedAt },
    { name: 'until', type: time, of: ({ event }) => event.until },
    { name: 'rate_per_minute', type: 'Float64', of: ({ event }) => event.ratePerMinute },
    { name: 'cancel_running', type: 'Bool', of: ({ event }) => event.cancelRunning },
    { name: 'reason', type: text, of: ({ event }) => event.reason },
    { name: 'explanation', type: 'String', of: ({ event }) => event.explanation },
    { name: 'findings', type: 'Array(String)', of: ({ event }) => event.findings },
    { name: 'cause_command_id', type: 'String', of: ({ event }) => event.causeCommandId },
    { name: 'cause_received_at', type: time, of: ({ event }) => event.causeReceivedAt },
    { name: 'issued_by', type: text, of: ({ event }) => event.issuedBy },
    { name: 'topic', type: text, of: ({ record }) => record.topic },
    ...bus<VerdictRow>(),
    { name: 'version', type: 'UInt64', of: ({ event }) => (event.state === 'lifted' ? 1 : 0) },
  ],
}

/** A verdict by hand as the row of one. */
export function handVerdict(verdict: HandVerdict): VerdictRow['event'] {
  return { ...verdict, state: 'active', findings: [], causeCommandId: '', causeReceivedAt: 0 }
}

export const verdictLiftsLog: Table<LiftRow> = {
  name: 'verdict_lifts_log',
  columns: [
    { name: 'verdict_id', type: 'String', of: (row) => row.verdictId },
    { name: 'lifted_at', type: time, of: (row) => row.lifting.at },
    { name: 'lifted_by', type: text, of: (row) => row.lifting.by },
    { name: 'lift_reason', type: 'String', of: (row) => row.lifting.reason },
    ...bus<LiftRow>(),
  ],
}

export const controlEventsLog: Table<ControlRow> = {
  name: 'control_events_log',
  columns: [
    { name: 'event_id', type: 'String', of: ({ event }) => event.eventId },
    { name: 'aggregate_id', type: 'String', of: ({ event }) => event.aggregateId },
    { name: 'type', type: text, of: ({ event }) => event.type },
    { name: 'at', type: time, of: ({ event }) => event.at },
    { name: 'actor_issuer', type: text, of: ({ event }) => event.actor.issuer },
    { name: 'actor_subject', type: text, of: ({ event }) => event.actor.subject },
    { name: 'actor_roles', type: `Array(${text})`, of: ({ event }) => event.actor.roles },
    { name: 'expected_version', type: 'Int64', of: ({ event }) => event.expectedVersion },
    { name: 'payload', type: 'String', of: ({ event }) => event.payload },
    { name: 'accepted', type: 'Bool', of: (row) => row.accepted },
    { name: 'rejection', type: text, of: (row) => row.rejection },
    ...bus<ControlRow>(),
    { name: 'version', type: 'UInt64', of: ({ record }) => Number.MAX_SAFE_INTEGER - record.offset },
  ],
}

/** Without `sealed`, which is for the API alone. */
export const signInsLog: Table<Of<SignInEvent>> = {
  name: 'sign_ins_log',
  columns: [
    { name: 'event_id', type: 'String', of: ({ event }) => event.eventId },
    { name: 'kind', type: text, of: ({ event }) => event.kind },
    { name: 'at', type: time, of: ({ event }) => event.at },
    { name: 'provider', type: text, of: ({ event }) => event.provider },
    { name: 'identity', type: text, of: ({ event }) => (event.issuer === '' ? '' : identityKey(event)) },
    { name: 'issuer', type: text, of: ({ event }) => event.issuer },
    { name: 'subject', type: text, of: ({ event }) => event.subject },
    { name: 'groups', type: `Array(${text})`, of: ({ event }) => event.groups },
    { name: 'instance', type: 'String', of: ({ event }) => event.instance },
    { name: 'address', type: text, of: ({ event }) => event.address },
    { name: 'client', type: 'String', of: ({ event }) => event.client },
    { name: 'scope', type: 'String', of: ({ event }) => event.scope },
    { name: 'ref', type: 'String', of: ({ event }) => event.ref },
    { name: 'until', type: time, of: ({ event }) => event.until },
    { name: 'reason', type: text, of: ({ event }) => event.reason },
    { name: 'detail', type: 'String', of: ({ event }) => event.detail },
    { name: 'request_id', type: 'String', of: ({ event }) => event.requestId },
    ...bus<Of<SignInEvent>>(),
  ],
}

export interface DeadLetter {
  readonly record: Received
  readonly reason: string
}
export const deadLettersLog: Table<DeadLetter> = {
  name: 'dead_letters_log',
  columns: [
    { name: 'topic', type: text, of: ({ record }) => record.topic },
    { name: 'partition', type: 'Int32', of: ({ record }) => record.partition },
    { name: 'offset', type: 'Int64', of: ({ record }) => record.offset },
    { name: 'key', type: 'String', of: ({ record }) => record.key },
    { name: 'value', type: 'String', of: ({ record }) => record.value ?? '' },
    { name: 'reason', type: 'String', of: ({ reason }) => reason },
    { name: 'published_at', type: time, of: ({ record }) => Math.round(record.publishedMs * 1000) },
  ],
}

export interface Progress {
  readonly topic: string
  readonly partition: number
  readonly nextOffset: number
  readonly publishedMs: number
}
export const progressTable: Table<Progress> = {
  name: 'projector_progress',
  columns: [
    { name: 'topic', type: text, of: (row) => row.topic },
    { name: 'partition', type: 'Int32', of: (row) => row.partition },
    { name: 'next_offset', type: 'Int64', of: (row) => row.nextOffset },
    { name: 'published_at', type: time, of: (row) => Math.round(row.publishedMs * 1000) },
  ],
}
