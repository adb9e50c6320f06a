/**
 * What a condition may read, by name: the one table of it. What cannot be known of a command is left out, and a condition
 * that needs it has no answer. Refuses to offer what nothing here can tell: such a name is a mistake that is found when the rule is read.
 */
import type { Analysis } from '@portcullis/kernel'
import type { Live, Subject } from './types.ts'

/** CEL types by variable and field. */
export const attributes = {
  command: {
    verb: 'string',
    effects: 'list<string>',
    privileged: 'bool',
    objects: 'list<map<string, dyn>>',
    tables: 'list<string>',
    functions: 'list<string>',
    columns: 'list<string>',
    where: 'string',
    has_where: 'bool',
    returns_rows: 'bool',
    fingerprint: 'string',
    estimated_rows: 'int',
  },
  identity: {
    issuer: 'string',
    subject: 'string',
    groups: 'list<string>',
    task: 'string',
    instance: 'string',
    delegation: 'list<string>',
    risk: 'int',
  },
  target: {
    name: 'string',
    protocol: 'string',
    labels: 'map<string, string>',
    role: 'string',
    database: 'string',
  },
  origin: { address: 'string', country: 'string', region: 'string', asn: 'int' },
  session: {
    commands: 'int',
    rows_out: 'int',
    bytes_in: 'int',
    bytes_out: 'int',
    age_sec: 'int',
  },
} as const

export const estimatedRows = 'command.estimated_rows'

/** They change while a session lives, so that no decision that rests on them is kept. */
export function isLive(attribute: string): boolean {
  return attribute.startsWith('session.') || attribute === 'identity.risk' || attribute === estimatedRows
}

/** What every event has anyway, in fields of its own. */
const onEvents = new Set([
  ...['verb', 'effects', 'privileged', 'objects', 'tables', 'functions', 'columns', 'fingerprint'].map(
    (field) => `command.${field}`,
  ),
  ...['name', 'protocol', 'role', 'database'].map((field) => `target.${field}`),
  ...['issuer', 'subject', 'groups', 'task', 'instance', 'delegation'].map((field) => `identity.${field}`),
  ...Object.keys(attributes.origin).map((field) => `origin.${field}`),
])

export function isOnEvents(attribute: string): boolean {
  return onEvents.has(attribute)
}

export type Values = Readonly<Record<string, unknown>>

export function commandValues(
  analysis: Pick<
    Analysis,
    'verb' | 'effects' | 'objects' | 'privileged' | 'where' | 'returnsRows' | 'fingerprint'
  >,
): Values {
  const { verb, effects, privileged, objects, where, returnsRows, fingerprint } = analysis
  const certain = { verb, privileged, returns_rows: returnsRows, fingerprint }
  // Some of it could not be read: there may be more than was found.
  if (effects.includes('unknown')) return certain
  const left = where !== 'unknown' && { where: where ?? '', has_where: where !== 'none' }
  // Many rules that look through many objects would keep everybody waiting.
  return objects.length > objectsMax
    ? { ...certain, effects, ...left }
    : { ...certain, effects, ...left, ...objectValues(objects) }
}

const objectsMax = 1000

function objectValues(objects: Analysis['objects']): Values {
  const named = (kind: string) => objects.filter((object) => object.kind === kind)
  const columns = objects.flatMap((object) => object.columns)
  return {
    objects: objects.map(({ kind, namespace, name, effect, columns: own }) => ({
      ...{ kind, schema: namespace, name, effect, columns: own },
    })),
    tables: named('table').map(({ namespace, name }) => (namespace === '' ? name : `${namespace}.${name}`)),
    functions: named('function').map(({ name }) => name),
    ...(columns.length <= columnsMax && { columns }),
  }
}

const columnsMax = 5000

export function subjectValues(subject: Subject): Readonly<Record<string, Values>> {
  const { identity, origin, target, protocol, labels, role, database } = subject
  const { issuer, subject: sub, groups, task, instance, delegation } = identity
  return {
    identity: {
      ...{ issuer, subject: sub, groups, task, instance },
      delegation: delegation.map((actor) => actor.subject),
    },
    target: { name: target, protocol, labels, role, database },
    origin: {
      ...(origin.address !== '' && { address: origin.address }),
      ...(origin.country !== '' && { country: origin.country }),
      ...(origin.region !== '' && { region: origin.region }),
      ...(origin.asn !== 0 && { asn: BigInt(origin.asn) }),
    },
  }
}

export function liveValues({ totals, risk, estimatedRows: rows }: Live): Readonly<Record<string, Values>> {
  return {
    session: {
      commands: BigInt(totals.commands),
      rows_out: BigInt(totals.rowsOut),
      bytes_in: BigInt(totals.bytesIn),
      bytes_out: BigInt(totals.bytesOut),
      age_sec: BigInt(Math.floor(totals.ageMs / 1000)),
    },
    identity: risk === undefined ? {} : { risk: BigInt(risk) },
    command: rows === undefined ? {} : { estimated_rows: BigInt(rows) },
  }
}

/**
 * What stands on the event of a command that changes rows, whether or not a rule asks: which of them it leaves to be changed,
 * as a rule would read it. Undefined of others: of those it is known to be empty.
 */
export function whereAttribute({ effects, where }: Pick<Analysis, 'effects' | 'where'>): string | undefined {
  if (effects.includes('unknown') || where === 'unknown') return 'null'
  if (where !== undefined) return wheres[where]
  return effects.includes('write') || effects.includes('delete') ? '""' : undefined
}

const wheres = { none: '"none"', always: '"always"', some: '"some"', never: '"never"' } as const
