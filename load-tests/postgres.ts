/**
 * The Postgres gate against a direct connection and pgbouncer 1.18 in session mode, recording on, all sides in one run,
 * in turn; medians of the rounds; CPU as the scheduler counts it. Each group prints a table and writes
 * load-tests/results/postgres-GROUP.json. Takes both cores for some twenty minutes, most of it for tiny queries, large
 * results and idle sessions.
 *
 *   node load-tests/postgres.ts [--only GROUP,GROUP] [--seconds 3] [--rounds 3] [--gigabytes 1] [--memory-gigabytes 10]
 */
import { parseArgs } from 'node:util'
import { classification } from './postgres/classification.ts'
import { connecting } from './postgres/connect.ts'
import { hugeValues } from './postgres/huge.ts'
import { idleSessions } from './postgres/idle.ts'
import { largeResults, memoryOfLarge } from './postgres/large.ts'
import { recording } from './postgres/recording.ts'
import { type Bench, startBench } from './postgres/sides.ts'
import { tinyQueries } from './postgres/tiny.ts'
import { report, type Row } from './report.ts'

const { values } = parseArgs({
  options: {
    only: { type: 'string' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '3' },
    gigabytes: { type: 'string', default: '1' },
    'memory-gigabytes': { type: 'string', default: '10' },
  },
})
const amounts = { seconds: Number(values.seconds), rounds: Number(values.rounds) }
const largeAmounts = { gigabytes: Number(values.gigabytes), rounds: amounts.rounds }

/** Each in a fresh system, so that none finds what another left; `memory` first wants a worker that did nothing yet. */
const groups: Readonly<Record<string, (bench: Bench) => Promise<Row[]>>> = {
  memory: (bench) => memoryOfLarge(bench, Number(values['memory-gigabytes'])),
  huge: (bench) => hugeValues(bench.gate, 1_000_000_000),
  tiny: (bench) => tinyQueries(bench, amounts),
  large: (bench) => largeResults(bench, largeAmounts, false),
  tls: (bench) => largeResults(bench, largeAmounts, true),
  recording: (bench) => recording(bench, amounts),
  classification: (bench) => classification(bench, amounts),
  connect: (bench) => connecting(bench, amounts),
}

await main()

async function main(): Promise<void> {
  const known = [...Object.keys(groups), 'idle']
  const chosen = values.only?.split(',') ?? known
  const unknown = chosen.filter((name) => !known.includes(name))
  if (unknown.length > 0) throw new Error(`no group ${unknown.join(', ')}: ${known.join(', ')}`)
  for (const name of chosen) report(`postgres-${name}`, await measure(name))
}

async function measure(name: string): Promise<Row[]> {
  const group = groups[name]
  // Needs servers of its own.
  if (!group) return idleSessions(amounts.seconds)
  const bench = await startBench()
  try {
    return await group(bench.value)
  } finally {
    await bench.stop()
  }
}
