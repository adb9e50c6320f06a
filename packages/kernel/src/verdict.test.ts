import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from './identity.ts'
import { verdictKey, verdictKeys, type VerdictSubject } from './verdict.ts'

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

function reaches(subject: Partial<VerdictSubject>, identity = child): boolean {
  const key = verdictKey({ kind: 'token', issuer: '', id: '', instance: '', ...subject })
  return verdictKeys({ identity, sessionId: 's-1', target: 'shop' }).includes(key)
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

test('a name with spaces in it, as an issuer may give to a run, is one name', () => {
  const traded = { ...child, ancestors: [`${ci} run 9 of 12`] }
  assert.ok(reaches({ kind: 'instance', issuer: ci, id: 'agent-7', instance: 'run 9 of 12' }, traded))
  assert.ok(!reaches({ kind: 'instance', issuer: ci, id: 'agent-7', instance: 'run' }, traded))
})
