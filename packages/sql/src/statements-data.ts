// Statements on data: queries, changes, COPY, cursors' queries. Refuses to know the catalogue: a view or a table with
// triggers looks like a plain table here.
import type { Effect } from '@portcullis/kernel'
import { condition, output } from './expressions.ts'
import { isTree, type Tree, type TreeNode } from './grammar.ts'
import type { Statements } from './statements.ts'
import type { Change } from './types.ts'
import { openCondition } from './bind.ts'
import type { Tables } from './shape.ts'
import { conditionOf } from './where.ts'
import {
  type FoundObject,
  inner,
  type Level,
  list,
  node,
  nodeType,
  only,
  stringOf,
  text,
  type Walk,
} from './walk.ts'

export const dataStatements: Statements = {
  SelectStmt: {
    verb: (select) =>
      leftmost(select).intoClause !== undefined
        ? 'SELECT INTO'
        : select.valuesLists === undefined
          ? 'SELECT'
          : 'VALUES',
    visit: select,
    returnsRows: (select) => leftmost(select).intoClause === undefined,
  },
  InsertStmt: {
    verb: 'INSERT',
    returnsRows: returning,
    visit(walk, insert) {
      walk.add('write')
      walk.change('insert')
      if (node(insert.onConflictClause).action === 'ONCONFLICT_UPDATE') walk.change('update')
      change(walk, insert, 'write', (target) => {
        for (const item of list(insert.cols)) target?.columns.add(text(only(item, 'ResTarget')?.name))
        walk.inserting = true
        walk.tree(insert.selectStmt)
        walk.inserting = false
        const conflict = node(insert.onConflictClause)
        if (target !== undefined) walk.level?.ranges.set('excluded', target)
        for (const item of list(node(conflict.infer).indexElems))
          target?.columns.add(text(only(item, 'IndexElem')?.name))
        assignments(walk, target, conflict.targetList)
        walk.fields(node(conflict.infer))
        condition(walk, conflict.whereClause)
        walk.fields(insert, ['withClause', 'relation', 'selectStmt', 'onConflictClause', 'returningClause'])
      })
    },
  },
  UpdateStmt: {
    verb: 'UPDATE',
    returnsRows: returning,
    visit(walk, update) {
      walk.add('write')
      walk.change('update')
      if (list(update.fromClause).length > 0) walk.add('read')
      change(walk, update, 'write', (target) => {
        from(walk, update.fromClause)
        assignments(walk, target, update.targetList)
        condition(walk, update.whereClause)
        leaves(walk, update, update.fromClause)
      })
    },
  },
  DeleteStmt: {
    verb: 'DELETE',
    returnsRows: returning,
    visit(walk, remove) {
      walk.add('delete')
      walk.change('delete')
      if (list(remove.usingClause).length > 0) walk.add('read')
      change(walk, remove, 'delete', () => {
        from(walk, remove.usingClause)
        condition(walk, remove.whereClause)
        leaves(walk, remove, remove.usingClause)
      })
    },
  },
  MergeStmt: {
    verb: 'MERGE',
    returnsRows: returning,
    visit: merge,
  },
  CopyStmt: {
    verb: 'COPY',
    returnsRows: (copy) => copy.is_from !== true && copy.filename === undefined && copy.is_program !== true,
    visit: copy,
  },
  TruncateStmt: {
    verb: 'TRUNCATE',
    visit(walk, truncate) {
      walk.add('delete')
      walk.change('truncate')
      walk.withTables('delete', () => walk.fields(truncate))
    },
  },
  ReturnStmt: {
    verb: 'RETURN',
    returnsRows: () => true,
    visit: (walk, result) => walk.fields(result),
  },
}

function select(walk: Walk, query: TreeNode): void {
  const values = list(query.valuesLists)
  // The rows of an INSERT are no reading of anything; what stands in them is visited.
  if (values.length === 0 || !walk.inserting) walk.add('read')
  walk.inserting = false
  if (list(query.lockingClause).length > 0) walk.add('write')
  scoped(walk, query.withClause, () => {
    into(walk, query.intoClause)
    if (query.larg !== undefined || query.rarg !== undefined) {
      // A set operation has no FROM of its own; its names are those of its first part.
      select(walk, unwrapped(query.larg))
      select(walk, unwrapped(query.rarg))
      for (const item of list(query.sortClause))
        if (only(only(item, 'SortBy')?.node, 'ColumnRef') === undefined) walk.tree(item)
      walk.tree(query.limitOffset)
      walk.tree(query.limitCount)
      return
    }
    level(walk, walk.level, () => {
      from(walk, query.fromClause)
      for (const item of list(query.targetList)) walk.level?.outputs.add(text(only(item, 'ResTarget')?.name))
      walk.level?.outputs.delete('')
      walk.tree(query.targetList)
      condition(walk, query.whereClause)
      for (const item of list(query.distinctClause)) output(walk, item)
      for (const item of list(query.groupClause)) output(walk, item)
      condition(walk, query.havingClause)
      walk.tree(query.windowClause)
      walk.tree(query.valuesLists)
      walk.tree(query.sortClause)
      walk.tree(query.limitOffset)
      walk.tree(query.limitCount)
    })
  })
}

