// The table of every statement of PostgreSQL's grammar: its verb, what it does, whether rows come back. A statement
// that a later grammar adds is unknown until it has an entry; statements.test.ts fails when one is missing.
import { definitionStatements } from './statements-define.ts'
import { dataStatements } from './statements-data.ts'
import { sessionStatements } from './statements-session.ts'
import type { TreeNode } from './grammar.ts'
import type { Transaction } from './types.ts'
import type { Walk } from './walk.ts'

export interface Statement {
  readonly verb: string | ((node: TreeNode) => string)
  readonly visit: (walk: Walk, node: TreeNode) => void
  /** Absent: certainly none. */
  readonly returnsRows?: (node: TreeNode) => boolean
  readonly transaction?: (node: TreeNode) => Transaction | undefined
}

export type Statements = Readonly<Record<string, Statement>>

export const statements: Statements = {
  ...dataStatements,
  ...definitionStatements,
  ...sessionStatements,
}

/** Nodes named like statements that stand for no statement of their own: the reason they have no entry. */
export const notStatements: Readonly<Record<string, string>> = {
  RawStmt: 'the wrapper of every statement',
  SetOperationStmt: 'made by the analyzer, never by the grammar',
  PLAssignStmt: 'plpgsql only, by a parser mode that is not used here',
}
