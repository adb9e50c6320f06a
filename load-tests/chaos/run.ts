/** One run on one bus: the load, the kills, and what the witnesses say afterwards. It judges nothing itself. */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { topics } from '@portcullis/kernel'
import type { AuditStore } from '@portcullis/platform/audit'
import { createCodecs } from '@portcullis/platform/codec'
import { connectAudit, connectBus } from '@portcullis/platform/connect'
import { watchBackends } from '@portcullis/testkit/chaos/backends'
import { ledgerSql, startLoad } from '@portcullis/testkit/chaos/clients'
import { type Kill, killAtRandom, randomOf, type Victim } from '@portcullis/testkit/chaos/kills'
import { settle, until } from '@portcullis/testkit/chaos/settle'
import { compareChains, compareTrail, type TrailSummary } from '@portcullis/testkit/chaos/trail'
import { startKafka } from '@portcullis/testkit/kafka'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startSystem } from '@portcullis/testkit/system'
import { type Published, publishAcrossMidnight, publishRunaway } from './boundary.ts'
import { type Judgements, judgeAgain, judgements } from './reference.ts'
import { type Sampled, sampleTrail } from './sampler.ts'

export interface RunOptions {
  readonly bus: 'embedded' | 'kafka'
  readonly kills: number
  readonly seed: number
  readonly clients: number
  progress(text: string): void
}

export interface RunResult {
  readonly kills: readonly Kill[]
  readonly trail: TrailSummary
  readonly meanwhile: Sampled
  readonly connects: number
  readonly hung: readonly string[]
  readonly chains: { readonly faults: readonly string[]; readonly recorders: number; readonly events: number }
  readonly midnight: Published & MidnightRows
  /** Of the analyzer that was killed, and of one that was not. */
  readonly judged: { readonly killed: Judgements; readonly calm: Judgements }
  /** Milliseconds from a kill until the last backend of its processes was gone; and after the last client left. */
  readonly backendsGoneMs: readonly number[]
  readonly backendsLeftMs: number
  readonly backendsStayed: readonly string[]
  readonly settledMs: number
}

interface MidnightRows {
  readonly rows: number
  readonly ids: number
  readonly finished: number
  readonly days: number
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined, debug: () => undefined }
const backendMsMax = 10_000
const settleMsMax = 120_000

export async function runChaos(options: RunOptions): Promise<RunResult> {
  const { seed, progress } = options
  const stops: (() => Promise<void>)[] = []
  try {
    const postgres = await startPostgres({ settings: { log_statement: 'all', log_line_prefix: '%a|' } })
    stops.push(() => postgres.stop())
    await postgres.value.query(ledgerSql)
    const kafka = options.bus === 'kafka' ? await startKafka() : undefined
    if (kafka && 'missing' in kafka) throw new Error(kafka.missing)
    if (kafka) stops.push(() => kafka.stop())
    const system = await startSystem({
      postgres: postgres.value,
      parts: ['proxy', 'projector', 'analyzer'],
      ...(kafka && { kafka: `kafka://${kafka.brokers}` }),
    })
    stops.push(() => system.stop())
    const { dir, issuer } = system.value
    const url = kafka ? `kafka://${kafka.brokers}` : `lmdb:${join(dir, 'bus')}`
    const bus = await connectBus(url, { logger: quiet })
    stops.push(() => bus.stop())
    await until('the topics', settleMsMax, () =>
      bus.value.endOffsets(topics.commands).then(
        () => true,
        () => false,
      ),
    )
    const codecs = createCodecs()
    const backends = await watchBackends(postgres.value)
    stops.push(() => backends.stop())
    const store = connectAudit('embedded:', {
      engine: system.value.engine,
      username: 'default',
      password: '',
      log: quiet,
    })
    stops.push(() => store.close())
    const sampled = sampleTrail(store)
    progress('everything runs')

    const load = startLoad({
      clients: options.clients,
      url: async (client) => `${await system.value.url(`chaos/${client}`)}postgres`,
      random: randomOf(seed + 1),
      pauseMs: 20,
    })
    const midnight = publishAcrossMidnight(bus.value, codecs, issuer.issuer, seed + 2)
    const runaway = publishRunaway(bus.value, codecs, issuer.issuer, seed + 3)
    const watched: Promise<number | string>[] = []
    const victims: Victim[] = [
      'worker',
      'agent',
      'supervisor',
      'proxy',
      'projector',
      'engine',
      'analyzer',
      'everything',
    ]
    const kills = await killAtRandom({
      system: system.value,
      ...(kafka && { kafka }),
      victims: kafka ? [...victims, 'kafka'] : victims,
      kills: options.kills,
      gapMs: [0, 800],
      progress: () => load.told.size,
      random: randomOf(seed),
      onKill(victim, pids) {
        progress(`kill -9 ${victim} (${load.told.size} statements)`)
        if (victim === 'worker' || victim === 'proxy' || victim === 'supervisor')
          watched.push(backends.goneAfter(pids, backendMsMax).catch((error: Error) => error.message))
      },
    })
    await load.stop()
    const startMs = performance.now()
    const published = await midnight.stop()
    await runaway
    const backendsLeftMs = await clientsGone(postgres.value)
    progress('the last client is gone; settling')
    await settle(system.value, store, bus.value, { msMax: settleMsMax })
    const settledMs = performance.now() - startMs
    const meanwhile = await sampled()

    const { rows } = await postgres.value.query<{ marker: string }>('select marker from ledger')
    const trail = await compareTrail(store, {
      serverLog: postgres.value.log(),
      ledger: rows.map(({ marker }) => marker),
      told: load.told,
    })
    const chains = await compareChains(store, bus.value, codecs)
    progress('comparing with an analyzer that is left in peace')
    const calm = await judgeAgain(bus.value, codecs, postgres.value)
    const killed = await caughtUp(calm, () => judgements(bus.value, codecs))
    const gone = await Promise.all(watched)
    return {
      kills,
      trail,
      meanwhile,
      connects: load.connects(),
      hung: load.hung,
      chains,
      midnight: { ...published, ...(await midnightRows(store)) },
      judged: { killed, calm },
      backendsGoneMs: gone.filter((one) => typeof one === 'number'),
      backendsLeftMs,
      backendsStayed: gone.filter((one) => typeof one === 'string'),
      settledMs,
    }
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

async function clientsGone(postgres: { query(sql: string): Promise<{ rows: unknown[] }> }): Promise<number> {
  const startMs = performance.now()
  await until('the backends of clients that are gone', settleMsMax, async () => {
    const { rows } = await postgres.query(
      "select query from pg_stat_activity where application_name like 'chaos-%'",
    )
    return rows.length === 0
  })
  return performance.now() - startMs
}

async function midnightRows(store: AuditStore): Promise<MidnightRows> {
  const [found] = await store.query<MidnightRows>(
    `SELECT count()::UInt32 AS rows, uniqExact(command_id)::UInt32 AS ids, countIf(phase = 'finished')::UInt32 AS finished,
      uniqExact(toDate(started_at))::UInt32 AS days FROM commands WHERE recorder = 'simulator-midnight'`,
  )
  if (!found) throw new Error('a query without a group has one row')
  return found
}

/** The analyzer that was killed may still be reading. */
async function caughtUp(calm: Judgements, read: () => Promise<Judgements>): Promise<Judgements> {
  for (const deadlineMs = performance.now() + 30_000; ; await sleep(500)) {
    const found = await read()
    const has = (kind: keyof Judgements) => [...calm[kind]].every((one) => found[kind].has(one))
    if ((has('findings') && has('verdicts')) || performance.now() > deadlineMs) return found
  }
}
