/**
 * A rolling restart, and a worker's death, as clients see them: real processes, psql and drivers that hold sessions, a
 * storm of connects meanwhile. No test here may lose a connect or a session but those of a worker that was killed.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'
import { cancelRequest } from './protocols/postgres/wire.ts'
import { RawClient, send } from './testing/raw-client.ts'
import { edit, metric, publishBlock, reload, workersOf } from '@portcullis/testkit/reloading'
import { until } from '@portcullis/testkit/chaos/settle'
import { startStorm } from '@portcullis/testkit/chaos/storm'

const atOnce = { connects: 12, logins: 4 }
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: { proxy: 'drainSecMax: 60', shop: 'caps: { sessions: 8 }' },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

test('a rolling restart under a storm of connects: none fails, and every session goes on', async (t) => {
  const { value } = system
  const old = workersOf(value)
  const psql = await openPsql(await value.url('in-psql'))
  const idle = await openClient('idle')
  const inTransaction = await openClient('in-transaction')
  await inTransaction.query('create table kept (n int)')
  await inTransaction.query('begin')
  await inTransaction.query('insert into kept values (1)')
  const working = await openClient('working')
  const capped = await Promise.all(Array.from({ length: 8 }, () => openClient('capped')))
  const sleepers = await Promise.all(
    Array.from({ length: 4 }, async () =>
      RawClient.open(value.port(), 'shop', await value.token('sleeper'), 'postgres'),
    ),
  )
  const keys = sleepers.map(
    (client) => client.take().find(({ type }) => type === 'K')?.payload ?? Buffer.alloc(8),
  )
  const backend = await backendOf(idle)
  const loginsBefore = await metric(value, 'portcullis_logins_total{result="opened"}')

  const storm = startStorm({ port: value.port(), url: `${await value.url('storm')}postgres`, atOnce })
  t.after(() => storm.stop())
  const ready = watchReadiness(value)
  await until('the storm', 10_000, () => storm.logins() > 20)
  const running = working.query('select pg_sleep(3), 42 as answer')
  const log = await reload(value)
  await sleep(300)
  await storm.stop()
  t.diagnostic(`${storm.connects()} connects and ${storm.logins()} logins; ${/tookMs":\d+/.exec(log)?.[0]}`)
  assert.deepEqual(storm.failures, [])
  assert.deepEqual(await ready.stop(), [], 'it was ready all the time, with two workers that accept')
  const fresh = workersOf(value).filter((pid) => !old.includes(pid))
  assert.equal(fresh.length, 2)
  assert.deepEqual(
    workersOf(value).filter((pid) => old.includes(pid)),
    old,
    'the old ones live for their sessions',
  )

  assert.equal(await backendOf(idle), backend)
  assert.deepEqual((await running).rows[0]?.answer, 42)
  await inTransaction.query('insert into kept values (2)')
  await inTransaction.query('commit')
  assert.equal((await idle.query('select count(*)::int as n from kept')).rows[0]?.n, 2)
  assert.match(await psql.ask('select 6 * 7'), /42/)

  // Counted over both generations: caps, gauges, and totals that never fall.
  await assert.rejects(openClient('capped'), /cap_sessions|sessions/)
  await capped.pop()?.end()
  await until('a place', 5000, () =>
    openClient('capped').then(
      (client) => capped.push(client) > 0,
      () => false,
    ),
  )
  await until('the gauge', 5000, async () => (await metric(value, 'portcullis_sessions')) === 16)
  assert.equal(await metric(value, 'portcullis_workers{phase="retired"}'), 2)
  assert.equal(await metric(value, 'portcullis_workers{phase="ready"}'), 2)

  // CancelRequests are taken by new workers, for sessions of the old.
  for (const client of sleepers) client.write(send.query('select pg_sleep(60)'))
  await sleep(300)
  for (const [index, client] of sleepers.entries()) {
    await cancel(value.port(), keys[index] ?? Buffer.alloc(8))
    await client.ready(1)
    assert.deepEqual(client.summary(), ['T', 'E:57014', 'Z:I'])
    for (const other of sleepers.slice(index + 1)) assert.deepEqual(other.summary(), [])
    client.end()
  }

  await idle.query('select 1')
  await publishBlock(value, 'idle')
  await until('the verdict in an old session', 5000, () =>
    idle.query('select 1').then(
      () => false,
      (error: { code?: string }) => error.code === '42501',
    ),
  )

  // The last session of a retired worker takes it along, long before its time is over.
  await Promise.all([idle, inTransaction, working, ...capped].map((client) => client.end()))
  await psql.end()
  await until('the old workers to end', 10_000, () => !workersOf(value).some((pid) => old.includes(pid)))
  const loginsAfter = await metric(value, 'portcullis_logins_total{result="opened"}')
  assert.ok(loginsAfter >= loginsBefore + storm.logins(), `${loginsAfter} after ${loginsBefore}`)
  assert.equal(await metric(value, 'portcullis_worker_deaths_total'), 0)
})

test('what outlives drainSecMax in a retired worker is ended, and told why', async () => {
  const { value } = system
  const client = await openClient('long')
  const told = new Promise<Error & { code?: string }>((resolve) => client.on('error', resolve))
  const old = workersOf(value)
  const undo = edit(value, 'drainSecMax: 60', 'drainSecMax: 1')
  await reload(value)
  assert.equal((await told).code, '57P01')
  await until('the old workers to end', 10_000, () => !workersOf(value).some((pid) => old.includes(pid)))
  undo()
  await reload(value)
})

test('a worker that is killed: the others notice nothing, whoever connects afterwards is served at once', async (t) => {
  const { value } = system
  const clients = await Promise.all(Array.from({ length: 8 }, () => openClient('spread')))
  const broken = new Set<pg.Client>()
  for (const client of clients) client.on('error', () => broken.add(client))
  const storm = startStorm({ port: value.port(), url: `${await value.url('storm')}postgres`, atOnce })
  t.after(() => storm.stop())
  await until('the storm', 10_000, () => storm.logins() > 20)
  const [victim = 0, other = 0] = workersOf(value)
  const from = value.log().length
  process.kill(victim, 'SIGKILL')
  const killedMs = performance.now()
  await until('a stand-in', 5000, () => /"worker accepts"/.test(value.log().slice(from)))
  const coveredMs = performance.now() - killedMs
  await until(
    'a new worker',
    20_000,
    () => workersOf(value).length === 2 && !workersOf(value).includes(victim),
  )
  await until(
    'it accepts',
    20_000,
    async () => (await metric(value, 'portcullis_workers{phase="ready"}')) === 2,
  )
  const backMs = performance.now() - killedMs
  const accepted = value
    .log()
    .slice(from)
    .split('\n')
    .filter((line) => line.includes('"worker accepts"'))
    .map((line) => JSON.parse(line) as { slot: number; queue: number; predecessor?: number })
  const [standIn, heir] = accepted
  assert.deepEqual([heir?.queue, heir?.predecessor], [standIn?.queue, standIn?.slot], 'another stood in')
  await storm.stop()
  t.diagnostic(`covered after ${Math.round(coveredMs)} ms, replaced after ${Math.round(backMs)} ms`)
  t.diagnostic(`${storm.failures.length} of ${storm.connects() + storm.logins()} were the dead one's`)
  const later = storm.failures.filter(({ beganMs }) => beganMs > killedMs + 20)
  assert.deepEqual(later, [], 'only what the dead one had accepted is lost')
  assert.ok(storm.failures.length <= atOnce.connects + atOnce.logins, `${storm.failures.length} failures`)
  assert.ok(workersOf(value).includes(other))
  let survivors = 0
  for (const client of clients)
    if (!broken.has(client)) {
      await client.query('select 1')
      survivors++
    }
  assert.ok(survivors > 0, 'the other worker had sessions')
  assert.equal(await metric(value, 'portcullis_worker_deaths_total'), 1)
  await Promise.all(clients.map((client) => client.end()))
})

async function openClient(subject: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: `${await system.value.url(subject)}postgres` })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function backendOf(client: pg.Client): Promise<number> {
  return (await client.query('select pg_backend_pid() as pid')).rows[0]?.pid
}

async function cancel(port: number, key: Buffer): Promise<void> {
  const socket = connect(port, '127.0.0.1')
  socket.end(cancelRequest(key.readInt32BE(0), key.subarray(4)))
  await new Promise((resolve) => socket.once('close', resolve).resume())
}

/** psql as a person keeps it open. */
async function openPsql(url: string) {
  const child = spawn(findPsql() ?? 'psql', ['-X', '-A', '-t', `${url}postgres`])
  let text = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data) => (text += data))
  const ask = async (sql: string) => {
    const from = text.length
    child.stdin.write(`${sql};\n\\echo done\n`)
    await until(sql, 10_000, () => text.includes('done\n', from))
    return text.slice(from)
  }
  assert.match(await ask('select 1'), /1/)
  return {
    ask,
    end: () => new Promise((resolve) => child.once('close', resolve).stdin.end()),
  }
}

/** What /readyz said that was not ready, and when fewer workers accepted than there should be. */
function watchReadiness(of: System): { stop(): Promise<string[]> } {
  const said: string[] = []
  let stopped = false
  const watching = (async () => {
    while (!stopped) {
      const response = await fetch(`${of.healthUrl('proxy')}/readyz`)
      const text = await response.text()
      if (!response.ok) said.push(text)
      const accepting = await metric(of, 'portcullis_workers{phase="ready"}')
      if (accepting < 2) said.push(`${accepting} accept`)
      await sleep(50)
    }
  })()
  return {
    async stop() {
      stopped = true
      await watching
      return said
    },
  }
}
