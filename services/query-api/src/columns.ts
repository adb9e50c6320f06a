/**
 * What the API shows of each public table: the field's name in the answer, the column behind it and its kind. Rows,
 * their SQL and their description in the OpenAPI document all come from these lists.
 */
import { z } from 'zod'

export type Kind =
  | 'text'
  | 'optionalText'
  | 'time'
  | 'optionalTime'
  | 'knownTime'
  | 'int64'
  | 'flag'
  | 'number'
  | 'texts'
  | 'json'

export interface Column {
  /** Dots nest: `decision.reason`. */
  readonly field: string
  readonly column: string
  readonly kind: Kind
}

const identity = columns('text', ['identity', 'issuer', 'subject', 'instance', 'task'])
const decision: Column[] = [
  ...columns(
    'text',
    ['id', 'action', 'reason', 'rule', 'verdictId', 'approvalId', 'policyVersion'],
    'decision',
  ),
  ...columns('flag', ['enforced'], 'decision'),
  ...columns('int64', ['delayUs'], 'decision'),
]
const origin: Column[] = [
  ...columns('text', ['address', 'country', 'region', 'asOrg'], 'origin'),
  ...columns('int64', ['asn'], 'origin'),
]
const proxy = columns('text', ['name', 'version'], 'proxy')
const link: Column[] = [
  ...columns('text', ['eventId', 'recorder', 'hash', 'prevHash']),
  ...columns('int64', ['seq']),
]

/** A command without its text, which a list shortens. */
export const commandColumns: readonly Column[] = [
  ...columns('text', ['commandId', 'phase', 'sessionId']),
  ...identity,
  ...columns('text', ['target', 'role', 'database', 'protocol', 'stage', 'fingerprint', 'verb']),
  ...columns('texts', ['groups', 'ancestors', 'effects']),
  ...columns('json', ['delegation', 'objects', 'masked', 'attributes']),
  ...columns('flag', ['privileged']),
  ...columns('optionalText', ['outcome']),
  ...columns('text', ['errorCode', 'tag']),
  ...columns('int64', [
    'textBytes',
    'rowsIn',
    'rowsOut',
    'rowsAffected',
    'bytesIn',
    'bytesOut',
    'durationUs',
  ]),
  ...columns('time', ['startedAt']),
  ...decision,
  ...origin,
  ...proxy,
]
export const commandDetailColumns: readonly Column[] = [...commandColumns, ...link]

export const sessionColumns: readonly Column[] = [
  ...columns('text', ['sessionId', 'phase']),
  ...identity,
  ...columns('flag', ['hasIdentity']),
  ...columns('texts', ['groups', 'ancestors']),
  ...columns('json', ['delegation']),
  ...columns('text', ['target', 'role', 'database', 'protocol', 'client', 'tls', 'detail']),
  ...columns('time', ['startedAt', 'at']),
  ...columns('optionalTime', ['tokenExpiresAt']),
  ...columns('int64', ['commands', 'rowsOut', 'bytesIn', 'bytesOut']),
  ...decision,
  ...origin,
  ...proxy,
]
export const sessionDetailColumns: readonly Column[] = [...sessionColumns, ...link]

export const findingColumns: readonly Column[] = [
  ...columns('text', ['findingId', ...['identity', 'issuer', 'subject', 'instance'], 'sessionId', 'target']),
  ...columns('text', ['detector', 'feature', 'severity', 'unit', 'explanation']),
  ...columns('number', ['score', 'observed', 'expected']),
  ...columns('texts', ['commandIds']),
  ...columns('time', ['at']),
  ...columns('knownTime', ['windowStart', 'windowEnd']),
]

export const verdictColumns: readonly Column[] = [
  ...columns('text', ['verdictId', 'state', 'action']),
  ...columns('text', ['kind', 'issuer', 'id', 'instance'], 'subject'),
  ...columns('text', [
    'target',
    'reason',
    'explanation',
    'causeCommandId',
    'issuedBy',
    'liftedBy',
    'liftReason',
  ]),
  ...columns('number', ['ratePerMinute']),
  ...columns('flag', ['cancelRunning']),
  ...columns('texts', ['findings']),
  ...columns('time', ['issuedAt', 'until']),
  ...columns('knownTime', ['causeReceivedAt']),
  ...columns('optionalTime', ['liftedAt']),
]

