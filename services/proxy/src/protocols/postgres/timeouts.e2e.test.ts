/** The times that the gate gives a session, on a real server: what they end, what the client hears, what is recorded. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started, Timeouts } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { type Bed, type BedOptions, startBed } from '../../testing/bed.ts'
import { RawClient, type Reply, send } from '../../testing/raw-client.ts'
import { readFields } from './wire.ts'

let postgres: Started<Postgres>
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  await postgres.value.query(`
    create table t (a int, b text);
    create table big as select n as a, repeat($$x$$, 1000) as b from generate_series(1, 100000) n;
    create function late() returns trigger language plpgsql as 'begin perform pg_sleep(20); return null; end';
    create table slow_commit (a int);
    create constraint trigger late after insert on slow_commit deferrable initially deferred
      for each row execute function late()`)
})
after(() => postgres?.stop())

async function withBed(
  timeouts: Timeouts,
  work: (bed: Bed) => Promise<void>,
  options: Partial<BedOptions> = {},
): Promise<void> {
  const bed = await startBed({ postgres: postgres.value, timeouts, ...options })
  try {
    await work(bed.value)
    const left = bed.value.commands.filter(({ result }) => !result)
    assert.deepEqual(
      left.map(({ text }) => text),
      [],
      'every command has its outcome',
    )
  } finally {
    await bed.stop()
  }
}

const short: Timeouts = { statementMs: 400 }
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function open(bed: Bed): Promise<RawClient> {
  const client = await RawClient.open(bed.port, 'shop', 'ann', postgres.value.database)
  client.take()
  return client
}

const errorOf = (replies: readonly Reply[]) =>
  readFields(replies.find(({ type }) => type === 'E')?.payload ?? Buffer.alloc(0))

async function busy(): Promise<number> {
  const { rows } = await postgres.value.query<{ n: number }>(
    `select count(*)::int as n from pg_stat_activity
     where backend_type = 'client backend' and pid <> pg_backend_pid() and state = 'active'`,
  )
  return rows[0]?.n ?? 0
}

/** The error of the gate's own, the recorded cut, and that the session and the server go on. */
async function wasCut(bed: Bed, client: RawClient, text: RegExp, replies: readonly Reply[]): Promise<void> {
  const error = errorOf(replies)
  assert.equal(error.C, '57014')
  assert.equal(error.M, 'portcullis: canceling statement due to statement timeout of the gate')
  assert.match(error.D ?? '', /^reason=statement_timeout decision=\w+ rule=statementTimeoutMs/)
  const command = bed.of(text).findLast(({ result }) => result?.outcome === 'cut')
  assert.equal(command?.result?.errorCode, '57014')
  assert.equal(command?.decision.reason, 'statement_timeout')
  assert.match(error.D ?? '', new RegExp(`decision=${command?.decision.id}`))
  client.take()
  client.write(send.query('rollback; select 1'))
  await client.ready(1)
  assert.ok(client.summary().includes('C:SELECT 1'), client.summary().join(' '))
  assert.equal(await busy(), 0)
  client.end()
}

async function met(isMet: () => boolean | Promise<boolean>, msMax = 2000): Promise<void> {
  const deadline = performance.now() + msMax
  while (!(await isMet())) {
    assert.ok(performance.now() < deadline, `not met within ${msMax} ms`)
    await sleep(20)
  }
}

const batch = (sql: string, ...end: Buffer[]) =>
  Buffer.concat([send.parse('', sql), send.bind('', ''), send.execute(''), ...end])

