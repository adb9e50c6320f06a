import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ApprovalMark } from './agent/protocol.ts'
import { createGrants } from './grants.ts'

const ann = { issuer: 'https://idp.test', subject: 'ann' }
const clock = { us: 1e6, nowUs: () => clock.us }
const markOf = (more: Partial<ApprovalMark> = {}): ApprovalMark => ({
  ...{ approvalId: 'a-1', kind: 'access', digest: 'd', identity: 'https://idp.test|ann', target: 'shop' },
  ...{ role: 'report', state: 'approved', deadline: 5e6, usableUntil: 10e6, isWindow: false },
  ...{ overBy: 20e6, reason: '', ...more },
})
const shop = { target: 'shop', role: 'report' }

test('it lets in whom it names, there and in that role, and nobody else', () => {
  const grants = createGrants(clock)
  grants.take([markOf()])
  assert.equal(grants.find(ann, shop), 'a-1')
  assert.equal(grants.find({ ...ann, subject: 'ben' }, shop), undefined)
  assert.equal(grants.find({ ...ann, issuer: 'https://other.test' }, shop), undefined)
  assert.equal(grants.find(ann, { ...shop, target: 'books' }), undefined)
  assert.equal(grants.find(ann, { ...shop, role: '' }), undefined)
})

test('only while it is approved and its time lasts; an approved command lets nobody in', () => {
  for (const mark of [
    markOf({ state: 'pending', usableUntil: 0 }),
    markOf({ state: 'denied', usableUntil: 0 }),
    markOf({ kind: 'command' }),
  ]) {
    const grants = createGrants(clock)
    grants.take([mark])
    assert.equal(grants.find(ann, shop), undefined, mark.state)
  }
  const grants = createGrants(clock)
  grants.take([markOf(), markOf({ approvalId: 'a-2', usableUntil: 12e6 })])
  assert.equal(grants.find(ann, shop), 'a-2', 'the one that lasts longest')
  grants.take([])
  assert.ok(grants.isInForce('a-1'), 'a list without it ends nothing')
  clock.us = 10e6
  assert.deepEqual([grants.isInForce('a-1'), grants.isInForce('a-2')], [false, true])
  grants.take([markOf({ approvalId: 'a-2', state: 'revoked' })])
  assert.equal(grants.isInForce('a-2'), false)
  assert.equal(grants.find(ann, shop), undefined)
})
