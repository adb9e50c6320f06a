/** The clients that need no installation: every work gives through the gate what it gives directly. `npm run clients` has all. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { hasPsql } from '@portcullis/testkit/postgres'
import { type Bed, startBed } from './bed.ts'
import { clients } from './catalogue.ts'
import { compareClient } from './compare-client.ts'

let bed: Started<Bed>
before(async () => {
  bed = await startBed()
})
after(() => bed?.stop())

for (const name of ['node-postgres', 'postgres.js', 'Drizzle', 'psql']) {
  const skip = name === 'psql' && !hasPsql() && 'psql is not installed'
  test(`${name} sees through the gate what it sees directly`, { skip }, async () => {
    const client = clients.find((one) => one.name === name)
    assert.ok(client)
    const result = await compareClient(client, bed.value)
    assert.equal(result.kind, 'ran')
    if (result.kind !== 'ran') return
    assert.deepEqual(
      result.bad.map((work) => [work, result.verdicts.get(work)]),
      [],
    )
    assert.ok(result.same > 10)
  })
}
