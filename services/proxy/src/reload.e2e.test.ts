/** A new configuration at SIGHUP: what is refused, what changes, and what becomes of it when processes die meanwhile. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'
import { cancelRequest } from './protocols/postgres/wire.ts'
import { edit, metric, reload, workersOf } from '@portcullis/testkit/reloading'
import { until } from '@portcullis/testkit/chaos/settle'
import { type Storm, startStorm } from '@portcullis/testkit/chaos/storm'

const proxy = 'proxy:gate-1'
const agentScript = 'src/agent/main.ts'
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres()
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: { proxy: 'drainSecMax: 20' },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

test('a file that is wrong is refused with every mistake; what dies meanwhile comes back as it was', async () => {
  const { value } = system
  const workers = workersOf(value)
  const [agent] = value.childrenOf('proxy', agentScript)
  const undo = edit(value, /drainSecMax: 20/, 'drainSecMax: soon\n  wrokers: 3')
  const log = await reload(value, 'is refused')
  assert.match(log, /gate-1\.yaml:\d+:\d+: proxy\.drainSecMax: /)
  assert.match(log, /gate-1\.yaml:\d+:\d+: proxy\.wrokers: unknown key/)
  assert.deepEqual(workersOf(value), workers)
  for (const pid of [workers[0], agent]) process.kill(pid ?? 0, 'SIGKILL')
  await until('both to come back', 20_000, async () => {
    const all = [...workersOf(value), ...value.childrenOf('proxy', agentScript)]
    return all.length === 3 && !all.includes(workers[0] ?? 0) && !all.includes(agent ?? 0)
  })
  await until('both workers to accept', 20_000, async () => (await phase('ready')) === 2)
  await answers('shop')
  undo()
})

test('what cannot change is named, and nothing else of that file is taken', async () => {
  const { value } = system
  const workers = workersOf(value)
  const undo = edit(value, /workers: 2/, `workers: 3\n  shareOfCaps: 0.5`)
  edit(value, /listen: \{ postgres: '127\.0\.0\.1:\d+' \}/, `listen: { postgres: '127.0.0.1:1' }`)
  edit(value, /dataDir: .*/, 'dataDir: ./elsewhere')
  const log = await reload(value, 'is refused')
  assert.match(log, /proxy\.listen\.postgres: cannot change from 127\.0\.0\.1:\d+ to 127\.0\.0\.1:1 /)
  assert.match(log, /dataDir: cannot change/)
  assert.deepEqual(workersOf(value), workers)
  undo()
})

test('a configuration with which no worker starts leaves the old ones where they are', async () => {
  const { value } = system
  const workers = workersOf(value)
  const client = await connectTo('shop')
  const undo = edit(value, /workers: 2/, `workers: 2\n  tls: { cert: ./none.crt, key: 'file:./none.key' }`)
  const log = await reload(value, 'is not wholly in force')
  assert.match(log, /none\.crt/)
  assert.match(log, /0 of 2 workers were replaced/)
  await client.query('select 1')
  await client.end()
  undo()
  process.kill(workers[1] ?? 0, 'SIGKILL')
  await until('a worker of the old configuration', 20_000, async () => (await phase('ready')) === 2)
  await answers('shop')
  assert.equal(await metric(value, 'portcullis_reloads_total{result="failed"}'), 1)
  assert.equal(await metric(value, 'portcullis_reloads_total{result="refused"}'), 2)
})

test('new targets, more workers and fewer, under a storm: no connect fails', async (t) => {
  const { value } = system
  await assert.rejects(answers('second'))
  const storm = await storming(t)
  const [target] =
    /- name: shop[\s\S]*?groups: \[agents\]/.exec(readFileSync(join(value.dir, 'gate-1.yaml'), 'utf8')) ?? []
  edit(value, target ?? '', `${target}\n  ${target?.replace('name: shop', 'name: second')}`)
  edit(value, /workers: 2/, 'workers: 3')
  await reload(value)
  await answers('second')
  await until('the old ones to end', 20_000, () => workersOf(value).length === 3)
  edit(value, /workers: 3/, 'workers: 1')
  await reload(value)
  await until('the old ones to end', 20_000, () => workersOf(value).length === 1)
  // The queues of those that are no longer wanted have a keeper all the same.
  for (let i = 0; i < 20; i++) await answers('second')
  await storm.stop()
  assert.deepEqual(storm.failures, [])
  assert.ok(storm.logins() > 20)
  edit(value, /workers: 1/, 'workers: 2')
})

test('SIGHUP twice at once: both are done, one after the other', async (t) => {
  const { value } = system
  const client = await connectTo('shop')
  const storm = await storming(t)
  const before = await metric(value, 'portcullis_reloads_total{result="done"}')
  const old = workersOf(value)
  process.kill(value.pid('proxy'), 'SIGHUP')
  await sleep(100)
  process.kill(value.pid('proxy'), 'SIGHUP')
  process.kill(value.pid('proxy'), 'SIGHUP')
  await until('both', 60_000, async () => (await done()) === before + 2)
  await sleep(500)
  await storm.stop()
  assert.deepEqual(storm.failures, [])
  assert.equal(await done(), before + 2)
  assert.equal(await phase('ready'), 2)
  await client.query('select 1')
  await client.end()
  await until('only the last to live', 20_000, () => workersOf(value).length === 2)
  assert.deepEqual(
    workersOf(value).filter((pid) => old.includes(pid)),
    [],
  )
})

