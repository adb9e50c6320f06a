/**
 * The Postgres gate against a direct connection and pgbouncer 1.18 in session mode, recording on, all sides in one run,
 * alternating. Tiny queries by pgbench; memory while a large result passes. Takes about five minutes of both cores.
 *
 *   node load-tests/postgres.ts [--seconds N] [--gigabytes N] [--only tiny|large]
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { findPgbench, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { cpuSec, residentBytes, startSystem, type System } from '@portcullis/testkit/system'
import { report, type Row } from './report.ts'

const run = promisify(execFile)
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '3' },
    gigabytes: { type: 'string', default: '10' },
    only: { type: 'string' },
  },
})
const seconds = Number(values.seconds)
const rounds = 3

interface Side {
  readonly name: 'direct' | 'pgbouncer' | 'gate'
  readonly port: number
  readonly user: string
  readonly password: string
  /** Processes whose CPU is what this side adds. */
  readonly pids: () => readonly number[]
}

interface Measured {
  tps: number[]
  p50Us: number[]
  cpuUs: number[]
}

const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-'))
chmodSync(dir, 0o755)
const postgres = await startPostgres({ auth: 'password', fsync: false })
const bouncer = await startPgbouncer(postgres.value)
const system = await startSystem({ postgres: postgres.value, parts: ['proxy'], workers: 1 })
try {
  const large = values.only === 'tiny' ? [] : await largeResult()
  const tiny = values.only === 'large' ? [] : await tinyQueries()
  report('postgres', [...large, ...tiny])
} finally {
  await system.stop()
  bouncer.child.kill('SIGTERM')
  await postgres.stop()
  rmSync(dir, { recursive: true, force: true })
}

async function tinyQueries(): Promise<Row[]> {
  const token = await system.value.token('bench')
  const { user, password, port } = postgres.value
  const sides: Side[] = [
    { name: 'direct', port, user, password, pids: () => [] },
    { name: 'pgbouncer', port: bouncer.port, user, password, pids: () => [bouncer.child.pid ?? 0] },
    {
      name: 'gate',
      port: system.value.port(),
      user: 'shop',
      password: token,
      pids: () => gatePids(system.value),
    },
  ]
  const script = join(dir, 'select1.sql')
  writeFileSync(script, 'select 1;\n')
  const rows: Row[] = []
  for (const mode of ['simple', 'extended', 'prepared']) {
    for (const clients of [1, 8, 32]) {
      const measured = new Map<Side['name'], Measured>()
      for (let round = 0; round < rounds; round++) {
        for (const side of sides) {
          const one = measured.get(side.name) ?? { tps: [], p50Us: [], cpuUs: [] }
          measured.set(side.name, one)
          await pgbench(side, mode, clients, script, one)
        }
      }
      rows.push(...rowsOf(mode, clients, measured))
    }
  }
  const [pid = 0] = system.value.childrenOf('proxy', 'worker.ts')
  rows.push({ row: 'memory of the worker after all that', value: residentBytes(pid) / 1e6, unit: 'MB' })
  return rows
}

function rowsOf(mode: string, clients: number, measured: ReadonlyMap<Side['name'], Measured>): Row[] {
  const of = (name: Side['name'], key: keyof Measured) => median(measured.get(name)?.[key] ?? [])
  const label = `select 1, ${mode}, ${clients} client${clients > 1 ? 's' : ''}`
  const rows: Row[] = [
    {
      row: `${label}: throughput, gate against direct`,
      value: of('gate', 'tps'),
      unit: '1/s',
      against: of('direct', 'tps'),
    },
    {
      row: `${label}: throughput, gate against pgbouncer`,
      value: of('gate', 'tps'),
      unit: '1/s',
      against: of('pgbouncer', 'tps'),
      ...(clients > 1 && { aim: { atLeast: 0.85 } }),
    },
    {
      row: `${label}: CPU a query, gate against pgbouncer`,
      value: of('gate', 'cpuUs'),
      unit: 'us',
      against: of('pgbouncer', 'cpuUs'),
      aim: { atMost: 1.5 },
    },
  ]
  if (clients === 1) {
    rows.unshift({
      row: `${label}: added p50, gate against pgbouncer`,
      value: of('gate', 'p50Us') - of('direct', 'p50Us'),
      unit: 'us',
      against: of('pgbouncer', 'p50Us') - of('direct', 'p50Us'),
      aim: { atMost: 1.4 },
    })
  }
  return rows
}

