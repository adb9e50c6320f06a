/** Caps, cuts, cancels and kills: what reaches the client, what becomes of the statement, and that no backend stays. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import type { Caps, Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { type Bed, type BedOptions, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'
import { cancelRequest, readFields } from './wire.ts'

let postgres: Started<Postgres>
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  await postgres.value.query(
    'create table t (a int, b text); create table big as select n as a, repeat($$x$$, 100) as b from generate_series(1, 200000) n',
  )
})
after(() => postgres.stop())

async function withBed(options: Partial<BedOptions>, work: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = await startBed({ postgres: postgres.value, ...options })
  try {
    await work(bed.value)
    const open = bed.value.commands.filter(({ result }) => !result)
    assert.deepEqual(
      open.map(({ text }) => text),
      [],
      'every command has its outcome',
    )
  } finally {
    await bed.stop()
  }
}

const capped = (caps: Partial<Caps>, work: (bed: Bed) => Promise<void>) => withBed({ caps }, work)
const open = (bed: Bed) => RawClient.open(bed.port, 'shop', 'ann', postgres.value.database)

async function backends(): Promise<number> {
  const { rows } = await postgres.value.query(
    `select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`,
  )
  return (rows[0] as { n: number }).n
}

async function backendsGone(msMax: number): Promise<number> {
  const since = performance.now()
  while ((await backends()) > 0) {
    assert.ok(performance.now() - since < msMax, `a backend is left after ${msMax} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return performance.now() - since
}

test('a result over its row cap is cut between rows with a proper error, and the session goes on', () =>
  capped({ rowsPerStatement: 1000 }, async (bed) => {
    const client = await open(bed)
    client.take()
    client.write(send.query('select * from big'))
    await client.ready(1)
    const replies = client.take()
    assert.equal(replies.filter(({ type }) => type === 'D').length, 1000)
    assert.deepEqual(client.summary(replies).slice(-2), ['E:54000', 'Z:I'])
    const error = readFields(replies.at(-2)?.payload ?? Buffer.alloc(0))
    assert.match(error.D ?? '', /reason=cap_rows_statement decision=\w+ rule=rowsPerStatement/)
    client.write(send.query('select 1'))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['T', 'D', 'C:SELECT 1', 'Z:I'])
    client.end()
    const [cut] = bed.of(/from big/)
    assert.equal(cut?.result?.outcome, 'cut')
    assert.equal(cut?.result?.rowsOut, 1000)
    assert.equal(cut?.result?.errorCode, '54000')
    assert.equal(cut?.decision.reason, 'cap_rows_statement')
  }))

test('a byte cap lets through at most its bytes of rows, whole rows only', () =>
  capped({ bytesPerStatement: 50_000 }, async (bed) => {
    const client = await open(bed)
    client.take()
    client.write(send.query('copy big to stdout'))
    await client.ready(1)
    const replies = client.take()
    const bytes = replies
      .filter(({ type }) => type === 'd')
      .reduce((sum, { payload }) => sum + payload.length + 5, 0)
    assert.ok(bytes <= 50_000 && bytes > 49_000, `${bytes} bytes`)
    assert.deepEqual(client.summary(replies).slice(-2), ['E:54000', 'Z:I'])
    client.end()
  }))

for (const [name, batch] of Object.entries({
  'with Sync at once': [
    send.parse('', 'select * from big'),
    send.bind('', ''),
    send.execute(''),
    send.sync(),
  ],
  'with Flush, and Sync after the error': [
    send.parse('', 'select * from big'),
    send.bind('', ''),
    send.execute(''),
    send.flush(),
  ],
})) {
  test(`a cut in the extended protocol, ${name}`, () =>
    capped({ rowsPerStatement: 10 }, async (bed) => {
      const client = await open(bed)
      client.take()
      client.write(Buffer.concat(batch))
      await client.until(() => client.replies.some(({ type }) => type === 'E'))
      if (name.startsWith('with Flush')) client.write(send.sync())
      await client.ready(1)
      const summary = client.summary(client.take())
      assert.deepEqual(summary, ['1', '2', ...Array(10).fill('D'), 'E:54000', 'Z:I'])
      client.write(
        Buffer.concat([send.parse('', 'select 1'), send.bind('', ''), send.execute(''), send.sync()]),
      )
      await client.ready(1)
      assert.deepEqual(client.summary(client.take()), ['1', '2', 'D', 'C:SELECT 1', 'Z:I'])
      client.end()
    }))
}

test('what stands behind a cut statement in its batch never runs, and what stood before it is rolled back', () =>
  capped({ rowsPerStatement: 5 }, async (bed) => {
    await postgres.value.query('truncate t')
    // Few rows: the server has finished before any cancel can reach it.
    const small = 'select * from generate_series(1, 8)'
    const client = await open(bed)
    client.take()
    const step = (sql: string) => [send.parse('', sql), send.bind('', ''), send.execute('')]
    client.write(
      Buffer.concat([
        ...step('insert into t values (1)'),
        ...step(small),
        ...step('insert into t values (2)'),
        send.sync(),
      ]),
    )
    await client.ready(1)
    const summary = client.summary(client.take())
    assert.deepEqual(summary.slice(-2), ['E:54000', 'Z:I'])
    assert.equal(summary.filter((reply) => reply === 'D').length, 5)
    assert.deepEqual((await postgres.value.query('select a from t')).rows, [])
    client.write(Buffer.concat([...step('insert into t values (3) returning a'), send.sync()]))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()).slice(-1), ['Z:I'])
    assert.deepEqual((await postgres.value.query('select a from t')).rows, [{ a: 3 }])
    client.end()
  }))

test('a cut inside a block leaves the block failed, even where the server had finished', () =>
  capped({ rowsPerStatement: 5 }, async (bed) => {
    await postgres.value.query('truncate t')
    for (const rows of [8, 200_000]) {
      const client = await open(bed)
      client.take()
      const script = [
        'begin',
        'insert into t values (1)',
        `select * from generate_series(1, ${rows})`,
        'insert into t values (2)',
        'commit',
      ]
      const ends: (string | undefined)[] = []
      for (const sql of script) {
        client.write(send.query(sql))
        await client.ready(1)
        ends.push(client.summary(client.take()).at(-1))
      }
      assert.deepEqual(ends, ['Z:T', 'Z:T', 'Z:E', 'Z:E', 'Z:I'])
      client.end()
    }
    assert.deepEqual((await postgres.value.query('select a from t')).rows, [])
  }))

test('COPY in over its byte cap fails as COPY fails, and nothing of it stays', () =>
  capped({ bytesPerStatement: 10_000 }, async (bed) => {
    await postgres.value.query('truncate t')
    const client = await open(bed)
    client.take()
    client.write(send.query('copy t from stdin'))
    await client.until(() => client.replies.some(({ type }) => type === 'G'))
    for (let n = 0; n < 200; n++) client.write(send.copyData(`${n}\t${'y'.repeat(95)}\n`))
    client.write(send.copyDone())
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()).slice(-2), ['E:54000', 'Z:I'])
    client.write(send.query('select 1'))
    await client.ready(1)
    client.end()
    assert.deepEqual((await postgres.value.query('select a from t')).rows, [])
    assert.equal(bed.of(/^copy t from/)[0]?.result?.outcome, 'cut')
  }))

test('COPY in and out, in both protocols, with the Sync that libpq sends too early', () =>
  withBed({}, async (bed) => {
    await postgres.value.query('truncate t')
    const client = await open(bed)
    client.take()
    client.write(
      Buffer.concat([send.parse('', 'copy t from stdin'), send.bind('', ''), send.execute(''), send.sync()]),
    )
    await client.until(() => client.replies.some(({ type }) => type === 'G'))
    client.write(
      Buffer.concat([send.copyData('1\tone\n'), send.copyData('2\ttwo\n'), send.copyDone(), send.sync()]),
    )
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['1', '2', 'G', 'C:COPY 2', 'Z:I'])
    client.write(send.query('copy t to stdout'))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['H', 'd', 'd', 'c', 'C:COPY 2', 'Z:I'])
    client.write(send.query('select 1'))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['T', 'D', 'C:SELECT 1', 'Z:I'])
    client.end()
    const [into] = bed.of(/^copy t from/)
    assert.equal(into?.result?.rowsIn, 2)
    assert.equal(into?.result?.rowsAffected, 2)
  }))

test('the window: a second statement is refused with the time when rows come free', () =>
  capped({ rowsPerWindow: 100, windowMs: 60_000 }, async (bed) => {
    const client = await bed.connect()
    await assert.rejects(client.query('select * from big'), /too many rows/)
    await assert.rejects(client.query('select 1'), (error: Error & { code?: string; detail?: string }) => {
      assert.equal(error.code, '53400')
      const [, ms] = /retry_after_ms=(\d+)/.exec(error.detail ?? '') ?? []
      assert.ok(Number(ms) > 0 && Number(ms) <= 61_000, error.detail)
      return true
    })
    await client.query('create table if not exists u (a int)')
    await client.end()
    const rows = bed.commands.reduce((sum, { result }) => sum + (result?.rowsOut ?? 0), 0)
    assert.ok(rows <= 100 && rows > 0, `${rows} rows`)
  }))

test('sessions over the cap are refused, and closing one makes room', () =>
  capped({ sessions: 2 }, async (bed) => {
    const [one, two] = [await bed.connect(), await bed.connect()]
    await assert.rejects(bed.connect(), (error: Error & { code?: string }) => error.code === '53300')
    await one.end()
    await new Promise((resolve) => setTimeout(resolve, 100))
    const three = await bed.connect()
    await Promise.all([two.end(), three.end()])
  }))

test('commands over the rate wait, and nothing is lost', () =>
  capped({ commandsPerSecond: 20 }, async (bed) => {
    const client = await bed.connect()
    const since = performance.now()
    for (let n = 0; n < 40; n++) await client.query('select 1')
    const ms = performance.now() - since
    assert.ok(ms > 800 && ms < 4000, `${ms} ms for 40 commands at 20 a second`)
    await client.end()
  }))

test('a throttle delays the next command and then refuses with retry-after; a lifting wakes it at once', () =>
  withBed({ throttleDelayMsMax: 1500 }, async (bed) => {
    const client = await bed.connect()
    const throttle = (ratePerMinute: number) => bed.judge([{ action: 'throttle', ratePerMinute }])
    throttle(60)
    const since = performance.now()
    for (let n = 0; n < 3; n++) await client.query('select 1')
    assert.ok(performance.now() - since > 900, 'three commands at one a second take more than a second')
    assert.ok(
      bed.commands.some(({ decision }) => decision.action === 'throttle' && decision.delayUs > 100_000),
    )
    throttle(1)
    await client.query('select 2').catch(() => undefined)
    await assert.rejects(
      client.query('select 2'),
      (error: Error & { code?: string }) => error.code === '53400',
    )
    throttle(60)
    const waiting = client.query('select 3')
    const more = client.query('select 3')
    setTimeout(() => bed.judge([]), 100)
    const lifted = performance.now()
    await Promise.all([waiting, more])
    assert.ok(performance.now() - lifted < 900, 'a lifting wakes what waits')
    await client.end()
  }))

test('observe mode records what would have been enforced and enforces nothing', () =>
  withBed({ mode: 'observe', caps: { rowsPerStatement: 1 } }, async (bed) => {
    const client = await bed.connect()
    bed.judge([{ action: 'block' }])
    const { rows } = await client.query('select * from generate_series(1, 5)')
    assert.equal(rows.length, 5)
    await client.end()
    const [one] = bed.of(/generate_series/)
    assert.equal(one?.decision.action, 'block')
    assert.equal(one?.decision.enforced, false)
    assert.equal(one?.result?.outcome, 'ok')
  }))

test('CancelRequest with the right secret cancels; with a wrong one it does not; a late one hits nothing', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    const key = client.take().find(({ type }) => type === 'K')?.payload ?? Buffer.alloc(8)
    const cancel = async (secret: Buffer) => {
      const socket = connect(bed.port, '127.0.0.1')
      socket.end(cancelRequest(key.readInt32BE(0), secret))
      await new Promise((resolve) => socket.once('close', resolve).resume())
    }
    client.write(send.query('select pg_sleep(20)'))
    await new Promise((resolve) => setTimeout(resolve, 100))
    await cancel(Buffer.from([1, 2, 3, 4]))
    await new Promise((resolve) => setTimeout(resolve, 200))
    assert.deepEqual(client.summary(), [])
    await cancel(key.subarray(4))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['T', 'E:57014', 'Z:I'])
    assert.equal(bed.of(/pg_sleep\(20\)/)[0]?.result?.outcome, 'cancelled')
    for (let n = 0; n < 30; n++) {
      client.write(send.query('select 1'))
      const late = cancel(key.subarray(4))
      await client.ready(1)
      const [summary] = [client.summary(client.take())]
      client.write(send.query('select 2'))
      await client.ready(1)
      assert.deepEqual(
        client.summary(client.take()),
        ['T', 'D', 'C:SELECT 1', 'Z:I'],
        `the statement after a cancel (${summary})`,
      )
      await late
    }
    client.end()
  }))

test('a batch that is sent whole is cancelled, cut and killed as a query is: the server says nothing of it before it is done', () =>
  withBed({}, async (bed) => {
    const sleep = (name: string, seconds: number) =>
      Buffer.concat([
        send.parse(name, `select pg_sleep(${seconds})`),
        send.describe('S', name),
        send.bind('', name),
        send.execute(''),
        send.sync(),
      ])
    const client = await open(bed)
    const key = client.take().find(({ type }) => type === 'K')?.payload ?? Buffer.alloc(8)
    client.write(sleep('', 21))
    await new Promise((resolve) => setTimeout(resolve, 100))
    connect(bed.port, '127.0.0.1').end(cancelRequest(key.readInt32BE(0), key.subarray(4)))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['1', 't', 'T', '2', 'E:57014', 'Z:I'])
    assert.equal(bed.of(/pg_sleep\(21\)/)[0]?.result?.outcome, 'cancelled')

    client.write(sleep('kept', 22))
    await new Promise((resolve) => setTimeout(resolve, 100))
    bed.judge([{ action: 'block', cancelRunning: true }])
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['1', 't', 'T', '2', 'E:42501', 'Z:I'])
    assert.equal(bed.of(/pg_sleep\(22\)/)[0]?.result?.outcome, 'cut')
    bed.judge([])
    client.write(Buffer.concat([send.describe('S', 'kept'), send.sync()]))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['t', 'T', 'Z:I'], 'what was confirmed stays')

    client.write(sleep('', 33))
    await new Promise((resolve) => setTimeout(resolve, 100))
    bed.judge([{ action: 'kill' }])
    await client.until(() => client.replies.some(({ type }) => type === 'E'))
    assert.deepEqual(client.summary(), ['E:57P01'])
    await backendsGone(500)
    assert.equal(bed.of(/pg_sleep\(33\)/)[0]?.result?.outcome, 'cut')
  }))

test('a backend that is terminated says so itself, once', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    client.take()
    client.write(send.query('select pg_terminate_backend(pg_backend_pid())'))
    await client.until(() => client.closed)
    assert.deepEqual(
      client.summary().filter((one) => one.startsWith('E')),
      ['E:57P01'],
    )
  }))

test('kill, a client that is gone, and a drain deadline: the backend is gone within a second', () =>
  withBed({}, async (bed) => {
    const killed = await open(bed)
    killed.take()
    killed.write(send.query('select pg_sleep(30)'))
    await new Promise((resolve) => setTimeout(resolve, 100))
    bed.judge([{ action: 'kill' }])
    await killed.until(() => killed.replies.some(({ type }) => type === 'E'))
    assert.deepEqual(killed.summary().slice(-1), ['E:57P01'])
    await backendsGone(1000)
    bed.judge([])

    const gone = await open(bed)
    gone.write(send.query('select pg_sleep(31)'))
    await new Promise((resolve) => setTimeout(resolve, 100))
    gone.end()
    await backendsGone(1000)
    assert.equal(bed.of(/pg_sleep\(30\)/)[0]?.result?.outcome, 'cut')
    assert.equal(bed.of(/pg_sleep\(31\)/)[0]?.result?.outcome, 'cancelled')

    const half = await open(bed)
    half.write(send.query('select * from big a, big b').subarray(0, 12))
    half.end()
    await backendsGone(1000)
  }))

test('a block that cancels what runs cuts it and keeps the session', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    client.take()
    client.write(send.query('select pg_sleep(30)'))
    await new Promise((resolve) => setTimeout(resolve, 100))
    bed.judge([{ action: 'block', cancelRunning: true }])
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()).slice(-2), ['E:42501', 'Z:I'])
    bed.judge([])
    client.write(send.query('select 1'))
    await client.ready(1)
    assert.deepEqual(client.summary(client.take()), ['T', 'D', 'C:SELECT 1', 'Z:I'])
    client.end()
  }))

test('draining ends idle sessions at once and busy ones after their command', () =>
  withBed({}, async (bed) => {
    const idle = await open(bed)
    const busy = await bed.connect()
    const running = busy.query('select pg_sleep(0.3)')
    await new Promise((resolve) => setTimeout(resolve, 100))
    bed.sessions.drain()
    await idle.until(() => idle.replies.some(({ type }) => type === 'E'))
    assert.deepEqual(idle.summary().slice(-1), ['E:57P01'])
    await running
    await assert.rejects(bed.connect(), /shutting down/)
    await new Promise((resolve) => setTimeout(resolve, 100))
    assert.equal(bed.sessions.live.size, 0)
  }))

test('a slow client slows the server, not the heap', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    client.socket.pause()
    const before = process.memoryUsage.rss()
    client.write(send.query('select repeat($$z$$, 10000) from generate_series(1, 100000)'))
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const grown = (process.memoryUsage.rss() - before) / 1_048_576
    assert.ok(grown < 100, `${grown} MiB more while a gigabyte waits`)
    client.end()
    await backendsGone(1000)
  }))

test('an error text never names the real user', async () => {
  const { user, password } = postgres.value.app
  await postgres.value.query('create table if not exists hidden (a int)')
  await withBed({ user, password }, async (bed) => {
    const client = await bed.connect()
    await assert.rejects(client.query(`set role nobody_${Date.now()}`))
    const { rows } = await client.query('show session_authorization')
    assert.equal(rows.length, 1)
    await assert.rejects(client.query(`drop role "${user}"`), (error: Error & { code?: string }) => {
      assert.doesNotMatch(JSON.stringify(error), new RegExp(`"${user}"`))
      return true
    })
    await client.end()
  })
})

test('a refused login says only "not authorised", with a decision id', () =>
  withBed({}, async (bed) => {
    for (const config of [{ password: 'bad' }, { user: 'elsewhere' }]) {
      const client = new pg.Client({
        host: '127.0.0.1',
        port: bed.port,
        user: 'shop',
        password: 'ann',
        ...config,
      })
      await assert.rejects(
        client.connect(),
        (error: Error & { code?: string; detail?: string; hint?: string }) => {
          assert.equal(error.message, 'portcullis: not authorised')
          assert.equal(error.code, '28000')
          assert.match(error.detail ?? '', /^reason=not_authorised decision=[0-9A-Z]{26}$/)
          assert.equal(error.hint, undefined)
          return true
        },
      )
    }
    assert.match(JSON.stringify(bed.logged), /the token is bad/)
  }))
