// What stands in FROM: tables, views, subqueries, functions, joins of them. Adds to a level what names in expressions may
// stand for; gives back what `*` lists. Refuses to know a table that the catalogue does not have: all of it is lost.
import { isTree, type Tree, type TreeNode } from '../grammar.ts'
import { inner, list, names, node, nodeType, only, stringOf, text } from '../walk.ts'
import { callRelation } from './calls.ts'
import { flowOf, passedBy, readBy } from './expressions.ts'
import {
  beside,
  clean,
  type Column,
  derived,
  lostRelation,
  named,
  noRows,
  oneOf,
  perRow,
  type Relation,
  relationOf,
  renamed,
  whole,
} from './flow.ts'
import { queryRelation } from './queries.ts'
import { storedRelation } from './relations.ts'
import { cteNamed, levelIn } from './scope.ts'
import type { Leaf, Level, Trace } from './trace.ts'

export function fromItems(trace: Trace, level: Level, items: readonly Tree[]): Relation {
  let star = noRows
  for (const item of items) star = beside(star, fromItem(trace, level, item))
  return star
}

type Way = (trace: Trace, level: Level, found: TreeNode) => Relation

function fromItem(trace: Trace, level: Level, item: Tree): Relation {
  return trace.step(() => {
    const type = isTree(item) ? (nodeType(item) ?? '') : ''
    const found = inner(node(item), type)
    const way = ways[type]
    if (way !== undefined) return way(trace, level, found)
    flowOf(trace, level, item)
    return leaf(level, found, lostRelation)
  })
}

const ways: Readonly<Record<string, Way>> = {
  RangeVar: (trace, level, range) => tableLeaf(trace, level, range),
  RangeSubselect(trace, level, { subquery, lateral, alias }) {
    // Without LATERAL it sees what the whole query sees, and nothing of what stands beside it.
    const within = levelIn(lateral === true ? level : level.outer, level.ctes)
    return leaf(
      level,
      { alias },
      queryRelation(trace, only(subquery, 'SelectStmt') ?? node(subquery), within),
    )
  },
  RangeTableSample(trace, level, { relation, args, repeatable }) {
    readBy(trace, level, args)
    readBy(trace, level, repeatable)
    return fromItem(trace, level, relation ?? null)
  },
  RangeFunction: functions,
  RangeTableFunc(trace, level, { columns, alias, ...rest }) {
    const flow = derived([flowOf(trace, level, { ...rest }), flowOf(trace, level, columns)])
    const relation = { columns: namedColumns(columns, 'RangeTableFuncCol', 'colname', flow) }
    return leaf(level, { alias }, perRow(relation))
  },
  JsonTable(trace, level, { columns, alias, ...rest }) {
    const flow = derived([flowOf(trace, level, { ...rest }), flowOf(trace, level, columns)])
    return leaf(level, { alias }, perRow({ columns: jsonColumns(columns, flow) }))
  },
  JoinExpr: join,
}

/** A table, view or CTE; in a change, what is changed. */
export function tableLeaf(trace: Trace, level: Level, range: TreeNode): Relation {
  const [schema, name] = [text(range.schemaname), text(range.relname)]
  const cte = schema === '' ? cteNamed(level.ctes, name) : undefined
  return leaf(level, range, cte ?? storedRelation(trace, schema, name), cte === undefined)
}

function leaf(
  level: Level,
  { alias, relname, schemaname }: TreeNode,
  given: Relation,
  isStored = false,
): Relation {
  const { aliasname, colnames } = node(alias)
  const relation = named(renamed(given, names(colnames)), isStored)
  level.leaves.push({
    alias: text(aliasname) || text(relname),
    schema: text(aliasname) === '' ? text(schemaname) : '',
    relation,
    isStored,
    isOpen: true,
  })
  return relation
}

