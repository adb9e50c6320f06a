import type { CatalogueRelation } from '../catalogue-types.ts'
import { isTree, type Tree, type TreeNode } from '../grammar.ts'
import type { Change } from '../types.ts'
import { list, node, only, stringOf, text } from '../walk.ts'
import { flowOf, readBy } from './expressions.ts'
import {
  beside,
  clean,
  derived,
  either,
  type Flow,
  storedIn,
  lost,
  lostRelation,
  noRows,
  perRow,
  type Relation,
  relationOf,
  whole,
} from './flow.ts'
import { fromItems, tableLeaf } from './from.ts'
import { queryRelation, targets, withCtes } from './queries.ts'
import { levelIn } from './scope.ts'
import type { Level, Trace } from './trace.ts'

type Way = (trace: Trace, statement: TreeNode, level: Level) => Relation

/** What it gives back. `type` is that of the statement's node. */
export function changeRelation(trace: Trace, type: string, statement: TreeNode, level: Level): Relation {
  const way = changes[type]
  if (way === undefined) {
    trace.lose()
    return lostRelation
  }
  return trace.step(() => way(trace, statement, withCtes(trace, statement.withClause, level)))
}

export const changes: Readonly<Record<string, Way>> = {
  InsertStmt(trace, insert, level) {
    const target = targetOf(trace, insert, level, ['insert', 'update'])
    const conflict = node(insert.onConflictClause)
    const given = givenTo(trace, insert, level, target)
    for (const { column, flow } of given) store(trace, target, column, flow)
    level.leaves.push({
      alias: 'excluded',
      schema: '',
      relation: excluded(target.relation, given),
      isStored: false,
      isOpen: false,
    })
    assign(trace, target, level, conflict.targetList)
    readBy(trace, level, conflict.whereClause)
    for (const item of list(node(conflict.infer).indexElems)) meets(trace, insert, level, target, item)
    readBy(trace, level, node(conflict.infer).whereClause)
    return returning(trace, insert, level, target, noRows)
  },
  UpdateStmt(trace, update, level) {
    const target = targetOf(trace, update, level, ['update'])
    const others = fromItems(trace, level, list(update.fromClause))
    assign(trace, target, level, update.targetList)
    readBy(trace, level, update.whereClause)
    return returning(trace, update, level, target, others)
  },
  DeleteStmt(trace, remove, level) {
    const target = targetOf(trace, remove, level, ['delete'])
    const others = fromItems(trace, level, list(remove.usingClause))
    readBy(trace, level, remove.whereClause)
    return returning(trace, remove, level, target, others)
  },
  MergeStmt(trace, merge, level) {
    const target = targetOf(trace, merge, level, ['insert', 'update', 'delete'])
    const source = fromItems(trace, level, [merge.sourceRelation ?? null])
    readBy(trace, level, merge.joinCondition)
    for (const item of list(merge.mergeWhenClauses)) {
      const clause = only(item, 'MergeWhenClause') ?? {}
      readBy(trace, level, clause.condition)
      if (clause.commandType !== 'CMD_INSERT') assign(trace, target, level, clause.targetList)
      else {
        const columns = columnsOf(target.relation, clause.targetList)
        for (const [at, value] of list(clause.values).entries())
          store(trace, target, columns[at], flowOf(trace, level, value))
      }
    }
    // The rows of the source come first.
    return returning(trace, merge, level, target, source, true)
  },
}

/** Whether a row is put in tells whether its key is there already. */
function meets(trace: Trace, insert: TreeNode, level: Level, { relation }: Target, item: Tree): void {
  const { name, expr } = only(item, 'IndexElem') ?? {}
  const isOneRow = list(only(insert.selectStmt, 'SelectStmt')?.valuesLists).length === 1
  const key = relation.columns.find((column) => column.name === name)?.flow ?? flowOf(trace, level, expr)
  trace.reads.add(key, isOneRow ? 1 : Infinity)
}

