import assert from 'node:assert/strict'
import { test } from 'node:test'
import { IdentityError } from './errors.ts'
import { type IssuerConfig, isSafeKeyUrl, trustedIssuer } from './issuer-config.ts'

const good: IssuerConfig = { issuer: 'https://login.example/realm', audience: ['portcullis'] }

const refused: readonly [string, Partial<IssuerConfig>][] = [
  ['issuer must be https', { issuer: 'http://login.example' }],
  ['issuer must be https', { issuer: 'ftp://127.0.0.1' }],
  ['issuer must be an absolute URL', { issuer: 'login.example' }],
  ['issuer must be an absolute URL', { issuer: '' }],
  ['issuer must have no query', { issuer: 'https://login.example/?a=b' }],
  ['issuer must have no query', { issuer: 'https://user:secret@login.example/' }],
  ['issuer must not contain', { issuer: 'https://login.example/a|b' }],
  ['jwksUri must be an https URL', { jwksUri: 'http://login.example/jwks' }],
  ['jwksUri must be an https URL', { jwksUri: 'http://127.0.0.1/jwks' }],
  ['jwksUri must be an https URL', { jwksUri: 'file:///etc/passwd' }],
  ['audience must name', { audience: [] }],
  ['audience must name', { audience: ['portcullis', ''] }],
  ['algorithms may only name', { algorithms: ['none'] }],
  ['algorithms may only name', { algorithms: ['RS256', 'HS256'] }],
  ['algorithms may only name', { algorithms: ['rs256'] }],
  ['algorithms must name', { algorithms: [] }],
  ['leewaySec must be between', { leewaySec: 301 }],
  ['leewaySec must be between', { leewaySec: Number.NaN }],
  ['jwksCacheSec must be between', { jwksCacheSec: 0 }],
  ['jwksCooldownSec must be between', { jwksCooldownSec: 0 }],
  ['maxTokenBytes must be between', { maxTokenBytes: 1 }],
  ['conditions.1 "claims.ref ==" Unexpected token', { conditions: ['true', 'claims.ref =='] }],
  ['conditions.0 "claims.a.matches(\\"x\\")" calls matches', { conditions: ['claims.a.matches("x")'] }],
  ['conditions.0 "\\"yes\\"" gives string', { conditions: ['"yes"'] }],
  ['subject "clams.sub" Unknown variable: clams', { subject: 'clams.sub' }],
  ['groups "1" gives int', { groups: '1' }],
  ['instance "[claims.run_id]" gives list', { instance: '[claims.run_id]' }],
  ['task "true" gives bool', { task: 'true' }],
]

for (const [why, change] of refused)
  test(`refused: ${JSON.stringify(change)}`, () => {
    assert.throws(
      () => trustedIssuer({ ...good, ...change }),
      (error) => error instanceof IdentityError && error.code === 'config' && error.message.includes(why),
    )
  })

test('http is for loopback issuers', () => {
  for (const issuer of ['http://127.0.0.1:8080', 'http://localhost:8080', 'http://[::1]:8080'])
    assert.equal(trustedIssuer({ ...good, issuer }).issuer, issuer)
  for (const issuer of ['http://127.0.0.1.evil.example', 'http://localhost.evil.example', 'http://0.0.0.0'])
    assert.throws(() => trustedIssuer({ ...good, issuer }), /must be https/)
})

test('keys on loopback are for issuers on loopback', () => {
  assert.ok(isSafeKeyUrl('https://keys.example/jwks', 'https://login.example'))
  assert.ok(isSafeKeyUrl('http://127.0.0.1:1/jwks', 'http://127.0.0.1:2'))
  assert.ok(!isSafeKeyUrl('http://127.0.0.1:1/jwks', 'https://login.example'))
  assert.ok(!isSafeKeyUrl('http://169.254.169.254/', 'http://127.0.0.1:2'))
  assert.ok(!isSafeKeyUrl('not a url', 'https://login.example'))
})

test('defaults are the strict ones', () => {
  const { algorithms, leewaySec, groupsClaim, actorIssuers } = trustedIssuer(good)
  assert.deepEqual(algorithms, ['RS256', 'PS256', 'ES256', 'EdDSA'])
  assert.deepEqual([leewaySec, groupsClaim, actorIssuers], [30, 'groups', []])
})