for (const [name, bytes, text] of [
  ['a simple Query', send.query('select pg_sleep(20)'), /pg_sleep/],
  ['a batch with Sync', batch('select pg_sleep(20)', send.sync()), /pg_sleep/],
  ['a loop without end', send.query('do $$begin loop perform 1; end loop; end$$'), /^do/],
] as const satisfies [string, Buffer, RegExp][]) {
  test(`a statement is cut although the session has lifted the server's own limit: ${name}`, () =>
    withBed(short, async (bed) => {
      const client = await open(bed)
      client.write(send.query('set statement_timeout = 0'))
      await client.ready(1)
      client.take()
      const since = performance.now()
      client.write(bytes)
      await client.ready(1)
      const tookMs = performance.now() - since
      assert.ok(tookMs >= 390 && tookMs < 3000, `${tookMs} ms`)
      assert.equal(client.summary().at(-1), 'Z:I')
      await wasCut(bed, client, text, client.take())
    }))
}

test('a batch without its Sync hears of it at once, and is skipped up to Sync', () =>
  withBed(short, async (bed) => {
    const client = await open(bed)
    client.write(batch('select pg_sleep(20)', send.flush()))
    await client.until(() => client.replies.some(({ type }) => type === 'E'))
    client.write(batch('select 2', send.sync()))
    await client.ready(1)
    assert.deepEqual(client.summary(), ['1', '2', 'E:57014', 'Z:I'])
    assert.equal(bed.of(/select 2/).length, 0)
    await wasCut(bed, client, /pg_sleep/, client.take())
  }))

test('what waits for a lock is cut: a Parse, a Describe, an Execute', () =>
  withBed(short, async (bed) => {
    const locker = await postgresClient()
    const client = await open(bed)
    client.write(Buffer.concat([send.parse('known', 'select a from t'), send.sync()]))
    await client.ready(1)
    client.take()
    await locker.query('begin; alter table t add column c int')
    client.write(batch('select a from t', send.sync()))
    await client.ready(1)
    assert.deepEqual(client.summary(), ['E:57014', 'Z:I'])
    assert.equal(bed.of(/select a from t/).at(-1)?.result?.stage, 'prepare')
    client.take()
    client.write(Buffer.concat([send.describe('S', 'known'), send.sync()]))
    await client.ready(1)
    assert.equal(errorOf(client.replies).C, '57014')
    client.take()
    client.write(Buffer.concat([send.bind('', 'known'), send.execute(''), send.sync()]))
    await client.ready(1)
    await locker.query('rollback')
    await locker.end()
    await wasCut(bed, client, /select a from t/, client.take())
  }))

test('a commit that takes too long is cut, and nothing is committed', () =>
  withBed(short, async (bed) => {
    const client = await open(bed)
    client.write(batch('insert into slow_commit values (1)', send.flush()))
    await client.until(() => client.replies.some(({ type }) => type === 'C'))
    client.write(send.sync())
    await client.ready(1)
    assert.deepEqual(client.summary(), ['1', '2', 'C:INSERT 0 1', 'E:57014', 'Z:I'])
    assert.match(errorOf(client.replies).D ?? '', /rule=statementTimeoutMs$/)
    assert.equal((await postgres.value.query('select * from slow_commit')).rowCount, 0)
    client.end()
  }))

test('COPY from a client that sends no more, sends on, or sends half a message', () =>
  withBed(short, async (bed) => {
    for (const [data, then] of [
      ['1\tone\n', Buffer.alloc(0)],
      ['1\tone\n', Buffer.concat([send.copyData('2\ttwo\n'), send.copyDone()])],
    ] as const) {
      const client = await open(bed)
      client.write(send.query('copy t (a, b) from stdin'))
      await client.until(() => client.replies.some(({ type }) => type === 'G'))
      client.write(send.copyData(data))
      await client.ready(1)
      client.write(then)
      assert.deepEqual(client.summary(), ['G', 'E:57014', 'Z:I'])
      await wasCut(bed, client, /^copy t/, client.take())
    }
    const half = await open(bed)
    half.write(Buffer.concat([batch('copy t (a, b) from stdin'), send.flush()]))
    await half.until(() => half.replies.some(({ type }) => type === 'G'))
    const message = send.copyData(`3\t${'x'.repeat(1000)}\n`)
    half.write(message.subarray(0, 500))
    await sleep(600)
    half.write(message.subarray(500))
    await half.until(() => half.replies.some(({ type }) => type === 'E'))
    half.write(Buffer.concat([send.copyDone(), send.sync()]))
    await half.ready(1)
    await wasCut(bed, half, /^copy t/, half.take())
    assert.equal((await postgres.value.query('select * from t')).rowCount, 0)
  }))

