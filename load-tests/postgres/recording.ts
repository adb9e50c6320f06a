/**
 * What recording costs. The product has no switch for it and must not have one, so the worker's own parts run twice as
 * processes of their own (services/proxy/src/testing/bed.fixture.ts), the one with the recorder, the other with one that
 * drops everything, in turn before the same server. Shipping is the agent's work: the tiny queries have it as a line.
 */
import type { Row } from '../report.ts'
import { startBedProcess } from './bed-process.ts'
import { median } from './figures.ts'
import { cpuUsEach, pgbench, type PgbenchOptions, type Run } from './pgbench.ts'
import { type Bench, type Side, startBench } from './sides.ts'
import type { Amounts } from './tiny.ts'

export async function recording(bench: Bench, amounts: Amounts): Promise<Row[]> {
  return [...(await onAndOff(bench, amounts)), ...(await onDisk(amounts))]
}

async function onAndOff(bench: Bench, { seconds, rounds }: Amounts): Promise<Row[]> {
  const runs = {
    one: { real: [] as Run[], none: [] as Run[] },
    eight: { real: [] as Run[], none: [] as Run[] },
  }
  const run = (side: Side, clients: number, lasts: number) => {
    const options: PgbenchOptions = {
      dir: bench.dir,
      sql: 'select 1',
      mode: 'simple',
      clients,
      amount: { seconds: lasts },
    }
    return pgbench(side, options)
  }
  const beds = await Promise.all([
    startBedProcess('real', bench.postgres),
    startBedProcess('none', bench.postgres),
  ])
  try {
    for (const { value } of beds) await run(value, 8, 1)
    // Shorter and more often than elsewhere: a few microseconds are looked for. pgbench takes whole seconds only.
    const shortSec = Math.max(1, Math.floor(seconds / 2))
    for (let round = 0; round < 2 * rounds; round++) {
      for (const { value } of beds) {
        runs.one[value.name].push(await run(value, 1, shortSec))
        runs.eight[value.name].push(await run(value, 8, shortSec))
      }
    }
  } finally {
    for (const bed of beds) await bed.stop()
  }
  const added = (of: { real: Run[]; none: Run[] }, figure: (run: Run) => number) =>
    median(of.real.map(figure)) - median(of.none.map(figure))
  return [
    {
      row: 'recording: added p50, 1 client, on against off',
      value: added(runs.one, (one) => one.p50Us),
      unit: 'us',
      aim: { atMost: 8 },
    },
    {
      row: 'recording: added CPU a query, 1 client, on against off',
      value: added(runs.one, cpuUsEach),
      unit: 'us',
      aim: { atMost: 5 },
    },
    {
      row: 'recording: added CPU a query, 8 clients, on against off',
      value: added(runs.eight, cpuUsEach),
      unit: 'us',
      aim: { atMost: 5 },
    },
    {
      row: 'recording: CPU a query, 1 client, on against off',
      value: median(runs.one.real.map(cpuUsEach)),
      unit: 'us',
      against: median(runs.one.none.map(cpuUsEach)),
    },
  ]
}

/** `durability: disk`, the whole product, on the disk that holds the folder for temporary files. */
async function onDisk({ seconds, rounds }: Amounts): Promise<Row[]> {
  const bench = await startBench({ extra: { recorder: 'durability: disk' } })
  try {
    const { direct, gate, dir } = bench.value
    const tps = { direct: [] as number[], gate: [] as number[] }
    for (let round = 0; round < rounds; round++) {
      for (const [name, side] of [
        ['direct', direct],
        ['gate', gate],
      ] as const) {
        const amount = { seconds }
        tps[name].push(
          (await pgbench(side, { dir, sql: 'select 1', mode: 'simple', clients: 32, amount })).tps,
        )
      }
    }
    return [
      {
        row: 'durability: disk, 32 clients: throughput, gate against direct',
        value: median(tps.gate),
        unit: '1/s',
        against: median(tps.direct),
        aim: { atLeast: 0.55 },
      },
    ]
  } finally {
    await bench.stop()
  }
}
