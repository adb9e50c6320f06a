// Queries: SELECT, VALUES, UNION and the like, WITH. What they give, column by column. Refuses to follow a recursive query
// for ever: what does not settle is lost.
import { isTree, type Tree, type TreeNode } from '../grammar.ts'
import { inner, list, names, node, nodeType, only, text } from '../walk.ts'
import { flowOf, fieldsOf, flowsOf, readAmong, readBy, windowBy } from './expressions.ts'
import {
  beside,
  clean,
  type Column,
  derived,
  type Flow,
  isMixed,
  lostRelation,
  mapFlows,
  noRows,
  perRow,
  type Relation,
  relationOf,
  renamed,
  union,
  varying,
  whole,
} from './flow.ts'
import { fromItems } from './from.ts'
import { nameOf } from './names.ts'
import { leafNamed, levelIn } from './scope.ts'
import { changeRelation } from './changes.ts'
import type { Ctes, Level, Trace } from './trace.ts'

/** `level` is the new one's; what it may see beside its own FROM is its outer. */
export function queryRelation(trace: Trace, select: TreeNode, level: Level): Relation {
  return trace.step(() => {
    const within = withCtes(trace, select.withClause, level)
    if (select.larg !== undefined || select.rarg !== undefined) return setOperation(trace, select, within)
    if (select.valuesLists !== undefined) return values(trace, select, within)
    return plain(trace, select, within)
  })
}

function plain(trace: Trace, select: TreeNode, level: Level): Relation {
  const star = fromItems(trace, level, list(select.fromClause))
  const relation = targets(trace, level, select.targetList, star)
  readBy(trace, level, select.whereClause)
  readBy(trace, level, select.havingClause)
  for (const item of list(select.windowClause)) windowBy(trace, level, only(item, 'WindowDef') ?? node(item))
  if (select.distinctClause !== undefined) {
    const on = list(select.distinctClause)
      .filter((item) => isTree(item))
      .filter((item) => nodeType(item) !== undefined)
    if (on.length === 0) trace.reads.addRows(relation)
    else readOutputs(trace, level, on, relation)
  }
  // A name is looked for in FROM first; what is not found there is an output's.
  for (const item of list(select.groupClause))
    if (isInFrom(level, item)) readAmong(trace, level, item)
    else readOutputs(trace, level, [item], relation)
  readOutputs(trace, level, list(select.sortClause).map(sorted), relation)
  limits(trace, level, select)
  // Without FROM it is one row, as long as nothing in it makes several.
  return select.fromClause === undefined ? relation : perRow(relation)
}

function values(trace: Trace, select: TreeNode, level: Level): Relation {
  let relation: Relation | undefined
  for (const row of list(select.valuesLists)) {
    const flows = flowsOf(trace, level, inner(node(row), 'List').items)
    const columns = flows.map((flow, at) => ({ name: `column${at + 1}`, flow }))
    relation = relation === undefined ? { columns } : union(relation, { columns })
  }
  limits(trace, level, select)
  const rows = list(select.valuesLists).length > 1 ? new Set([{ isMade: true }]) : undefined
  if (relation && rows) return mapFlows(relation, (flow) => (isMixed(flow) ? flow : varying(flow, rows)))
  return relation ?? noRows
}

function setOperation(trace: Trace, select: TreeNode, level: Level): Relation {
  const [left, right] = [select.larg, select.rarg].map((side) =>
    queryRelation(trace, only(side, 'SelectStmt') ?? node(side), { ...level, leaves: [] }),
  ) as [Relation, Relation]
  if (select.all !== true || select.op !== 'SETOP_UNION') compare(trace, left, right)
  // What is left of the first is equal to nothing of the second.
  const relation = select.op === 'SETOP_EXCEPT' ? left : union(left, right)
  readOutputs(trace, level, list(select.sortClause).map(sorted), relation)
  limits(trace, level, select)
  return relation
}

/** UNION, INTERSECT and EXCEPT look for rows of the one in the other. */
function compare({ reads }: Trace, left: Relation, right: Relation): void {
  const isOpen = left.rest !== undefined || right.rest !== undefined
  if (isOpen) return reads.add(derived([whole(left), whole(right)]))
  for (const [at, { flow }] of left.columns.entries()) {
    reads.addEqual([flow, right.columns[at]?.flow ?? clean])
  }
}

/** The select list, or what RETURNING lists. `star`: what `*` stands for. */
export function targets(trace: Trace, level: Level, list_: Tree | undefined, star: Relation): Relation {
  let relation = noRows
  for (const item of list(list_)) {
    const target = only(item, 'ResTarget')
    if (target === undefined) return lostRelation
    const expanded = expansion(trace, level, target, star)
    relation = beside(
      relation,
      expanded ?? { columns: [{ name: nameOf(target), flow: flowOf(trace, level, target.val) }] },
    )
  }
  return relation
}

