import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ApiKey, initialControl } from '@portcullis/kernel'
import { ApiError } from '../problems.ts'
import { createApiKeys } from './api-keys.ts'
import { OauthError } from './oauth-error.ts'
import { createTradeRates } from './trade-rates.ts'

let nowMs = 0
const clock = { nowUs: () => nowMs * 1000, monotonicMs: () => nowMs }
const of = (subject: string) => ({ issuer: 'https://idp.example', subject })

function waitsSec(asking: () => void): number {
  try {
    asking()
    return 0
  } catch (error) {
    assert.ok(error instanceof OauthError && error.status === 429, String(error))
    return error.retryAfterSec ?? 0
  }
}

test('whoever tries keys has to wait, by address, and nobody else with them', () => {
  const rates = createTradeRates({ failuresMax: 2, perIdentityMax: 9, inAllMax: 9 }, clock)
  for (let tries = 0; tries < 2; tries++) {
    assert.equal(
      waitsSec(() => rates.admit('10.0.0.1')),
      0,
    )
    rates.failed('10.0.0.1')
  }
  assert.equal(
    waitsSec(() => rates.admit('10.0.0.1')),
    30,
  )
  assert.equal(
    waitsSec(() => rates.admit('10.0.0.2')),
    0,
  )
  nowMs += 30_000
  assert.equal(
    waitsSec(() => rates.admit('10.0.0.1')),
    0,
  )
})

test('one identity does not take the tokens of all, and all take no more than there are', () => {
  const rates = createTradeRates({ failuresMax: 9, perIdentityMax: 2, inAllMax: 3 }, clock)
  for (let tokens = 0; tokens < 2; tokens++)
    assert.equal(
      waitsSec(() => rates.spend(of('a'))),
      0,
    )
  for (let tries = 0; tries < 5; tries++)
    assert.equal(
      waitsSec(() => rates.spend(of('a'))),
      30,
    )
  assert.equal(
    waitsSec(() => rates.spend(of('b'))),
    0,
    'what was refused was not counted',
  )
  assert.equal(
    waitsSec(() => rates.spend(of('c'))),
    20,
  )
})

test('there are only so many keys of one subject, and in all; those that are deleted make room', async () => {
  const state = initialControl()
  const grant = { groups: [], targets: [], networks: [], expiresAt: 1, description: '' }
  const apiKeys = createApiKeys({
    limits: { perSubjectMax: 2, inAllMax: 3 },
    taken: new Set(),
    control: {
      state: () => state,
      caughtUp: () => true,
      async write(change) {
        assert.ok(change.type === 'api-key.created')
        const made: ApiKey = { ...change, enabled: true, createdAt: 1, createdBy: 'root' }
        state.apiKeys.set(change.keyId, made)
        return { at: 1, eventId: 'e', aggregateId: 'a', version: 1, offset: 1 }
      },
    },
  })
  const caller = { actor: { issuer: 'portcullis', subject: 'root', roles: [] } }
  const make = (subject: string) => apiKeys.create({ ...grant, subject }, caller)
  const refused = (subject: string, why: RegExp) =>
    assert.rejects(make(subject), (error) => {
      assert.ok(error instanceof ApiError && error.code === 'conflict')
      assert.match(error.message, why)
      return true
    })
  const { made } = await make('a')
  await make('a')
  await refused('a', /^a has 2 keys, the most .* delete those that are over/)
  await make('b')
  await refused('c', /^There are 3 keys/)
  state.apiKeys.delete(made.keyId)
  await make('c')
})
