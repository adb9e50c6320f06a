/**
 * What an idle session costs: memory and CPU. A thousand on a real PostgreSQL, pgbouncer beside it; five thousand before a
 * server that is not PostgreSQL (fake-upstream.ts), since as many backends want some 25 GB. A few sessions are opened and
 * closed before, so that what is counted is sessions and not the worker's own warming up; each has run one query. The
 * gate's memory is taken twice: as it is, with whatever garbage the logins left, and after a forced collection.
 */
import { execFileSync, fork } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { residentBytes, startSystem, type System } from '@portcullis/testkit/system'
import type { Row } from '../report.ts'
import { inspectable, openInspector, probe } from '../soak/probe.ts'
import { cpuOf, quiet, sum } from './figures.ts'
import { partsOf, type Side, startBench } from './sides.ts'

const few = 1000
const many = 5000
/** A session has two descriptors in a gate, one in a client's process, one in a server's. */
const descriptors = 2 * many + 1000
const restMs = 10_000

export async function idleSessions(seconds: number): Promise<Row[]> {
  raiseDescriptors(descriptors)
  return [...(await fewBeforePostgres(seconds)), ...(await manyBeforeFake(seconds))]
}

async function fewBeforePostgres(seconds: number): Promise<Row[]> {
  const bench = await startBench({
    clientsMax: few + 50,
    settings: { max_connections: few + 100 },
    env: inspectable,
  })
  try {
    const { gate, pgbouncer } = bench.value
    const byPgbouncer = await measure(pgbouncer, few, seconds)
    // pgbouncer keeps its server connections, and the server has room for one side's.
    await bench.value.postgres.query(
      'select pg_terminate_backend(pid) from pg_stat_activity where pid <> pg_backend_pid() and backend_type = $1',
      ['client backend'],
    )
    const byGate = await measure(gate, few, seconds, bench.value.system)
    return rowsOf('idle sessions', few, byGate, byPgbouncer)
  } finally {
    await bench.stop()
  }
}

async function manyBeforeFake(seconds: number): Promise<Row[]> {
  const fake = await startChild<{ port: number }>('fake-upstream.ts', [])
  const upstream = {
    host: '127.0.0.1',
    port: fake.value.said.port,
    user: 'u',
    password: 'p',
    database: 'postgres',
  }
  const system = await startSystem({ postgres: upstream, parts: ['proxy'], workers: 1, env: inspectable })
  try {
    const gate: Side = {
      name: 'gate',
      port: system.value.port(),
      user: 'shop',
      password: await system.value.token('bench'),
      parts: () => partsOf(system.value),
    }
    return rowsOf('idle sessions, stand-in server', many, await measure(gate, many, seconds, system.value))
  } finally {
    await system.stop()
    await fake.stop()
  }
}

interface Measured {
  readonly bytesEach: number
  /** Of the worker after a forced collection; 0 of another program. */
  readonly heldEach: number
  /** Of a core, all sessions and all processes together. */
  readonly cpuShare: number
  readonly openedSec: number
}

async function measure(side: Side, count: number, seconds: number, system?: System): Promise<Measured> {
  const { port, user, password } = side
  const holder = await startChild<{ open: number }>('holder.ts', [JSON.stringify({ port, user, password })])
  try {
    for (let round = 0; round < 10; round++) {
      await holder.value.ask({ open: 20 })
      await holder.value.ask({ close: true })
    }
    await sleep(restMs)
    const parts = side.parts()
    const pids = Object.values(parts).flat()
    const worker = parts.worker?.[0]
    const inspector = system && worker !== undefined ? await openInspector(worker, system.log) : undefined
    const collected = async () =>
      worker !== undefined && inspector ? (await probe(worker, inspector)).anonymousBytes : 0
    const heldBefore = await collected()
    const before = sum(pids.map(residentBytes))
    const sinceMs = performance.now()
    await holder.value.ask({ open: count })
    const openedSec = (performance.now() - sinceMs) / 1000
    await quiet(parts)
    await sleep(restMs)
    const bytesEach = (sum(pids.map(residentBytes)) - before) / count
    const { cpu } = await cpuOf(parts, () => sleep(seconds * 1000))
    const heldEach = ((await collected()) - heldBefore) / count
    await holder.value.ask({ close: true })
    // cpuOf itself watches for a fifth of a second at least.
    return { bytesEach, heldEach, openedSec, cpuShare: sum(Object.values(cpu)) / (seconds + 0.2) }
  } finally {
    await holder.stop()
  }
}

function rowsOf(label: string, count: number, gate: Measured, pgbouncer?: Measured): Row[] {
  const name = `${count} ${label}`
  const beside = (figure: (of: Measured) => number) => (pgbouncer ? { against: figure(pgbouncer) } : {})
  const kilobytes = ({ bytesEach }: Measured) => bytesEach / 1000
  const against = pgbouncer ? ', gate against pgbouncer' : ''
  return [
    { row: `${name}: memory each`, value: kilobytes(gate), unit: 'KB', aim: { atMost: 40 } },
    {
      row: `${name}: memory each in the worker after a forced collection`,
      value: gate.heldEach / 1000,
      unit: 'KB',
    },
    ...(pgbouncer
      ? [{ row: `${name}: memory each${against}`, value: kilobytes(gate), unit: 'KB', ...beside(kilobytes) }]
      : []),
    {
      row: `${name}: CPU while idle${against}`,
      value: gate.cpuShare * 100,
      unit: '% of a core',
      ...beside(({ cpuShare }) => cpuShare * 100),
    },
    {
      row: `${name}: logins a second, 32 at once${against}`,
      value: count / gate.openedSec,
      unit: '1/s',
      ...beside(({ openedSec }) => count / openedSec),
    },
  ]
}

/** Of this process and those that it starts from now on. Throws where this user may not have so many. */
function raiseDescriptors(wanted: number): void {
  const limit = /Max open files\s+(\d+|unlimited)/.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  if (limit === 'unlimited' || Number(limit) >= wanted) return
  try {
    execFileSync('prlimit', ['--pid', String(process.pid), `--nofile=${wanted}:${wanted}`], { stdio: 'pipe' })
  } catch (cause) {
    throw new Error(`${many} sessions need ${wanted} descriptors: raise the hard limit (ulimit -Hn)`, {
      cause,
    })
  }
}

interface Child<Said> {
  /** What it said first. */
  readonly said: Said
  ask(order: object): Promise<Said>
}

async function startChild<Said extends object>(
  file: string,
  args: readonly string[],
): Promise<Started<Child<Said>>> {
  const child = fork(join(import.meta.dirname, file), args)
  const gone = once(child, 'exit')
  const next = async (): Promise<Said> => {
    const [said] = (await once(child, 'message')) as [Said | { failed: string }]
    if ('failed' in said) throw new Error(said.failed)
    return said
  }
  const said = await next()
  return {
    value: {
      said,
      ask(order) {
        const answer = next()
        child.send(order)
        return answer
      },
    },
    async stop() {
      child.disconnect()
      await gone
    },
  }
}
