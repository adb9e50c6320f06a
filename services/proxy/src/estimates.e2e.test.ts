/** Rules that read how many rows a command would change: the target's planner is asked, on record, and what nobody can tell errs to the safe side. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import { rowsIn } from './protocols/postgres/row-estimate.ts'
import { type Bed, startBed } from './testing/bed.ts'
import { startPeople } from './testing/people.ts'

const rules = `
rules:
  - { name: all, action: allow }
  - { name: many, when: 'command.estimated_rows > 100', action: block }
`
let postgres: Started<Postgres>
let bed: Started<Bed>
let client: pg.Client
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  await postgres.value.query(`
    create table events (id int primary key, kind text, day int);
    insert into events select g, 'k' || g % 2, g % 100 from generate_series(1, 10000) g;
    create schema other; create table other.events (id int);
    create function grow() returns int language plpgsql as 'begin insert into other.events values (1); return 1; end';
    analyze`)
  bed = await startBed({
    postgres: postgres.value,
    policy: rules,
    estimateMsMax: 20_000,
    catalogueRefreshMs: 60_000,
  })
  client = await bed.value.connect()
})
after(async () => {
  await client?.end()
  await bed?.stop()
  await postgres?.stop()
})
beforeEach(() => {
  bed.value.rule(rules)
  bed.value.commands.length = 0
})

const isRefused = (query: string | pg.QueryConfig, by = client) =>
  by.query(query as pg.QueryConfig).then(
    () => false,
    ({ detail = '' }: { detail?: string }) => {
      assert.match(detail, /reason=policy_block .*rule=many/)
      return true
    },
  )
const rowsLeft = async () => (await postgres.value.query('select count(*)::int as n from events')).rows[0]?.n

test('few rows pass, many do not, by text and by values; the question stands in the trail before the command', async () => {
  assert.equal(await isRefused('update events set kind = kind where id = 7'), false)
  assert.equal(await isRefused("update events set kind = kind where kind = 'k1'"), true)
  assert.equal(await isRefused('select * from events'), true)
  const byDay = { name: 'by-day', text: 'delete from events where day between $1 and $2' }
  assert.equal(await isRefused({ ...byDay, values: [0, 50] }), true)
  assert.equal(await isRefused({ ...byDay, values: [-5, -5] }), false)
  assert.equal(await isRefused({ ...byDay, values: [0, 60] }), true)
  assert.equal(await rowsLeft(), 10_000)
  const told = bed.value.commands.map(({ text, intent, result }) => [
    text.slice(0, 40),
    intent.attributes['command.estimated_rows'] ?? intent.attributes['gate.own'],
    result?.outcome,
  ])
  assert.deepEqual(told.slice(0, 2), [
    ['EXPLAIN (FORMAT JSON) update events set ', '"estimate"', 'ok'],
    ['update events set kind = kind where id =', '1', 'ok'],
  ])
  const [, rows, outcome] = told.at(-1) ?? []
  assert.equal(outcome, 'refused')
  assert.ok(Number(rows) > 4000 && Number(rows) < 8000, rows)
})

test('what has no rows is not asked about, and what nobody can tell is refused', async () => {
  for (const sql of ['begin', 'set search_path = public', 'create temp table mine (a int)', 'rollback'])
    assert.equal(await isRefused(sql), false, sql)
  for (const sql of [
    'select grow()',
    'update events set kind = kind where id = grow()',
    'do $$begin delete from events; end$$',
    'select 1; delete from events where id = 1',
    'truncate events',
    'delete from nowhere',
  ])
    assert.equal(await isRefused(sql), true, sql)
  const { rows } = await postgres.value.query('select count(*)::int as n from other.events')
  assert.equal(rows[0]?.n, 0, 'what planning would run was not planned')
})

test('names are looked for where the session does', async () => {
  const own = await bed.value.connect()
  try {
    await own.query('set search_path = other')
    assert.equal(await isRefused('delete from events', own), false)
  } finally {
    await own.end()
  }
})

test('who is to answer for it is told', async () => {
  const people = await startPeople()
  people.value.settings.waitSec = 0
  const held = 'rules: [{ name: ask, action: hold }, { name: all, action: allow }]'
  const asking = await startBed({
    ...{ postgres: postgres.value, policy: held, estimateMsMax: 20_000, catalogueRefreshMs: 60_000 },
    holds: people.value.holds,
  })
  const own = await asking.value.connect()
  try {
    await assert.rejects(own.query("delete from events where kind = 'k1'"))
    await assert.rejects(own.query({ text: 'delete from events where id = $1', values: [7] }))
    await assert.rejects(own.query('delete from nowhere'))
    const told = people.value.all().map(({ request }) => 'estimatedRows' in request && request.estimatedRows)
    assert.equal(told.length, 3)
    assert.ok(Number(told[0]) > 4000)
    assert.deepEqual(told.slice(1), [1, -1])
  } finally {
    await own.end()
    await asking.stop()
    await people.stop()
  }
})

test('nothing is asked where no rule reads it', async () => {
  bed.value.rule('rules: [{ name: all, action: allow }]')
  await client.query('select count(*) from events')
  await client.query({ text: 'select count(*) from events where id = $1', values: [1] })
  assert.deepEqual(
    bed.value.commands.map(({ intent }) => intent.analysis.verb),
    ['SELECT', 'SELECT'],
  )
})

test('of a plan: what is changed by whichever part of it, or what comes back', () => {
  const plan = (root: object) => JSON.stringify([{ Plan: root }])
  const scan = (rows: number) => ({ 'Node Type': 'Seq Scan', 'Plan Rows': rows })
  const change = { 'Node Type': 'ModifyTable', 'Plan Rows': 0, Plans: [scan(500)] }
  assert.equal(rowsIn(plan(scan(7))), 7)
  assert.equal(rowsIn(plan(change)), 500)
  assert.equal(rowsIn(plan({ 'Node Type': 'Aggregate', 'Plan Rows': 1, Plans: [change, scan(9)] })), 500)
  assert.equal(rowsIn(plan({ 'Node Type': 'Result' })), undefined)
  assert.equal(rowsIn('[]'), undefined)
  assert.equal(rowsIn(undefined), undefined)
})
