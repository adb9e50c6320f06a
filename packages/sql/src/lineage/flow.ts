// What a value is made of, and what rows are made of: the values that lineage computes with. Immutable. Refuses to say that
// nothing went into a value which it does not know: that is `lost`.
import type { ColumnRef } from '@portcullis/kernel'

/** An argument of a function whose body is looked at by itself; what is passed for it takes its place. */
export interface Parameter {
  /** From 1. */
  readonly parameter: number
  /** Of the row that it is. */
  readonly field?: string
  readonly fields: Map<string, Parameter>
}

export type Ref = ColumnRef | Parameter

/** What gives many rows, each with a value of its own: something in FROM, VALUES, a function that returns a set. */
export interface Rows {
  /** They are of a UNION in which values of no table stand beside others. */
  readonly isMade?: boolean
}

export interface Flow {
  readonly refs: ReadonlySet<Ref>
  /** Others may be among them. */
  readonly lost: boolean
  /** Each value is a stored one of `refs`, or one that none of them had part in. */
  readonly exact: boolean
  /** Of a row: what its fields are. */
  readonly row?: Relation
  /** By whose rows it varies; of more than two, two of them. */
  readonly rows?: ReadonlySet<Rows> | undefined
}

export interface Column {
  readonly name: string
  readonly flow: Flow
}

/** Rows. */
export interface Relation {
  readonly columns: readonly Column[]
  /** What any further columns are made of, of which neither names nor number are known; absent: there are none. */
  readonly rest?: Flow
}

const none: ReadonlySet<Ref> = new Set()

/** Made of nothing that is stored. */
export const clean: Flow = { refs: none, lost: false, exact: true }
export const lost: Flow = { refs: none, lost: true, exact: false }
export const lostRelation: Relation = { columns: [], rest: lost }
export const noRows: Relation = { columns: [] }

export function isClean(flow: Flow): boolean {
  return flow.refs.size === 0 && !flow.lost
}

/** A value that is any one of these, as it is. */
export function either(flows: readonly Flow[]): Flow {
  const tainted = flows.filter((flow) => !isClean(flow))
  const rows = rowsOf(flows)
  const [first] = tainted
  if (first === undefined) return varying(clean, rows)
  if (tainted.length === 1) return varying(first, rows)
  const refs = new Set<Ref>()
  for (const flow of tainted) for (const ref of flow.refs) refs.add(ref)
  return {
    refs,
    lost: tainted.some((flow) => flow.lost),
    exact: tainted.every((flow) => flow.exact),
    rows,
  }
}

/** What one name or column may be: in each row one of these, and not computed from them. */
export function oneOf(flows: readonly Flow[]): Flow {
  const widest = flows.reduce<Flow['rows']>(
    (most, { rows }) => ((rows?.size ?? 0) > (most?.size ?? 0) ? rows : most),
    undefined,
  )
  return varying(either(flows), widest)
}

export function varying(flow: Flow, rows: Flow['rows']): Flow {
  return flow.rows === rows ? flow : { ...flow, rows }
}

export function rowsOf(flows: readonly Flow[]): Flow['rows'] {
  let all: Flow['rows']
  for (const { rows } of flows) {
    if (all === undefined || all === rows) all = rows ?? all
    else if (rows !== undefined) all = new Set([...all, ...rows].slice(0, 2))
    if (all !== undefined && all.size > 1) return all
  }
  return all
}

/** Computed from what varies by several kinds of rows: as many answers as they have rows together. */
export function isMixed({ rows }: Flow): boolean {
  return rows !== undefined && rows.size > 1
}

/** A table's column as it is. */
export function isStored(flow: Flow): boolean {
  return flow.exact && flow.refs.size > 0 && !flow.lost && !isMixed(flow) && !isMade(flow)
}

export function isMade({ rows }: Flow): boolean {
  return rows !== undefined && [...rows].some((one) => one.isMade)
}

/** Each row may have another value in any of the columns. */
export function perRow(relation: Relation): Relation {
  const own = new Set([{}])
  return mapFlows(relation, (flow) => varying(flow, flow.rows ?? own))
}

