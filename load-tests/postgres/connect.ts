/** A connection and its first answer, plain and under TLS, one at a time: what the gate's sign-in adds to a direct one. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Row } from '../report.ts'
import { type CpuSec, cpuOf, median, sum } from './figures.ts'
import type { Bench, Side } from './sides.ts'
import type { Amounts } from './tiny.ts'

const run = promisify(execFile)
const connector = join(import.meta.dirname, 'connector.ts')

interface Connects {
  readonly p50Ms: number
  readonly done: number
  readonly cpu: CpuSec
}

export async function connecting(bench: Bench, { seconds, rounds }: Amounts): Promise<Row[]> {
  const sides = [bench.direct, bench.pgbouncer, bench.gate]
  const rows: Row[] = []
  for (const tls of [false, true]) {
    const all = new Map<string, Connects[]>(sides.map(({ name }) => [name, []]))
    for (let round = 0; round < rounds; round++)
      for (const side of sides)
        all.get(side.name)?.push(await connectFor(side, seconds, tls ? bench.caPem : undefined))
    rows.push(...rowsOf(tls, all))
  }
  return rows
}

async function connectFor(side: Side, seconds: number, caPem: string | undefined): Promise<Connects> {
  const { port, user, password } = side
  const ssl = caPem === undefined ? false : { ca: caPem, servername: 'localhost' }
  const config = { host: '127.0.0.1', port, user, password, database: 'postgres', ssl }
  const { value, cpu } = await cpuOf(side.parts(), () =>
    run(process.execPath, [connector, JSON.stringify(config), String(seconds)], { maxBuffer: 1 << 28 }),
  )
  const waitsMs = JSON.parse(value.stdout) as number[]
  return { p50Ms: median(waitsMs), done: waitsMs.length, cpu }
}

function rowsOf(tls: boolean, all: ReadonlyMap<string, readonly Connects[]>): Row[] {
  const of = (name: string, figure: (one: Connects) => number) => median((all.get(name) ?? []).map(figure))
  const p50 = (name: string) => of(name, ({ p50Ms }) => p50Ms)
  const cpuMs = (name: string) => of(name, ({ cpu, done }) => (sum(Object.values(cpu)) * 1000) / done)
  const label = `connect and first query${tls ? ' under TLS' : ''}`
  return [
    { row: `${label}: p50, gate against direct`, value: p50('gate'), unit: 'ms', against: p50('direct') },
    {
      row: `${label}: p50, pgbouncer (its server connections stand already) against direct`,
      value: p50('pgbouncer'),
      unit: 'ms',
      against: p50('direct'),
    },
    {
      row: `${label}: added p50, gate`,
      value: p50('gate') - p50('direct'),
      unit: 'ms',
      ...(!tls && { aim: { atMost: 0.6 } }),
    },
    {
      row: `${label}: CPU each, gate against pgbouncer`,
      value: cpuMs('gate'),
      unit: 'ms',
      against: cpuMs('pgbouncer'),
    },
  ]
}