test('a block that cancels what runs also ends a COPY whose client sends nothing', () =>
  withBed({}, async (bed) => {
    const client = await open(bed)
    client.write(send.query('copy t (a, b) from stdin'))
    await client.until(() => client.replies.some(({ type }) => type === 'G'))
    bed.judge([{ action: 'block', cancelRunning: true }])
    await client.ready(1)
    assert.deepEqual(client.summary(), ['G', 'E:42501', 'Z:I'])
    client.end()
  }))

for (const sql of [
  'select * from big',
  'copy big to stdout',
  "select repeat('y', 500000) from big",
  "select repeat('y', 500000) from big -- in a batch",
]) {
  test(`a client that does not read keeps no statement alive: ${sql}`, () =>
    withBed(short, async (bed) => {
      const client = await open(bed)
      client.socket.pause()
      client.write(sql.includes('batch') ? batch(sql, send.sync()) : send.query(sql))
      await sleep(300)
      assert.equal(await busy(), 1, 'it has filled what lies between')
      await met(async () => (await busy()) === 0)
      client.socket.resume()
      await client.ready(1)
      const replies = client.take()
      assert.deepEqual(client.summary(replies).slice(-2), ['E:57014', 'Z:I'])
      const [cut] = bed.of(/big/)
      assert.equal(cut?.result?.rowsOut, replies.filter(({ type }) => type === 'D' || type === 'd').length)
      await wasCut(bed, client, /big/, replies)
    }))
}

test('a server that does not listen to the cancel ends the session, within the time for a connection', () =>
  withBed(
    short,
    async (bed) => {
      const client = await open(bed)
      client.write(send.query('select pg_backend_pid()'))
      await client.ready(1)
      const pid = Number(
        client.replies
          .find(({ type }) => type === 'D')
          ?.payload.subarray(6)
          .toString(),
      )
      client.take()
      process.kill(pid, 'SIGSTOP')
      try {
        client.write(send.query('select 42'))
        await client.until(() => client.closed || client.replies.some(({ type }) => type === 'E'))
        assert.deepEqual(client.summary(), ['E:57014'])
        await met(() => bed.closed.length > 0)
        assert.equal(bed.of(/42/)[0]?.result?.outcome, 'cut')
        assert.equal(bed.closed[0]?.decision.reason, 'statement_timeout')
        assert.match(bed.closed[0]?.detail ?? '', /the target did not stop it/)
      } finally {
        process.kill(pid, 'SIGCONT')
      }
    },
    { connectTimeoutMs: 500 },
  ))

test('each execution of a pipeline has its own time', () =>
  withBed(short, async (bed) => {
    const client = await open(bed)
    const steps = Array.from({ length: 4 }, () => batch('select pg_sleep(0.2)'))
    client.write(Buffer.concat([...steps, send.sync()]))
    await client.ready(1)
    assert.deepEqual(
      client.summary().filter((one) => !/^[12D]$/.test(one)),
      [...steps.map(() => 'C:SELECT 1'), 'Z:I'],
    )
    client.end()
  }))

test('what the gate holds back has no time', () =>
  withBed(
    { statementMs: 400, idleSessionMs: 400 },
    async (bed) => {
      const client = await bed.connect()
      const since = performance.now()
      for (let n = 0; n < 3; n++) await client.query('select 1')
      assert.ok(performance.now() - since > 1500, 'each was held back for longer than a statement may take')
      await client.end()
    },
    { caps: { commandsPerSecond: 1 } },
  ))

