/**
 * A day of churn in twenty minutes: what connects, cancels, falls silent, reads slowly, is killed, is refused, prepares
 * and listens, and after each of some twenty rounds a forced idle in which every process of the proxy is looked into.
 * Growth over the last half of the rounds, or a client that was treated wrongly, ends it with 1.
 *
 *   node load-tests/soak.ts [--minutes 20] [--lanes 48]
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'
import { quiet } from './postgres/figures.ts'
import { report, type Row } from './report.ts'
import { churn, type Churned } from './soak/churn.ts'
import { growthOfLastHalf } from './soak/growth.ts'
import { inspectable, openInspector, probe, type Sample } from './soak/probe.ts'
import type { Door } from './soak/raw.ts'

const { values } = parseArgs({
  options: { minutes: { type: 'string', default: '20' }, lanes: { type: 'string', default: '48' } },
})
const minutes = Number(values.minutes)
const lanes = Number(values.lanes)
/** Enough for a slope, each long enough that its idle is a small part. */
const rounds = Math.max(8, Math.min(20, Math.round(minutes * 2)))
/** A session a second. */
const sessionsOfADay = 86_400
const loginSecMax = 2
/**
 * A segment is a sixteenth of it, and what a segment says once (a statement, a decision) is remembered by its writer and
 * by the agent until the next one begins: many begin in a round, or a half-full one would look like a leak.
 */
const recorderBytesMax = 8 << 20
/** More than the worker's cache of analyses holds. */
const textsOfCache = 12_000

/**
 * What a figure may grow by over the last half: what collectors, allocators and a segment begun leave behind. Of the heap
 * some 35 bytes a session of a whole day.
 */
const figures = [
  { key: 'heapBytes', what: 'heap after a forced collection', unit: 'MB', scale: 1e6, max: 1.5 },
  { key: 'anonymousBytes', what: 'memory', unit: 'MB', scale: 1e6, max: 10 },
  { key: 'descriptors', what: 'descriptors', unit: '', scale: 1, max: 0.5 },
  { key: 'listeners', what: 'event listeners', unit: '', scale: 1, max: 2 },
  { key: 'handles', what: 'handles', unit: '', scale: 1, max: 2 },
] as const

interface Watched {
  readonly name: string
  readonly pid: number
  readonly inspector: string
  readonly samples: Sample[]
}

process.exitCode = await main()

async function main(): Promise<number> {
  const postgres = await startPostgres({ auth: 'password', settings: { max_connections: 300 } })
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    env: inspectable,
    extra: { proxy: `loginSecMax: ${loginSecMax}`, recorder: `bytesMax: ${recorderBytesMax}` },
  })
  try {
    await postgres.value.query('create unlogged table sink (x text)')
    return await soak(system.value)
  } finally {
    await system.stop()
    await postgres.stop()
  }
}

async function soak(system: System): Promise<number> {
  const watched = await watchAll(system)
  await fillCaches(system)
  const churned: Churned[] = []
  const untilMs = performance.now() + minutes * 60_000
  for (let round = 0; round < rounds; round++) {
    const leftMs = (untilMs - performance.now()) / (rounds - round)
    const door = await doorOf(system)
    const firstNumber = (round + 1) * 1_000_000
    // The idle, the login's time and the collections take some eight seconds.
    churned.push(await churn({ door, lanes, ms: Math.max(2000, leftMs - 8000), firstNumber }))
    await sampleIdle(system, watched)
    console.log(`round ${round + 1} of ${rounds}: ${describe(watched)}`)
  }
  return judge(system, watched, churned)
}

async function doorOf(system: System): Promise<Door> {
  return { port: system.port(), user: 'shop', password: await system.token(`soak-${Date.now() % 20}`) }
}

function processesOf(system: System): [string, number][] {
  return [
    ['supervisor', system.pid('proxy')],
    ...system.childrenOf('proxy', 'agent/main.ts').map((pid): [string, number] => ['agent', pid]),
    ...system.childrenOf('proxy', 'worker.ts').map((pid, at): [string, number] => [`worker ${at}`, pid]),
  ]
}

