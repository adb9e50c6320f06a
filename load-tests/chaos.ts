/**
 * kill -9 at random instants under load, over proxy (a worker, the agent, the supervisor, all of it), projector, engine,
 * analyzer and Kafka broker: nothing lost, nothing doubled. Judged by the server's own log, its tables, the answers the
 * clients had, the hash chains, and an analyzer that is left in peace. Exits with 1 where anything contradicts.
 *
 *   node load-tests/chaos.ts [--bus embedded|kafka|both] [--kills 50] [--clients 8] [--seed N]
 */
import { parseArgs } from 'node:util'
import { type RunResult, runChaos } from './chaos/run.ts'
import { report, type Row } from './report.ts'

const { values: args } = parseArgs({
  options: {
    bus: { type: 'string', default: 'both' },
    kills: { type: 'string', default: '50' },
    clients: { type: 'string', default: '8' },
    seed: { type: 'string', default: String(Math.floor(Math.random() * 2 ** 31)) },
  },
})

process.exitCode = await main()
process.exit()

async function main(): Promise<number> {
  const seed = Number(args.seed)
  const buses = (['embedded', 'kafka'] as const).filter((bus) => args.bus === bus || args.bus === 'both')
  const kills = Math.ceil(Number(args.kills) / buses.length)
  console.log(`seed ${seed}: the same kills again with --seed ${seed}`)
  const rows: Row[] = []
  const faults: string[] = []
  for (const bus of buses) {
    const startMs = performance.now()
    const progress = (text: string) =>
      console.log(`${bus} ${((performance.now() - startMs) / 1000).toFixed(1).padStart(6)} s  ${text}`)
    try {
      const result = await runChaos({ bus, kills, seed, clients: Number(args.clients), progress })
      rows.push(...rowsOf(bus, seed, result))
      faults.push(...faultsOf(bus, result))
    } catch (error) {
      console.error(
        `chaos on ${bus}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`,
      )
      return 1
    }
  }
  report('chaos', rows)
  for (const fault of faults.slice(0, 100)) console.error(fault)
  if (faults.length > 100) console.error(`and ${faults.length - 100} more`)
  return faults.length > 0 ? 1 : 0
}

function rowsOf(bus: string, seed: number, result: RunResult): Row[] {
  const { kills, trail, chains, midnight, judged, backendsGoneMs } = result
  const count = (row: string, value: number, unit: string): Row => ({ row: `${bus}: ${row}`, value, unit })
  const none = (row: string, value: number, unit: string): Row => ({
    ...count(row, value, unit),
    aim: { atMost: 0 },
  })
  const byVictim = [...new Set(kills.map(({ victim }) => victim))].sort()
  return [
    count(`kill -9, seed ${seed}`, kills.length, 'kills'),
    ...byVictim.flatMap((victim) => {
      const backMs = kills.filter((kill) => kill.victim === victim).map((kill) => kill.backMs)
      return [
        count(`of them ${victim}`, backMs.length, 'kills'),
        count(`${victim} back, slowest`, Math.max(...backMs) / 1000, 's'),
      ]
    }),
    count('statements in the server log', trail.ran, 'statements'),
    ...Object.entries(trail.outcomes).map(([outcome, rows]) =>
      count(`recorded as ${outcome}`, rows, 'commands'),
    ),
    none('ran and not recorded', trail.faults.lost.length, 'statements'),
    none('recorded twice', trail.faults.doubled.length, 'statements'),
    none('recorded as run, unknown to the server', trail.faults.invented.length, 'statements'),
    none('outcome contradicted by client or table', trail.faults.contradicted.length, 'statements'),
    count('queries meanwhile', result.meanwhile.queries, 'queries'),
    none('of them with a command twice, or one fewer', result.meanwhile.faults.length, 'queries'),
    none('without an end', trail.faults.open.length, 'commands and sessions'),
    count('recorders', chains.recorders, 'chains'),
    count('events in their chains', chains.events, 'events'),
    none('gaps, forks and wrong hashes', chains.faults.length, 'events'),
    count('published across midnight', midnight.commands, 'commands'),
    count('batches that span a table partition', midnight.batches, 'batches'),
    none('of them lost', midnight.commands - midnight.ids, 'commands'),
    none('of them doubled', midnight.rows - midnight.ids, 'commands'),
    count('findings of an analyzer in peace', judged.calm.findings.size, 'findings'),
    count('verdicts of an analyzer in peace', judged.calm.verdicts.size, 'verdicts'),
    none('findings that differ', differing(judged, 'findings').length, 'findings'),
    none('verdicts that differ', differing(judged, 'verdicts').length, 'verdicts'),
    none('clients that hung', result.hung.length, 'clients'),
    count('connections of the clients', result.connects, 'connections'),
    count('backends of the killed gone, slowest', Math.max(0, ...backendsGoneMs), 'ms'),
    count('backends gone after the last client', result.backendsLeftMs, 'ms'),
    count('all of it in ClickHouse after the last client', result.settledMs / 1000, 's'),
  ]
}

function faultsOf(bus: string, result: RunResult): string[] {
  const { trail, meanwhile, chains, midnight, judged, hung, backendsStayed } = result
  const named = Object.entries(trail.faults).flatMap(([kind, texts]) =>
    texts.map((text: string) => `${kind}: ${text}`),
  )
  const { commands, rows, ids, finished, days } = midnight
  if (rows !== commands || ids !== commands || finished !== commands || days !== 2)
    named.push(`across midnight: ${JSON.stringify(midnight)}`)
  return [
    ...named,
    ...meanwhile.faults,
    ...chains.faults.map((fault) => `chain: ${fault}`),
    ...differing(judged, 'findings'),
    ...differing(judged, 'verdicts'),
    ...(judged.calm.verdicts.size === 0 ? ['the runaway had no verdict: nothing was compared'] : []),
    ...hung.map((what) => `hung: ${what}`),
    ...backendsStayed,
  ].map((fault) => `${bus}: ${fault}`)
}

function differing({ killed, calm }: RunResult['judged'], kind: 'findings' | 'verdicts'): string[] {
  return [
    ...[...calm[kind]].filter((one) => !killed[kind].has(one)).map((one) => `${kind} lost: ${one}`),
    ...[...killed[kind]].filter((one) => !calm[kind].has(one)).map((one) => `${kind} made up: ${one}`),
  ]
}
