// What the value of an expression is made of. A node that has no entry here is made of all that stands in it. Refuses to
// fold or to type anything.
import { isTree, type Tree, type TreeNode } from '../grammar.ts'
import { inner, list, names, node, nodeType, only, qualified, stringOf } from '../walk.ts'
import { callFlow, type Passed } from './calls.ts'
import {
  clean,
  type Column,
  derived,
  fieldFlow,
  renamed,
  either,
  type Flow,
  isClean,
  lost,
  type Relation,
  rowsOf,
  varying,
  whole,
} from './flow.ts'
import { queryRelation } from './queries.ts'
import { columnFlow, levelIn } from './scope.ts'
import type { Level, Trace } from './trace.ts'

export function flowOf(trace: Trace, level: Level, tree: Tree | undefined): Flow {
  if (Array.isArray(tree)) return derived((tree as readonly Tree[]).map((item) => flowOf(trace, level, item)))
  if (!isTree(tree)) return clean
  const type = nodeType(tree)
  if (type === undefined) return partsFlow(trace, level, tree)
  if (plain.has(type)) return clean
  const found = inner(tree, type)
  return trace.step(() => ways[type]?.(trace, level, found) ?? partsFlow(trace, level, found))
}

/** A condition, an order, a limit: it decides what comes back and is not in it. */
export function readBy(trace: Trace, level: Level, tree: Tree | undefined): void {
  const parts = Array.isArray(tree) ? tree : list(only(tree, 'BoolExpr')?.args)
  if (parts.length > 0) for (const part of parts) readBy(trace, level, part)
  else if (isTree(tree)) trace.step(() => readOne(trace, level, tree))
}

/** One comparison asks once; one with a list, for each in it. */
function readOne(trace: Trace, level: Level, tree: TreeNode): void {
  const link = only(tree, 'SubLink')
  if (link?.subLinkType === 'ANY_SUBLINK' && link.operName === undefined) {
    const { relation, test } = sublink(trace, level, link)
    const [first, ...more] = relation.columns
    const isOne = first !== undefined && more.length === 0 && relation.rest === undefined
    return trace.reads.addEqual([isOne ? first.flow : whole(relation), test])
  }
  const compared = only(tree, 'A_Expr')
  if (compared === undefined) return trace.reads.add(flowOf(trace, level, tree))
  const { kind, name, lexpr, rexpr } = compared
  const [left, right] = [flowOf(trace, level, lexpr), flowOf(trace, level, rexpr)]
  const own = operatorFlow(trace, qualified(name), [left, right])
  if (kind === 'AEXPR_OP' && qualified(name)[1] === '=' && isClean(own))
    return trace.reads.addEqual([left, right])
  const isList = lists.has(String(kind)) && !isClean(left) && isClean(right)
  trace.reads.add(derived([left, right, own]), isList ? countOf(rexpr) : 1)
}

const lists = new Set(['AEXPR_IN', 'AEXPR_OP_ANY', 'AEXPR_OP_ALL'])

/** How many values a list or array has; Infinity: its text does not tell. */
function countOf(tree: Tree | undefined): number {
  const cast = only(tree, 'TypeCast')
  if (cast !== undefined) return countOf(cast.arg)
  const items = only(tree, 'List')?.items ?? only(tree, 'A_ArrayExpr')?.elements
  if (items === undefined) return Infinity
  return list(items).reduce<number>((sum, item) => sum + Number(only(item, 'Constants')?.count ?? 1), 0)
}

/** Order and groups: rows are compared with each other. */
export function readAmong(trace: Trace, level: Level, tree: Tree | undefined): void {
  trace.reads.addAmong(flowOf(trace, level, tree))
}

export function windowBy(trace: Trace, level: Level, window: TreeNode): void {
  const { partitionClause, orderClause, ...rest } = window
  for (const item of [...list(partitionClause), ...list(orderClause)])
    readAmong(trace, level, only(item, 'SortBy')?.node ?? item)
  readBy(trace, level, { ...rest })
}

/** Each field by itself, for constructors that keep them apart. */
export function flowsOf(trace: Trace, level: Level, trees: Tree | undefined): readonly Flow[] {
  return list(trees).map((item) => flowOf(trace, level, item))
}

