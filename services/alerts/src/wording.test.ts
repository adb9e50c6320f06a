import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { VerdictEvent } from '@portcullis/kernel'
import { alertOf, findingOf, issuer, verdictOf } from './test-events.ts'
import { aboutWhom, clip, explanation, linkTo, verdictTitle } from './wording.ts'

const base = 'https://gate.example'
const subjects: [VerdictEvent['subject'], string, string][] = [
  [
    { kind: 'identity', issuer, id: 'a/b', instance: '' },
    'a/b blocked at shop',
    '/v1/identities/https%3A%2F%2Fidp.example%7Ca%2Fb',
  ],
  [
    { kind: 'instance', issuer, id: 'a', instance: 'j1' },
    'a (instance j1) blocked at shop',
    '/v1/identities/https%3A%2F%2Fidp.example%7Ca',
  ],
  [{ kind: 'session', issuer: '', id: 's1', instance: '' }, 'session s1 blocked at shop', '/v1/verdicts'],
  [{ kind: 'token', issuer, id: '', instance: 'j1' }, 'token j1 blocked at shop', '/v1/verdicts'],
  [
    { kind: 'delegation', issuer, id: 'ann', instance: '' },
    'everyone acting for ann blocked at shop',
    '/v1/verdicts',
  ],
]
for (const [subject, title, path] of subjects)
  test(`a verdict on ${subject.kind}: its title and where to look further`, () => {
    const verdict = verdictOf('v1', { subject })
    assert.equal(verdictTitle(verdict), title)
    assert.equal(linkTo(alertOf({ verdict, findings: [] }), base), `${base}${path}`)
  })

test('where a verdict names no identity, its finding does', () => {
  const verdict = verdictOf('v1', { subject: { kind: 'session', issuer: '', id: 's1', instance: '' } })
  assert.deepEqual(aboutWhom(alertOf({ verdict })), { issuer, subject: 'agent-7' })
})

test('links stay below a base with a path, and there is none without a base', () => {
  assert.equal(
    linkTo(alertOf(), 'https://x.example/gate'),
    'https://x.example/gate/v1/identities/https%3A%2F%2Fidp.example%7Cagent-7',
  )
  assert.equal(linkTo(alertOf(), undefined), undefined)
})

test('the same sentence is said once', () => {
  const findings = [
    findingOf('1'),
    findingOf('2', { explanation: 'from a new region' }),
    findingOf('3', { explanation: '' }),
  ]
  assert.equal(explanation(alertOf({ findings })), '900 commands/min, 12 expected\nfrom a new region')
})

test('clipping keeps to the length and to whole characters', () => {
  assert.equal(clip('abcdef', 6), 'abcdef')
  assert.equal(clip('abcdefg', 6), 'abcde…')
  assert.equal(clip('abcd\u{1f600}efgh', 6), 'abcd…')
})
