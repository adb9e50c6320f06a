/** The same as `bench:postgres -- --only huge` with values of 100 MB: what is held would show as clearly. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startSystem } from '@portcullis/testkit/system'
import { passHuge } from './huge.ts'
import { partsOf } from './sides.ts'

const bytes = 100_000_000

test('what is huge reaches the other side whole, and the gate holds none of it', async () => {
  const postgres = await startPostgres({ auth: 'password' })
  const system = await startSystem({ postgres: postgres.value, parts: ['proxy'], workers: 1 })
  try {
    const parts = partsOf(system.value)
    const gate = {
      name: 'gate',
      port: system.value.port(),
      user: 'shop',
      password: await system.value.token('huge'),
      parts: () => parts,
    }
    const done = await passHuge(gate, parts.worker?.[0] ?? 0, bytes)
    assert.equal(done.length, 5)
    for (const { name, passedBytes, grownBytes } of done) {
      assert.ok(passedBytes >= bytes, `${name}: ${passedBytes} bytes came`)
      assert.ok(grownBytes < 50_000_000, `${name}: the worker grew by ${grownBytes} bytes`)
    }
  } finally {
    await system.stop()
    await postgres.stop()
  }
})