interface Target {
  readonly relation: Relation
  /** Rules or triggers of a view's give back what they like. */
  readonly isReplaced: boolean
  /** What is put into it, by column; under no name what nobody knows the column of. */
  readonly put: Map<string | undefined, Flow[]>
}

function targetOf(trace: Trace, statement: TreeNode, level: Level, events: readonly Change[]): Target {
  const range = node(statement.relation)
  // No CTE can be changed.
  const relation = tableLeaf(trace, { ...level, ctes: undefined }, range)
  quotes(trace, relation, events)
  const [schema, name] = [text(range.schemaname), text(range.relname)]
  const known = trace.index.relations(schema, name, trace.path)
  const isReplaced = [...known, ...ownersOf(trace, relation)].some((one) => isAnsweredOtherwise(one, events))
  if (isReplaced) trace.lose()
  return { relation, isReplaced, put: new Map() }
}

function isAnsweredOtherwise(
  { kind, rules = [], triggers = [] }: CatalogueRelation,
  events: readonly Change[],
): boolean {
  const isRuled = rules.some(({ event }) => events.includes(event))
  return (
    isRuled ||
    (kind === 'v' && triggers.some((trigger) => trigger.events.some((event) => events.includes(event))))
  )
}

/** The tables behind a view that is changed have rules of their own. */
function ownersOf(trace: Trace, relation: Relation): readonly CatalogueRelation[] {
  const { tables } = trace.index.lineage
  const owners = new Set(storedIn(whole(relation)).flatMap((ref) => tables.of(ref)?.table ?? []))
  return [...owners].flatMap(({ schema, name }) => trace.index.relations(schema, name, []))
}

/** Its errors quote whole rows, also of tables that its foreign keys change, and of the table behind a view. */
function quotes(trace: Trace, relation: Relation, events: readonly Change[]): void {
  const { tables } = trace.index.lineage
  trace.raises.add(whole(relation))
  const owners = new Set(storedIn(whole(relation)).map((ref) => tables.of(ref)))
  for (const owner of owners) {
    if (owner === undefined) continue
    for (const reached of [owner.table, ...cascaded(trace, owner.table.id)])
      for (const ref of tables.byId(reached.id)?.refs ?? [])
        if (ref !== undefined) trace.raises.add({ refs: new Set([ref]), lost: false, exact: false })
    const { schema, name } = owner.table
    const fired = trace.index
      .relations(schema, name, [])
      .some(({ triggers = [] }) => triggers.some((one) => one.events.some((event) => events.includes(event))))
    // A trigger says what it likes.
    if (fired) trace.raises.add(lost)
  }
}

function cascaded(trace: Trace, id: number) {
  const { tables } = trace.index.lineage
  const found = new Map<number, NonNullable<ReturnType<typeof tables.byId>>['table']>()
  const waiting = [id]
  for (let at = waiting.pop(); at !== undefined; at = waiting.pop())
    for (const next of tables.byId(at)?.table.cascades ?? []) {
      const table = tables.byId(next)?.table
      if (table === undefined) trace.raises.add(lost)
      else if (!found.has(next)) {
        found.set(next, table)
        waiting.push(next)
      }
    }
  return found.values()
}

interface Given {
  readonly column: string | undefined
  readonly flow: Flow
}

/** What INSERT puts in, column by column. */
function givenTo(trace: Trace, insert: TreeNode, level: Level, target: Target): readonly Given[] {
  const select = only(insert.selectStmt, 'SelectStmt')
  if (select === undefined) return []
  const { columns, rest } = queryRelation(trace, select, levelIn(level.outer, level.ctes))
  const names = columnsOf(target.relation, insert.cols)
  const given = columns.map(({ flow }, at): Given => ({ column: names[at], flow }))
  return rest === undefined ? given : [...given, { column: undefined, flow: rest }]
}

