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
let client: pg.Client | undefined

before(async () => {
  server = await startPostgres({ settings: { max_prepared_transactions: 2, wal_level: 'logical' } })
  postgres = server.value
  await postgres.query(fixture())
})
after(async () => {
  await client?.end()
  await server.stop()
})

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

/** SQLSTATE of the first error of the block, in a read-only transaction that is rolled back; empty where none came. */
async function codeInReadOnly(block: Block): Promise<string> {
  client ??= await connect()
  try {
    if (!/^(vacuum|checkpoint|(create|drop) database|copy .* stdin)/i.test(block.sql))
      await client.query('begin')
    await client.query(block.sql)
    return ''
  } catch (error) {
    return error instanceof pg.DatabaseError ? (error.code ?? 'none') : 'none'
  } finally {
    await client
      .query('rollback')
      .then(() => client?.query('discard all'))
      .catch(forget)
  }
}

async function connect(): Promise<pg.Client> {
  const fresh = new pg.Client({
    connectionString: postgres.url,
    statement_timeout: 5000,
    // What DISCARD ALL falls back to.
    options: '-c default_transaction_read_only=on',
  })
  fresh.on('error', forget)
  await fresh.connect()
  return fresh
}

function forget(): void {
  const gone = client
  client = undefined
  gone?.end().catch(() => undefined)
}

function relations(plan: unknown, into: Set<string>): void {
  if (typeof plan !== 'object' || plan === null) return
  if ('Relation Name' in plan && 'Schema' in plan) into.add(`${plan.Schema}.${plan['Relation Name']}`)
  for (const value of Object.values(plan)) relations(value, into)
}
