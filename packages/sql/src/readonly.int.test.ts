// The server as judge: what it refuses to do in a read-only transaction writes, and must not be reported as a read.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { createSqlAnalyzer, type StatementAnalysis } from './index.ts'
import { type Block, corpus, fixture } from './testing/corpus.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
let server: Awaited<ReturnType<typeof startPostgres>>
let postgres: Postgres

before(async () => {
  server = await startPostgres({ settings: { max_prepared_transactions: 2, wal_level: 'logical' } })
  postgres = server.value
  await postgres.query(fixture())
})
after(() => server.stop())

test('no statement that the server refuses as a write in a read-only transaction is only a read', async () => {
  let refused = 0
  const wrong: string[] = []
  for (const block of corpus()) {
    if ((await codeInReadOnly(block)) !== '25006') continue
    refused += 1
    const effects = analyze(block.sql).flatMap((analysis) => analysis.effects)
    if (effects.every((effect) => effect === 'read')) wrong.push(`${block.file}:${block.line} ${block.sql}`)
  }
  assert.deepEqual(wrong, [])
  // The judge must have judged: a broken fixture would make everything fail for another reason.
  assert.ok(refused > 120, `only ${refused} statements were refused as writes`)
})

test('what the corpus calls a plain read runs in a read-only transaction', async () => {
  const wrong: string[] = []
  for (const block of corpus()) {
    if (block.effects.join() !== 'read' || /\$1|p_read/.test(block.sql)) continue
    const code = await codeInReadOnly(block)
    if (code !== '') wrong.push(`${block.file}:${block.line} ${code} ${block.sql}`)
  }
  assert.deepEqual(wrong, [])
})

test('tables agree with EXPLAIN VERBOSE, views aside', async () => {
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  let compared = 0
  try {
    for (const block of corpus()) {
      if (!/^(select|with|table|\()/i.test(block.sql) || block.effects.join() !== 'read') continue
      if (/\$\d|\b(v|mv|information_schema|pg_\w+|part|version)\b/.test(block.sql)) continue
      const plan = await client.query<{ 'QUERY PLAN': unknown }>(
        `explain (verbose, format json) ${block.sql}`,
      )
      const planned = new Set<string>()
      relations(plan.rows[0]?.['QUERY PLAN'], planned)
      const found = new Set(
        analyze(block.sql).flatMap((analysis) =>
          analysis.objects
            .filter((object) => object.kind === 'table')
            .map((object) => `${object.namespace || 'public'}.${object.name}`),
        ),
      )
      assert.deepEqual([...found].sort(), [...planned].sort(), block.sql)
      compared += 1
    }
  } finally {
    await client.end()
  }
  assert.ok(compared > 40, `only ${compared} plans compared`)
})

test('every function on the read-only list is one of this server, and none that it refuses in a read-only transaction', async () => {
  const { readOnlyFunctionNames } = await import('./functions.gen.ts')
  const names = readOnlyFunctionNames.trim().split(/\s+/)
  const { rows } = await postgres.query<{ name: string; volatile: boolean }>(
    `select proname as name, bool_or(provolatile = 'v') as volatile from pg_proc
      where pronamespace = 'pg_catalog'::regnamespace group by 1`,
  )
  const server = new Map(rows.map((row) => [row.name, row.volatile]))
  assert.deepEqual(
    names.filter((name) => !server.has(name)),
    [],
  )
  const volatile = names.filter((name) => server.get(name) === true)
  assert.ok(volatile.length < 40, `volatile functions are named one by one: ${volatile.join(' ')}`)
})

function analyze(text: string): readonly StatementAnalysis[] {
  const sql = Buffer.from(text)
  return analyzer.analyzeNow(sql, 0, sql.length)
}

/** SQLSTATE of the first error, each statement of the block in one read-only transaction that is rolled back. */
async function codeInReadOnly(block: Block): Promise<string> {
  if (/\bfrom stdin|\bto stdout/i.test(block.sql)) return copyCode(block)
  const client = new pg.Client({ connectionString: postgres.url, statement_timeout: 5000 })
  client.on('error', () => client.removeAllListeners('error'))
  await client.connect()
  try {
    await client.query('set default_transaction_read_only = on')
    const alone = /^(vacuum|create database|drop database|checkpoint|listen|begin)/i.test(block.sql)
    if (!alone) await client.query('begin')
    await client.query(block.sql)
    return ''
  } catch (error) {
    return error instanceof pg.DatabaseError ? (error.code ?? 'none') : 'none'
  } finally {
    await client.end()
  }
}

/** COPY through a plain query is judged before its data flows: EXPLAIN has no COPY, so the direction decides. */
async function copyCode(block: Block): Promise<string> {
  const client = new pg.Client({ connectionString: postgres.url })
  await client.connect()
  try {
    await client.query('set default_transaction_read_only = on')
    // The driver answers a COPY FROM STDIN with CopyFail; a refusal comes before that.
    await client.query(block.sql)
    return ''
  } catch (error) {
    return error instanceof pg.DatabaseError ? (error.code ?? 'none') : 'none'
  } finally {
    await client.end()
  }
}

function relations(plan: unknown, into: Set<string>): void {
  if (typeof plan !== 'object' || plan === null) return
  if ('Relation Name' in plan && 'Schema' in plan) into.add(`${plan.Schema}.${plan['Relation Name']}`)
  for (const value of Object.values(plan)) relations(value, into)
}