/** The same rows under a name of their own. Those of a table are one kind, whatever is behind it. */
export function named(relation: Relation, isTable: boolean): Relation {
  const own = new Set([{}])
  const again = new Map<Rows, Rows>()
  const renew = (one: Rows): Rows => {
    const found = again.get(one) ?? { ...one }
    again.set(one, found)
    return found
  }
  const change = (flow: Flow): Flow => ({
    ...flow,
    rows: isTable ? own : flow.rows && new Set([...flow.rows].map(renew)),
    ...(flow.row && { row: mapFlows(flow.row, change) }),
  })
  return mapFlows(relation, change)
}

/** A value that is computed from these. */
export function derived(flows: readonly Flow[]): Flow {
  const { refs, lost: isLost, rows } = either(flows)
  return refs.size === 0 && !isLost ? varying(clean, rows) : { refs, lost: isLost, exact: false, rows }
}

/** All that a relation holds. */
export function whole(relation: Relation): Flow {
  const { columns, rest } = relation
  const flow = derived([...columns.map((column) => column.flow), ...(rest ? [rest] : [])])
  return { ...flow, row: relation }
}

export function relationOf(columns: readonly Column[], rest?: Flow): Relation {
  return rest === undefined ? { columns } : { columns, rest }
}

/** The one behind the other, as `*` lists them: where the first is of unknown width nobody knows the place of the second. */
export function beside(left: Relation, right: Relation): Relation {
  if (left.rest === undefined) return relationOf([...left.columns, ...right.columns], right.rest)
  return relationOf(left.columns, derived([left.rest, whole(right)]))
}

/** Rows of either kind, as UNION has them: column by column, named by the first. */
export function union(left: Relation, right: Relation): Relation {
  const sides = [left, right]
  const isOpen = sides.some(({ rest }) => rest !== undefined)
  const counts = sides.map(({ columns }) => columns.length)
  const known = isOpen ? Math.min(...counts) : Math.max(...counts)
  const columns = Array.from({ length: known }, (_, index) => ({
    name: left.columns[index]?.name ?? '',
    flow: stacked(sides.map((side) => side.columns[index]?.flow ?? lost)),
  }))
  if (!isOpen) return { columns }
  const beyond = sides.flatMap((side) => side.columns.slice(known).map(({ flow }) => flow))
  return relationOf(columns, derived([...beyond, ...sides.flatMap(({ rest }) => rest ?? [])]))
}

function stacked(flows: readonly Flow[]): Flow {
  const flow = oneOf(flows)
  return isMixed(flow) || flows.every(isStored) ? flow : varying(flow, new Set([{ isMade: true }]))
}

/** With other names for its first columns, as an alias gives them. */
export function renamed(relation: Relation, names: readonly string[]): Relation {
  if (names.length === 0) return relation
  const { columns, rest } = relation
  const count = rest === undefined ? columns.length : Math.max(columns.length, names.length)
  return relationOf(
    Array.from({ length: count }, (_, index) => ({
      name: names[index] ?? columns[index]?.name ?? '',
      flow: columns[index]?.flow ?? rest ?? lost,
    })),
    rest,
  )
}

/** The same with each value changed. */
export function mapFlows(relation: Relation, change: (flow: Flow) => Flow): Relation {
  return relationOf(
    relation.columns.map(({ name, flow }) => ({ name, flow: change(flow) })),
    relation.rest && change(relation.rest),
  )
}

export function createParameter(parameter: number): Parameter {
  return { parameter, fields: new Map() }
}

export function parameterFlow(parameter: Parameter): Flow {
  return { refs: new Set([parameter]), lost: false, exact: true }
}

export function isParameter(ref: Ref): ref is Parameter {
  return 'parameter' in ref
}

/** `value.name`; of what is no row that is known here, all of it. */
export function fieldFlow(flow: Flow, name: string): Flow {
  const column = flow.row?.columns.find((one) => one.name === name)
  if (column !== undefined) return column.flow
  const [only, ...more] = flow.refs
  if (only && isParameter(only) && only.field === undefined && more.length === 0 && flow.row === undefined) {
    const field = only.fields.get(name) ?? { ...createParameter(only.parameter), field: name }
    only.fields.set(name, field)
    return parameterFlow(field)
  }
  return derived([flow, ...(flow.row?.rest ? [flow.row.rest] : [])])
}

/** Without the arguments among them. */
export function storedIn(flow: Flow): readonly ColumnRef[] {
  return [...flow.refs].flatMap((ref) => (isParameter(ref) ? [] : ref))
}
