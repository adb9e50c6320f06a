import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCancelKeys } from './cancel-keys.ts'

function keysOf(slot: number, handOn = async () => false) {
  const state = { nowMs: 0, guesses: [] as string[], handedOn: [] as number[] }
  const keys = createCancelKeys({
    slot,
    clock: { nowUs: () => 0, monotonicMs: () => state.nowMs },
    handOn: async (owner) => {
      state.handedOn.push(owner)
      return handOn()
    },
    onGuess: (address) => void state.guesses.push(address),
  })
  return { keys, state }
}

test('the secret owns the session; protocol 3.2 has a longer one', async () => {
  const { keys } = keysOf(3)
  let cancelled = 0
  const key = keys.issue(0, () => cancelled++)
  const long = keys.issue(2, () => cancelled++)
  assert.equal(key.secret.length, 4)
  assert.equal(long.secret.length, 32)
  assert.equal(key.processId >>> 21, 3, 'the process id names its slot')
  await keys.request(key.processId, key.secret, 'a')
  await keys.request(long.processId, long.secret, 'a')
  assert.equal(cancelled, 2)
  await keys.request(long.processId, long.secret.subarray(0, 4), 'a')
  keys.revoke(key.processId)
  await keys.request(key.processId, key.secret, 'a')
  assert.equal(cancelled, 2)
})

test('a request for a session of another process is handed on', async () => {
  const { keys: owner } = keysOf(7)
  let cancelled = false
  const key = owner.issue(0, () => {
    cancelled = true
  })
  const { keys, state } = keysOf(1, async () => owner.handedOn(key.processId, key.secret))
  await keys.request(key.processId, key.secret, 'a')
  assert.deepEqual(state.handedOn, [7])
  assert.ok(cancelled)
  assert.deepEqual(state.guesses, [])
})

test('guessing is limited by address, and the limit passes', async () => {
  const { keys, state } = keysOf(0)
  let cancelled = 0
  const key = keys.issue(0, () => cancelled++)
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
