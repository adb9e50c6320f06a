/** One visit of every kind finds the gate as it should be; so a soak's faults are the gate's and not its clients'. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { churn } from './churn.ts'
import { type Kind, kinds } from './clients.ts'

describe('clients of the soak', () => {
  let postgres: Started<Postgres>
  let system: Started<System>
  before(async () => {
    postgres = await startPostgres({ auth: 'password' })
    await postgres.value.query('create unlogged table sink (x text)')
    system = await startSystem({
      postgres: postgres.value,
      parts: ['proxy'],
      extra: { proxy: 'loginSecMax: 1' },
    })
  })
  after(async () => {
    await system?.stop()
    await postgres?.stop()
  })

  async function door() {
    return { port: system.value.port(), user: 'shop', password: await system.value.token('visitor') }
  }

  test('every kind, in each of its ways', async () => {
    const at = await door()
    const visits = (Object.keys(kinds) as Kind[]).flatMap((kind) =>
      [1, 2, 3, 4, 5].map((number) => ({ kind, number })),
    )
    const results = await Promise.allSettled(
      visits.map(({ kind, number }) => kinds[kind].visit({ ...at, number })),
    )
    const faults = results.flatMap((result, index) =>
      result.status === 'rejected' ? [`${visits[index]?.kind}: ${result.reason}`] : [],
    )
    assert.deepEqual(faults, [])
  })

  test('a gate that answers nothing is found out', async () => {
    const { visits, faults } = await churn({
      door: { ...(await door()), password: 'no token' },
      lanes: 4,
      ms: 500,
      firstNumber: 1,
    })
    assert.ok(visits.ordinary > 0)
    assert.ok(
      faults.some((fault) => fault.startsWith('ordinary')),
      faults.join('\n'),
    )
  })
})