function into(walk: Walk, clause: Tree | undefined): void {
  if (!isTree(clause)) return
  walk.add('define', 'write')
  walk.literalsMatter = true
  walk.table(clause.rel, 'define', list(clause.colNames).map(stringOf))
  walk.fields(clause, ['rel', 'colNames', 'viewQuery'])
}

/** INSERT, UPDATE, DELETE, MERGE: the CTEs, the table that is changed, what is done to it, what is given back. */
function change(
  walk: Walk,
  statement: TreeNode,
  effect: Effect,
  body: (target: FoundObject | undefined) => void,
): void {
  scoped(walk, statement.withClause, () => {
    level(walk, walk.level, () => {
      const relation = node(statement.relation)
      const target = walk.table(relation, effect)
      walk.level?.ranges.set(text(node(relation.alias).aliasname) || text(relation.relname), target)
      body(target)
      if (statement.returningClause !== undefined) {
        walk.add('read')
        const clause = node(statement.returningClause)
        for (const option of list(clause.options)) {
          const alias = text(only(option, 'ReturningOption')?.value)
          if (alias !== '') walk.level?.ranges.set(alias, target)
        }
        for (const alias of ['old', 'new']) {
          if (walk.level?.ranges.has(alias) === false) walk.level.ranges.set(alias, target)
        }
        walk.tree(clause.exprs)
      }
    })
  })
}

function assignments(walk: Walk, target: FoundObject | undefined, targets: Tree | undefined): void {
  for (const item of list(targets)) {
    const assignment = only(item, 'ResTarget')
    if (assignment === undefined) continue
    target?.columns.add(text(assignment.name))
    walk.tree(assignment.indirection)
    walk.tree(assignment.val)
  }
}

function merge(walk: Walk, statement: TreeNode): void {
  const clauses = list(statement.mergeWhenClauses).map((item) => only(item, 'MergeWhenClause') ?? {})
  walk.add('read')
  const effects = new Set(clauses.map((clause) => mergeEffects[text(clause.commandType)]))
  for (const effect of effects) if (effect !== undefined) walk.add(effect)
  for (const { commandType } of clauses) walk.change(...(mergeChanges[text(commandType)] ?? []))
  change(walk, statement, effects.has('write') ? 'write' : 'delete', (target) => {
    from(walk, [statement.sourceRelation ?? null])
    walk.literalsMatter = true
    condition(walk, statement.joinCondition)
    for (const clause of clauses) {
      condition(walk, clause.condition)
      assignments(walk, target, clause.targetList)
      walk.tree(clause.values)
      mergeLeaves(walk, statement, clause)
    }
    if (effects.has('write') && effects.has('delete')) walk.table(statement.relation, 'delete')
  })
}

function leaves(walk: Walk, statement: TreeNode, others: Tree | undefined): void {
  leavesBy(walk, statement.whereClause, tablesOf(statement.relation, others))
}

function leavesBy(walk: Walk, clause: Tree | undefined, tables: Tables): void {
  const { where, literalsMatter, isOpen } = conditionOf(clause, tables)
  if (literalsMatter) walk.literalsMatter = true
  walk.leaves(where, isOpen ? openCondition(clause, tables) : undefined)
}

/** Of a merge, what happens to rows of its target. */
function mergeLeaves(walk: Walk, statement: TreeNode, clause: TreeNode): void {
  if (!/^CMD_(UPDATE|DELETE)$/.test(text(clause.commandType))) return
  const tables = tablesOf(statement.relation, [statement.sourceRelation ?? null])
  const joined = statement.joinCondition ?? null
  const matched = clause.matchKind === 'MERGE_WHEN_NOT_MATCHED_BY_SOURCE' ? not(joined) : joined
  const args = [matched, ...(clause.condition === undefined ? [] : [clause.condition])]
  leavesBy(walk, { BoolExpr: { boolop: 'AND_EXPR', args } }, tables)
}

function not(condition: Tree): TreeNode {
  return { BoolExpr: { boolop: 'NOT_EXPR', args: [condition] } }
}

