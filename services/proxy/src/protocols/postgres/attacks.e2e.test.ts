/**
 * Attacks that once worked, by a client that may do anything on the wire: on the gate's count of what is owed, on caps, on
 * its memory, its event loop and its target. Played with exact bytes against a real PostgreSQL.
 */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { type Bed, type BedOptions, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'
import { cstring, frontend, int32, message, startupMessage } from './wire.ts'

let postgres: Started<Postgres>
let direct: pg.Client

before(async () => {
  postgres = await startPostgres()
  direct = new pg.Client({ connectionString: postgres.value.url })
  await direct.connect()
})
after(async () => {
  await direct.end()
  await postgres.stop()
})
beforeEach(() => direct.query('drop table if exists t; create table t (n text)'))
afterEach(() => {
  for (const client of clients.splice(0)) client.end()
})

const clients: RawClient[] = []

async function withBed(
  options: Omit<BedOptions, 'postgres'>,
  play: (bed: Bed) => Promise<void>,
): Promise<void> {
  const bed = await startBed({ postgres: postgres.value, ...options })
  await play(bed.value).finally(() => {
    for (const client of clients.splice(0)) client.end()
    return bed.stop()
  })
}

async function open(bed: Bed): Promise<RawClient> {
  const client = await RawClient.open(bed.port, 'shop', 'ann', 'postgres')
  clients.push(client)
  client.take()
  return client
}

async function play(client: RawClient, messages: readonly Buffer[], ready = 1): Promise<string[]> {
  client.write(Buffer.concat(messages))
  await client.ready(ready)
  return client.summary(client.take())
}

const rows = async () => Number((await direct.query('select count(*) as n from t')).rows[0].n)
/** Read by a thread: while it is, the server answers what came before. */
const long = (sql: string, bytes = 200_000) => `${sql} /*${'x'.repeat(bytes)}*/`
/** The server fails, and skips what the gate is still reading. */
const skipped = (sql: string) => [send.bind('x', 'nope'), send.query(long(sql)), send.sync()]

async function stallMs(during: () => Promise<unknown>): Promise<number> {
  let worst = 0
  let last = performance.now()
  const timer = setInterval(() => {
    worst = Math.max(worst, performance.now() - last - 5)
    last = performance.now()
  }, 5)
  await during()
  await sleep(20)
  clearInterval(timer)
  return worst
}

test('what the server skips while the gate reads it is owed no answer: caps and verdicts hold', () =>
  withBed({ caps: { rowsPerStatement: 5 } }, async (bed) => {
    const client = await open(bed)
    await play(client, [send.parse('', "insert into t values ('x')"), send.sync()])
    assert.deepEqual(await play(client, skipped('set application_name to x')), ['E:26000', 'Z:I'])
    assert.equal(bed.of(/application_name/)[0]?.result?.outcome, 'skipped')
    const many = await play(client, [send.query('select generate_series(1, 5000)')])
    assert.equal(many.filter((type) => type === 'D').length, 5)
    await play(client, [send.bind('x', 'nope'), send.parse('', 'rollback'), send.sync()])
    await play(client, [send.parse('q', 'select 1'), send.parse('r', 'select 1'), send.sync()])
    bed.judge([{}])
    assert.deepEqual(await play(client, [send.bind('', ''), send.execute(''), send.sync()]), [
      'E:42501',
      'Z:I',
    ])
    assert.equal(await rows(), 0)
  }))

test('nor is what it skips while it is refused', () =>
  withBed({ caps: { rowsPerStatement: 5 } }, async (bed) => {
    const client = await open(bed)
    client.write(Buffer.concat(skipped('select 2')))
    await client.until(() => client.replies.some(({ type }) => type === 'E'))
    bed.judge([{}])
    await client.ready(1)
    bed.judge([])
    client.take()
    const many = await play(client, [send.query('select generate_series(1, 5000)')])
    assert.equal(many.filter((type) => type === 'D').length, 5)
  }))

test('a verdict cuts a copy that waits for its data, and the session goes on', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    client.write(send.query('copy t from stdin'))
    await client.until(() => client.replies.some(({ type }) => type === 'G'))
    client.write(send.copyData('1\n'))
    bed.judge([{ cancelRunning: true }])
    await client.ready(1)
    bed.judge([])
    assert.deepEqual(client.summary(client.take()), ['G', 'E:42501', 'Z:I'])
    const { result } = bed.of(/^copy/)[0] ?? {}
    assert.deepEqual([result?.outcome, result?.errorCode], ['cut', '42501'])
    assert.deepEqual(await play(client, [send.copyData('2\n'), send.copyDone(), send.query('select 1')]), [
      'T',
      'D',
      'C:SELECT 1',
      'Z:I',
    ])
    assert.equal(await rows(), 0)
  }))

