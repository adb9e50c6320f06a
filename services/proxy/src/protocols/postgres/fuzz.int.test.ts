/** A short run of each mode of the fuzzer, from one seed; `npm run fuzz:postgres` runs millions of frames. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSqlAnalyzer } from '@portcullis/sql'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { startPostgres } from '@portcullis/testkit/postgres'
import { fuzzDifferential } from '../../testing/fuzz/differential.ts'
import {
  type DoorResult,
  fuzzAnalyzer,
  fuzzProxyHeader,
  fuzzStartup,
  readCorpus,
} from '../../testing/fuzz/doors.ts'
import { fuzzSessions } from '../../testing/fuzz/run.ts'
import { createDoorTls } from './client-tls.ts'

const seed = 20_261_126

for (const mode of ['client', 'server'] as const) {
  test(`sessions, hostile ${mode}: nothing unrecorded, out of place, hung or uncaught`, async () => {
    const { found, uncaught, stallMsMax, frames, commands, toServer, toClient } = await fuzzSessions({
      mode,
      seed,
      frames: 10_000,
    })
    assert.deepEqual(
      found.flatMap((one) => one.faults.map((what) => `seed ${one.seed}: ${what}`)),
      [],
    )
    assert.deepEqual(uncaught, [])
    assert.ok(stallMsMax < 200, `${stallMsMax} ms`)
    // Most of it must get through to where it can do harm.
    assert.ok(frames >= 10_000 && commands > 1000 && toServer > 2000 && toClient > 2000)
  })
}

test('the same bytes to PostgreSQL and to the gate: the same replies, table and record', async () => {
  const postgres = await startPostgres({ auth: 'password', fsync: false })
  try {
    const run = await fuzzDifferential({ postgres: postgres.value, seed, frames: 700 })
    assert.deepEqual(run.found, [])
    assert.ok(run.inserts > 0 && run.endedByGate < run.scripts / 4)
  } finally {
    await postgres.stop()
  }
})

test('the start-up', async () => {
  const { server } = makeCertificates()
  const tls = createDoorTls({ cert: server.certPem, key: server.keyPem })
  await none(500, (at) => fuzzStartup(at, tls))
})

test('the PROXY header', () => none(2000, fuzzProxyHeader))

test('SQL text', async () => {
  const analyzer = await createSqlAnalyzer({ cacheEntries: 1000, cacheBytesMax: 1 << 22 })
  await analyzer.warm()
  const corpus = readCorpus()
  assert.ok(corpus.length > 100)
  await none(2000, (at) => fuzzAnalyzer(at, analyzer, corpus))
  await analyzer.close()
})

async function none(count: number, one: (at: number) => DoorResult | Promise<DoorResult>): Promise<void> {
  for (let at = seed; at < seed + count; at++) {
    const { faults, input } = await one(at)
    assert.deepEqual(faults, [], `seed ${at}: ${input}`)
  }
}
