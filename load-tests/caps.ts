/**
 * How far a cap is overshot: one identity, many sessions over all worker processes of a host, one of them killed on the
 * way and the whole proxy restarted; what the clients have really got is counted on their side of the wire.
 *
 *   node load-tests/caps.ts
 */
import { startPostgres } from '@portcullis/testkit/postgres'
import { startSystem } from '@portcullis/testkit/system'
import pg from 'pg'
import { report, type Row } from './report.ts'

const capRows = 100_000
const capBytes = 20_000_000
const statementRows = 7_000
const commandsPerSecond = 200
const rows: Row[] = []

const postgres = await startPostgres({ auth: 'password', fsync: false })
try {
  await windowCap('rowsPerWindow', capRows, 'rows')
  await windowCap('bytesPerWindow', capBytes, 'bytes')
  await statementCap()
  await rateCap()
  report('caps', rows)
} finally {
  await postgres.stop()
}

/** 16 sessions read until they are refused; a worker is killed and the proxy restarted meanwhile. */
async function windowCap(cap: string, limit: number, unit: 'rows' | 'bytes'): Promise<void> {
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    workers: 4,
    extra: { shop: `caps: { ${cap}: ${limit}, windowSec: 3600 }` },
  })
  let rowsSeen = 0
  let bytesSeen = 0
  const drain = async () => {
    const url = await system.value.url('greedy')
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        const client = new pg.Client({ connectionString: `${url}postgres` })
        client.on('error', () => undefined)
        try {
          await client.connect()
          client.connection.on('dataRow', ({ length }: { length: number }) => {
            rowsSeen++
            bytesSeen += length + 1
          })
          for (;;) await client.query(`select repeat('x', 190) from generate_series(1, 997)`)
        } catch {
          // Refused, or the worker was killed: either way this session has got all it will get.
        } finally {
          await client.end().catch(() => undefined)
        }
      }),
    )
  }
  try {
    const first = drain()
    await new Promise((resolve) => setTimeout(resolve, 300))
    const [worker] = system.value.childrenOf('proxy', 'worker.ts')
    if (worker) process.kill(worker, 'SIGKILL')
    await first
    await system.value.kill9('proxy:gate-1')
    await drain()
    const seen = unit === 'rows' ? rowsSeen : bytesSeen
    rows.push({
      row: `${cap} over 4 workers, one killed, proxy restarted: received of the cap`,
      value: seen,
      unit,
      against: limit,
      aim: { atMost: 1 },
    })
  } finally {
    await system.stop()
  }
}

async function statementCap(): Promise<void> {
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: { shop: `caps: { rowsPerStatement: ${statementRows} }` },
  })
  try {
    const client = new pg.Client({ connectionString: `${await system.value.url('greedy')}postgres` })
    await client.connect()
    let seen = 0
    client.connection.on('dataRow', () => {
      seen++
    })
    await client.query('select * from generate_series(1, 1000000)').catch(() => undefined)
    await client.end()
    rows.push({
      row: 'rowsPerStatement: rows received of the cap',
      value: seen,
      unit: 'rows',
      against: statementRows,
      aim: { atMost: 1 },
    })
  } finally {
    await system.stop()
  }
}

async function rateCap(): Promise<void> {
  const system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    workers: 4,
    extra: { shop: `caps: { commandsPerSecond: ${commandsPerSecond} }` },
  })
  try {
    const url = await system.value.url('eager')
    const until = performance.now() + 5000
    let done = 0
    await Promise.all(
      Array.from({ length: 16 }, async () => {
        const client = new pg.Client({ connectionString: `${url}postgres` })
        await client.connect()
        while (performance.now() < until) {
          await client.query('select 1')
          done++
        }
        await client.end()
      }),
    )
    rows.push({
      row: 'commandsPerSecond over 4 workers, 5 s: rate of the cap',
      value: done / 5,
      unit: '1/s',
      against: commandsPerSecond,
      aim: { atMost: 1.25 },
    })
  } finally {
    await system.stop()
  }
}