/** Of `*`, `t.*`, `(value).*`; undefined: it is one column. */
function expansion(trace: Trace, level: Level, { val }: TreeNode, star: Relation): Relation | undefined {
  const fields = list(only(val, 'ColumnRef')?.fields)
  if (fields.length > 0) {
    if (only(fields.at(-1), 'A_Star') === undefined) return undefined
    const [schema, alias] = names(fields.slice(0, -1)).slice(-2)
    if (schema === undefined) return touched(trace, star)
    const leaf = alias === undefined ? leafNamed(level, schema) : leafNamed(level, alias, schema)
    return leaf ? touched(trace, leaf.relation) : fieldsOf(flowOf(trace, level, val))
  }
  const steps = list(only(val, 'A_Indirection')?.indirection)
  return only(steps.at(-1), 'A_Star') === undefined ? undefined : fieldsOf(flowOf(trace, level, val))
}

function touched(trace: Trace, relation: Relation): Relation {
  trace.touch(whole(relation))
  return relation
}

function sorted(item: Tree): Tree {
  return only(item, 'SortBy')?.node ?? null
}

/** Items of ORDER BY and the like: a number is a column of the result, which one is a literal's matter; a name may be one. */
function readOutputs(trace: Trace, level: Level, items: readonly Tree[], relation: Relation): void {
  for (const item of items) {
    if (only(item, 'A_Const') !== undefined) trace.reads.addRows(relation)
    const [name, ...more] = names(only(item, 'ColumnRef')?.fields)
    const output =
      name !== undefined && more.length === 0 ? relation.columns.filter((one) => one.name === name) : []
    for (const { flow } of output) trace.reads.addAmong(flow)
    if (output.length === 0) readAmong(trace, level, item)
  }
}

function isInFrom({ leaves }: Level, item: Tree): boolean {
  const [name, ...more] = names(only(item, 'ColumnRef')?.fields)
  return (
    name !== undefined &&
    more.length === 0 &&
    leaves.some(({ relation }) => relation.columns.some((column) => column.name === name))
  )
}

function limits(trace: Trace, level: Level, { limitCount, limitOffset }: TreeNode): void {
  // How many rows there are says a number.
  for (const count of [limitCount, limitOffset]) trace.reads.add(flowOf(trace, level, count), Infinity)
}

/** The level that sees what its WITH defines. */
export function withCtes(trace: Trace, clause: Tree | undefined, level: Level): Level {
  const { ctes, recursive } = node(clause)
  const all = list(ctes).map((item) => only(item, 'CommonTableExpr') ?? {})
  let known: Ctes | undefined = level.ctes
  // RECURSIVE lets one name those that come after it.
  if (recursive === true)
    for (const cte of all) known = { name: text(cte.ctename), relation: lostRelation, outer: known }
  for (const cte of all) {
    const relation =
      recursive === true ? recursiveRelation(trace, cte, level, known) : cteRelation(trace, cte, level, known)
    known = { name: text(cte.ctename), relation, outer: known }
  }
  return known === level.ctes ? level : { ...level, ctes: known }
}

/** With the columns that SEARCH and CYCLE add. */
function cteRelation(trace: Trace, cte: TreeNode, level: Level, ctes: Ctes | undefined): Relation {
  const query = cte.ctequery
  const within = levelIn(level.outer, ctes)
  const type = isTree(query) ? (nodeType(query) ?? '') : ''
  const found =
    type === 'SelectStmt'
      ? queryRelation(trace, inner(node(query), type), within)
      : changeRelation(trace, type, inner(node(query), type), within)
  const relation = renamed(found, names(cte.aliascolnames))
  const { search_seq_column: seen } = node(cte.search_clause)
  const { cycle_mark_column: mark, cycle_path_column: path } = node(cte.cycle_clause)
  const flow = derived([whole(relation)])
  const added = [seen, mark, path].map(text).filter((name) => name !== '')
  return beside(relation, { columns: added.map((name): Column => ({ name, flow })) })
}

/** Again and again, until what it is made of grows no more. */
function recursiveRelation(trace: Trace, cte: TreeNode, level: Level, ctes: Ctes | undefined): Relation {
  const name = text(cte.ctename)
  // Its first part gives names and number of its columns; the second may see them.
  const first = firstPart(cte)
  let relation = first === undefined ? noRows : mapClean(cteRelation(trace, first, level, ctes))
  for (let round = 0; round < roundsMax; round += 1) {
    const next = cteRelation(trace, cte, level, { name, relation, outer: ctes })
    if (sizeOf(next) === sizeOf(relation) && round > 0) return next
    relation = next
  }
  return lostRelation
}

const roundsMax = 50

function firstPart(cte: TreeNode): TreeNode | undefined {
  const query = only(cte.ctequery, 'SelectStmt')
  return query?.larg === undefined ? undefined : { ...cte, ctequery: { SelectStmt: query.larg } }
}

function mapClean(relation: Relation): Relation {
  return relationOf(
    relation.columns.map(({ name }) => ({ name, flow: clean })),
    relation.rest,
  )
}

function sizeOf({ columns, rest }: Relation): string {
  const one = ({ refs, lost: isLost, exact, row }: Flow): string =>
    `${refs.size}${isLost ? 'l' : ''}${exact ? 'e' : ''}${row ? `(${sizeOf(row)})` : ''}`
  return [...columns.map(({ flow }) => one(flow)), rest ? one(rest) : ''].join()
}
