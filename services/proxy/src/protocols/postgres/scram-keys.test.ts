import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deriveKeys, rememberKeys } from './scram-keys.ts'

const salt = 'W22ZaJ0SNY7soEsUEjb6gQ=='

/** Counts what is really derived. */
function watched() {
  const now = { ms: 0, derived: 0 }
  const derive = rememberKeys({ monotonicMs: () => now.ms }, (...of) => {
    now.derived++
    return deriveKeys(...of)
  })
  return { now, derive }
}

test('keys that a server has proven are derived once for each password, salt and count', async () => {
  const { now, derive } = watched()
  const first = await derive('pencil', salt, 10)
  first.proven()
  assert.deepEqual((await derive('pencil', salt, 10)).keys, first.keys)
  assert.deepEqual(first.keys, (await deriveKeys('pencil', salt, 10)).keys)
  assert.equal(now.derived, 1)
  const others = [
    await derive('pencils', salt, 10),
    await derive('pencil', 'AAAA', 10),
    await derive('pencil', salt, 11),
  ]
  assert.equal(now.derived, 4)
  for (const { keys } of others) assert.notDeepEqual(keys, first.keys)
})

test('keys that no server has proven are not remembered', async () => {
  const { now, derive } = watched()
  await derive('pencil', salt, 10)
  await derive('pencil', salt, 10)
  assert.equal(now.derived, 2)
})

test('keys that nobody signs in with go when others come, and the oldest where there are too many', async () => {
  const { now, derive } = watched()
  const use = async (password: string) => (await derive(password, salt, 1)).proven()
  await use('old')
  now.ms = 600_001
  await use('new')
  await use('old')
  assert.equal(now.derived, 3, 'the old one was let go')
  for (let n = 0; n < 256; n++) await use(`other ${n}`)
  const before = now.derived
  await use('other 255')
  assert.equal(now.derived, before)
  await use('new')
  assert.equal(now.derived, before + 1, 'the oldest was let go')
})
