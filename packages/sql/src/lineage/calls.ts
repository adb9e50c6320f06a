// What a call gives back. PostgreSQL's own functions make it of their arguments, but for a few; the body of one in SQL is
// looked into; whatever else a target has may read any table, so what it gives is lost.
import type { CatalogueFunction } from '../catalogue-types.ts'
import { knownUse } from '../functions.ts'
import { bodyOf } from './bodies.ts'
import {
  clean,
  derived,
  either,
  type Flow,
  lost,
  lostRelation,
  type Relation,
  relationOf,
  storedIn,
  whole,
} from './flow.ts'
import type { Trace } from './trace.ts'

export interface Passed {
  readonly schema: string
  readonly name: string
  readonly flows: readonly Flow[]
  /** They stand in order, each for one parameter. */
  readonly isPositional: boolean
  /** As many as the text has. */
  readonly count: number
}

/** The rows that it gives in FROM; where there is one, its value in an expression. */
export function callRelation(trace: Trace, passed: Passed): Relation {
  const { schema, name, count } = passed
  const own = trace.index.calls(schema, name, count, trace.path)
  const relations = own.map((one) => ownRelation(trace, one, passed))
  // An extension's function keeps its name in whatever schema it was installed.
  const schemas = new Set([schema, ...own.map((one) => one.schema)])
  if ([...schemas].some((one) => knownUse(one, name) !== undefined))
    relations.push(opened(knownFlow(trace, passed)))
  else if (isSystem(trace, schema, name)) relations.push(systemRelation(name, systemFlow(trace, passed)))
  if (relations.length === 0) return opened(notFound(trace, passed))
  const [first] = relations
  return relations.length === 1 && first ? first : opened(either(relations.map(valueIn)))
}

/** What a call is in an expression. */
export function callFlow(trace: Trace, passed: Passed): Flow {
  return valueIn(callRelation(trace, passed))
}

/** `t.name` where no column has that name: a function of the row, or a cast of it. */
export function callRowFunction(trace: Trace, name: string, row: Flow): Flow {
  const own = trace.index.rowFunctions(name, trace.path)
  const passed = { schema: '', name, flows: [row], isPositional: true, count: 1 }
  const isKnown = isSystem(trace, '', name) || knownUse('', name) !== undefined
  if (own.length > 0 || isKnown) return callFlow(trace, passed)
  // A cast to a type of that name, or to nothing that there is. What has unknown columns may have this one.
  const { rest } = row.row ?? {}
  return derived([row, ...(rest ? [rest] : [])])
}

function valueIn(relation: Relation): Flow {
  const [first] = relation.columns
  return first && relation.columns.length === 1 && relation.rest === undefined ? first.flow : whole(relation)
}

function opened(flow: Flow): Relation {
  return relationOf([], flow)
}

function isSystem(trace: Trace, schema: string, name: string): boolean {
  if (waits.test(name)) return schema === '' || schema === 'pg_catalog'
  return trace.index.functions.use(schema, name).effects.length === 0
}

/** `name(t)` is `t.name` for a column as well; whatever else it may be is not in the catalogue. */
function notFound(trace: Trace, { schema, name, flows }: Passed): Flow {
  const [only] = flows
  const column = only?.row?.columns.find((one) => one.name === name)
  if (column !== undefined && schema === '' && flows.length === 1) return column.flow
  if (castOnly.has(name) && flows.length === 1) return derived(flows)
  for (const flow of flows) trace.copies.add(flow)
  return lost
}

/** Those that do more than to compute: what they are given goes elsewhere. */
function knownFlow(trace: Trace, { schema, name, flows }: Passed): Flow {
  const { effects } = knownUse(schema, name) ?? { effects: [] }
  for (const flow of flows) trace.copies.add(flow)
  if (/^dblink/.test(name) || schema === 'cron') trace.copies.add(lost)
  if (!effects.some((effect) => effect === 'unknown' || effect === 'read')) return derived(flows)
  // It runs text as SQL, or reads files or large objects.
  trace.reads.add(lost)
  trace.raises.add(lost)
  return lost
}