function tablesOf(relation: Tree | undefined, others: Tree | undefined): Tables {
  const all = new Map<string, string>()
  const add = (item: Tree | undefined): string => {
    const range = only(item, 'RangeVar') ?? node(item)
    const name = text(range.relname)
    const alias = text(node(range.alias).aliasname) || name
    if (name !== '') all.set(alias, name)
    return alias
  }
  const addAll = (item: Tree): void => {
    const join = only(item, 'JoinExpr')
    if (join === undefined) add(item)
    else for (const side of [join.larg ?? null, join.rarg ?? null]) addAll(side)
  }
  for (const item of list(others)) addAll(item)
  return { target: add(relation), all }
}

const mergeEffects: Readonly<Record<string, Effect>> = {
  CMD_INSERT: 'write',
  CMD_UPDATE: 'write',
  CMD_DELETE: 'delete',
}

const mergeChanges: Readonly<Record<string, readonly Change[]>> = {
  CMD_INSERT: ['insert'],
  CMD_UPDATE: ['update'],
  CMD_DELETE: ['delete'],
}

function copy(walk: Walk, statement: TreeNode): void {
  const incoming = statement.is_from === true
  const file = text(statement.filename)
  walk.literalsMatter = true
  if (incoming) {
    walk.add('write')
    walk.change('insert')
  } else walk.add('read', 'export')
  if (statement.is_program === true) {
    walk.add('execute')
    walk.privileged = true
    walk.object('program', '', programName(file), 'execute')
  } else if (statement.filename !== undefined) {
    walk.privileged = true
    walk.object('path', '', file, incoming ? 'read' : 'export')
  }
  const columns = list(statement.attlist).map(stringOf)
  walk.tree(statement.query)
  level(walk, undefined, () => {
    const effect = incoming ? 'write' : 'export'
    const found = walk.table(statement.relation, effect, columns.length > 0 || incoming ? columns : ['*'])
    if (found !== undefined) walk.level?.ranges.set(found.name, found)
    condition(walk, statement.whereClause)
    walk.tree(statement.options)
  })
}

/** The program alone: settings of its environment in front of it, and its arguments, may be secrets. */
function programName(command: string): string {
  return (
    command
      .trim()
      .split(/\s+/)
      .find((word) => !/^\w+=/.test(word)) ?? ''
  )
}

function scoped(walk: Walk, clause: Tree | undefined, body: () => void): void {
  if (!isTree(clause)) {
    body()
    return
  }
  const before = walk.ctes
  const scope = { outer: before, names: new Set<string>() }
  const expressions = list(clause.ctes).map((item) => only(item, 'CommonTableExpr') ?? {})
  walk.ctes = scope
  if (clause.recursive === true) for (const cte of expressions) scope.names.add(text(cte.ctename))
  for (const cte of expressions) {
    const outer = walk.level
    walk.fields(cte)
    walk.level = outer
    scope.names.add(text(cte.ctename))
  }
  body()
  walk.ctes = before
}

/** `outer` is the level whose columns the new one can see. */
function level(walk: Walk, outer: Level | undefined, body: () => void): void {
  const before = walk.level
  walk.level = { outer, ranges: new Map(), outputs: new Set() }
  body()
  walk.level = before
}

function from(walk: Walk, items: Tree | undefined): void {
  for (const item of list(items)) fromItem(walk, item)
}

function fromItem(walk: Walk, item: Tree): void {
  if (!isTree(item)) return
  const type = nodeType(item) ?? ''
  const range = inner(item, type)
  const alias = text(node(range.alias).aliasname)
  if (type === 'RangeVar') {
    const found = walk.table(range, 'read')
    walk.level?.ranges.set(alias || text(range.relname), found)
  } else if (type === 'JoinExpr') {
    fromItem(walk, range.larg ?? null)
    fromItem(walk, range.rarg ?? null)
    for (const name of list(range.usingClause).map(stringOf))
      for (const found of walk.level?.ranges.values() ?? []) found?.columns.add(name)
    if (alias !== '') walk.level?.ranges.set(alias, undefined)
    condition(walk, range.quals)
  } else if (type === 'RangeSubselect') {
    // Only LATERAL sees the tables beside it; without it the next level out is what the whole query sees.
    const here = walk.level
    if (range.lateral !== true) walk.level = here?.outer
    walk.tree(range.subquery)
    walk.level = here
    here?.ranges.set(alias || `?${here.ranges.size}`, undefined)
  } else if (type === 'RangeTableSample') {
    fromItem(walk, range.relation ?? null)
    walk.tree({ RangeTableSample: { ...range, relation: null } })
  } else {
    walk.level?.ranges.set(alias || `?${walk.level.ranges.size}`, undefined)
    walk.tree(item)
  }
}

function returning(statement: TreeNode): boolean {
  return statement.returningClause !== undefined
}

function leftmost(query: TreeNode): TreeNode {
  let left = query
  while (left.larg !== undefined) left = unwrapped(left.larg)
  return left
}

function unwrapped(query: Tree | undefined): TreeNode {
  return only(query, 'SelectStmt') ?? node(query)
}
