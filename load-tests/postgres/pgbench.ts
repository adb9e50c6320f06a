/** One run of pgbench over one side. */
import { execFile } from 'node:child_process'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { findPgbench } from '@portcullis/testkit/postgres'
import { type CpuSec, cpuOf, median, sum } from './figures.ts'
import type { Side } from './sides.ts'

const run = promisify(execFile)

export interface PgbenchOptions {
  /** A folder for the script and the log of latencies. */
  readonly dir: string
  readonly sql: string
  readonly mode: 'simple' | 'extended' | 'prepared'
  readonly clients: number
  /** How long, or how often. */
  readonly amount: { readonly seconds: number } | { readonly transactions: number }
}

export interface Run {
  readonly tps: number
  /** Of a transaction; only with one client, where a client's own work is not in it. */
  readonly p50Us: number
  readonly elapsedSec: number
  readonly done: number
  /** Seconds by kind of process. */
  readonly cpu: CpuSec
}

/** Microseconds of CPU a transaction, all processes of the side together. */
export function cpuUsEach({ cpu, done }: Run): number {
  return (sum(Object.values(cpu)) / done) * 1e6
}

export async function pgbench(side: Side, options: PgbenchOptions): Promise<Run> {
  const { dir, sql, mode, clients, amount } = options
  const script = join(dir, 'script.sql')
  writeFileSync(script, `${sql};\n`)
  const isTimed = 'seconds' in amount
  const log = clients === 1 && isTimed ? ['-l', '--log-prefix', join(dir, 'latency')] : []
  const args = ['-n', '-f', script, '-M', mode, '-c', String(clients), '-j', '1', ...log]
  args.push(...(isTimed ? ['-T', String(amount.seconds)] : ['-t', String(amount.transactions)]))
  args.push('-h', '127.0.0.1', '-p', String(side.port), '-U', side.user, 'postgres')
  const env = { ...process.env, PGPASSWORD: side.password, PGSSLMODE: 'disable' }
  const sinceMs = performance.now()
  let elapsedSec = 0
  const { value, cpu } = await cpuOf(side.parts(), async () => {
    const printed = await run(findPgbench() ?? 'pgbench', args, { env })
    elapsedSec = (performance.now() - sinceMs) / 1000
    return printed
  })
  const done = Number(/actually processed: (\d+)/.exec(value.stdout)?.[1])
  if (!(done > 0)) throw new Error(`${side.name}: pgbench finished no transaction; give it more --seconds`)
  const tps = Number(/tps = ([\d.]+)/.exec(value.stdout)?.[1])
  return { tps, elapsedSec, done, cpu, p50Us: log.length > 0 ? median(takeLatencies(dir)) : Number.NaN }
}

/** Microseconds of every transaction in the log, which is then gone. */
function takeLatencies(dir: string): number[] {
  return readdirSync(dir)
    .filter((name) => name.startsWith('latency'))
    .flatMap((name) => {
      const lines = readFileSync(join(dir, name), 'utf8').split('\n')
      rmSync(join(dir, name))
      return lines.flatMap((line) => (line ? [Number(line.split(' ')[2])] : []))
    })
}
