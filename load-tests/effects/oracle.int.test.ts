// The judges of eval:effects must judge: an analysis that is false is found out, through the tap, in and out of a transaction.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { createSqlAnalyzer, type StatementAnalysis } from '@portcullis/sql'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { createCatalogues } from './catalogues.ts'
import { type Opinion, opinionOf } from './oracle.ts'
import { startTap } from './tap.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
let server: Started<Postgres>
let tap: Awaited<ReturnType<typeof startTap>>
let client: pg.Client
let falsify = (analyses: readonly StatementAnalysis[]) => analyses
let opinion: Opinion = { writes: undefined, tables: undefined }
let effects = ''

before(async () => {
  server = await startPostgres({ auth: 'trust' })
  await server.value.query(`
    create table t (n int); insert into t values (1); create table part (n int) partition by list (n);
    create table part_1 partition of part for values in (1); create sequence s;
    create function wipe() returns int language sql as 'delete from t; select 1';
    create view shows as select n, wipe() from t`)
  const catalogues = createCatalogues(analyzer, 180_000)
  tap = await startTap(server.value, async (sql, asking) => {
    const bytes = Buffer.from(sql)
    const analyses = falsify(analyzer.analyzeNow(bytes, 0, bytes.length))
    const known = await catalogues.refine(analyses, asking)
    opinion = await opinionOf(sql, known, asking)
    effects = known.refined.map((one) => one.effects.join(' ')).join('; ')
    catalogues.changed(analyses)
  })
  client = new pg.Client({ host: '127.0.0.1', port: tap.value.port, user: 'postgres', database: 'postgres' })
  await client.connect()
})
after(async () => {
  await client.end()
  await tap.stop()
  await server.stop()
  await analyzer.close()
})

for (const inside of [false, true])
  test(`what is true is found true, and the client's work is not disturbed ${inside ? 'inside' : 'outside'} a transaction`, async () => {
    if (inside) await client.query('begin')
    for (const [sql, writes] of [
      ['select n from t', false],
      ['select * from part', false],
      ["select nextval('s')", true],
      ['insert into t values (2)', true],
      ['select * from shows limit 0', false],
      ['explain delete from t', false],
    ] as const) {
      await client.query(sql)
      assert.equal(opinion.writes, writes, sql)
      assert.deepEqual(opinion.tables?.missed ?? [], [], sql)
      assert.deepEqual(opinion.tables?.invented ?? [], [], sql)
    }
    await client.query("select currval('s') as seen")
    const { rows } = await client.query<{ n: number; last: string }>(
      "select (select count(*)::int from t where n = 2) as n, currval('s') as last",
    )
    // Once by the client and never by the judges, whose rollback undoes all but the sequence, which they are refused.
    assert.deepEqual(rows, [{ n: inside ? 2 : 1, last: inside ? '2' : '1' }])
    assert.equal(effects, 'read')
    if (inside) await client.query('rollback')
  })

test('a table that is kept back, and one that is made up, are found', async () => {
  falsify = (analyses) =>
    analyses.map((one) => ({
      ...one,
      objects: [{ kind: 'table', namespace: '', name: 'part', effect: 'read', columns: [] }],
    }))
  await client.query('select n from t')
  falsify = (analyses) => analyses
  assert.deepEqual(opinion.tables, { missed: ['public.t'], invented: ['"part"'], plannedAway: [] })
})

test('the catalogue is read anew when something was defined', async () => {
  await client.query('select n from shows limit 0')
  assert.equal(effects, 'read delete execute')
  await client.query('create or replace view shows as select n, 1 as wipe from t')
  await client.query('select n from shows')
  assert.equal(effects, 'read')
})