function systemFlow(trace: Trace, { name, flows }: Passed): Flow {
  if (countsOnly.has(name)) {
    for (const flow of flows) trace.reads.add(flow)
    return clean
  }
  if (tellsOthers.has(name)) return lost
  // Its value is there for SHOW from then on.
  if (name === 'set_config') for (const flow of flows) trace.copies.add(flow)
  if (waits.test(name)) for (const flow of flows) trace.reads.add(flow)
  return picks.has(name) ? either(flows) : derived(flows)
}

function systemRelation(name: string, flow: Flow): Relation {
  if (pairs.has(name)) return { columns: ['key', 'value'].map((column) => ({ name: column, flow })) }
  return ofRows.test(name) ? opened(flow) : { columns: [{ name, flow }] }
}

function ownRelation(trace: Trace, one: CatalogueFunction, passed: Passed): Relation {
  const relation = shaped(one, insideOf(trace, one, passed))
  // Planning computes what is the same for every row, and EXPLAIN shows it.
  const isFolded =
    one.volatility === 'immutable' && passed.flows.every((flow) => !flow.lost && storedIn(flow).length === 0)
  if (isFolded) trace.called.add(whole(relation))
  trace.raises.add(whole(relation))
  return relation
}

function insideOf(trace: Trace, one: CatalogueFunction, passed: Passed): Relation {
  const { language, volatility, kind } = one
  const isNative = language === 'internal' || language === 'c'
  // Only superusers make native ones, and an immutable one must not look at tables; of well-known others it is known.
  if (isNative && (volatility === 'immutable' || vouched.test(one.name))) return opened(derived(passed.flows))
  if (kind === 'function' || kind === 'procedure') {
    const inside = bodyOf(trace, one, passed)
    if (inside !== undefined) return inside
  }
  for (const flow of passed.flows) trace.copies.add(flow)
  trace.reads.add(derived(passed.flows))
  return lostRelation
}

/** With the names that its definition gives the columns, where they are known. */
function shaped(one: CatalogueFunction, inside: Relation): Relation {
  const names = outputsOf(one)
  if (names === undefined) return opened(whole(inside))
  const { columns } = inside
  // One row, as a value: its fields are the columns.
  const fields = columns.length === 1 && names.length > 1 ? columns[0]?.flow.row?.columns : columns
  const isAlike = inside.rest === undefined && fields?.length === names.length
  const flow = whole(inside)
  return {
    columns: names.map((name, at) => ({
      name,
      flow: isAlike ? (fields[at]?.flow ?? lost) : { ...derived([flow]), exact: false },
    })),
  }
}

function outputsOf(one: CatalogueFunction): readonly string[] | undefined {
  const { argumentModes = '', argumentNames = [], rowType } = one
  const outputs = argumentNames.filter((_, at) => /[obt]/.test(argumentModes[at] ?? 'i'))
  if (outputs.length > 0) return outputs
  return rowType === undefined || rowType.length > 0 ? rowType : [one.name]
}

/** They tell how many there are, and nothing of what is in them. */
const countsOnly = new Set([
  'count',
  'row_number',
  'rank',
  'dense_rank',
  'percent_rank',
  'cume_dist',
  'ntile',
])

/** They give one of the values that they get. */
const picks = new Set([
  'min',
  'max',
  'any_value',
  'first_value',
  'last_value',
  'nth_value',
  'lag',
  'lead',
  'mode',
])

/** Types of PostgreSQL's own that can be written like a function and are none. */
const castOnly = new Set(['tsquery', 'tsvector', 'json', 'jsonb', 'jsonpath', 'uuid', 'bytea', 'xml'])

/** How long they take is all that they tell. */
const waits = /^pg_sleep/

/** What other sessions run, which may have anything in it. */
const tellsOthers = new Set(['pg_stat_get_activity', 'pg_stat_get_backend_activity'])

const pairs = new Set(['json_each', 'json_each_text', 'jsonb_each', 'jsonb_each_text'])

/** Functions of PostgreSQL's own that give rows of several columns, or of as many as their arguments say. */
const ofRows =
  /^(unnest|json(b)?_(to|populate)_record(set)?|pg_|ts_(debug|parse|token_type|stat)|aclexplode|_pg_|xpath_table)/

const vouched =
  /^(uuid_generate_|gen_(salt|random_)|pgp_|normal_rand$|unaccent|(strict_)?(word_)?similarity_)/
