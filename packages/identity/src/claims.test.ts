import assert from 'node:assert/strict'
import { test } from 'node:test'
import { claimAt, identityOf, requirePinned, tokenIdOf } from './claims.ts'
import { IdentityError, type IdentityErrorCode } from './errors.ts'
import { type IssuerConfig, trustedIssuer } from './issuer-config.ts'

const issuerUrl = 'https://login.example'
const issuerWith = (more: Partial<IssuerConfig> = {}) =>
  trustedIssuer({ issuer: issuerUrl, audience: ['portcullis'], ...more })
const identity = (claims: Record<string, unknown>, more: Partial<IssuerConfig> = {}) =>
  identityOf(claims, issuerWith(more), 't1')
const refusedAs = (code: IdentityErrorCode) => (error: unknown) =>
  error instanceof IdentityError && error.code === code

test('a plain token proves its subject', () => {
  assert.deepEqual(identity({ sub: 'alice' }), {
    issuer: issuerUrl,
    subject: 'alice',
    groups: [],
    delegation: [],
    task: '',
    ancestors: [],
    instance: 't1',
  })
})

test('the hash of the token stands in for a missing jti', () => {
  assert.equal(
    tokenIdOf({ sub: 'a' }, () => 'the-hash'),
    'the-hash',
  )
  assert.equal(
    tokenIdOf({ jti: 't1' }, () => assert.fail('not needed')),
    't1',
  )
})

test('groups come as an array, as one string, parted by spaces, or from a dotted path', () => {
  assert.deepEqual(identity({ sub: 'a', groups: ['x y', 'z', 'z'] }).groups, ['x y', 'z'])
  assert.deepEqual(identity({ sub: 'a', groups: 'one' }).groups, ['one'])
  assert.deepEqual(identity({ sub: 'a', groups: ' one  two ' }).groups, ['one', 'two'])
  for (const nothing of [undefined, null, '', []])
    assert.deepEqual(identity({ sub: 'a', groups: nothing }).groups, [])
  const keycloak = { sub: 'a', realm_access: { roles: ['r'] } }
  assert.deepEqual(identity(keycloak, { groupsClaim: 'realm_access.roles' }).groups, ['r'])
  const namespaced = { sub: 'a', 'https://login.example/groups': ['n'] }
  assert.deepEqual(identity(namespaced, { groupsClaim: 'https://login.example/groups' }).groups, ['n'])
})

test('groups of another shape are refused, not ignored', () => {
  for (const groups of [
    7,
    { a: 1 },
    [7],
    [''],
    [null],
    [['nested']],
    ['a\u0000b'],
    Array.from({ length: 1001 }, (_, at) => `g${at}`),
  ])
    assert.throws(() => identity({ sub: 'a', groups }), refusedAs('claim_invalid'))
})

test('a path reads own members only', () => {
  assert.equal(claimAt({ sub: 'a' }, '__proto__.constructor.name'), undefined)
  assert.equal(claimAt({ sub: 'a' }, 'constructor'), undefined)
  assert.equal(claimAt(JSON.parse('{"__proto__":{"x":"own"}}'), '__proto__.x'), 'own')
  assert.equal(claimAt({ list: ['a'] }, 'list.length'), undefined)
})

test('with act the actor is the identity, on behalf of the subject and the actors before it', () => {
  const claims = {
    sub: 'alice',
    kind: 'person',
    groups: ['analysts'],
    act: { sub: 'agent-7', kind: 'agent', act: { sub: 'planner', act: { sub: 'scheduler', kind: 'task' } } },
  }
  assert.deepEqual(identity(claims), {
    issuer: issuerUrl,
    subject: 'agent-7',
    groups: ['analysts'],
    delegation: [
      { issuer: issuerUrl, subject: 'alice', kind: 'person' },
      { issuer: issuerUrl, subject: 'scheduler', kind: 'task' },
      { issuer: issuerUrl, subject: 'planner', kind: 'unknown' },
    ],
    task: '',
    ancestors: [],
    instance: 't1',
  })
})

