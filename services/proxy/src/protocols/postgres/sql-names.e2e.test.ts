// EXECUTE and FETCH are judged and recorded as what their name stands for, with a real PostgreSQL behind the gate.
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import { type Bed, type Recorded, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'

let postgres: Started<Postgres>
let bed: Started<Bed>
let client: pg.Client

before(async () => {
  postgres = await startPostgres()
  bed = await startBed({ postgres: postgres.value })
  await postgres.value.query(
    'create table t (n int); insert into t values (1), (2); create table other (n int)',
  )
})
after(async () => {
  await client.end()
  await bed.stop()
  await postgres.stop()
})
beforeEach(async () => {
  await client?.end()
  client = await bed.value.connect()
})

const last = (): Recorded => bed.value.commands.at(-1) as Recorded
/** What was recorded of the last command, in words. */
const seen = (one = last()) => {
  const { effects, objects, privileged } = one.intent.analysis
  const tables = objects.filter(({ kind }) => kind === 'table').map(({ name, effect }) => `${name} ${effect}`)
  return [...effects, ...(privileged ? ['privileged'] : []), '|', ...tables].join(' ')
}
const unknown = 'execute unknown |'
const unknownFetch = 'read execute unknown |'

async function runs(sql: string): Promise<string> {
  await client.query(sql)
  return seen()
}

async function fails(sql: string): Promise<string> {
  await assert.rejects(client.query(sql))
  return seen()
}

test('EXECUTE has the effects and objects of what was prepared, and says which statement that was', async () => {
  await client.query('prepare gone as delete from t where n = $1')
  const prepared = last().intent.analysis.fingerprint
  assert.equal(await runs('execute gone(7)'), 'delete | t delete')
  assert.equal(last().intent.attributes.origin, prepared)
  assert.equal(await runs('explain analyze execute gone(7)'), 'read delete | t delete')
  await client.query('prepare looked as select * from pg_authid')
  assert.equal(await runs('execute looked'), 'read privileged | pg_authid read')
  await client.query('prepare "Looked" as select * from other')
  assert.equal(await runs('execute LOOKED'), 'read privileged | pg_authid read')
  assert.equal(await runs('execute "Looked"'), 'read | other read')
  assert.equal(
    await runs('create temp table taken as execute "Looked"'),
    'read write define | taken define other read',
  )
  assert.equal(
    last().intent.attributes.origin,
    bed.value.of(/prepare "Looked"/)[0]?.intent.analysis.fingerprint,
  )
})

test('a name that is not there, or no more, is unknown', async () => {
  assert.equal(await fails('execute nobody'), unknown)
  await client.query('prepare a as select * from t')
  await client.query('deallocate a')
  assert.equal(await fails('execute a'), unknown)
  await client.query('prepare a as select * from t')
  await client.query('prepare b as select * from t')
  await client.query('deallocate all')
  assert.equal(await fails('execute b'), unknown)
  await client.query('prepare a as select * from t')
  await client.query('discard all')
  assert.equal(await fails('execute a'), unknown)
  assert.equal(await fails('fetch c'), unknownFetch)
})

test('PREPARE outlives a rollback; one that fails changes nothing', async () => {
  await client.query('begin')
  await client.query('prepare a as delete from t where false')
  await client.query('rollback')
  assert.equal(await runs('execute a'), 'delete | t delete')
  await fails('prepare a as select * from other')
  assert.equal(await runs('execute a'), 'delete | t delete')
  await fails('prepare b as select * from nowhere')
  assert.equal(await fails('execute b'), unknown)
})

test('names of the protocol and of SQL are the same names', async () => {
  await client.query({ name: 'shared', text: 'delete from t where n = $1', values: [9] })
  assert.equal(await runs('execute shared(9)'), 'delete | t delete')
  await client.query('deallocate shared')
  assert.equal(await fails('execute shared(9)'), unknown)
  const raw = await RawClient.open(bed.value.port, 'shop', 'ann', 'postgres')
  raw.write(send.query('prepare by_sql as insert into other select n from t'))
  await raw.ready(2)
  raw.write(Buffer.concat([send.bind('', 'by_sql'), send.execute(''), send.sync()]))
  await raw.ready(3)
  assert.equal(seen(), 'read write | other write t read')
  assert.equal(last().result?.tag, 'INSERT 0 2')
  raw.end()
})

test('within one text a name stands for what the text has given it', async () => {
  await client.query(
    'prepare a as select * from t; execute a; deallocate a; prepare a as delete from other; execute a',
  )
  const found = bed.value.commands.slice(-5).map((one) => seen(one))
  assert.deepEqual([found[1], found[4]], ['read | t read', 'delete | other delete'])
  const [one, two] = bed.value.commands.slice(-5).filter(({ text }) => /^prepare/.test(text))
  assert.equal(
    last().intent.attributes.origin,
    `${one?.intent.analysis.fingerprint},${two?.intent.analysis.fingerprint}`,
  )
})

test('FETCH and MOVE have the effects of the cursor, until its transaction ends or it is closed', async () => {
  await client.query('begin')
  await client.query('declare c cursor for select n from t for update')
  const declared = last().intent.analysis.fingerprint
  assert.equal(await runs('fetch 1 from c'), 'read write | t read')
  assert.equal(last().intent.attributes.origin, declared)
  assert.equal(await runs('move all in c'), 'read write | t read')
  await client.query('close c')
  assert.equal(await fails('fetch 1 from c'), unknownFetch)
  await client.query('rollback')
  await client.query('begin')
  await client.query('declare c cursor for select n from t')
  await client.query('commit')
  assert.equal(await fails('fetch 1 from c'), unknownFetch)
  await client.query('begin')
  await client.query('declare kept cursor with hold for select n from t')
  await client.query('commit')
  assert.equal(await runs('fetch all in kept'), 'read | t read')
})

test('what a rollback to a savepoint takes away is believed no longer than it can do harm', async () => {
  await client.query('begin')
  await client.query('savepoint s')
  await client.query('declare c cursor for select n from t')
  await client.query('rollback to s')
  await client.query('declare c cursor for select * from pg_authid')
  assert.equal(await runs('fetch 1 from c'), 'read privileged | pg_authid read')
  await client.query('savepoint s')
  await fails('declare c cursor for select n from t')
  await client.query('rollback to s')
  // Which of the two it is the gate does not say before it is sure.
  assert.equal(await runs('fetch 1 from c'), unknownFetch)
  await client.query('rollback')
})

test('a statement that was prepared once fetches from whatever has the name when it runs', async () => {
  const fetch = { name: 'piece', text: 'fetch all in c' }
  for (const [table, effects] of [
    ['t', 'read | t read'],
    ['other', 'read | other read'],
  ]) {
    await client.query('begin')
    await client.query(`declare c cursor for select n from ${table}`)
    await client.query(fetch)
    assert.equal(seen(), effects)
    await client.query('commit')
  }
})

test('in a pipeline a name counts when the server has done what makes it, and never for the statement before', async () => {
  const raw = await RawClient.open(bed.value.port, 'shop', 'ann', 'postgres')
  raw.write(send.query('begin; declare c cursor for select n from other'))
  await raw.ready(2)
  raw.take()
  const at = bed.value.commands.length
  const once = (sql: string) => [send.parse('', sql), send.bind('', ''), send.execute('')]
  // Bound while c is one query; when it runs c is another.
  raw.write(
    Buffer.concat([
      ...[send.parse('f', 'fetch all in c'), send.bind('p', 'f')],
      ...once('close c'),
      ...once('declare c cursor for select n from t'),
      ...once('fetch all in c'),
      ...[send.execute('p'), send.sync()],
    ]),
  )
  await raw.ready(1)
  assert.deepEqual(
    bed.value.commands.slice(at).map((one) => [seen(one), one.result?.stage]),
    [
      ['read | other read', 'prepare'],
      ['|', 'run'],
      ['read | t read', 'run'],
      [unknownFetch, 'run'],
      // DECLARE may have taken its name.
      ['unknown privileged |', 'run'],
    ],
  )
  raw.end()
})

test('what is fetched in pieces counts against the caps of its cursor or portal', async () => {
  const own = await startBed({ postgres: postgres.value, caps: { rowsPerStatement: 10 } })
  const capped = await own.value.connect()
  try {
    await capped.query('begin')
    await capped.query('declare c cursor for select generate_series(1, 100)')
    await capped.query('declare d cursor for select generate_series(1, 100)')
    for (let piece = 0; piece < 2; piece++) await capped.query('fetch 4 from c')
    assert.equal((await capped.query('fetch 4 from d')).rows.length, 4)
    await assert.rejects(capped.query('fetch 4 from c'), { code: '54000' })
    assert.deepEqual(
      own.value.of(/from c/).map(({ result }) => result?.rowsOut),
      [4, 4, 2],
    )
    await capped.query('rollback')
    const raw = await RawClient.open(own.value.port, 'shop', 'ann', 'postgres')
    raw.write(send.query('begin'))
    await raw.ready(2)
    const piece = Buffer.concat([send.execute('p', 4), send.sync()])
    raw.write(
      Buffer.concat([send.parse('s', 'select generate_series(1, 100) as n'), send.bind('p', 's'), piece]),
    )
    await raw.ready(3)
    raw.write(piece)
    await raw.ready(4)
    raw.write(piece)
    await raw.ready(5)
    assert.ok(raw.summary().includes('E:54000'))
    assert.equal(raw.replies.filter(({ type }) => type === 'D').length, 10)
    // Bound anew it is another result.
    raw.take()
    raw.write(send.query('rollback; begin'))
    await raw.ready(1)
    raw.write(Buffer.concat([send.bind('p', 's'), piece]))
    await raw.ready(2)
    assert.equal(raw.replies.filter(({ type }) => type === 'D').length, 4)
    raw.end()
  } finally {
    await capped.end()
    await own.stop()
  }
})