test('of several statements in one Query it is the running one that is cut; those before it stand', () =>
  withBed(short, async (bed) => {
    const client = await open(bed)
    client.write(send.query("begin; insert into t (a, b) values (1, 'one'); select pg_sleep(20); select 4"))
    await client.ready(1)
    assert.deepEqual(client.summary(), ['C:BEGIN', 'C:INSERT 0 1', 'E:57014', 'Z:E'])
    assert.deepEqual(
      bed.commands.map(({ result }) => result?.outcome),
      ['ok', 'ok', 'cut', 'skipped'],
    )
    await wasCut(bed, client, /pg_sleep/, client.take())
  }))

test('an idle session ends as the server would end it; one that works does not', () =>
  withBed({ idleSessionMs: 400, idleInTransactionMs: 60_000 }, async (bed) => {
    const client = await open(bed)
    const since = performance.now()
    for (let n = 0; n < 3; n++) {
      client.write(send.query('select pg_sleep(0.3)'))
      await client.ready(n + 1)
      await sleep(200)
    }
    client.write(send.query('begin'))
    await client.ready(4)
    await sleep(600)
    client.write(send.query('commit'))
    await client.ready(5)
    client.take()
    assert.ok(performance.now() - since > 2000)
    await client.until(() => client.replies.length > 0)
    assert.deepEqual(client.summary(), ['E:57P05'])
    const error = errorOf(client.replies)
    assert.equal(error.S, 'FATAL')
    assert.match(error.M ?? '', /terminating connection due to idle-session timeout/)
    await met(() => bed.closed.length > 0)
    assert.equal(bed.closed[0]?.decision.reason, 'idle_session_timeout')
    assert.equal(bed.closed[0]?.decision.rule, 'idleSessionTimeoutMs')
    assert.match(error.D ?? '', new RegExp(`decision=${bed.closed[0]?.decision.id}`))
  }))

for (const [name, bytes] of Object.entries({
  'an open block': send.query("begin; insert into t (a, b) values (7, 'seven')"),
  'a failed block': send.query("begin; insert into t (a, b) values (7, 'seven'); select 1/0"),
  'a batch without its Sync': batch("insert into t (a, b) values (7, 'seven')", send.flush()),
})) {
  test(`idle in a transaction: ${name} is rolled back and the session ends`, () =>
    withBed({ idleInTransactionMs: 400 }, async (bed) => {
      const idle = await open(bed)
      const client = await open(bed)
      client.write(send.query('set idle_in_transaction_session_timeout = 0'))
      await client.ready(1)
      client.take()
      client.write(bytes)
      await client.until(() =>
        client.replies.some(({ type, payload }) => type === 'E' && readFields(payload).S === 'FATAL'),
      )
      const error = readFields(client.replies.at(-1)?.payload ?? Buffer.alloc(0))
      assert.equal(error.C, '25P03')
      assert.match(error.M ?? '', /terminating connection due to idle-in-transaction timeout/)
      await met(() => bed.closed.length > 0)
      assert.equal(bed.closed[0]?.decision.reason, 'idle_in_transaction_timeout')
      await met(
        async () =>
          (await postgres.value.query(`select from pg_locks where relation = 't'::regclass`)).rowCount === 0,
      )
      assert.equal((await postgres.value.query('select from t')).rowCount, 0)
      assert.ok(!idle.closed, 'who has no transaction has no such limit')
      idle.end()
    }))
}

test('a mere observer keeps no time', () =>
  withBed(
    { statementMs: 100, idleSessionMs: 100, idleInTransactionMs: 100 },
    async (bed) => {
      const client = await bed.connect()
      await client.query('begin')
      await client.query('select pg_sleep(0.3)')
      await sleep(300)
      await client.query('commit')
      await sleep(300)
      assert.equal((await client.query('select 1 as n')).rowCount, 1)
      await client.end()
    },
    { mode: 'observe' },
  ))

async function postgresClient() {
  const client = new pg.Client({ connectionString: postgres.value.url })
  await client.connect()
  return client
}