function functions(trace: Trace, level: Level, found: TreeNode): Relation {
  const { functions: calls, coldeflist, ordinality, is_rowsfrom: isSeveral, alias } = found
  const several = list(calls).map((item): Relation => {
    const [call, definition] = list(inner(node(item), 'List').items)
    const columns = list(coldeflist).length > 0 ? coldeflist : inner(node(definition), 'List').items
    const relation = functionRelation(trace, level, call)
    // A function of one value gives its column the alias for a name.
    return list(columns).length === 0
      ? isSeveral === true || relation.rest !== undefined || relation.columns.length !== 1
        ? relation
        : renamed(relation, [text(node(alias).aliasname) || (relation.columns[0]?.name ?? '')])
      : { columns: namedColumns(columns, 'ColumnDef', 'colname', whole(relation)) }
  })
  const number: Relation = { columns: ordinality === true ? [{ name: 'ordinality', flow: clean }] : [] }
  return leaf(level, { alias }, perRow(beside(several.reduce(beside, noRows), number)))
}

function functionRelation(trace: Trace, level: Level, call: Tree | undefined): Relation {
  const found = only(call, 'FuncCall')
  // What looks like a function and is none of them: CAST, COALESCE, CURRENT_DATE.
  if (found === undefined) return relationOf([], flowOf(trace, level, call))
  const passed = passedBy(trace, level, found)
  // How many rows there are is decided by what it is given.
  const isCount = passed.name.startsWith('generate_')
  for (const flow of passed.flows) trace.reads.add(flow, isCount || !flow.exact ? Infinity : 1)
  const relation = callRelation(trace, passed)
  trace.touch(whole(relation))
  return relation
}

function namedColumns(
  items: Tree | undefined,
  type: string,
  field: string,
  flow: Column['flow'],
): readonly Column[] {
  const own = { ...derived([flow]) }
  return list(items).map((item) => ({ name: text(only(item, type)?.[field]), flow: own }))
}

function jsonColumns(items: Tree | undefined, flow: Column['flow']): readonly Column[] {
  return list(items).flatMap((item) => {
    const column = only(item, 'JsonTableColumn') ?? {}
    return column.columns === undefined
      ? [{ name: text(column.name), flow: derived([flow]) }]
      : jsonColumns(column.columns, flow)
  })
}

function join(trace: Trace, level: Level, found: TreeNode): Relation {
  const { larg, rarg, quals, usingClause, isNatural, alias, join_using_alias: usingAlias } = found
  const before = level.leaves.length
  const left = fromItem(trace, level, larg ?? null)
  const right = fromItem(trace, level, rarg ?? null)
  const shared = isNatural === true ? common(left, right) : list(usingClause).map(stringOf)
  const isOpen = left.rest !== undefined || right.rest !== undefined
  const merged = shared.map((name) => ({
    name,
    flow: oneOf([...columnsNamed(left, name), ...columnsNamed(right, name)]),
  }))
  for (const name of shared) trace.reads.addEqual([...columnsNamed(left, name), ...columnsNamed(right, name)])
  // Which columns are the same is decided by columns that nobody here knows.
  if (isOpen && isNatural === true) trace.reads.add(derived([whole(left), whole(right)]))
  readBy(trace, level, quals)
  const star =
    isOpen && (isNatural === true || shared.length > 0)
      ? relationOf([], derived([whole(left), whole(right)]))
      : beside({ columns: merged }, beside(without(left, shared), without(right, shared)))
  if (usingAlias !== undefined)
    level.leaves.push(hidden(text(node(usingAlias).aliasname), { columns: merged }))
  if (alias === undefined) return star
  // Under an alias of its own the tables in it cannot be named.
  level.leaves.splice(before)
  return leaf(level, { alias }, star)
}

function hidden(alias: string, relation: Relation): Leaf {
  return { alias, schema: '', relation, isStored: false, isOpen: false }
}

function common(left: Relation, right: Relation): readonly string[] {
  const of = new Set(right.columns.map(({ name }) => name))
  return left.columns.map(({ name }) => name).filter((name) => of.has(name))
}

function columnsNamed({ columns, rest }: Relation, name: string) {
  const found = columns.filter((column) => column.name === name).map(({ flow }) => flow)
  return found.length > 0 || rest === undefined ? found : [rest]
}

function without({ columns, rest }: Relation, shared: readonly string[]): Relation {
  return relationOf(
    columns.filter(({ name }) => !shared.includes(name)),
    rest,
  )
}
