/** Tiny queries: what the gate adds to `select 1`, by protocol and number of clients, against pgbouncer. */
import type { Row } from '../report.ts'
import { median } from './figures.ts'
import { cpuUsEach, pgbench, type Run } from './pgbench.ts'
import type { Bench, Side } from './sides.ts'

export interface Amounts {
  readonly seconds: number
  readonly rounds: number
}

const modes = ['simple', 'extended', 'prepared'] as const

export interface TinyRuns {
  readonly label: string
  readonly clients: number
  /** A figure of a side: the median of its rounds. */
  of(name: string, figure: (run: Run) => number): number
}

export async function tinyQueries(bench: Bench, amounts: Amounts): Promise<Row[]> {
  const all = await tinyRuns(bench.dir, [bench.direct, bench.pgbouncer, bench.gate], amounts)
  return all.flatMap(rowsOf)
}

export async function tinyRuns(
  dir: string,
  sides: readonly Side[],
  { seconds, rounds }: Amounts,
): Promise<TinyRuns[]> {
  const all: TinyRuns[] = []
  for (const mode of modes) {
    for (const clients of [1, 8, 32]) {
      const runs = new Map<string, Run[]>(sides.map(({ name }) => [name, []]))
      for (let round = 0; round < rounds; round++) {
        for (const side of sides) {
          const options = { dir, sql: 'select 1', mode, clients, amount: { seconds } }
          runs.get(side.name)?.push(await pgbench(side, options))
        }
      }
      all.push({
        label: `select 1, ${mode}, ${clients} client${clients > 1 ? 's' : ''}`,
        clients,
        of: (name, figure) => median((runs.get(name) ?? []).map(figure)),
      })
    }
  }
  return all
}

function rowsOf({ label, clients, of }: TinyRuns): Row[] {
  const tps = (name: string) => of(name, (run) => run.tps)
  const p50 = (name: string) => of(name, (run) => run.p50Us)
  const part = (name: string) => of('gate', ({ cpu, done }) => ((cpu[name] ?? 0) / done) * 1e6)
  return [
    ...(clients === 1
      ? [
          {
            row: `${label}: added p50, gate against pgbouncer`,
            value: p50('gate') - p50('direct'),
            unit: 'us',
            against: p50('pgbouncer') - p50('direct'),
            aim: { atMost: 1.4 },
          },
        ]
      : []),
    {
      row: `${label}: throughput, gate against direct`,
      value: tps('gate'),
      unit: '1/s',
      against: tps('direct'),
    },
    {
      row: `${label}: throughput, gate against pgbouncer`,
      value: tps('gate'),
      unit: '1/s',
      against: tps('pgbouncer'),
      ...(clients > 1 && { aim: { atLeast: 0.85 } }),
    },
    {
      row: `${label}: CPU a query, gate against pgbouncer`,
      value: of('gate', cpuUsEach),
      unit: 'us',
      against: of('pgbouncer', cpuUsEach),
      aim: { atMost: 1.5 },
    },
    { row: `${label}: of it the worker`, value: part('worker'), unit: 'us' },
    { row: `${label}: of it the agent`, value: part('agent'), unit: 'us' },
  ]
}
