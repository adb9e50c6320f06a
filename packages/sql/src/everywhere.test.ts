// No corner of a tree goes unseen: what stands anywhere in a statement must show in its analysis.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { loadGrammar, type Tree, type TreeNode } from './grammar.ts'
import { createSqlAnalyzer, type StatementAnalysis } from './index.ts'
import { Kind, Lexer } from './lexer.ts'
import { corpus } from './testing/corpus.ts'
import { inner, nodeType, qualified, text } from './walk.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
const grammar = await loadGrammar()

function analyze(sql: string): readonly StatementAnalysis[] {
  const bytes = Buffer.from(sql)
  return analyzer.analyzeNow(bytes, 0, bytes.length)
}

/** Calls `see` for every typed node, and for every bare RangeVar. */
function everyNode(tree: Tree | undefined, see: (type: string, node: TreeNode) => void): void {
  if (typeof tree !== 'object' || tree === null) return
  if (Array.isArray(tree)) {
    for (const item of tree as readonly Tree[]) everyNode(item, see)
    return
  }
  const node = tree as TreeNode
  const type = nodeType(node)
  if (type !== undefined) see(type, inner(node, type))
  else if (typeof node.relname === 'string') see('RangeVar', node)
  for (const field in node) everyNode(node[field], see)
}

test('every table and every function in the tree is among the objects', () => {
  let tables = 0
  let functions = 0
  for (const block of corpus()) {
    const parsed = grammar.parse(Buffer.from(block.sql))
    if (parsed === undefined) continue
    const analyses = analyze(block.sql)
    for (const [index, statement] of parsed.entries()) {
      const objects = analyses[index]?.objects ?? []
      const has = (kinds: readonly string[], namespace: string, name: string): boolean =>
        objects.some(
          (each) => kinds.includes(each.kind) && each.namespace === namespace && each.name === name,
        )
      const ctes = new Set<string>()
      everyNode(statement.node, (type, node) => {
        if (type === 'CommonTableExpr') ctes.add(text(node.ctename))
      })
      everyNode(statement.node, (type, node) => {
        const name = text(node.relname)
        if (type === 'RangeVar' && name !== '' && !(node.schemaname === undefined && ctes.has(name))) {
          // The alias list of FOR UPDATE OF is no table.
          if (/for (no key )?update of/i.test(block.sql)) return
          tables += 1
          assert.ok(has(['table'], text(node.schemaname), name), `${name} in ${block.sql}`)
        } else if (type === 'FuncCall') {
          const [schema, called] = qualified(node.funcname)
          functions += 1
          assert.ok(has(['function'], schema, called), `${called} in ${block.sql}`)
        }
      })
    }
  }
  assert.ok(tables > 200 && functions > 120, `${tables} tables and ${functions} functions seen`)
})

test('a call that writes is found wherever an expression can stand', () => {
  let placed = 0
  for (const block of corpus()) {
    if (block.file !== 'reads.sql') continue
    for (const sql of withCalls(block.sql)) {
      if (!calls(sql, 'nextval')) continue
      placed += 1
      const effects = analyze(sql).flatMap((each) => each.effects)
      assert.ok(effects.includes('execute'), sql)
    }
  }
  assert.ok(placed > 400, `only ${placed} places tried`)
})

test('a change inside a WITH is found wherever a query can stand', () => {
  let placed = 0
  const change = '(with gone as (delete from t returning id) select id from gone)'
  for (const block of corpus()) {
    if (block.file !== 'reads.sql') continue
    for (const sql of withCalls(block.sql, [change])) {
      if (/^explain(?! analyze)/i.test(sql) || grammar.parse(Buffer.from(sql)) === undefined) continue
      placed += 1
      assert.ok(
        analyze(sql).some((each) => each.effects.includes('delete')),
        sql,
      )
    }
  }
  assert.ok(placed > 150, `only ${placed} places tried`)
})

/** False for what only looks like a call: `f(…) 'x'` and `x::f(…)` name types. */
function calls(sql: string, name: string): boolean {
  let found = false
  for (const statement of grammar.parse(Buffer.from(sql)) ?? [])
    everyNode(statement.node, (type, node) => {
      if (type === 'FuncCall' && qualified(node.funcname)[1] === name) found = true
    })
  return found
}

/** The text with each literal, and each plain word, in turn exchanged for a call. */
function withCalls(
  sql: string,
  calls = ["nextval('seq')", "app.touch(nextval('seq')::int)"],
): readonly string[] {
  const bytes = Buffer.from(sql)
  const lexer = new Lexer(bytes, 0, bytes.length)
  const texts: string[] = []
  for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
    if (kind !== Kind.number && kind !== Kind.string && kind !== Kind.word) continue
    const before = bytes.toString('utf8', 0, lexer.start)
    const after = bytes.toString('utf8', lexer.end)
    for (const call of calls) texts.push(`${before}${call}${after}`)
  }
  return texts
}
