// One parsed statement -> what it does. Pure. Anything in the tree that nobody here knows makes the statement unknown.
import type { CopyLayout, Effect, TargetObject, Where } from '@portcullis/kernel'
import { copyLayoutOf } from './copy-layout.ts'
import { expressionVisitors } from './expressions.ts'
import type { Functions } from './functions.ts'
import type { TreeNode } from './grammar.ts'
import { notStatements, statements } from './statements.ts'
import type { Facts, NamedStatement, OpenConditions, Transaction } from './types.ts'
import { inner, nodeType, Walk, widest } from './walk.ts'

/** The part of an analysis that comes from the tree. */
export interface Judgement {
  readonly verb: string
  readonly effects: readonly Effect[]
  readonly objects: readonly TargetObject[]
  readonly privileged: boolean
  readonly returnsRows: boolean
  readonly undoes: boolean
  readonly where?: Where
  readonly literalsMatter: boolean
  readonly transaction?: Transaction
  readonly copy?: CopyLayout
  readonly facts?: Facts
  readonly named?: NamedStatement
  readonly open?: OpenConditions
}

/**
 * What cannot be read is not waved through: every flag that a rule may lean on is set, `privileged` among them, since a
 * rule against privileged use that an odd spelling escapes would be no rule.
 */
export const unreadable: Judgement = {
  verb: 'UNKNOWN',
  effects: ['unknown'],
  objects: [],
  privileged: true,
  returnsRows: true,
  undoes: false,
  where: 'unknown',
  literalsMatter: true,
}

export const empty: Judgement = {
  verb: 'EMPTY',
  effects: [],
  objects: [],
  privileged: false,
  returnsRows: false,
  undoes: false,
  literalsMatter: true,
}

export function judge(functions: Functions, statement: TreeNode): Judgement {
  const type = nodeType(statement) ?? ''
  const entry = statements[type]
  if (entry === undefined) return unreadable
  const node = inner(statement, type)
  const walk = new Walk(functions, visit)
  try {
    entry.visit(walk, node)
  } catch {
    // Nested deeper than the walk or this thread's stack goes.
    return unreadable
  }
  const objects = walk.objects()
  if (objects.length > objectsMax) return unreadable
  const transaction = entry.transaction?.(node)
  const { named } = walk
  const where = walk.effects.has('unknown') ? widest(walk.where, 'unknown') : walk.where
  const returnsRows = entry.returnsRows?.(node) ?? false
  const copy = type === 'CopyStmt' && returnsRows ? copyLayoutOf(node) : undefined
  const verb = typeof entry.verb === 'string' ? entry.verb : entry.verb(node)
  return {
    verb,
    effects: effectOrder.filter((effect) => walk.effects.has(effect)),
    objects,
    privileged: walk.isPrivileged,
    returnsRows,
    undoes: transaction === 'rollback' || transaction === 'rollbackTo',
    literalsMatter: walk.literalsMatter || walk.effects.has('unknown') || walk.isPrivileged,
    ...(where !== undefined && { where }),
    ...(transaction === undefined ? {} : { transaction }),
    ...(copy && { copy }),
    ...(named && { named }),
    ...(walk.open && { open: walk.open }),
    // What a name of the session stands for is no business of the catalogue.
    ...(refinable.has(type) && named?.action !== 'use' && { facts: walk.facts(verb === 'EXPLAIN') }),
  }
}

/** Statements that run a query, so that what their names stand for decides what they do. */
const refinable = new Set([
  'SelectStmt',
  'InsertStmt',
  'UpdateStmt',
  'DeleteStmt',
  'MergeStmt',
  'CopyStmt',
  'TruncateStmt',
  'CallStmt',
  'ReturnStmt',
  'ExplainStmt',
  'PrepareStmt',
  'DeclareCursorStmt',
  'CreateTableAsStmt',
])

/** A statement that names more is made to be long; its analysis would be no smaller. */
const objectsMax = 2000

export const effectOrder: readonly Effect[] = [
  'read',
  'write',
  'delete',
  'define',
  'grant',
  'execute',
  'export',
  'unknown',
]

function visit(walk: Walk, type: string, node: TreeNode): void {
  const own = expressionVisitors[type] ?? statements[type]?.visit
  if (own !== undefined) {
    own(walk, node)
    return
  }
  if (type.endsWith('Stmt') && notStatements[type] === undefined) walk.add('unknown')
  walk.fields(node)
}