function partsFlow(trace: Trace, level: Level, parts: TreeNode): Flow {
  return derived(Object.values(parts).map((part) => flowOf(trace, level, part)))
}

type Way = (trace: Trace, level: Level, found: TreeNode) => Flow

/** Nothing that is stored is in them. */
const plain = new Set([
  'A_Const',
  'SQLValueFunction',
  'SetToDefault',
  'MergeSupportFunc',
  'CurrentOfExpr',
  'GroupingFunc',
  'TypeName',
  'String',
])

const ways: Readonly<Record<string, Way>> = {
  // A client's own are constants.
  ParamRef: (trace, _level, { number }) =>
    trace.parameters === undefined ? clean : (trace.parameters[Number(number) - 1] ?? lost),
  ColumnRef: (trace, level, { fields }) => columnFlow(trace, level, list(fields)),
  ResTarget: (trace, level, { val }) => flowOf(trace, level, val),
  CollateClause: (trace, level, { arg }) => flowOf(trace, level, arg),
  NamedArgExpr: (trace, level, { arg }) => flowOf(trace, level, arg),
  TypeCast: cast,
  A_Indirection: indirection,
  FuncCall: call,
  SubLink: subquery,
  SelectStmt: (trace, level, select) => whole(queryRelation(trace, select, levelIn(level))),
  CaseExpr(trace, level, { arg, args, defresult }) {
    const clauses = list(args).map((item) => only(item, 'CaseWhen') ?? {})
    const decides = flowOf(trace, level, [arg ?? null, ...clauses.map(({ expr }) => expr ?? null)])
    const results = [
      ...clauses.map(({ result }) => flowOf(trace, level, result)),
      flowOf(trace, level, defresult),
    ]
    if (!isClean(decides)) return derived([decides, ...results])
    return varying(either(results), rowsOf([decides, ...results]))
  },
  CoalesceExpr: (trace, level, { args }) => either(flowsOf(trace, level, args)),
  MinMaxExpr: (trace, level, { args }) => either(flowsOf(trace, level, args)),
  NullTest(trace, level, { arg }) {
    readBy(trace, level, arg)
    return clean
  },
  RowExpr(trace, level, { args }) {
    const columns = list(args).flatMap((item): readonly Column[] => {
      const flow = flowOf(trace, level, item)
      const isAll = only(list(only(item, 'ColumnRef')?.fields).at(-1), 'A_Star') !== undefined
      return isAll && flow.row ? flow.row.columns : [{ name: '', flow }]
    })
    return whole({ columns: columns.map(({ flow }, at) => ({ name: `f${at + 1}`, flow })) })
  },
  A_Expr(trace, level, { name, lexpr, rexpr }) {
    const sides = [lexpr, rexpr].flatMap((side) => (side === undefined ? [] : flowOf(trace, level, side)))
    return derived([...sides, operatorFlow(trace, qualified(name), sides)])
  },
  JsonObjectAgg: jsonAggregate,
  JsonArrayAgg: jsonAggregate,
}

/** What operators of the target's own add to their sides. */
function operatorFlow(trace: Trace, [schema, name]: readonly [string, string], sides: readonly Flow[]): Flow {
  const own = trace.index.operators(schema, name, trace.path)
  return derived(own.map((one) => functionFlow(trace, one, sides)))
}

function functionFlow(
  trace: Trace,
  { schema, name }: { readonly schema: string; readonly name: string },
  flows: readonly Flow[],
): Flow {
  return callFlow(trace, { schema, name, flows, isPositional: true, count: flows.length })
}

function cast(trace: Trace, level: Level, { arg, typeName }: TreeNode): Flow {
  const flow = flowOf(trace, level, arg)
  if (isClean(flow)) return flow
  const type = node(typeName)
  const name = names(type.names).at(-1) ?? ''
  const own = trace.index.casts(name).map((one) => functionFlow(trace, one, [flow]))
  if (own.length > 0) return derived([flow, ...own])
  // A text without a length says what was stored.
  const isText = textTypes.has(name) && list(type.typmods).length === 0 && type.arrayBounds === undefined
  return isText && flow.row === undefined ? flow : { ...derived([flow]), ...rowAs(trace, flow, type) }
}