test('an issuer may not name actors of another issuer, unless the configuration says so', () => {
  const claims = { sub: 'alice', act: { sub: 'admin-agent', iss: 'https://other.example' } }
  assert.throws(() => identity(claims), refusedAs('delegation'))
  const allowed = identity(claims, { actorIssuers: ['https://other.example'] })
  assert.equal(allowed.issuer, 'https://other.example')
  const deeper = { sub: 'alice', act: { sub: 'a', act: { sub: 'b', iss: 'https://other.example' } } }
  assert.throws(() => identity(deeper), refusedAs('delegation'))
})

test('a malformed or endless delegation chain is refused', () => {
  for (const act of ['x', null, [], 7, {}, { sub: '' }, { sub: 'a', iss: 7 }, { sub: 'a', act: null }])
    assert.throws(() => identity({ sub: 'alice', act }), refusedAs('delegation'), JSON.stringify(act))
  let chain: object = { sub: 'actor' }
  for (let depth = 1; depth < 8; depth += 1) chain = { sub: 'actor', act: chain }
  assert.equal(identity({ sub: 'alice', act: chain }).delegation.length, 8)
  assert.throws(() => identity({ sub: 'alice', act: { sub: 'actor', act: chain } }), refusedAs('delegation'))
})

test('subjects that would look like another are refused', () => {
  for (const sub of [undefined, null, '']) assert.throws(() => identity({ sub }), refusedAs('claim_missing'))
  const hidden = [
    'a\u0000',
    'a\nb',
    'a\u200bb',
    '\u202eeve',
    'a\ud800',
    'a\u2028b',
    'x'.repeat(513),
    7,
    ['a'],
    {},
  ]
  for (const sub of hidden)
    assert.throws(() => identity({ sub }), refusedAs('claim_invalid'), JSON.stringify(sub))
  for (const sub of ['spiffe://example/ns/a', 'repo:o/r:ref:refs/heads/main', 'Zoë Ölund', '名前'])
    assert.equal(identity({ sub }).subject, sub)
  for (const jti of ['', null, 7, 'x\u0000'])
    assert.throws(() => tokenIdOf({ jti }, () => 'the-hash'), refusedAs('claim_invalid'))
})

test('pinned claims must be there and be one of the allowed', () => {
  const pinned = issuerWith({ requiredClaims: { repository_id: ['42'], 'env.name': ['prod', 'stage'] } })
  requirePinned({ repository_id: '42', env: { name: 'stage' } }, pinned)
  requirePinned({ repository_id: 42, env: { name: ['dev', 'prod'] } }, pinned)
  const huge = JSON.parse('{"id": 9007199254740993}')
  assert.throws(
    () => requirePinned(huge, issuerWith({ requiredClaims: { id: ['9007199254740992'] } })),
    refusedAs('claim_mismatch'),
  )
  assert.throws(() => requirePinned({ repository_id: '42' }, pinned), refusedAs('claim_missing'))
  assert.throws(
    () => requirePinned({ repository_id: '43', env: { name: 'prod' } }, pinned),
    refusedAs('claim_mismatch'),
  )
  assert.throws(
    () => requirePinned({ repository_id: {}, env: { name: 'prod' } }, pinned),
    refusedAs('claim_mismatch'),
  )
})

test('where parties are named, the token must have been issued to one of them', () => {
  const named = issuerWith({ authorizedParties: ['ci'] })
  requirePinned({ azp: 'ci' }, named)
  requirePinned({ client_id: 'ci' }, named)
  for (const claims of [{}, { azp: 'other' }, { azp: 'other', client_id: 'ci' }, { azp: ['ci'] }])
    assert.throws(() => requirePinned(claims, named), refusedAs('wrong_party'))
})
