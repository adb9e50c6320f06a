import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  aggregateOf,
  type ControlChange,
  checkChange,
  evolveControl,
  holdingsOf,
  initialControl,
  policyCharsMax,
} from '../index.ts'

test('a policy is put, changed where it is what was seen, and removed; proxies hold all of them by name', () => {
  const state = initialControl()
  let offset = 0
  const change = (one: ControlChange, expectedVersion = -1) => {
    const { type, ...payload } = one
    const event = {
      ...{ eventId: `e${offset}`, aggregateId: aggregateOf(one), type, at: offset + 1, expectedVersion },
      actor: { issuer: 'https://idp.example', subject: 'sam', roles: ['admin'] },
      payload: JSON.stringify(payload),
    }
    return evolveControl(state, { event, offset: offset++ }).rejection?.code
  }
  const put = (name: string, text: string): ControlChange => ({ type: 'policy.put', name, text })
  const removed: ControlChange = { type: 'policy.removed', name: 'shop', reason: 'in the file', last: false }
  assert.equal(change(put('shop', 'rules: []')), undefined)
  assert.equal(change(put('billing', 'rules: []')), undefined)
  assert.equal(change(put('shop', 'rules: [a]'), 0), 'conflict')
  assert.equal(change(put('shop', 'rules: [b]'), 1), undefined)
  assert.deepEqual(
    holdingsOf(state).policies.map(({ name, text, version, changedBy }) => [name, text, version, changedBy]),
    [
      ['billing', 'rules: []', 1, 'https://idp.example|sam'],
      ['shop', 'rules: [b]', 2, 'https://idp.example|sam'],
    ],
  )
  assert.equal(change(removed), undefined)
  assert.equal(change(removed), 'not_found')
  assert.deepEqual(Array.from(state.policies.keys()), ['billing'])
  assert.equal(change({ ...removed, name: 'billing' }), 'conflict', 'another was removed meanwhile')
  assert.equal(change({ ...removed, name: 'billing', last: true }), undefined)
})

test('what an older writer removed is removed, the last one too', () => {
  const checked = checkChange('policy.removed', JSON.stringify({ name: 'shop', reason: '' }))
  assert.ok(!('code' in checked) && checked.type === 'policy.removed' && checked.last)
})

test('a policy without text, or with too much of it, is none', () => {
  for (const text of ['', 7, 'x'.repeat(policyCharsMax + 1)]) {
    const checked = checkChange('policy.put', JSON.stringify({ name: 'shop', text }))
    assert.equal('code' in checked && checked.code, 'invalid')
  }
})