/** All workers are asked whose it is; one that starts has no session and does not hear yet, for as long as it takes. */
test('a guessed cancel key counts at once, also while a worker starts', async (t) => {
  const { value } = system
  const old = workersOf(value)
  const reloading = reload(value)
  await until('a new worker', 20_000, () => workersOf(value).length > old.length)
  const young = workersOf(value).find((pid) => !old.includes(pid)) ?? 0
  process.kill(young, 'SIGSTOP')
  t.after(() => process.kill(young, 'SIGCONT'))
  const guesses = () => metric(value, 'portcullis_cancel_guesses_total')
  const before = await guesses()
  for (let i = 0; i < 3; i++) {
    const socket = connect(value.port(), '127.0.0.1')
    socket.end(cancelRequest(i + 1, Buffer.alloc(4)))
    await new Promise((resolve) => socket.once('close', resolve).resume())
  }
  await until('the guesses to count', 5000, async () => (await guesses()) === before + 3)
  process.kill(young, 'SIGCONT')
  await reloading
})

test('workers, old and new, that die while they are being replaced: the replacement is finished all the same', async (t) => {
  const { value } = system
  const storm = await storming(t)
  const killsMs: number[] = []
  for (const isOldOneKilled of [false, true]) {
    const old = workersOf(value)
    const reloading = reload(value)
    await until('a new worker', 20_000, () => workersOf(value).length > old.length)
    const young = workersOf(value).filter((pid) => !old.includes(pid))
    // The one that is starting, alone and together with one that is to be replaced.
    for (const pid of [young[0], isOldOneKilled ? old[1] : undefined])
      if (pid !== undefined) process.kill(pid, 'SIGKILL')
    killsMs.push(performance.now())
    await reloading
    await until(
      'two workers',
      20_000,
      async () => (await phase('ready')) === 2 && (await phase('starting')) === 0,
    )
    await until('the old ones to end', 20_000, () => !workersOf(value).some((pid) => old.includes(pid)))
  }
  await storm.stop()
  t.diagnostic(`${storm.failures.length} of ${storm.connects() + storm.logins()} failed`)
  // Nothing fails but what a worker that was killed had accepted.
  const others = storm.failures.filter(
    ({ beganMs }) => !killsMs.some((atMs) => beganMs > atMs - 2000 && beganMs < atMs + 20),
  )
  assert.deepEqual(others, [])
  assert.ok(storm.failures.length <= 2 * 12, `${storm.failures.length} failures`)
  await answers('shop')
})

test('SIGTERM in the middle of a replacement: the sessions are told, all ends, and nothing stays behind', async () => {
  const { value } = system
  const client = await connectTo('shop')
  const told = new Promise<Error & { code?: string }>((resolve) => client.on('error', resolve))
  const old = workersOf(value)
  process.kill(value.pid('proxy'), 'SIGHUP')
  await until('a new worker', 20_000, () => workersOf(value).length > old.length)
  const family = value.childrenOf('proxy', 'services/proxy/src/')
  const from = value.log().length
  const startMs = performance.now()
  await value.stopPart(proxy)
  assert.ok(performance.now() - startMs < 15_000)
  assert.equal((await told).code, '57P01')
  assert.doesNotMatch(value.log().slice(from), /stop failed|"fatal"|unhandled/)
  for (const pid of family) assert.throws(() => process.kill(pid, 0), { code: 'ESRCH' })
})

test('SIGHUP while it starts: it starts, and then does what it was asked for', async () => {
  const { value } = system
  const from = value.log().length
  const starting = value.startPart(proxy)
  await until('its processes', 20_000, () => value.childrenOf('proxy', agentScript).length > 0)
  process.kill(value.pid('proxy'), 'SIGHUP')
  await starting
  await until('the reload', 60_000, () =>
    value.log().slice(from).includes('"the new configuration is in force"'),
  )
  await answers('shop')
  assert.equal(await phase('ready'), 2)
})

const done = () => metric(system.value, 'portcullis_reloads_total{result="done"}')
const phase = (name: string) => metric(system.value, `portcullis_workers{phase="${name}"}`)

async function connectTo(target: string): Promise<pg.Client> {
  const url = (await system.value.url('agent')).replace('//shop:', `//${target}:`)
  const client = new pg.Client({ connectionString: `${url}postgres` })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function answers(target: string): Promise<void> {
  const client = await connectTo(target)
  assert.deepEqual((await client.query('select 7 as seven')).rows, [{ seven: 7 }])
  await client.end()
}

async function storming(t: TestContext): Promise<Storm> {
  const storm = startStorm({
    port: system.value.port(),
    url: `${await system.value.url('storm')}postgres`,
    atOnce: { connects: 8, logins: 4 },
    pauseMs: 10,
  })
  t.after(() => storm.stop())
  await until('the storm', 10_000, () => storm.logins() > 10)
  return storm
}
