/**
 * New sessions through the real gate to a real PostgreSQL: each with a token that the gate has not seen, of as many
 * identities or of one, an issuer's or the gate's own, and all with one token. What the last differs by from the others,
 * the proof of a token costs a session. CPU and not time: see cpuSec.
 */
import { startPostgres } from '@portcullis/testkit/postgres'
import { cpuSec, startSystem } from '@portcullis/testkit/system'
import { trade } from '@portcullis/testkit/trading'
import pg from 'pg'

export interface SessionCost {
  /** Microseconds of the worker's CPU that a session takes, from accept to close, with one `select 1`. */
  readonly distinctIdentityUs: number
  readonly distinctTokenUs: number
  /** Tokens that the API gave out, of as many identities. */
  readonly ownTokenUs: number
  readonly sameTokenUs: number
}

/** `sessions` are opened of each kind, a hundred of one after a hundred of the other, four at a time. Linux only. */
export async function measureSessions(sessions: number): Promise<SessionCost> {
  const postgres = await startPostgres()
  const system = await startSystem({ postgres: postgres.value, parts: ['proxy', 'query-api'], workers: 1 })
  try {
    const tokensOf = (subject: (at: number) => string) =>
      Promise.all(Array.from({ length: sessions }, (_, at) => system.value.token(subject(at))))
    const ofMany = await tokensOf((at) => `agent-${at}`)
    const ofOne = await tokensOf(() => 'one')
    const ownOfMany: string[] = []
    for (const token of await tokensOf((at) => `trader-${at}`))
      ownOfMany.push(await trade(system.value, token))
    const [worker = 0] = system.value.childrenOf('proxy', 'worker.ts')
    const costUs = async (some: readonly string[]) => {
      const beforeSec = cpuSec(worker)
      const queue = [...some]
      const client = async () => {
        for (let token = queue.pop(); token !== undefined; token = queue.pop()) await session(token)
      }
      await Promise.all([client(), client(), client(), client()])
      return ((cpuSec(worker) - beforeSec) * 1e6) / some.length
    }
    const session = async (password: string) => {
      const client = new pg.Client({ host: '127.0.0.1', port: system.value.port(), user: 'shop', password })
      await client.connect()
      await client.query('select 1')
      await client.end()
    }
    const one = await system.value.token('one')
    // Compiled before anything counts.
    await costUs(Array(200).fill(one))
    const costs: [identity: number[], token: number[], own: number[], same: number[]] = [[], [], [], []]
    const share = 100
    for (let at = 0; at + share <= sessions; at += share) {
      costs[0].push(await costUs(ofMany.slice(at, at + share)))
      costs[1].push(await costUs(ofOne.slice(at, at + share)))
      costs[2].push(await costUs(ownOfMany.slice(at, at + share)))
      costs[3].push(await costUs(Array(share).fill(one)))
    }
    const [distinctIdentityUs, distinctTokenUs, ownTokenUs, sameTokenUs] = costs.map(median) as [
      number,
      number,
      number,
      number,
    ]
    return { distinctIdentityUs, distinctTokenUs, ownTokenUs, sameTokenUs }
  } finally {
    await system.stop()
    await postgres.stop()
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN
}
