import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { SignInEvent } from '@portcullis/kernel'
import { sampleSignIn } from '../projector/sample-events.ts'
import { evolveSignIns, initialSignIns, pruneSignIns, wrongCodesOf, wrongCodeWindowUs } from './state.ts'

const of = (kind: SignInEvent['kind'], more: Partial<SignInEvent>): SignInEvent => ({
  ...sampleSignIn(kind),
  reason: '',
  ...more,
})
const asked = of('device_asked', { ref: 'd1', userCode: 'h1', client: 'cli', at: 100, until: 1_000 })

test('what is used once is used once, until its time is over', () => {
  const state = initialSignIns()
  const use = of('claimed', { ref: 'a', until: 500 })
  assert.deepEqual([evolveSignIns(state, use), evolveSignIns(state, use)], [true, false])
  pruneSignIns(state, 500)
  assert.equal(evolveSignIns(state, use), false)
  pruneSignIns(state, 501)
  assert.equal(evolveSignIns(state, use), true)
})

test('a device is answered once and redeemed once, and only after a yes', () => {
  const state = initialSignIns()
  const step = (kind: SignInEvent['kind'], at = 200) =>
    evolveSignIns(state, of(kind, { ref: 'd1', at, sealed: 'who' }))
  assert.equal(step('device_approved'), false, 'nobody asked')
  assert.equal(evolveSignIns(state, asked), true)
  assert.equal(evolveSignIns(state, { ...asked, ref: 'd2' }), false, 'its code is taken')
  assert.equal(evolveSignIns(state, { ...asked, userCode: 'h2' }), false, 'it asked already')
  assert.equal(step('device_redeemed'), false, 'nobody said yes')
  assert.equal(step('device_approved', 1_000), false, 'too late')
  assert.equal(step('device_approved'), true)
  assert.equal(state.devices.get('d1')?.sealed, 'who')
  assert.equal(step('device_approved'), false)
  assert.equal(step('device_denied'), false, 'yes was said')
  assert.equal(step('device_redeemed'), true)
  assert.equal(state.devices.get('d1')?.sealed, '', 'nothing is left to take')
  assert.equal(step('device_redeemed'), false)
})

test('a no cannot be turned into a yes', () => {
  const state = initialSignIns()
  evolveSignIns(state, asked)
  assert.equal(evolveSignIns(state, of('device_denied', { ref: 'd1', at: 200 })), true)
  assert.equal(evolveSignIns(state, of('device_approved', { ref: 'd1', at: 201 })), false)
})

test('what is over is forgotten, and its code is free again', () => {
  const state = initialSignIns()
  evolveSignIns(state, asked)
  evolveSignIns(state, of('signed_out', { instance: 's', until: 1_000 }))
  pruneSignIns(state, 1_000)
  assert.ok(state.devices.has('d1') && state.ended.has('s'))
  pruneSignIns(state, 1_001)
  assert.ok(state.devices.size + state.deviceByCode.size + state.ended.size === 0)
  assert.equal(evolveSignIns(state, { ...asked, ref: 'd2' }), true)
})

test('wrong codes count against whom, and for how long', () => {
  const state = initialSignIns()
  const who = 'https://idp.example|ann'
  for (const at of [1, 2, 3]) evolveSignIns(state, of('device_refused', { reason: 'wrong_code', at }))
  evolveSignIns(state, of('device_refused', { reason: 'expired_token', at: 4 }))
  assert.equal(wrongCodesOf(state, who, 4), 3)
  assert.equal(wrongCodesOf(state, 'https://idp.example|max', 4), 0)
  assert.equal(wrongCodesOf(state, who, 2 + wrongCodeWindowUs), 1)
  pruneSignIns(state, 3 + wrongCodeWindowUs)
  assert.equal(state.wrongCodes.size, 0)
})

test('a kind that this version does not know changes nothing', () => {
  const state = initialSignIns()
  evolveSignIns(state, of('unknown', { ref: 'x' }))
  assert.deepEqual(state, initialSignIns())
})
