// What each statement gives back and where it puts what it reads. A statement that is not listed is lost: what it shows,
// and what becomes of it.
import { isTree, type TreeNode } from '../grammar.ts'
import { inner, list, node, nodeType, only, text } from '../walk.ts'
import { callRelation } from './calls.ts'
import { changeRelation, changes, copied, copiedIn } from './changes.ts'
import { flowOf, flowsOf, passedBy } from './expressions.ts'
import {
  clean,
  derived,
  type Flow,
  isClean,
  lost,
  lostRelation,
  noRows,
  type Relation,
  relationOf,
  whole,
} from './flow.ts'
import { tableLeaf } from './from.ts'
import { queryRelation } from './queries.ts'
import { levelIn } from './scope.ts'
import { type Level, type Trace, Uses } from './trace.ts'

/** `named`: arguments of the function whose body it stands in. */
export function statementRelation(
  trace: Trace,
  statement: TreeNode | undefined,
  named?: ReadonlyMap<string, Flow>,
): Relation {
  const type = statement === undefined ? '' : (nodeType(statement) ?? '')
  const way = ways[type]
  if (statement === undefined || way === undefined) {
    trace.lose()
    return lostRelation
  }
  const outer: Level | undefined = named && {
    leaves: [],
    outer: undefined,
    ctes: undefined,
    arguments: named,
  }
  return trace.step(() => way(trace, inner(statement, type), levelIn(outer)))
}

type Way = (trace: Trace, statement: TreeNode, level: Level) => Relation

const nothing: Way = () => noRows

const change =
  (type: string): Way =>
  (trace, statement, level) =>
    changeRelation(trace, type, statement, level)

/** All that it names stands under another name afterwards, or where no name leads to it. */
const moves: Way = (trace, statement, level) => {
  const relation = isTree(statement.relation)
    ? tableLeaf(trace, level, node(statement.relation))
    : lostRelation
  trace.copies.add(whole(relation))
  trace.raises.add(whole(relation))
  keeps(trace, statement)
  return noRows
}

/** Defaults, generated columns, checks, bounds: what they call gives is stored now, or by whoever writes there later. */
const keepsNamed: Way = (trace, statement) => {
  keeps(trace, statement)
  return noRows
}

function keeps(trace: Trace, parts: TreeNode): void {
  // No table can be read in them, and the columns that they may name are those of the table itself.
  const level = levelIn(undefined)
  const relation = relationOf([], clean)
  level.leaves.push({ alias: '', schema: '', relation, isStored: true, isOpen: true })
  trace.copies.add(flowOf(trace, level, parts))
}

/** Its errors quote keys of the table. */
const looksThrough: Way = (trace, statement, level) => {
  const { relation } = statement
  keeps(trace, statement)
  trace.raises.add(isTree(relation) ? whole(tableLeaf(trace, level, node(relation))) : lost)
  return noRows
}

const mayQuote: Way = (trace) => {
  trace.raises.add(lost)
  return noRows
}