test('a text that is slow to match does not keep a worker', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    const worst = await stallMs(() => play(client, [send.query(`deallocate a${' '.repeat(60_000)}/**/`)]))
    assert.ok(worst < 500, `${worst} ms`)
  }))

test('a client that leaves while the target is dialled leaves nothing behind', () =>
  withBed({}, async (bed) => {
    for (let at = 0; at < 30; at++) {
      const socket = connect({ host: '127.0.0.1', port: bed.port, noDelay: true })
      socket.on('error', () => undefined)
      socket.write(startupMessage(196_608, { user: 'shop', database: 'postgres' }))
      socket.write(message(frontend.password, cstring('ann')))
      await sleep(3 + (at % 8))
      socket.destroy()
    }
    const until = performance.now() + 3000
    while (bed.sessions.live.size > 0 && performance.now() < until) await sleep(20)
    assert.equal(bed.sessions.live.size, 0)
  }))

test('errors, notices, notifications and results of function calls count against the caps, too', () =>
  withBed({ caps: { rowsPerStatement: 5, bytesPerStatement: 4000, bytesPerWindow: 30_000 } }, async (bed) => {
    await direct.query("insert into t select repeat('x', 1000) from generate_series(1, 200)")
    const received = async (messages: readonly Buffer[]) => {
      const client = await open(bed)
      client.write(Buffer.concat(messages))
      await client
        .until(() => client.closed || client.replies.some(({ type }) => type === 'Z'))
        .catch(() => undefined)
      const bytes = client.replies.reduce((sum, { payload }) => sum + payload.length, 0)
      client.end()
      return bytes
    }
    const error = await received([send.query("select (select string_agg(n, ',') from t)::int")])
    const notice = await received([
      send.query(
        "do $$ declare r record; begin for r in select n from t loop raise notice '%', r.n; end loop; end $$",
      ),
    ])
    const call = await received([
      message(
        frontend.functionCall,
        int32(2924),
        Buffer.from([0, 0, 0, 4]),
        ...['select n from t', 't', 'f', ''].flatMap((value) => [int32(value.length), Buffer.from(value)]),
        Buffer.from([0, 0]),
      ),
    ])
    assert.ok(error < 1000 && notice < 5000 && call < 1000, `${error} ${notice} ${call}`)
    assert.equal(bed.of(/string_agg/)[0]?.result?.errorCode, '54000')
    assert.equal(bed.of(/raise notice/)[0]?.result?.outcome, 'cut')
    const listener = await open(bed)
    await play(listener, [send.query('listen a')])
    await direct.query("select pg_notify('a', n || random()) from t")
    await listener.until(() => listener.closed).catch(() => undefined)
    assert.ok(listener.closed)
    assert.ok(listener.replies.filter(({ type }) => type === 'A').length < 30)
  }))

test('a setting changed out of sight: what may be read in another way is not taken for a read, and can be seen', () =>
  withBed({}, async (bed) => {
    await direct.query(
      "create or replace view v as select set_config('standard_conforming_strings', 'off', false)",
    )
    const client = await open(bed)
    await play(
      client,
      [send.query('select * from v'), send.query("select '\\', '; insert into t values (2) --'")],
      2,
    )
    assert.equal(await rows(), 1)
    const [hidden] = bed.of(/insert into t/)
    assert.deepEqual(hidden?.intent.analysis.effects, ['unknown'])
    // Once the server has said how it reads, the rest is read that way.
    await play(client, [send.query("set standard_conforming_strings to on; select 'é', 'C:\\dir'")])
    await play(client, [send.query("select 'é', 'C:\\dir'")])
    assert.deepEqual(bed.of(/C:/).at(-1)?.intent.analysis.effects, ['read'])
  }))

test('the options of the start-up are split as the server splits them', () =>
  withBed({}, async (bed) => {
    await direct.query('drop role if exists hidden; create role hidden')
    const socket = connect({ host: '127.0.0.1', port: bed.port, noDelay: true })
    const client = new RawClient(socket)
    clients.push(client)
    const options = '--application_name=x\u00a0-c --role=hidden'
    socket.write(startupMessage(196_608, { user: 'shop', database: 'postgres', options }))
    await client.until(() => client.replies.length > 0)
    assert.deepEqual(client.summary(), ['E:42501'])
  }))