function columnsOf(target: Relation, items: Tree | undefined): readonly (string | undefined)[] {
  const named = list(items).map((item) => text(only(item, 'ResTarget')?.name))
  return named.length > 0 ? named : target.columns.map(({ name }) => name)
}

function excluded(target: Relation, given: readonly Given[]): Relation {
  const anywhere = given.filter(({ column }) => column === undefined).map(({ flow }) => flow)
  const flowFor = (name: string) =>
    either([...anywhere, ...given.filter(({ column }) => column === name).map(({ flow }) => flow)])
  return relationOf(
    target.columns.map(({ name }) => ({ name, flow: flowFor(name) })),
    target.rest,
  )
}

function assign(trace: Trace, target: Target, level: Level, items: Tree | undefined): void {
  for (const item of list(items)) {
    const { name, val, indirection } = only(item, 'ResTarget') ?? {}
    readBy(trace, level, indirection)
    const isWhole = list(indirection).length === 0
    store(trace, target, isWhole ? text(name) : undefined, flowOf(trace, level, val))
  }
}

/** `column` undefined: nobody knows where. */
function store(trace: Trace, { relation, put }: Target, column: string | undefined, flow: Flow): void {
  const own = relation.columns.find(({ name }) => name === column)?.flow.refs
  const isItself = own !== undefined && flow.exact && [...flow.refs].every((ref) => own.has(ref))
  if (!isItself || flow.lost) trace.copies.add(flow)
  put.set(column, [...(put.get(column) ?? []), flow])
  trace.raises.add(flow)
}

function returning(
  trace: Trace,
  statement: TreeNode,
  level: Level,
  target: Target,
  others: Relation,
  isLast = false,
): Relation {
  if (statement.returningClause === undefined) return noRows
  const { exprs, options } = node(statement.returningClause)
  const { isReplaced } = target
  const relation = afterwards(target)
  const [changed] = level.leaves
  if (changed) level.leaves[0] = { ...changed, relation }
  const renamed = list(options).map((option) => text(only(option, 'ReturningOption')?.value))
  for (const alias of ['old', 'new', ...renamed])
    if (!level.leaves.some((leaf) => leaf.alias === alias))
      level.leaves.push({ alias, schema: '', relation, isStored: true, isOpen: false })
  const star = isLast ? beside(others, relation) : beside(relation, others)
  const found = perRow(targets(trace, level, exprs, star))
  return isReplaced ? relationOf([], derived([lost, whole(found)])) : found
}

/** As it is once it is changed. */
function afterwards({ relation, put }: Target): Relation {
  const anywhere = put.get(undefined) ?? []
  return relationOf(
    relation.columns.map(({ name, flow }) => ({
      name,
      flow: either([flow, ...(put.get(name) ?? []), ...anywhere]),
    })),
    relation.rest && derived([relation.rest, ...[...put.values()].flat()]),
  )
}

/** COPY of a table's columns. */
export function copied(trace: Trace, copy: TreeNode, level: Level): Relation {
  const relation = tableLeaf(trace, level, node(copy.relation))
  readBy(trace, level, copy.whereClause)
  const wanted = list(copy.attlist).map(stringOf)
  const star = trace.touch(whole(relation)).row ?? relation
  if (wanted.length === 0) return star
  return {
    columns: wanted.map((name) => ({
      name,
      flow: star.columns.find((column) => column.name === name)?.flow ?? star.rest ?? lost,
    })),
  }
}

/** What COPY brings in is the client's own, or of a file that nobody here has seen. */
export function copiedIn(trace: Trace, copy: TreeNode, level: Level): void {
  const target = targetOf(trace, { relation: copy.relation ?? null }, level, ['insert'])
  readBy(trace, level, copy.whereClause)
  if (target.relation.rest !== undefined || !isTree(copy.relation)) trace.raises.add(lost)
  else trace.raises.add(clean)
}