async function watchAll(system: System): Promise<Watched[]> {
  const watched: Watched[] = []
  // One after the other: which address is whose shows only by the order.
  for (const [name, pid] of processesOf(system))
    watched.push({ name, pid, inspector: await openInspector(pid, system.log), samples: [] })
  return watched
}

/**
 * Every worker knows as many texts as it may remember, or each further one would look like a leak: of those that it keeps
 * without their literals, and of those whose literals matter.
 */
async function fillCaches(system: System): Promise<void> {
  const { port, user, password } = await doorOf(system)
  // The kernel spreads connections over the workers; eight reach both but once in a hundred runs.
  await Promise.all(
    Array.from({ length: 8 }, async (_, lane) => {
      const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: 'postgres' })
      await client.connect()
      for (let number = 0; number < textsOfCache / 4; number++) {
        const name = `f${lane}_${number}`
        await client.query(`select ${name} from (values (1)) v(${name})`)
        await client.query(`set application_name = '${name}'; select pg_sleep(0), '${name}'`)
      }
      await client.end()
    }),
  )
}

async function sampleIdle(system: System, watched: readonly Watched[]): Promise<void> {
  await quiet(Object.fromEntries(watched.map(({ name, pid }) => [name, [pid]])), 30_000)
  await sleep(loginSecMax * 1000 + 500)
  const now = processesOf(system).map(([, pid]) => pid)
  for (const { name, pid, inspector, samples } of watched) {
    if (!now.includes(pid)) throw new Error(`${name} has died: ${system.log().slice(-2000)}`)
    samples.push(await probe(pid, inspector))
  }
}

function describe(watched: readonly Watched[]): string {
  return watched
    .map(({ name, samples }) => {
      const last = samples.at(-1)
      if (!last) return name
      const megabytes = (bytes: number) => (bytes / 1e6).toFixed(1)
      return `${name} ${megabytes(last.heapBytes)}/${megabytes(last.anonymousBytes)} MB ${last.descriptors} fds ${last.listeners} listeners ${last.handles} handles`
    })
    .join(' · ')
}

function judge(system: System, watched: readonly Watched[], churned: readonly Churned[]): number {
  const faults = churned.flatMap((one) => one.faults)
  const warned = system.log().split('MaxListenersExceededWarning').length - 1
  const visits = churned.flatMap((one) => Object.values(one.visits)).reduce((sum, count) => sum + count, 0)
  const rows: Row[] = [
    ...kindsOf(churned),
    {
      row: 'visits, of the sessions of a day at one a second',
      value: visits,
      unit: '',
      against: sessionsOfADay,
    },
    { row: 'visits that the gate treated wrongly', value: faults.length, unit: '', aim: { atMost: 0 } },
    { row: 'warnings of too many listeners', value: warned, unit: '', aim: { atMost: 0 } },
    ...watched.flatMap(({ name, samples }) =>
      figures.map(({ key, what, unit, scale, max }): Row => {
        const all = samples.map((sample) => sample[key] / scale)
        return {
          row: `${name}: growth of ${what} over the last half (now ${(all.at(-1) ?? 0).toFixed(unit ? 1 : 0)})`,
          value: growthOfLastHalf(all),
          unit,
          aim: { atMost: max },
        }
      }),
    ),
  ]
  report('soak', rows)
  for (const fault of faults.slice(0, 20)) console.error(fault)
  const grown = rows.filter(({ aim, value }) => aim && 'atMost' in aim && value > aim.atMost)
  return grown.length > 0 ? 1 : 0
}

function kindsOf(churned: readonly Churned[]): Row[] {
  const names = Object.keys(churned[0]?.visits ?? {}) as (keyof Churned['visits'])[]
  return names.map((kind) => ({
    row: `visits: ${kind}`,
    value: churned.reduce((sum, { visits }) => sum + visits[kind], 0),
    unit: '',
  }))
}
