/**
 * Which commands a backtest reads, and what of them: no more than the candidate's rules ask. Commands that are the same in all
 * of it come as one row with their count, so that a million of them are as many rows as there are differences. SQL is constant
 * text; what was asked for are parameters.
 */
import type { QueryParams } from '@portcullis/platform/audit'
import { isOnEvents } from '@portcullis/policy'
import type { Clause } from '../trail.ts'
import { micros } from '../trail.ts'

export interface Asked {
  /** Microseconds since 1970 UTC. */
  readonly fromUs: number
  readonly toUs: number
  readonly target?: string | undefined
  readonly identity?: string | undefined
}

/** What is the same of `n` commands. Columns that no rule asks for are absent. */
export interface Row {
  readonly identity: string
  readonly issuer: string
  readonly subject: string
  readonly target: string
  readonly protocol: string
  readonly verb: string
  readonly role?: string
  readonly database?: string
  readonly groups?: readonly string[]
  readonly delegation?: readonly { issuer: string; subject: string; kind: string }[]
  readonly instance?: string
  readonly task?: string
  readonly origin_address?: string
  readonly origin_country?: string
  readonly origin_region?: string
  readonly asn?: number
  readonly effects?: readonly string[]
  readonly privileged?: boolean
  readonly objects?: readonly RecordedObject[]
  readonly fingerprint?: string
  /** Minutes since 1970 UTC by which times of day were judged, and whether it may have been the next one. */
  readonly minute?: number
  readonly almostNext?: number | boolean
  /** What was recorded of the attributes that were asked for, in their order; empty where it was not. */
  readonly recorded: readonly string[]
  readonly action: string
  readonly reason: string
  readonly rule: string
  readonly enforced: boolean
  readonly observing: number | boolean
  readonly approved: number | boolean
  readonly stopped: number | boolean
  readonly n: number
  readonly examples: readonly string[]
  /** Where its message had several commands: what tells it from others. */
  readonly message?: string
}

interface RecordedObject {
  readonly kind: string
  readonly namespace: string
  readonly name: string
  readonly effect: string
  readonly columns: readonly string[]
}

const columnsOf: Readonly<Record<string, readonly string[]>> = {
  'command.effects': ['effects'],
  // Whether they are known follows from the effects.
  'command.objects': ['objects', 'effects'],
  'command.tables': ['objects', 'effects'],
  'command.functions': ['objects', 'effects'],
  'command.columns': ['objects', 'effects'],
  'command.where': ['effects'],
  'command.has_where': ['effects'],
  'command.privileged': ['privileged'],
  'command.fingerprint': ['fingerprint'],
  'target.role': ['role'],
  'target.database': ['database'],
  'identity.groups': ['groups'],
  'identity.delegation': ['delegation'],
  'identity.instance': ['instance'],
  'identity.task': ['task'],
  'origin.address': ['origin_address'],
  'origin.country': ['origin_country'],
  'origin.region': ['origin_region'],
  // 64 bits come as text.
  'origin.asn': ['toUInt32(origin_asn) AS asn'],
}

const always = ['identity', 'issuer', 'subject', 'target', 'protocol', 'verb']

/** Attributes of events that the rules ask for, in the order in which rows have them. */
export function attributesAsked(reads: ReadonlySet<string>): readonly string[] {
  const names = Array.from(reads, (read) => (read === 'command.has_where' ? 'command.where' : read))
  return [...new Set(names)].filter((name) => !isOnEvents(name) && name !== 'time.now_ms').sort()
}

/** How many commands there are, by spans of ten minutes. */
export function countQuery(asked: Asked): { sql: string; params: QueryParams } {
  const { sql, params } = whereOf(asked)
  return {
    sql: `SELECT intDiv(toUnixTimestamp64Micro(started_at), ${spanUs}) AS span, count() AS n FROM commands WHERE ${sql} GROUP BY span ORDER BY span LIMIT 1000000`,
    params,
  }
}

export const spanUs = 600_000_000

/** Those that came alone in their message, as groups. */
export function groupsQuery(reads: ReadonlySet<string>, asked: Asked): { sql: string; params: QueryParams } {
  const { columns, params: named } = selected(reads)
  const { sql, params } = whereOf(asked)
  return {
    sql: `SELECT ${columns}, toUInt32(count()) AS n, groupArray(3)(command_id) AS examples FROM commands WHERE ${sql} AND attributes['message.commands'] = '' GROUP BY ALL ${settings}`,
    params: { ...named, ...params },
  }
}

/** The others, one by one, those of a message together. */
export function messagesQuery(
  reads: ReadonlySet<string>,
  asked: Asked,
): { sql: string; params: QueryParams } {
  const { columns, params: named } = selected(reads)
  const { sql, params } = whereOf(asked)
  const message = "concat(session_id, ' ', attributes['message.commands'])"
  return {
    sql: `SELECT ${columns}, 1 AS n, [command_id] AS examples, ${message} AS message FROM commands WHERE ${sql} AND attributes['message.commands'] != '' ORDER BY message, toUInt64OrZero(splitByChar('.', command_id)[-1]) ${settings}`,
    params: { ...named, ...params },
  }
}

/** Beside those who wait for a page of a list. */
const settings = 'SETTINGS max_threads = 1'

function selected(reads: ReadonlySet<string>): { columns: string; params: QueryParams } {
  const asked = attributesAsked(reads)
  const columns = new Set([...always, ...Array.from(reads).flatMap((read) => columnsOf[read] ?? [])])
  const recorded = asked.map((_, at) => `attributes[{a${at}:String}]`)
  // An array has to be of some type.
  const list = recorded.length === 0 ? "CAST([], 'Array(String)')" : `[${recorded.join(', ')}]`
  return {
    columns: [
      ...columns,
      `${list} AS recorded`,
      ...(reads.has('time.now_ms') ? times : []),
      'decision_action AS action',
      'decision_reason AS reason',
      'decision_rule AS rule',
      'decision_enforced AS enforced',
      "attributes['gate.mode'] != '' AS observing",
      "decision_approval_id != '' AS approved",
      "outcome IN ('refused', 'skipped') AS stopped",
    ].join(', '),
    params: Object.fromEntries(asked.map((name, at) => [`a${at}`, name])),
  }
}

/** Where no rule asked for the time, it was judged as soon as it had come and waited. */
const judgedUs = 'toUnixTimestamp64Micro(started_at) + decision_delay_us'
const times = [
  `toUInt32(intDiv(if(attributes['time.now_ms'] = '', ${judgedUs}, toInt64OrZero(attributes['time.now_ms']) * 1000), 60000000)) AS minute`,
  `(attributes['time.now_ms'] = '' AND (${judgedUs}) % 60000000 > 59900000) AS almostNext`,
]

function whereOf({ fromUs, toUs, target, identity }: Asked): Required<Clause> {
  const clauses = [
    `started_at >= ${micros('fromUs')}`,
    `started_at < ${micros('toUs')}`,
    // What the gate asked a target itself no rule was asked about.
    "attributes['gate.own'] = ''",
    ...(target === undefined ? [] : ['target = {target:String}']),
    ...(identity === undefined ? [] : ['identity = {identity:String}']),
  ]
  return {
    sql: clauses.join(' AND '),
    params: {
      ...{ fromUs, toUs },
      ...(target !== undefined && { target }),
      ...(identity !== undefined && { identity }),
    },
  }
}
