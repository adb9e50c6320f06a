import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  aggregateOf,
  type ControlChange,
  checkChange,
  evolveControl,
  holdingsOf,
  initialControl,
  noHoldings,
  settingCharsMax,
} from '../index.ts'

const actor = { issuer: 'https://idp.example', subject: 'sam', roles: ['admin'] }
const by = 'https://idp.example|sam'

/** A state, and how to change it as `sam`; the time is the number of the change. */
function startFold() {
  const state = initialControl()
  let offset = 0
  const change = (one: ControlChange, expectedVersion = -1) => {
    const { type, ...payload } = one
    const event = {
      ...{
        eventId: `e${offset}`,
        aggregateId: aggregateOf(one),
        type,
        at: offset + 1,
        actor,
        expectedVersion,
      },
      payload: JSON.stringify(payload),
    }
    return evolveControl(state, { event, offset: offset++ }).rejection?.code
  }
  return { state, change }
}

const shop = { protocol: 'postgres', address: 'db:5432', groups: ['agents'] }
const put = (name = 'shop', target: Readonly<Record<string, unknown>> = shop): ControlChange => ({
  type: 'target.put',
  ...{ name, target },
})
const removed = (name = 'shop'): ControlChange => ({ type: 'target.removed', name, reason: 'gone' })
const trust = { audience: ['portcullis'] }

test('a target is put, changed and removed; each says who, when and which version', () => {
  const { state, change } = startFold()
  assert.equal(change(put()), undefined)
  assert.deepEqual(state.targets.get('shop'), {
    ...{ id: 'shop', json: JSON.stringify(shop) },
    ...{ version: 1, changedAt: 1, changedBy: by },
  })
  assert.equal(change(put('shop', { ...shop, address: 'db-2:5432' }), 1), undefined)
  assert.equal(state.targets.get('shop')?.version, 2)
  assert.equal(change(put(), 1), 'conflict')
  assert.equal(change(removed(), 2), undefined)
  assert.equal(state.targets.size, 0)
  assert.equal(change(removed()), 'not_found')
  assert.equal(change(put()), undefined)
  assert.equal(state.targets.get('shop')?.version, 5)
})

test('an issuer that is taken out is remembered until it is trusted again; one that never was is not', () => {
  const { state, change } = startFold()
  const issuer = 'https://ci.example'
  assert.equal(change({ type: 'issuer.removed', issuer, reason: '' }), 'not_found')
  assert.equal(state.removedIssuers.size, 0)
  assert.equal(change({ type: 'issuer.put', issuer, trust }), undefined)
  assert.equal(change({ type: 'issuer.removed', issuer, reason: 'leaked' }), undefined)
  assert.deepEqual(holdingsOf(state), { ...noHoldings, removedIssuers: [issuer] })
  assert.equal(state.removedIssuers.get(issuer)?.changedBy, by)
  assert.equal(change({ type: 'issuer.put', issuer, trust }), undefined)
  assert.equal(state.removedIssuers.size, 0)
  assert.equal(holdingsOf(state).issuers[0]?.json, JSON.stringify(trust))
})

test('a group has one role at a time', () => {
  const { state, change } = startFold()
  const of = (role: string): ControlChange => ({ type: 'role-mapping.put', group: 'oncall', role })
  assert.equal(change(of('viewer')), undefined)
  assert.equal(change(of('responder')), undefined)
  assert.equal(state.roleMappings.get('oncall')?.role, 'responder')
  assert.equal(change({ type: 'role-mapping.removed', group: 'oncall', reason: '' }), undefined)
  assert.equal(change({ type: 'role-mapping.removed', group: 'oncall', reason: '' }), 'not_found')
})

test('what stands in a setting is bounded, and not read', () => {
  const text = (target: unknown) => JSON.stringify({ name: 'shop', target })
  const check = (target: unknown) => checkChange('target.put', text(target))
  assert.ok(!('code' in check({ anything: [1, { deep: null }] })))
  const room = settingCharsMax - JSON.stringify({ a: '' }).length
  assert.ok(!('code' in check({ a: 'x'.repeat(room) })))
  for (const wrong of [{ a: 'x'.repeat(room + 1) }, 'text', [shop], null])
    assert.match(JSON.stringify(check(wrong)), /"invalid","why":"target.put: target must be/)
})

test('a secret that is rewrapped is the same secret: who put it, and when, stays', () => {
  const { state, change } = startFold()
  assert.equal(change({ type: 'secret.rewrapped', name: 'db', sealed: 'x' }), 'not_found')
  const addresses = ['db:5432']
  assert.equal(change({ type: 'secret.sealed', name: 'db', sealed: 'one', addresses }), undefined)
  assert.equal(change({ type: 'secret.rewrapped', name: 'db', sealed: 'two' }), undefined)
  assert.deepEqual(state.sealedSecrets.get('db'), {
    ...{ name: 'db', sealed: 'two', version: 3, sealedAt: 2, sealedBy: by },
    addresses,
  })
  assert.equal(change({ type: 'secret.sealed', name: 'old', sealed: 'one' }), undefined)
  assert.equal(state.sealedSecrets.get('old')?.addresses, undefined)
})
