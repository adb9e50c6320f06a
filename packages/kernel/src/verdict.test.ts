import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from './identity.ts'
import { keysOfVerdict, type VerdictAction, verdictKeys, type VerdictSubject } from './verdict.ts'

const ci = 'https://ci.example'
const idp = 'https://idp.example'
const child: Identity = {
  issuer: ci,
  subject: 'agent-7',
  groups: [],
  delegation: [{ issuer: idp, subject: 'alice', kind: 'person' }],
  instance: 'child-1',
  task: 'nightly report',
  ancestors: [`${idp} person-1`, `${ci} job-1`],
}

function reaches(
  subject: Partial<VerdictSubject>,
  identity = child,
  action: VerdictAction = 'throttle',
): boolean {
  const about = { kind: 'token', issuer: '', id: '', instance: '', ...subject } as const
  const keys = verdictKeys({ identity, sessionId: 's-1', target: 'shop' })
  return keysOfVerdict({ subject: about, action }).some((key) => keys.includes(key))
}

test('a verdict on a token reaches it and every token that was traded from it', () => {
  assert.ok(reaches({ issuer: ci, instance: 'child-1' }))
  assert.ok(reaches({ issuer: ci, instance: 'job-1' }))
  assert.ok(reaches({ issuer: idp, instance: 'person-1' }))
  assert.ok(!reaches({ issuer: ci, instance: 'person-1' }), 'a token id is one of its issuer')
  assert.ok(!reaches({ issuer: ci, instance: 'job-2' }))
  assert.ok(!reaches({ issuer: ci, instance: 'job-1' }, { ...child, ancestors: [] }))
})

test('so does a verdict on the running copy that held the token, and on whoever it acts for', () => {
  assert.ok(reaches({ kind: 'instance', issuer: ci, id: 'agent-7', instance: 'job-1' }))
  assert.ok(reaches({ kind: 'instance', issuer: idp, id: 'alice', instance: 'person-1' }))
  assert.ok(!reaches({ kind: 'instance', issuer: ci, id: 'agent-8', instance: 'job-1' }))
  assert.ok(reaches({ kind: 'delegation', issuer: idp, id: 'alice' }))
  assert.ok(!reaches({ kind: 'identity', issuer: idp, id: 'alice' }))
})

test('who is blocked or killed takes along whoever acts for them, and nobody for whom they act', () => {
  const alice = { kind: 'identity', issuer: idp, id: 'alice' } as const
  for (const action of ['block', 'kill'] as const) {
    assert.ok(reaches(alice, child, action))
    assert.ok(!reaches({ ...alice, issuer: ci }, child, action))
    assert.ok(!reaches({ ...alice, kind: 'instance' }, child, action))
    const person = { ...child, issuer: idp, subject: 'alice', delegation: [], ancestors: [] }
    assert.ok(!reaches({ kind: 'identity', issuer: ci, id: 'agent-7' }, person, action))
    assert.ok(!reaches({ ...alice, kind: 'delegation' }, person, action), 'all who act for her, not her')
  }
  for (const action of ['throttle', 'hold'] as const) assert.ok(!reaches(alice, child, action))
})

test('a name with spaces in it, as an issuer may give to a run, is one name', () => {
  const traded = { ...child, ancestors: [`${ci} run 9 of 12`] }
  assert.ok(reaches({ kind: 'instance', issuer: ci, id: 'agent-7', instance: 'run 9 of 12' }, traded))
  assert.ok(!reaches({ kind: 'instance', issuer: ci, id: 'agent-7', instance: 'run' }, traded))
})