export const approvalColumns: readonly Column[] = [
  ...columns('text', ['approvalId', 'kind', 'state', 'identity', 'issuer', 'subject', 'instance', 'task']),
  ...columns('text', ['target', 'role', 'database', 'protocol', 'sessionId', 'commandId', 'text']),
  { field: 'digest', column: 'text_hash', kind: 'text' },
  ...columns('text', ['fingerprint', 'policyVersion', 'rule', 'verdictId', 'why', 'answeredBy', 'reason']),
  { field: 'use', column: 'use_kind', kind: 'text' },
  { field: 'values', column: 'bound_values', kind: 'texts' },
  ...columns('texts', ['groups']),
  ...columns('json', ['delegation', 'quorum', 'answers']),
  ...columns('flag', ['isWaiting', 'excludesDelegators']),
  ...columns('int64', ['estimatedRows']),
  ...columns('number', ['usableSec']),
  ...columns('time', ['askedAt', 'expiresAt']),
  ...columns('optionalTime', ['usableUntil', 'answeredAt', 'usedAt']),
]

export const controlEventColumns: readonly Column[] = [
  ...columns('text', ['eventId', 'aggregateId', 'type', 'payload', 'rejection']),
  ...columns('text', ['issuer', 'subject'], 'actor'),
  ...columns('texts', ['roles'], 'actor'),
  ...columns('int64', ['expectedVersion', 'busOffset']),
  ...columns('flag', ['accepted']),
  ...columns('time', ['at']),
]

export const signInColumns: readonly Column[] = [
  ...columns('text', ['eventId', 'kind', 'provider', 'identity', 'issuer', 'subject', 'instance']),
  ...columns('text', ['address', 'client', 'scope', 'ref', 'reason', 'detail', 'requestId']),
  ...columns('texts', ['groups']),
  ...columns('time', ['at']),
  ...columns('knownTime', ['until']),
]

const shapes: Record<Kind, z.ZodType> = {
  text: z.string(),
  optionalText: z.string().nullable(),
  time: z.string().describe('ISO 8601, UTC, microseconds'),
  optionalTime: z.string().nullable().describe('ISO 8601, UTC, microseconds'),
  knownTime: z.string().nullable().describe('ISO 8601, UTC, microseconds; null where not known'),
  int64: z.string().describe('64-bit whole number as text'),
  flag: z.boolean(),
  number: z.number(),
  texts: z.array(z.string()),
  json: z.unknown(),
}

/** The shape of a row, for the OpenAPI document. */
export function rowSchema(
  list: readonly Column[],
  more: Readonly<Record<string, z.ZodType>> = {},
): z.ZodType {
  const flat: Record<string, z.ZodType> = {}
  const nested = new Map<string, Record<string, z.ZodType>>()
  for (const { field, kind } of list) {
    const [outer = '', inner] = field.split('.')
    if (inner === undefined) flat[outer] = shapes[kind]
    else nested.set(outer, { ...nested.get(outer), [inner]: shapes[kind] })
  }
  for (const [outer, fields] of nested) flat[outer] = z.object(fields)
  return z.object({ ...flat, ...more })
}

/** `decision.reason` becomes `{ decision: { reason } }`. */
export function nest(row: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const result: Record<string, unknown> = {}
  const nested: Record<string, Record<string, unknown>> = {}
  for (const [field, value] of Object.entries(row)) {
    const [outer = '', inner] = field.split('.')
    if (inner === undefined) {
      result[outer] = value
      continue
    }
    const into = nested[outer] ?? {}
    into[inner] = value
    nested[outer] = into
    result[outer] = into
  }
  return result
}

function columns(kind: Kind, names: readonly string[], outer?: string): Column[] {
  return names.map((name) => ({
    kind,
    field: outer === undefined ? name : `${outer}.${name}`,
    column: snakeCase(outer === undefined ? name : `${outer}_${name}`),
  }))
}

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}