async function pgbench(
  side: Side,
  mode: string,
  clients: number,
  script: string,
  into: Measured,
): Promise<void> {
  const prefix = join(dir, `log-${side.name}`)
  const cpuBefore = side.pids().reduce((sum, pid) => sum + cpuSec(pid), 0)
  const args = ['-n', '-f', script, '-M', mode, '-c', String(clients), '-j', '1', '-T', String(seconds)]
  if (clients === 1) args.push('-l', '--log-prefix', prefix)
  const { stdout } = await run(
    findPgbench() ?? 'pgbench',
    [...args, '-h', '127.0.0.1', '-p', String(side.port), '-U', side.user, 'postgres'],
    {
      env: { ...process.env, PGPASSWORD: side.password, PGSSLMODE: 'disable' },
    },
  )
  const cpu = side.pids().reduce((sum, pid) => sum + cpuSec(pid), 0) - cpuBefore
  const done = Number(/actually processed: (\d+)/.exec(stdout)?.[1])
  into.tps.push(Number(/tps = ([\d.]+)/.exec(stdout)?.[1]))
  into.cpuUs.push((cpu / done) * 1e6)
  if (clients > 1) return
  for (const file of readdirSync(dir).filter((name) => name.startsWith(`log-${side.name}`))) {
    const us = readFileSync(join(dir, file), 'utf8')
      .split('\n')
      .flatMap((line) => (line ? [Number(line.split(' ')[2])] : []))
    into.p50Us.push(median(us))
    rmSync(join(dir, file))
  }
}

/** The gate's memory while a result of many gigabytes passes to a client that throws it away. */
async function largeResult(): Promise<Row[]> {
  const gigabytes = Number(values.gigabytes)
  const [pid = 0] = system.value.childrenOf('proxy', 'worker.ts')
  const before = residentBytes(pid)
  let peak = before
  const watching = setInterval(() => {
    peak = Math.max(peak, residentBytes(pid))
  }, 100)
  const url = await system.value.url('bench')
  const count = Math.round(gigabytes * 1e6)
  const since = performance.now()
  const cpuBefore = cpuSec(pid)
  const psql = spawn(
    'psql',
    [url, '-X', '-c', `copy (select repeat('x', 995) from generate_series(1, ${count})) to stdout`],
    {
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  )
  const code = await new Promise((resolve) => psql.once('exit', resolve))
  clearInterval(watching)
  if (code !== 0) throw new Error(`psql ended with ${code}`)
  const elapsedSec = (performance.now() - since) / 1000
  return [
    {
      row: `${gigabytes} GB COPY out: peak memory of the worker`,
      value: peak / 1e6,
      unit: 'MB',
      aim: { atMost: 150 },
    },
    {
      row: `${gigabytes} GB COPY out: growth of the worker's memory`,
      value: (peak - before) / 1e6,
      unit: 'MB',
    },
    { row: `${gigabytes} GB COPY out: speed`, value: (gigabytes * 1000) / elapsedSec, unit: 'MB/s' },
    {
      row: `${gigabytes} GB COPY out: CPU of the worker`,
      value: (cpuSec(pid) - cpuBefore) / gigabytes,
      unit: 's/GB',
    },
  ]
}

function gatePids(of: System): number[] {
  return [...of.childrenOf('proxy', 'worker.ts'), ...of.childrenOf('proxy', 'agent/main.ts')]
}

async function startPgbouncer({
  host,
  port,
  user,
  password,
}: Postgres): Promise<{ port: number; child: ChildProcess }> {
  const own = await freePort()
  writeFileSync(join(dir, 'users.txt'), `"${user}" "${password}"\n`, { mode: 0o644 })
  writeFileSync(
    join(dir, 'pgbouncer.ini'),
    `[databases]\npostgres = host=${host} port=${port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = ${own}\n` +
      `auth_type = plain\nauth_file = ${join(dir, 'users.txt')}\npool_mode = session\nmax_client_conn = 200\ndefault_pool_size = 100\n` +
      'unix_socket_dir =\nignore_startup_parameters = extra_float_digits\nlog_connections = 0\nlog_disconnections = 0\n',
    { mode: 0o644 },
  )
  const asRoot = process.getuid?.() === 0
  const child = spawn('pgbouncer', [join(dir, 'pgbouncer.ini')], {
    stdio: ['ignore', 'ignore', 'inherit'],
    ...(asRoot && { uid: 65_534, gid: 65_534 }),
  })
  for (let tries = 0; tries < 100; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    const env = { ...process.env, PGPASSWORD: password }
    const up = await run(
      'psql',
      ['-h', '127.0.0.1', '-p', String(own), '-U', user, '-c', 'select 1', 'postgres'],
      { env },
    ).then(
      () => true,
      () => false,
    )
    if (up) return { port: own, child }
  }
  throw new Error('pgbouncer does not answer; install it (Debian: apt-get install pgbouncer)')
}

function freePort(): Promise<number> {
  const server = createServer()
  return new Promise((resolve) =>
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number }
      server.close(() => resolve(port))
    }),
  )
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}
