/**
 * From a revocation to the cut, over the open sessions of two proxies: a token is revoked whose children hold sessions at
 * both, and the clock runs from the request until each client's connection is ended. The same for an API key that is
 * disabled. Exits with 1 where the slowest hundredth takes longer than is aimed at, or a session lives on.
 *
 *   node load-tests/revoke.ts [--rounds 50] [--sessions 10]      sessions: at each proxy, in each round
 */
import { parseArgs } from 'node:util'
import { setTimeout as sleep } from 'node:timers/promises'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { callApi, trade } from '@portcullis/testkit/trading'
import pg from 'pg'
import { report, type Row } from './report.ts'

const { values: args } = parseArgs({
  options: { rounds: { type: 'string', default: '50' }, sessions: { type: 'string', default: '10' } },
})
const proxies = ['gate-1', 'gate-2']
const aimMs = 500
const giveUpMs = 10_000

process.exitCode = await main()
process.exit()

async function main(): Promise<number> {
  const [rounds, sessions] = [Number(args.rounds), Number(args.sessions)]
  const postgres = await startPostgres({ auth: 'password', fsync: false })
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'query-api', 'projector'],
    proxies: proxies.slice(1),
  })
  try {
    const revoked = await measure(rounds, (round) => byRevocation(system.value, round, sessions))
    const disabled = await measure(Math.ceil(rounds / 2), (round) => byApiKey(system.value, round, sessions))
    report('revoke', [
      ...rowsOf(`a parent token revoked, ${sessions} children at each of two proxies`, revoked),
      ...rowsOf(`an API key disabled, ${sessions} sessions at each of two proxies`, disabled),
    ])
    const isMet = [revoked, disabled].every((cuts) => quantile(cuts.cutMs, 0.99) <= aimMs && cuts.lived === 0)
    return isMet ? 0 : 1
  } finally {
    await system.stop()
    await postgres.stop()
  }
}

interface Cuts {
  /** From the request to the end of each session. */
  readonly cutMs: readonly number[]
  /** From the request to the API's answer. */
  readonly answeredMs: readonly number[]
  /** Sessions that were not ended. */
  readonly lived: number
}

interface Round {
  readonly clients: readonly pg.Client[]
  /** Revokes; resolves with the API's answer. */
  revoke(): Promise<unknown>
}

async function measure(rounds: number, prepare: (round: number) => Promise<Round>): Promise<Cuts> {
  const cutMs: number[] = []
  const answeredMs: number[] = []
  let lived = 0
  for (let round = 0; round < rounds; round++) {
    const { clients, revoke } = await prepare(round)
    // What the logins left to do must not be measured with the cut.
    await sleep(100)
    const since = performance.now()
    const ends = clients.map((client) => endOf(client))
    await revoke()
    answeredMs.push(performance.now() - since)
    for (const endedMs of await Promise.all(ends)) {
      if (endedMs === undefined) lived += 1
      else cutMs.push(endedMs - since)
    }
  }
  return { cutMs, answeredMs, lived }
}

async function byRevocation(system: System, round: number, sessions: number): Promise<Round> {
  const jti = `revoked-${round}`
  const parent = await system.issuer.sign({ sub: `agent-${round}`, groups: ['agents'], jti })
  const child = await trade(system, parent, { scope: 'target:shop' })
  const subject = { kind: 'token', issuer: system.issuer.issuer, instance: jti }
  return {
    clients: await open(system, child, sessions),
    revoke: () => callApi(system, 'POST', '/v1/revocations', { subject, reason: 'measured' }),
  }
}

async function byApiKey(system: System, round: number, sessions: number): Promise<Round> {
  const grant = { subject: `key-${round}`, groups: ['agents'], lifeSec: 3600 }
  const { key, keyId } = await callApi<{ key: string; keyId: string }>(system, 'POST', '/v1/api-keys', grant)
  // The key is on its way to the proxies.
  await sleep(300)
  return {
    clients: await open(system, key, sessions),
    revoke: () => callApi(system, 'POST', `/v1/api-keys/${keyId}/disable`, { reason: 'measured' }),
  }
}

async function open(system: System, token: string, sessions: number): Promise<pg.Client[]> {
  const clients: pg.Client[] = []
  for (const proxy of proxies)
    for (let n = 0; n < sessions; n++) {
      const client = new pg.Client({
        ...{
          host: '127.0.0.1',
          port: system.port(proxy),
          user: 'shop',
          password: token,
          database: 'postgres',
        },
      })
      client.on('error', () => undefined)
      await client.connect()
      await client.query('select 1')
      clients.push(client)
    }
  return clients
}

/** When its connection ended; undefined where it did not in time. */
async function endOf(client: pg.Client): Promise<number | undefined> {
  const ended = new Promise<number>((resolve) => client.once('end', () => resolve(performance.now())))
  const at = await Promise.race([ended, sleep(giveUpMs, undefined, { ref: false })])
  if (at === undefined) await client.end()
  return at
}

function rowsOf(what: string, { cutMs, answeredMs, lived }: Cuts): Row[] {
  return [
    { row: `${what}: sessions`, value: cutMs.length + lived, unit: 'sessions' },
    { row: 'of them not cut', value: lived, unit: 'sessions', aim: { atMost: 0 } },
    { row: 'request to the API’s answer, p50', value: quantile(answeredMs, 0.5), unit: 'ms' },
    { row: 'request to cut, p50', value: quantile(cutMs, 0.5), unit: 'ms' },
    { row: 'request to cut, p99', value: quantile(cutMs, 0.99), unit: 'ms', aim: { atMost: aimMs } },
    { row: 'request to cut, slowest', value: Math.max(...cutMs), unit: 'ms' },
  ]
}

function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}
