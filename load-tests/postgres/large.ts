/**
 * Large results: SELECT, COPY out and COPY in against a direct connection and pgbouncer, plain and with TLS on the
 * client's side; and the gate's memory while many gigabytes pass. Real clients (pgbench, psql) that throw away what they
 * get; the server makes rows out of nothing and keeps none (`where false`), so that the road is what is measured.
 */
import { spawn } from 'node:child_process'
import { closeSync, openSync, writeFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { residentBytes } from '@portcullis/testkit/system'
import { findPgbench } from '@portcullis/testkit/postgres'
import type { Row } from '../report.ts'
import { type CpuSec, cpuOf, median, sum } from './figures.ts'
import type { Bench, Side } from './sides.ts'

export interface LargeAmounts {
  readonly gigabytes: number
  readonly rounds: number
}

interface Passed {
  readonly elapsedSec: number
  readonly cpu: CpuSec
}

interface Work {
  readonly name: string
  readonly aim: { readonly atLeast: number }
  /** Program and its arguments after those that say where to. */
  readonly command: (gigabytes: number) => readonly [string, readonly string[]]
}

const rowBytes = 1000
const selectRowBytes = 206
const selectRows = 50_000
const pieceBytes = 100_000_000

export interface LargeRuns {
  readonly label: string
  readonly aim: Work['aim']
  /** MB/s of a side, the median of its rounds. */
  speed(name: string): number
  /** Seconds of CPU a GB, of one kind of process or of all. */
  cpu(name: string, part?: string): number
}

export async function largeResults(bench: Bench, amounts: LargeAmounts, tls: boolean): Promise<Row[]> {
  const sides = [bench.direct, bench.pgbouncer, bench.gate]
  return (await largeRuns(bench, sides, amounts, tls)).flatMap((runs) => rowsOf(runs, tls))
}

export async function largeRuns(
  { dir, postgres }: Pick<Bench, 'dir' | 'postgres'>,
  sides: readonly Side[],
  { gigabytes, rounds }: LargeAmounts,
  tls: boolean,
): Promise<LargeRuns[]> {
  await postgres.query('create unlogged table if not exists sink (x text)')
  const all: LargeRuns[] = []
  for (const work of worksIn(dir)) {
    const passed = new Map<string, Passed[]>(sides.map(({ name }) => [name, []]))
    for (let round = 0; round < rounds; round++)
      for (const side of sides) passed.get(side.name)?.push(await pass(side, work, gigabytes, tls))
    const of = (name: string, figure: (one: Passed) => number) => median((passed.get(name) ?? []).map(figure))
    all.push({
      label: `${work.name}${tls ? ' under TLS' : ''}`,
      aim: work.aim,
      speed: (name) => (gigabytes * 1000) / of(name, ({ elapsedSec }) => elapsedSec),
      cpu: (name, part) =>
        of(name, ({ cpu }) => (part === undefined ? sum(Object.values(cpu)) : (cpu[part] ?? 0))) / gigabytes,
    })
  }
  return all
}

/** The works, with the files they need. */
function worksIn(dir: string): Work[] {
  const script = join(dir, 'large.sql')
  writeFileSync(script, `select repeat('x', 195) from generate_series(1, ${selectRows});\n`)
  const piece = join(dir, 'piece.txt')
  writePiece(piece)
  const times = (bytes: number, gigabytes: number) =>
    String(Math.max(1, Math.round((gigabytes * 1e9) / bytes)))
  return [
    {
      name: 'SELECT',
      aim: { atLeast: 0.97 },
      command: (gigabytes) => [
        findPgbench() ?? 'pgbench',
        ['-n', '-f', script, '-c', '1', '-t', times(selectRowBytes * selectRows, gigabytes)],
      ],
    },
    {
      name: 'COPY out',
      aim: { atLeast: 1.05 },
      command: (gigabytes) => [
        'psql',
        [
          '-X',
          '-c',
          `copy (select repeat('x', ${rowBytes - 6}) from generate_series(1, ${times(rowBytes, gigabytes)})) to stdout`,
        ],
      ],
    },
    {
      name: 'COPY in',
      aim: { atLeast: 0.98 },
      command: (gigabytes) => [
        'psql',
        [
          '-X',
          ...Array.from({ length: Number(times(pieceBytes, gigabytes)) }, () => [
            '-c',
            `\\copy sink from '${piece}' where false`,
          ]).flat(),
        ],
      ],
    },
  ]
}

function writePiece(path: string): void {
  const lines = Buffer.from(`${'x'.repeat(rowBytes - 1)}\n`.repeat(1000))
  const file = openSync(path, 'w')
  try {
    for (let at = 0; at < pieceBytes; at += lines.length) writeSync(file, lines)
  } finally {
    closeSync(file)
  }
}

async function pass(side: Side, work: Work, gigabytes: number, tls: boolean): Promise<Passed> {
  const [program, args] = work.command(gigabytes)
  const env = { ...process.env, PGPASSWORD: side.password, PGSSLMODE: tls ? 'require' : 'disable' }
  const where = ['-h', '127.0.0.1', '-p', String(side.port), '-U', side.user]
  let elapsedSec = 0
  const { cpu } = await cpuOf(side.parts(), async () => {
    const sinceMs = performance.now()
    await ended(spawn(program, [...args, ...where, 'postgres'], { env, stdio: ['ignore', 'ignore', 'pipe'] }))
    elapsedSec = (performance.now() - sinceMs) / 1000
  })
  return { elapsedSec, cpu }
}

function ended(child: ReturnType<typeof spawn>): Promise<void> {
  let said = ''
  child.stderr?.on('data', (chunk) => {
    said += chunk
  })
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) =>
      code === 0 ? resolve() : reject(new Error(`${child.spawnfile} ended with ${code}: ${said}`)),
    )
  })
}

function rowsOf({ label, aim, speed, cpu }: LargeRuns, tls: boolean): Row[] {
  return [
    {
      row: `${label}: throughput, gate against direct`,
      value: speed('gate'),
      unit: 'MB/s',
      against: speed('direct'),
      ...(!tls && { aim }),
    },
    {
      row: `${label}: throughput, pgbouncer against direct`,
      value: speed('pgbouncer'),
      unit: 'MB/s',
      against: speed('direct'),
    },
    {
      row: `${label}: CPU a GB, gate against pgbouncer`,
      value: cpu('gate'),
      unit: 's/GB',
      against: cpu('pgbouncer'),
      aim: { atMost: tls ? 0.65 : 0.9 },
    },
    { row: `${label}: of it the worker`, value: cpu('gate', 'worker'), unit: 's/GB' },
    { row: `${label}: of it the agent`, value: cpu('gate', 'agent'), unit: 's/GB' },
  ]
}

/** The worker's memory while a result of many gigabytes passes to a client that throws it away. */
export async function memoryOfLarge(bench: Bench, gigabytes: number): Promise<Row[]> {
  const [pid = 0] = bench.system.childrenOf('proxy', 'worker.ts')
  const before = residentBytes(pid)
  let peak = before
  const watching = setInterval(() => {
    peak = Math.max(peak, residentBytes(pid))
  }, 100)
  try {
    const work = worksIn(bench.dir).find(({ name }) => name === 'COPY out')
    if (work) await pass(bench.gate, work, gigabytes, false)
  } finally {
    clearInterval(watching)
  }
  const label = `${gigabytes} GB COPY out`
  return [
    { row: `${label}: peak memory of the worker`, value: peak / 1e6, unit: 'MB', aim: { atMost: 150 } },
    { row: `${label}: growth of the worker's memory`, value: (peak - before) / 1e6, unit: 'MB' },
  ]
}
