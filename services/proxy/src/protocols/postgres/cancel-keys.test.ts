import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCancelKeys } from './cancel-keys.ts'

function keysOf(handOn = async (_processId: number, _secret: Uint8Array) => false) {
  const state = { nowMs: 0, guesses: [] as string[] }
  const keys = createCancelKeys({
    clock: { nowUs: () => 0, monotonicMs: () => state.nowMs },
    handOn,
    onGuess: (address) => void state.guesses.push(address),
  })
  return { keys, state }
}

test('the secret owns the session; protocol 3.2 has a longer one', async () => {
  const { keys } = keysOf()
  let cancelled = 0
  const key = keys.issue(0, 4711, () => cancelled++)
  const long = keys.issue(2, 4712, () => cancelled++)
  assert.equal(key.secret.length, 4)
  assert.equal(long.secret.length, 32)
  assert.equal(key.processId, 4711, "the server's own")
  await keys.request(key.processId, key.secret, 'a')
  await keys.request(long.processId, long.secret, 'a')
  assert.equal(cancelled, 2)
  await keys.request(long.processId, long.secret.subarray(0, 4), 'a')
  keys.revoke(key)
  await keys.request(key.processId, key.secret, 'a')
  assert.equal(cancelled, 2)
})

test('two servers may give the same process id: the secret tells whose session is meant', async () => {
  const { keys } = keysOf()
  const cancelled: string[] = []
  const first = keys.issue(0, 4711, () => cancelled.push('first'))
  const second = keys.issue(0, 4711, () => cancelled.push('second'))
  await keys.request(4711, second.secret, 'a')
  keys.revoke(second)
  await keys.request(4711, second.secret, 'a')
  await keys.request(4711, first.secret, 'a')
  assert.deepEqual(cancelled, ['second', 'first'])
})

test('a request for a session of another process is handed on, and is no guess', async () => {
  const { keys: owner } = keysOf()
  let cancelled = false
  const key = owner.issue(0, 4711, () => {
    cancelled = true
  })
  const { keys, state } = keysOf(async (processId, secret) => owner.handedOn(processId, secret))
  await keys.request(key.processId, key.secret, 'a')
  assert.ok(cancelled)
  assert.deepEqual(state.guesses, [])
})

test('guessing is limited by address, and the limit passes', async () => {
  const { keys, state } = keysOf()
  let cancelled = 0
  const key = keys.issue(0, 4711, () => cancelled++)
  for (let n = 0; n < 50; n++) await keys.request(key.processId, Buffer.from([n, 0, 0, 0]), 'guesser')
  assert.equal(state.guesses.length, 10)
  await keys.request(key.processId, key.secret, 'guesser')
  assert.equal(cancelled, 0, 'even the right secret goes unread from there')
  await keys.request(key.processId, key.secret, 'owner')
  assert.equal(cancelled, 1)
  state.nowMs += 60_001
  await keys.request(key.processId, key.secret, 'guesser')
  assert.equal(cancelled, 2)
})
