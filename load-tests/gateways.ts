/**
 * The gate against other inspecting gateways that run on this machine, on the same work in turn: tiny queries and large
 * results. It starts none of them and knows nothing of them but their door: start one with 127.0.0.1:25499 as its upstream,
 * then name its port and, for its CPU, its processes. PostgreSQL, with a password, is started here on that port.
 *
 *   node load-tests/gateways.ts --gateway NAME=PORT,PID[,PID] [--gateway ...]
 *     [--user postgres --password ...] [--upstream-port 25499] [--seconds 3] [--rounds 3] [--gigabytes 1]
 *
 * `--user` and `--password`: what the gateways take from a client; PostgreSQL's own where absent, as a relay that knows no
 * identities passes them on.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { type LargeRuns, largeRuns } from './postgres/large.ts'
import { cpuUsEach } from './postgres/pgbench.ts'
import { type Bench, type Side, startBench } from './postgres/sides.ts'
import { type TinyRuns, tinyRuns } from './postgres/tiny.ts'
import { report, type Row } from './report.ts'

const { values } = parseArgs({
  options: {
    gateway: { type: 'string', multiple: true, default: [] },
    user: { type: 'string' },
    password: { type: 'string' },
    'upstream-port': { type: 'string', default: '25499' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    gigabytes: { type: 'string', default: '1' },
  },
})

await main()

async function main(): Promise<void> {
  if (values.gateway.length === 0) throw new Error('which gateways? --gateway NAME=PORT,PID')
  const bench = await startBench({ postgresPort: Number(values['upstream-port']) })
  try {
    const others = values.gateway.map((text) => otherSide(text, bench.value))
    for (const other of others) await answers(other)
    report('gateways', await measure(bench.value, others))
  } finally {
    await bench.stop()
  }
}

async function measure(bench: Bench, others: readonly Side[]): Promise<Row[]> {
  const sides = [bench.direct, bench.gate, ...others]
  const rounds = Number(values.rounds)
  const tiny = await tinyRuns(bench.dir, sides, { seconds: Number(values.seconds), rounds })
  const large = await largeRuns(bench, sides, { gigabytes: Number(values.gigabytes), rounds }, false)
  return others.flatMap(({ name }) => [
    ...tiny.flatMap((runs) => tinyRows(runs, name)),
    ...large.flatMap((runs) => largeRows(runs, name)),
  ])
}

function tinyRows({ label, clients, of }: TinyRuns, other: string): Row[] {
  const added = (name: string) => of(name, (run) => run.p50Us) - of('direct', (run) => run.p50Us)
  const beside = (row: string, unit: string, figure: (name: string) => number, aim: Row['aim']): Row => ({
    row: `${label}: ${row}, gate against ${other}`,
    value: figure('gate'),
    unit,
    against: figure(other),
    ...(aim && { aim }),
  })
  return [
    ...(clients === 1 ? [beside('added p50', 'us', added, { atMost: 1 })] : []),
    beside('throughput', '1/s', (name) => of(name, ({ tps }) => tps), { atLeast: 1 }),
    beside('CPU a query', 'us', (name) => of(name, cpuUsEach), { atMost: 1 }),
  ]
}

function largeRows({ label, speed, cpu }: LargeRuns, other: string): Row[] {
  const name = (row: string) => `${label}: ${row}, gate against ${other}`
  return [
    {
      row: name('throughput'),
      value: speed('gate'),
      unit: 'MB/s',
      against: speed(other),
      aim: { atLeast: 1 },
    },
    { row: name('CPU a GB'), value: cpu('gate'), unit: 's/GB', against: cpu(other), aim: { atMost: 1 } },
  ]
}

function otherSide(text: string, { postgres }: Bench): Side {
  const parsed = /^(\w[\w-]*)=(\d+)((?:,\d+)+)$/.exec(text)
  if (!parsed) throw new Error(`--gateway ${text}: NAME=PORT,PID[,PID]`)
  const [, name = '', port, pids = ''] = parsed
  return {
    name,
    port: Number(port),
    user: values.user ?? postgres.user,
    password: values.password ?? postgres.password,
    parts: () => ({ [name]: pids.slice(1).split(',').map(Number) }),
  }
}

async function answers({ name, port, user, password }: Side): Promise<void> {
  for (let tries = 0; ; tries++) {
    const client = new pg.Client({ host: '127.0.0.1', port, user, password, database: 'postgres' })
    const failure = await client
      .connect()
      .then(() => client.query('select 1'))
      .then(
        () => undefined,
        (error: Error) => error,
      )
    await client.end()
    if (!failure) return
    if (tries === 100) throw new Error(`${name} at port ${port} lets no client through`, { cause: failure })
    await sleep(100)
  }
}
