import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import { loadGrammar, type Tree } from './grammar.ts'
import { createSqlAnalyzer, resolveNames } from './index.ts'
import { notStatements, statements } from './statements.ts'
import { corpus } from './testing/corpus.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
const order = ['read', 'write', 'delete', 'define', 'grant', 'execute', 'export', 'unknown']

test('every block of the corpus has exactly the effects that it expects', () => {
  const blocks = corpus()
  assert.ok(blocks.length > 300, `only ${blocks.length} blocks found`)
  const wrong: string[] = []
  for (const block of blocks) {
    const sql = Buffer.from(block.sql)
    const analyses = resolveNames(analyzer.analyzeNow(sql, 0, sql.length), () => undefined)
    const found = new Set(analyses.flatMap((analysis) => analysis.effects))
    const effects = order.filter((effect) => found.has(effect as never)).join(' ')
    const expected = order.filter((effect) => block.effects.includes(effect)).join(' ')
    const privileged = analyses.some((analysis) => analysis.privileged)
    if (effects !== expected || privileged !== block.privileged)
      wrong.push(
        `${block.file}:${block.line} ${block.sql}\n    is ${effects} ${privileged}, not ${expected} ${block.privileged}`,
      )
  }
  assert.deepEqual(wrong, [], wrong.join('\n'))
})

test("every statement of the grammar's node types has an entry, or a reason for none", () => {
  const types = createRequire(import.meta.url).resolve('@pgsql/types')
  const declared = readFileSync(new URL('types.d.ts', `file://${types}`), 'utf8')
  const names = [...declared.matchAll(/^export interface (\w+Stmt) /gm)].map((match) => match[1] ?? '')
  assert.ok(names.length > 100, `only ${names.length} statements found in the grammar's types`)
  const missing = names.filter((name) => statements[name] === undefined && notStatements[name] === undefined)
  assert.deepEqual(missing, [])
})

test('every entry of the table is exercised by the corpus', async () => {
  const grammar = await loadGrammar()
  const seen = new Set<string>()
  const collect = (tree: Tree | undefined): void => {
    if (typeof tree !== 'object' || tree === null) return
    if (!Array.isArray(tree)) for (const key of Object.keys(tree)) seen.add(key)
    for (const value of Object.values(tree)) collect(value)
  }
  for (const block of corpus())
    for (const statement of grammar.parse(Buffer.from(block.sql)) ?? []) collect(statement.node)
  assert.deepEqual(
    Object.keys(statements).filter((name) => !seen.has(name)),
    [],
  )
})
