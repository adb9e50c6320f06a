// Definitions that a catalogue stores (a view's query, a rule's actions, a function's statements, a condition) -> what
// they do when they are carried out. Parsed once each. Refuses to guess: what cannot be read is unknown.
import type { Functions } from './functions.ts'
import { type Grammar, isTree, type Tree, type TreeNode } from './grammar.ts'
import { type Judgement, judge, unreadable } from './judge.ts'
import { list, only } from './walk.ts'

export type StoredKind = 'statements' | 'rule' | 'condition'

export interface Stored {
  read(kind: StoredKind, text: string): readonly Judgement[]
  /** Of its statements, each time anew; undefined: it cannot be read. */
  trees(kind: StoredKind, text: string): readonly (TreeNode | undefined)[]
  /** What an earlier catalogue had parsed is needed no more. */
  complete(): void
  readonly known: ReadonlyMap<string, readonly Judgement[]>
}

/** A longer one is unknown: it would hold up everybody else on this thread. */
const textBytesMax = 65_536

export function createStored(grammar: Grammar, functions: Functions, before?: Stored): Stored {
  const known = new Map<string, readonly Judgement[]>()
  let earlier = before?.known
  return {
    known,
    complete() {
      earlier = undefined
    },
    trees: (kind, text) => parse(grammar, kind, text),
    read(kind, text) {
      const key = `${kind}\0${text}`
      let found = known.get(key) ?? earlier?.get(key)
      if (found === undefined) {
        found = parse(grammar, kind, text).map((statement) =>
          statement === undefined ? unreadable : judge(functions, statement),
        )
      }
      known.set(key, found)
      return found
    },
  }
}

function parse(grammar: Grammar, kind: StoredKind, text: string): readonly (TreeNode | undefined)[] {
  const isStandard = kind === 'statements' && isStandardBody(text)
  const head = isStandard ? 'create function f() returns int language sql ' : ''
  const sql = Buffer.from(kind === 'condition' ? `select (${text})` : `${head}${text}`)
  const parsed = sql.length > textBytesMax || sql.includes(0) ? undefined : grammar.parse(sql)
  if (parsed === undefined) return [undefined]
  const nodes = parsed.map(({ node }) => node)
  if (isStandard) return nodes.flatMap((node) => bodyOf(only(node, 'CreateFunctionStmt')?.sql_body))
  return kind === 'rule' ? nodes.flatMap(actionsOf) : nodes
}

/**
 * As pg_get_function_sqlbody gives a body of the SQL standard: no statement by itself, and every name in it with its
 * schema, or PostgreSQL's own.
 */
export function isStandardBody(body: string): boolean {
  return /^\s*(begin\s+atomic|return)\b/i.test(body)
}

function bodyOf(body: Tree | undefined): readonly (TreeNode | undefined)[] {
  if (Array.isArray(body)) return (body as readonly Tree[]).flatMap(bodyOf)
  const items = only(body, 'List')?.items
  return items === undefined ? [isTree(body) ? body : undefined] : bodyOf(items)
}

/** What a rule does, and the condition that it looks at first. */
function actionsOf(statement: TreeNode): readonly (TreeNode | undefined)[] {
  const rule = only(statement, 'RuleStmt')
  if (rule === undefined) return [undefined]
  const condition = isTree(rule.whereClause) ? [{ SelectStmt: { whereClause: rule.whereClause } }] : []
  return [...condition, ...list(rule.actions).map((action) => (isTree(action) ? action : undefined))]
}