/** A row keeps its fields, under the names that its new type has for them. */
function rowAs(trace: Trace, { row }: Flow, type: TreeNode): { readonly row?: Relation } {
  if (row === undefined || row.rest !== undefined || type.arrayBounds !== undefined) return {}
  const [named, ...others] = trace.index.lineage.tables.named(...qualified(type.names), trace.path)
  const columns = named?.refs.flatMap((ref) => ref?.column ?? []) ?? []
  return others.length === 0 && columns.length === row.columns.length ? { row: renamed(row, columns) } : {}
}

const textTypes = new Set(['text', 'varchar'])

function indirection(trace: Trace, level: Level, { arg, indirection: steps }: TreeNode): Flow {
  let flow = flowOf(trace, level, arg)
  for (const step of list(steps)) {
    const name = stringOf(step)
    if (name === '')
      flow = only(step, 'A_Star') === undefined ? derived([flow, flowOf(trace, level, step)]) : flow
    else flow = attributeFlow(trace, flow, name)
  }
  return flow
}

/** A field, or a function of the target's own that is called so. */
function attributeFlow(trace: Trace, flow: Flow, name: string): Flow {
  const own = flow.row?.columns.some((one) => one.name === name)
    ? []
    : trace.index.rowFunctions(name, trace.path)
  const field = fieldFlow(flow, name)
  return own.length === 0 ? field : derived([field, ...own.map((one) => functionFlow(trace, one, [flow]))])
}

function sublink(trace: Trace, level: Level, { testexpr, subselect }: TreeNode) {
  const relation = queryRelation(trace, only(subselect, 'SelectStmt') ?? node(subselect), levelIn(level))
  return { relation, test: flowOf(trace, level, testexpr) }
}

function subquery(trace: Trace, level: Level, link: TreeNode): Flow {
  const { relation, test } = sublink(trace, level, link)
  const { subLinkType } = link
  if (subLinkType === 'EXISTS_SUBLINK') return clean
  const [first] = relation.columns
  if (subLinkType === 'EXPR_SUBLINK' && first && relation.columns.length === 1 && relation.rest === undefined)
    return first.flow
  return derived([whole(relation), test])
}

/** What a call is given; what only decides which rows count is read. */
export function passedBy(trace: Trace, level: Level, found: TreeNode): Passed {
  const { args, agg_order: order, agg_filter: filter, over, agg_within_group: isWithin } = found
  const [schema, name] = qualified(found.funcname)
  const flows = flowsOf(trace, level, args)
  readBy(trace, level, filter)
  windowBy(trace, level, node(over))
  const ordered = list(order).map((item) => flowOf(trace, level, only(item, 'SortBy')?.node))
  for (const flow of ordered) trace.reads.addAmong(flow)
  const isPositional =
    found.func_variadic !== true && list(args).every((item) => only(item, 'NamedArgExpr') === undefined)
  return {
    schema,
    name,
    // An ordered-set aggregate gives back values of what it is ordered by.
    flows: isWithin === true ? [...flows, ...ordered] : flows,
    isPositional,
    count: flows.length + (isWithin === true ? ordered.length : 0),
  }
}

function call(trace: Trace, level: Level, found: TreeNode): Flow {
  const passed = passedBy(trace, level, found)
  const flow = trace.touch(callFlow(trace, passed))
  return givesRows.test(passed.name) ? derived([flow, { ...clean, rows: new Set([{}]) }]) : flow
}

/** PostgreSQL's own that make many rows of one. */
const givesRows =
  /^(generate_|unnest$|regexp_(matches|split_to_table)$|string_to_table$|jsonb?_(array_elements|each|object_keys|path_query$|\w+_recordset))/

function jsonAggregate(trace: Trace, level: Level, found: TreeNode): Flow {
  const { agg_filter: filter, agg_order: order, over, ...rest } = inner(found, 'constructor')
  readBy(trace, level, filter)
  windowBy(trace, level, node(over))
  for (const item of list(order)) readAmong(trace, level, only(item, 'SortBy')?.node)
  return partsFlow(trace, level, { ...found, constructor: rest })
}

/** The fields of `x.*` where it is no alias but a value. */
export function fieldsOf(flow: Flow): Relation {
  return flow.row ?? { columns: [], rest: derived([flow]) }
}
