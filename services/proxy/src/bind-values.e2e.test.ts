/** A rule against a missing WHERE at a real gate: disguises of it by text, by bind values and by EXECUTE, and what only looks like one. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, beforeEach, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import { type Bed, startBed } from './testing/bed.ts'
import { RawClient, send } from './testing/raw-client.ts'

const rules = 'rules: [{ use: where-missing }, { name: rest, action: allow }]'
let postgres: Started<Postgres>
let bed: Started<Bed>
let client: pg.Client
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  bed = await startBed({ postgres: postgres.value, policy: rules })
  await postgres.value.query(`
    create table accounts (id int primary key, owner text, name text, balance int, email text, tenant int,
      created_at timestamptz default now(), data jsonb default '{}');
    insert into accounts select g, 'o' || g, 'n' || g, g, g || '@example.com', 1 from generate_series(1, 9) g;
    create table other (id int, flag bool, kind text);
    create table vips (user_id int, plan text)`)
  client = await bed.value.connect()
})
after(async () => {
  await client?.end()
  await bed?.stop()
  await postgres?.stop()
})
beforeEach(() => {
  bed.value.commands.length = 0
})

const texts = (file: string) =>
  readFileSync(new URL(`../../../packages/sql/corpus/where/${file}`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
const bound = (file: string) =>
  texts(`bound-${file}.jsonl`)
    .map((line) => JSON.parse(line) as [string, unknown[]])
    .filter(([, values]) => !values.includes('?'))

/** held: by the rule; else the server's SQLSTATE, or that it ran. */
async function outcome(query: string | pg.QueryConfig): Promise<string> {
  await client.query('begin')
  try {
    await client.query(query as pg.QueryConfig)
    return 'ran'
  } catch (error) {
    const { code = '', detail = '' } = error as { code?: string; detail?: string }
    if (!/portcullis/.test(String(error))) return code
    assert.match(detail, /reason=policy_hold .*rule=where-missing/)
    return 'held'
  } finally {
    await client.query('rollback')
  }
}

test('by text: every disguise is held, simple and prepared, and nothing legitimate', async () => {
  const held = texts('tautologies.sql')
  for (const sql of held.filter((sql) => !sql.includes('$1'))) {
    assert.equal(await outcome(sql), 'held', sql)
    assert.equal(await outcome({ text: sql, values: [] }), 'held', sql)
  }
  assert.ok(held.length >= 30)
  const legitimate = texts('legitimate.sql')
  for (const sql of legitimate) assert.notEqual(await outcome(sql), 'held', sql)
  assert.ok(legitimate.length >= 200)
})

test('by bind values: every one that leaves every row is held, and none of the others', async () => {
  let held = 0
  for (const [text, values] of bound('tautologies')) {
    const came = await outcome({ text, values })
    // Where the server itself cannot tell a type it takes no values.
    assert.match(came, /^(held|42P08|42P18|42883|42804|22P02)$/, `${text} ${came}`)
    if (came === 'held') held += 1
  }
  assert.ok(held >= 50, `${held} held`)
  for (const [text, values] of bound('legitimate'))
    assert.notEqual(await outcome({ text, values }), 'held', `${text} ${values}`)
  const { rows } = await client.query('select count(*)::int as n from accounts')
  assert.deepEqual(rows, [{ n: 9 }])
})

test('one command for one execution; values that change what it does are a command of their own, refused', async () => {
  const query = { name: 'by-owner', text: 'delete from accounts where owner like $1' }
  assert.equal(await outcome({ ...query, values: ['nobody%'] }), 'ran')
  const told = () =>
    bed.value
      .of(/owner like/)
      .map(({ intent, result }) => [intent.attributes['command.where'], result?.stage, result?.outcome])
  assert.deepEqual(told(), [['"some"', 'run', 'ok']])
  assert.equal(await outcome({ ...query, values: ['%'] }), 'held')
  assert.deepEqual(told().slice(1), [['"always"', 'run', 'refused']])
  assert.equal(await outcome({ ...query, values: ['nobody%'] }), 'ran')
  bed.value.commands.length = 0
  assert.equal(await outcome({ text: 'delete from accounts where name like $1', values: ['%'] }), 'held')
  assert.deepEqual(
    bed.value.of(/name like/).map(({ result }) => [result?.stage, result?.outcome]),
    [
      ['prepare', 'ok'],
      ['run', 'refused'],
    ],
  )
})

test('EXECUTE with its own arguments, of what SQL or the protocol prepared', async () => {
  await client.query('prepare by_name(text) as delete from accounts where name like $1')
  await client.query({ name: 'by_email', text: 'delete from accounts where email like $1', values: ['-'] })
  for (const name of ['by_name', 'by_email']) {
    assert.equal(await outcome(`execute ${name}('nobody')`), 'ran', name)
    assert.equal(await outcome(`execute ${name}('%')`), 'held', name)
    assert.equal(await outcome(`execute ${name}('%' || '')`), 'held', name)
    assert.equal(await outcome(`execute ${name}((select '%'))`), 'held', name)
    assert.equal(await outcome(`execute ${name}(current_user)`), 'held', 'nobody can tell')
  }
  assert.equal(
    await outcome("prepare again(text) as delete from accounts where name like $1; execute again('%')"),
    'held',
  )
})

test('binary values: as the client or the server has told their types, else unknown', async () => {
  const raw = await RawClient.open(bed.value.port, 'shop', 'ann', 'postgres')
  raw.take()
  const play = async (...messages: readonly Buffer[]) => {
    raw.write(Buffer.concat(messages))
    await raw.ready(1)
    return raw.summary(raw.take())
  }
  const int4 = (value: number) => Buffer.from([0, 0, 0, value])
  const run = (name: string, value: number) => [
    send.bindBinary('', name, [int4(value)]),
    send.execute(''),
    send.sync(),
  ]
  const text = 'delete from accounts where id > $1'
  try {
    assert.deepEqual(await play(send.parse('typed', text, [23]), send.sync()), ['1', 'Z:I'])
    assert.deepEqual(await play(...run('typed', 100)), ['2', 'C:DELETE 0', 'Z:I'])
    assert.deepEqual(await play(...run('typed', 0)), ['E:42501', 'Z:I'])
    assert.deepEqual(await play(send.parse('untold', text), send.sync()), ['1', 'Z:I'])
    assert.deepEqual(await play(...run('untold', 100)), ['E:42501', 'Z:I'])
    assert.deepEqual(await play(send.describe('S', 'untold'), send.sync()), ['t', 'n', 'Z:I'])
    assert.deepEqual(await play(...run('untold', 100)), ['2', 'C:DELETE 0', 'Z:I'])
    assert.deepEqual(await play(...run('untold', 0)), ['E:42501', 'Z:I'])
    // Bound before the rule held, executed after.
    bed.value.rule(undefined)
    const bindFirst = [send.query('begin'), send.bindBinary('door', 'typed', [int4(0)]), send.sync()]
    raw.write(Buffer.concat(bindFirst))
    await raw.ready(2)
    raw.take()
    bed.value.rule(rules)
    assert.deepEqual(await play(send.execute('door'), send.sync()), ['E:42501', 'Z:E'])
  } finally {
    bed.value.rule(rules)
    raw.end()
  }
})