test('prepared statements and portals are kept within bounds', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    const texts = Array.from({ length: 20 }, (_, at) => send.parse(`s${at}`, long('select 1', 1_000_000)))
    const answers = await play(client, [...texts, send.sync()])
    assert.equal(answers.at(-2), 'E:54000')
    const closed = Array.from({ length: 20 }, (_, at) => send.close('S', `s${at}`))
    await play(client, [...closed, send.sync()])
    assert.deepEqual(await play(client, [send.parse('s', 'select 1'), send.sync()]), ['1', 'Z:I'])
    const portals = Array.from({ length: 10_001 }, (_, at) => send.bind(`p${at}`, 's'))
    assert.equal((await play(client, [send.query('begin'), ...portals, send.sync()], 2)).at(-2), 'E:54000')
  }))

test('data that comes before its COPY counts against its cap', () =>
  withBed({ caps: { bytesPerStatement: 10_000 } }, async (bed) => {
    const client = await open(bed)
    const data = Array.from({ length: 300 }, () => send.copyData(`${'x'.repeat(999)}\n`))
    client.write(
      Buffer.concat([send.query('select pg_sleep(0.2); copy t from stdin'), ...data, send.copyDone()]),
    )
    await client.ready(1)
    assert.equal(client.summary().at(-2), 'E:54000')
    assert.equal(await rows(), 0)
    client.take()
    // Without a copy it goes nowhere.
    assert.deepEqual(
      await play(client, [send.copyData('x\n'), send.copyDone(), send.query('select 1')]).then((all) =>
        all.slice(-4),
      ),
      ['T', 'D', 'C:SELECT 1', 'Z:I'],
    )
  }))

test('each statement of a message counts against the rate', () =>
  withBed({ caps: { commandsPerSecond: 5 }, throttleDelayMsMax: 100 }, async (bed) => {
    const client = await open(bed)
    await play(client, [send.query('select 1;'.repeat(50))])
    const refused = await play(client, [send.query('select 2')])
    assert.deepEqual(refused, ['E:53400', 'Z:I'])
  }))

test('the blocked may undo what is open, once at a time, and nothing else', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    await play(client, [send.query('begin')])
    bed.judge([{}])
    assert.deepEqual(await play(client, [send.query('rollback')]), ['C:ROLLBACK', 'Z:I'])
    assert.deepEqual(await play(client, [send.query('rollback')]), ['E:42501', 'Z:I'])
    bed.judge([])
    await play(client, [send.query('begin')])
    bed.judge([{}])
    const storm = await play(
      client,
      Array.from({ length: 10 }, () => send.query('rollback')),
      10,
    )
    assert.equal(storm.filter((type) => type === 'C:ROLLBACK').length, 1)
    // What undoes does not make up for what was refused.
    const before = bed.of(/select 3/).length
    client.write(Buffer.concat(Array.from({ length: 60 }, () => send.query('select 3'))))
    await sleep(300)
    assert.ok(bed.of(/select 3/).length - before < 25, `${bed.of(/select 3/).length}`)
  }))

test('the real user is not named without quotes either', () =>
  withBed({}, async (bed) => {
    await direct.query('drop role if exists foo; create role foo')
    const client = await open(bed)
    await play(client, [send.query('alter default privileges grant select on tables to foo')])
    client.write(send.query('drop role foo'))
    await client.ready(1)
    const error = client.replies.find(({ type }) => type === 'E')?.payload.toString() ?? ''
    assert.match(error, /belonging to role shop/)
    assert.doesNotMatch(error, /postgres/)
    await direct.query('alter default privileges revoke select on tables from foo; drop role foo')
  }))

test('a kill that comes while the login is made durable ends the session', () =>
  withBed({ durability: 'disk' }, async (bed) => {
    for (let at = 0; at < 10; at++) {
      bed.judge([])
      const socket = connect({ host: '127.0.0.1', port: bed.port, noDelay: true })
      const client = new RawClient(socket)
      clients.push(client)
      const before = bed.opened.length
      socket.write(startupMessage(196_608, { user: 'shop', database: 'postgres' }))
      socket.write(message(frontend.password, cstring('ann')))
      while (bed.opened.length === before) await new Promise((resolve) => setImmediate(resolve))
      bed.judge([{ action: 'kill' }])
      await client.until(() => client.closed, 3000).catch(() => undefined)
      assert.ok(client.closed)
    }
  }))
