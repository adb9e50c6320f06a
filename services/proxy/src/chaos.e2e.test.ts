/**
 * The whole first half of the road while its processes are killed under load, in small: load-tests/chaos.ts is the long
 * run. The oracles are the server's own log, its tables, and what the clients were answered.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { createCodecs } from '@portcullis/platform/codec'
import { connectAudit, connectBus } from '@portcullis/platform/connect'
import { watchBackends } from '@portcullis/testkit/chaos/backends'
import { ledgerSql, startLoad } from '@portcullis/testkit/chaos/clients'
import { killAtRandom, randomOf } from '@portcullis/testkit/chaos/kills'
import { settle } from '@portcullis/testkit/chaos/settle'
import { compareChains, compareTrail } from '@portcullis/testkit/chaos/trail'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startSystem } from '@portcullis/testkit/system'

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined, debug: () => undefined }

test('kill -9 of workers, agent, supervisor, proxy, projector and engine under load: none lost, none doubled', async (t) => {
  const seed = Number(process.env.CHAOS_SEED ?? Math.floor(Math.random() * 2 ** 31))
  t.diagnostic(`CHAOS_SEED=${seed}`)
  const postgres = await startPostgres({ settings: { log_statement: 'all', log_line_prefix: '%a|' } })
  const stops = [() => postgres.stop()]
  t.after(async () => {
    for (const stop of stops.reverse()) await stop()
  })
  await postgres.value.query(ledgerSql)
  const system = await startSystem({ postgres: postgres.value, parts: ['proxy', 'projector'] })
  stops.push(() => system.stop())
  const { dir } = system.value
  const backends = await watchBackends(postgres.value)
  const goneMs: Promise<number | string>[] = []

  const load = startLoad({
    clients: 4,
    url: async (client) => `${await system.value.url(`chaos/${client}`)}postgres`,
    random: randomOf(seed + 1),
    pauseMs: 15,
  })
  const kills = await killAtRandom({
    system: system.value,
    victims: ['worker', 'agent', 'supervisor', 'proxy', 'projector', 'engine'],
    kills: 6,
    gapMs: [0, 500],
    progress: () => load.told.size,
    random: randomOf(seed),
    onKill(victim, pids) {
      if (victim === 'worker' || victim === 'proxy')
        goneMs.push(backends.goneAfter(pids, 10_000).catch(String))
    },
  })
  await load.stop()
  const gone = await Promise.all(goneMs)
  await backends.stop()
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: quiet })
  stops.push(() => bus.stop())
  const store = connectAudit('embedded:', {
    engine: system.value.engine,
    username: 'default',
    password: '',
    log: quiet,
  })
  stops.push(() => store.close())
  await settle(system.value, store, bus.value)

  const { rows } = await postgres.value.query<{ marker: string }>('select marker from ledger')
  const { faults, ran, outcomes } = await compareTrail(store, {
    serverLog: postgres.value.log(),
    ledger: rows.map(({ marker }) => marker),
    told: load.told,
  })
  const chains = await compareChains(store, bus.value, createCodecs())
  t.diagnostic(JSON.stringify({ ran, outcomes, recorders: chains.recorders, kills }))
  t.diagnostic(`backends of killed processes gone after ${gone} ms`)
  assert.deepEqual(
    gone.filter((one) => typeof one === 'string'),
    [],
  )
  assert.ok(ran > 100, `only ${ran} statements ran`)
  assert.deepEqual(faults, { lost: [], doubled: [], invented: [], contradicted: [], open: [] })
  assert.deepEqual(chains.faults, [])
  assert.deepEqual(load.hung, [])
})
