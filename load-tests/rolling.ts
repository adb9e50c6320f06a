/**
 * What a rolling restart and a worker's death cost the clients: a storm of connects and logins over two workers, and
 * sessions that are held all the while. Exits with 1 where a connect or a session is lost that need not be.
 *
 *   node load-tests/rolling.ts [--restarts 10] [--kills 10]
 */
import { parseArgs } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Storm, startStorm } from '@portcullis/testkit/chaos/storm'
import { startPostgres } from '@portcullis/testkit/postgres'
import { metric, reload, workersOf } from '@portcullis/testkit/reloading'
import { until } from '@portcullis/testkit/chaos/settle'
import { residentBytes, startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'
import { report, type Row } from './report.ts'

const { values: args } = parseArgs({
  options: {
    restarts: { type: 'string', default: '10' },
    kills: { type: 'string', default: '10' },
  },
})
const heldSessions = 20
/** A connect that was begun this long after the kill cannot have been accepted by the dead. */
const graceMs = 20

process.exitCode = await main()
process.exit()

async function main(): Promise<number> {
  const postgres = await startPostgres({ auth: 'password', fsync: false })
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: { proxy: 'drainSecMax: 600' },
  })
  try {
    const freshBytes = Math.max(...workersOf(system.value).map(residentBytes))
    const rows = [
      ...(await restarts(system.value, Number(args.restarts))),
      ...(await kills(system.value, Number(args.kills))),
      { row: 'resident memory of a fresh worker', value: Math.round(freshBytes / 1e6), unit: 'MB' },
    ]
    report('rolling', rows)
    return rows.some(({ value, aim }) => aim !== undefined && value > aim.atMost) ? 1 : 0
  } finally {
    await system.stop()
    await postgres.stop()
  }
}

type Judged = Row & { readonly aim?: { readonly atMost: number } }

async function restarts(system: System, count: number): Promise<Judged[]> {
  const held = await hold(system)
  const storm = await storming(system)
  const tookMs: number[] = []
  for (let i = 0; i < count; i++) {
    const startMs = performance.now()
    await reload(system)
    tookMs.push(performance.now() - startMs)
    await sleep(500)
  }
  await storm.stop()
  const dropped = await held.dropped()
  return [
    { row: `${count} rolling restarts: connects meanwhile`, value: storm.connects(), unit: 'connects' },
    { row: 'of them failed', value: failed(storm, 'connect'), unit: 'connects', aim: { atMost: 0 } },
    { row: `logins with a query meanwhile`, value: storm.logins(), unit: 'logins' },
    { row: 'of them failed', value: failed(storm, 'login'), unit: 'logins', aim: { atMost: 0 } },
    { row: `${heldSessions} sessions held: dropped`, value: dropped, unit: 'sessions', aim: { atMost: 0 } },
    { row: 'slowest connect to its first answer', value: storm.slowestMs(), unit: 'ms' },
    { row: 'a rolling restart of two workers, median', value: median(tookMs), unit: 'ms' },
  ]
}

async function kills(system: System, count: number): Promise<Judged[]> {
  const storm = await storming(system)
  const killedMs: number[] = []
  const backMs: number[] = []
  for (let i = 0; i < count; i++) {
    const before = workersOf(system)
    const victim = before[i % before.length] ?? 0
    process.kill(victim, 'SIGKILL')
    const atMs = performance.now()
    killedMs.push(atMs)
    await until('a new worker', 30_000, async () => {
      const now = workersOf(system)
      return !now.includes(victim) && now.length === 2 && (await ready(system)) === 2
    })
    backMs.push(performance.now() - atMs)
    await sleep(500)
  }
  await storm.stop()
  const later = storm.failures.filter(
    ({ beganMs }) => !killedMs.some((atMs) => beganMs > atMs - 5000 && beganMs < atMs + graceMs),
  )
  return [
    {
      row: `${count} kill -9 of a worker: connects and logins meanwhile`,
      value: storm.connects() + storm.logins(),
      unit: 'both',
    },
    {
      row: 'failed: the dead one had accepted them',
      value: storm.failures.length - later.length,
      unit: 'both',
    },
    { row: 'failed though begun after a kill', value: later.length, unit: 'both', aim: { atMost: 0 } },
    { row: 'until a new worker accepts, median', value: median(backMs), unit: 'ms' },
  ]
}

async function ready(system: System): Promise<number> {
  return metric(system, 'portcullis_workers{phase="ready"}')
}

async function hold(system: System): Promise<{ dropped(): Promise<number> }> {
  const connectionString = `${await system.url('held')}postgres`
  const clients = await Promise.all(
    Array.from({ length: heldSessions }, async () => {
      const client = new pg.Client({ connectionString })
      client.on('error', () => undefined)
      await client.connect()
      return client
    }),
  )
  return {
    async dropped() {
      const answers = await Promise.allSettled(clients.map((client) => client.query('select 1')))
      await Promise.all(clients.map((client) => client.end()))
      return answers.filter(({ status }) => status === 'rejected').length
    },
  }
}

async function storming(system: System): Promise<Storm> {
  const storm = startStorm({
    port: system.port(),
    url: `${await system.url('storm')}postgres`,
    atOnce: { connects: 16, logins: 6 },
  })
  await until('the storm', 10_000, () => storm.logins() > 20)
  return storm
}

function failed(storm: Storm, kind: 'connect' | 'login'): number {
  return storm.failures.filter((failure) => failure.kind === kind).length
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
