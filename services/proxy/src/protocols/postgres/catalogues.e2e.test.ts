// The gate reads a real target's own definitions and judges by them, on the newest and an old server.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Started, systemClock, type TargetAccess } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { createSqlAnalyzer } from '@portcullis/sql'
import type pg from 'pg'
import { type Bed, startBed } from '../../testing/bed.ts'
import { createCatalogues } from './catalogues.ts'

const fixture = `
create table t (n int); insert into t values (1); create table gone (n int);
create function pure(int) returns int language sql as 'select $1 + 1';
create function wipes() returns int language sql as 'delete from gone; select 1';
create view plain_looking as select n, wipes() from t;
create schema first; create function first.pure(int) returns int language plpgsql as 'begin return 1; end';
grant all on schema first to public; grant all on all tables in schema public to public`

for (const version of ['embedded', 'debian'] as const)
  describe(`PostgreSQL, ${version}`, () => {
    let postgres: Started<Postgres>
    let bed: Started<Bed>
    let client: pg.Client

    before(async () => {
      postgres = await startPostgres({ version, settings: { log_connections: true } })
      await postgres.value.query(fixture)
      bed = await startBed({ postgres: postgres.value, catalogueRefreshMs: 60_000 })
      client = await bed.value.connect()
    })
    after(async () => {
      await client.end()
      await bed.stop()
      await postgres.stop()
    })

    async function effects(sql: string, by = client): Promise<string> {
      await by.query(sql)
      return bed.value.commands.at(-1)?.intent.analysis.effects.join(' ') ?? ''
    }
    /** Catalogues come when they come; the server's own `sql` is asked until they have. */
    async function until(sql: string, wanted: string, by = client): Promise<void> {
      const deadline = performance.now() + 10_000
      for (let found = ''; found !== wanted; found = await effects(sql, by)) {
        assert.ok(performance.now() < deadline, `${sql} stays ${found}, not ${wanted}`)
        await sleep(20)
      }
    }

    test('functions and views are known for what they do, and no session waits for that', async () => {
      await until('select public.pure(1)', 'read')
      assert.equal(await effects('select n from plain_looking'), 'read delete execute')
      const { objects } = bed.value.commands.at(-1)?.intent.analysis ?? { objects: [] }
      assert.deepEqual(
        objects.filter(({ kind }) => kind === 'table').map(({ name, effect }) => `${name} ${effect}`),
        ['plain_looking read', 'gone delete', 't read'],
      )
      // By the extended protocol, prepared, and by the names that SQL gives.
      await client.query({ name: 'p', text: 'select n from plain_looking' })
      assert.equal(bed.value.commands.at(-1)?.intent.analysis.effects.join(' '), 'read delete execute')
      assert.equal(await effects('execute p'), 'read delete execute')
    })

    test('what it asks is no command of the agent, and leaves nothing behind', async () => {
      await until('select public.pure(1)', 'read')
      assert.deepEqual(bed.value.of(/pg_proc|pg_class/), [])
      const { rows } = await postgres.value.query(
        "select 1 from pg_stat_activity where application_name = 'portcullis-catalogue'",
      )
      assert.deepEqual(rows, [])
      assert.match(postgres.value.log(), /application_name=portcullis-catalogue/)
    })

    test('names are looked for where the session looks for them', async () => {
      const other = await bed.value.connect()
      const moved = await bed.value.connect('ann', { options: '-c search_path=first,public' })
      await until('select pure(1)', 'read', other)
      assert.equal(await effects('select pure(1)', moved), 'read execute')
      assert.equal(await effects('select public.pure(1)', moved), 'read')
      // Judged before any of it runs.
      assert.equal(await effects('set search_path = first; select pure(1)', other), 'read execute')
      assert.equal(await effects('select pure(1)', other), 'read execute')
      await other.query('set search_path = public')
      // Before 18 a server does not say where names are looked for: then all that have the name count.
      assert.equal(await effects('select pure(1)', other), version === 'embedded' ? 'read' : 'read execute')
      await other.end()
      await moved.end()
    })

    test('what a session defines counts against what was known at once, and is known soon', async () => {
      const other = await bed.value.connect()
      await client.query("create or replace function changing() returns int language sql as 'select 1'")
      await until('select changing()', 'read')
      await client.query('begin')
      await client.query(
        "create or replace function changing() returns int language sql as 'delete from gone; select 1'",
      )
      // It is seen from nowhere else yet, and here it is another function already.
      assert.equal(await effects('select changing()'), 'read execute')
      await sleep(400)
      assert.equal(await effects('select changing()'), 'read execute')
      assert.equal(await effects('select pure(1)', other), 'read execute')
      await client.query('commit')
      await until('select changing()', 'read delete execute')
      await until('select pure(1)', 'read', other)
      await other.end()
    })
  })

test('a target whose catalogue is not to be read is not asked for it', async () => {
  const postgres = await startPostgres({ settings: { log_connections: true } })
  const bed = await startBed({ postgres: postgres.value })
  const client = await bed.value.connect()
  await sleep(300)
  await client.query('select now()')
  assert.doesNotMatch(postgres.value.log(), /portcullis-catalogue/)
  await client.end()
  await bed.stop()
  await postgres.stop()
})

test('where it cannot be read the text decides, and it is tried again more and more seldom', async () => {
  const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
  let tries = 0
  const logged: object[] = []
  const catalogues = createCatalogues({
    analyzer,
    clock: systemClock,
    log: { warn: (fields) => void logged.push(fields) },
    load: async () => {
      tries++
      throw new Error('no')
    },
  })
  const access: TargetAccess = {
    ...{
      name: 'x',
      hosts: [{ host: 'h', port: 1 }],
      sessionAttrs: 'any',
      loadBalance: 'disable',
      database: 'd',
    },
    ...{ tls: { mode: 'disable' }, connectTimeoutMs: 1, keepalive: { idleSec: 1, intervalSec: 1, count: 1 } },
    ...{ credentials: { user: 'u', password: 'secret' }, timeouts: {}, catalogueRefreshMs: 60_000 },
  }
  const seat = catalogues.value.join(access)
  seat?.defines([])
  seat?.settled()
  await sleep(50)
  for (let n = 0; n < 100; n++) {
    seat?.defines([])
    seat?.settled()
  }
  await sleep(1000)
  assert.equal(tries, 1)
  assert.equal(seat?.known, undefined)
  assert.equal(
    seat?.coming(() => []),
    undefined,
  )
  assert.equal(logged.length, 1)
  assert.doesNotMatch(JSON.stringify(logged), /secret/)
  seat?.leave()
  await catalogues.stop()
  await analyzer.close()
})