const ways: Readonly<Record<string, Way>> = {
  SelectStmt(trace, select, level) {
    const relation = queryRelation(trace, select, level)
    return intoOf(select) ? stored(trace, relation) : relation
  },
  ...Object.fromEntries(Object.keys(changes).map((type) => [type, change(type)])),
  ReturnStmt: (trace, { returnval }, level) => ({
    columns: [{ name: '', flow: derived(flowsOf(trace, level, [returnval ?? null])) }],
  }),
  CopyStmt(trace, copy, level) {
    if (copy.is_from === true) {
      copiedIn(trace, copy, level)
      return noRows
    }
    const relation = isTree(copy.query) ? statementRelation(trace, copy.query) : copied(trace, copy, level)
    return copy.filename === undefined && copy.is_program !== true ? relation : stored(trace, relation)
  },
  CallStmt: (trace, statement, level) =>
    callRelation(
      trace,
      passedBy(trace, level, only(statement.funccall, 'FuncCall') ?? node(statement.funccall)),
    ),
  CreateTableAsStmt: (trace, { query }) =>
    stored(trace, statementRelation(trace, isTree(query) ? query : undefined)),
  ViewStmt: (trace, { query }) => stored(trace, statementRelation(trace, isTree(query) ? query : undefined)),
  // Both are known again once what is behind them is asked for.
  DeclareCursorStmt(trace, { query }) {
    statementRelation(trace, isTree(query) ? query : undefined)
    return noRows
  },
  PrepareStmt: nothing,
  ExecuteStmt(trace, { params }, level) {
    const given = derived(flowsOf(trace, level, params))
    if (trace.behind !== undefined && isClean(given)) return statementRelation(trace, trace.behind)
    trace.lose()
    return lostRelation
  },
  FetchStmt(trace, { ismove: isMove }) {
    const relation = statementRelation(trace, trace.behind)
    return isMove === true ? noRows : relation
  },
  ExplainStmt: explain,
  TruncateStmt: nothing,
  LockStmt: nothing,
  CommentStmt: nothing,
  GrantStmt: nothing,
  GrantRoleStmt: nothing,
  AlterDefaultPrivilegesStmt: nothing,
  AlterOwnerStmt: nothing,
  SecLabelStmt: nothing,
  // What was put off is checked now.
  TransactionStmt: mayQuote,
  VariableSetStmt: nothing,
  // What may not be seen is put into no setting: see set_config.
  VariableShowStmt: (_trace, { name }) =>
    text(name) === 'all' ? relationOf([], clean) : { columns: [{ name: text(name), flow: clean }] },
  ConstraintsSetStmt: mayQuote,
  DiscardStmt: nothing,
  DeallocateStmt: nothing,
  ClosePortalStmt: nothing,
  ListenStmt: nothing,
  UnlistenStmt: nothing,
  NotifyStmt: nothing,
  CheckPointStmt: nothing,
  VacuumStmt: mayQuote,
  ClusterStmt: looksThrough,
  ReindexStmt: looksThrough,
  IndexStmt: looksThrough,
  RefreshMatViewStmt: looksThrough,
  CreateStmt: keepsNamed,
  CreateSchemaStmt: (trace, { schemaElts }) => {
    for (const item of list(schemaElts)) statementRelation(trace, isTree(item) ? item : undefined)
    return noRows
  },
  CreateSeqStmt: nothing,
  AlterSeqStmt: nothing,
  CreateEnumStmt: nothing,
  CompositeTypeStmt: nothing,
  AlterEnumStmt: nothing,
  CreateDomainStmt: keepsNamed,
  CreateExtensionStmt: nothing,
  CreatedbStmt: nothing,
  DropdbStmt: nothing,
  AlterDatabaseStmt: nothing,
  AlterDatabaseSetStmt: nothing,
  CreateRoleStmt: nothing,
  AlterRoleStmt: nothing,
  AlterRoleSetStmt: nothing,
  DropStmt: nothing,
  DropRoleStmt: nothing,
  AlterTableStmt: moves,
  RenameStmt: moves,
  AlterObjectSchemaStmt: moves,
}

function intoOf(select: TreeNode): boolean {
  let left = select
  while (left.larg !== undefined) left = only(left.larg, 'SelectStmt') ?? node(left.larg)
  return left.intoClause !== undefined
}

/** It goes elsewhere instead of to the client. */
function stored(trace: Trace, relation: Relation): Relation {
  trace.copies.add(whole(relation))
  return noRows
}

/** The plan, as one column of text. Constants in it are the client's own, or what functions gave while it was planned. */
function explain(trace: Trace, { query, options }: TreeNode): Relation {
  const before = trace.copies
  const isRun = list(options).some((item) => only(item, 'DefElem')?.defname === 'analyze')
  if (!isRun) trace.copies = new Uses()
  const relation = statementRelation(trace, isTree(query) ? query : undefined)
  trace.copies = before
  // Estimates tell how often a value of the client's stands in a column.
  trace.reads.add(whole(relation))
  return { columns: [{ name: 'QUERY PLAN', flow: derived([trace.called.flow]) }] }
}
