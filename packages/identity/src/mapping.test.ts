/** Conditions and mapping by expressions, on the claims of a GitHub Actions token. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { identityOf } from './claims.ts'
import { IdentityError, type IdentityErrorCode } from './errors.ts'
import { type IssuerConfig, trustedIssuer } from './issuer-config.ts'

const claims = {
  sub: 'repo:acme/shop:ref:refs/heads/main',
  repository_id: '74',
  ref: 'refs/heads/main',
  job_workflow_ref: 'acme/shop/.github/workflows/deploy.yml@refs/heads/main',
  run_id: '900',
  run_attempt: '2',
  realm_access: { roles: ['r1', 'r2'] },
  groups: ['named'],
}
const identity = (more: Partial<IssuerConfig>, over: Record<string, unknown> = {}) =>
  identityOf(
    { ...claims, ...over },
    trustedIssuer({ issuer: 'https://ci.example', audience: ['portcullis'], ...more }),
    'token-1',
  )
const refusedAs = (code: IdentityErrorCode, why: RegExp) => (error: unknown) =>
  error instanceof IdentityError && error.code === code && why.test(error.message)

test('every condition must be true, and the error says which is not', () => {
  const conditions = ['claims.repository_id == "74"', 'claims.ref == "refs/heads/main"']
  assert.equal(identity({ conditions }).subject, claims.sub)
  assert.throws(
    () => identity({ conditions }, { ref: 'refs/heads/dev' }),
    refusedAs('condition', /^the condition "claims.ref == \\"refs\/heads\/main\\"" does not hold$/),
  )
})

test('a condition that reads a claim that is not there, or is of another type, refuses', () => {
  for (const condition of [
    'claims.environment != "dev"',
    '!(claims.environment == "dev")',
    'claims.ref.startsWith(claims.environment)',
  ])
    assert.throws(
      () => identity({ conditions: [condition] }),
      refusedAs('condition', /reads environment, which is not there/),
      condition,
    )
  for (const repository_id of [74, ['74'], { is: '74' }, null, true])
    assert.throws(
      () => identity({ conditions: ['claims.repository_id == "74"'] }, { repository_id }),
      refusedAs('condition', /./),
    )
  assert.throws(
    () => identity({ conditions: ['claims.ref'] }),
    refusedAs('condition', /does not give true or false/),
  )
})

test('subject, groups, instance and task by expressions', () => {
  const mapped = identity({
    subject: '"github:" + claims.repository_id + ":" + claims.job_workflow_ref',
    groups: 'claims.realm_access.roles.map(r, "ci-" + r)',
    addGroups: ['ci', 'ci-r1'],
    instance: 'claims.run_id + "." + claims.run_attempt',
    task: '"run of " + claims.ref',
  })
  assert.deepEqual(mapped, {
    issuer: 'https://ci.example',
    subject: 'github:74:acme/shop/.github/workflows/deploy.yml@refs/heads/main',
    groups: ['ci-r1', 'ci-r2', 'ci'],
    delegation: [],
    task: 'run of refs/heads/main',
    ancestors: [],
    instance: '900.2',
  })
})

test('without them all is as before; groups are added to those that the token names', () => {
  const { subject, groups, instance } = identity({ addGroups: ['ci'] })
  assert.deepEqual([subject, groups, instance], [claims.sub, ['named', 'ci'], 'token-1'])
})

test('what an expression gives is held to what a claim is held to', () => {
  const wrong: readonly [Partial<IssuerConfig>, Record<string, unknown>, IdentityErrorCode][] = [
    [{ subject: 'claims.actor' }, {}, 'claim_missing'],
    [{ subject: 'claims.actor' }, { actor: '' }, 'claim_missing'],
    [{ subject: 'claims.actor' }, { actor: 7 }, 'claim_invalid'],
    [{ subject: 'claims.actor' }, { actor: 'a\u200bb' }, 'claim_invalid'],
    [{ subject: 'claims.actor + claims.actor' }, { actor: 'x'.repeat(257) }, 'claim_invalid'],
    [{ subject: 'string(claims.actor)' }, { actor: 2 ** 60 }, 'claim_invalid'],
    [{ groups: 'claims.roles' }, {}, 'claim_missing'],
    [{ groups: 'claims.roles' }, { roles: ['a', 7] }, 'claim_invalid'],
    [{ groups: 'claims.roles' }, { roles: ['a', ''] }, 'claim_invalid'],
    [{ groups: 'claims.roles' }, { roles: Array(1001).fill('a') }, 'claim_invalid'],
    [{ instance: 'claims.pod.uid' }, {}, 'claim_missing'],
    [{ task: 'claims.workflow' }, {}, 'claim_missing'],
    [{ task: 'claims.workflow' }, { workflow: 'a\nb' }, 'claim_invalid'],
    [{ instance: 'claims.pod.uid' }, { pod: { uid: '' } }, 'claim_missing'],
    [{ instance: 'claims.pod.uid' }, { pod: { uid: 'a\nb' } }, 'claim_invalid'],
  ]
  for (const [more, over, code] of wrong)
    assert.throws(() => identity(more, over), refusedAs(code, /./), JSON.stringify([more, over]))
})

test('with act the expressions name the party on whose behalf, as subjectClaim does', () => {
  const acting = identity({ subject: '"gh:" + claims.repository_id' }, { act: { sub: 'agent-7' } })
  assert.equal(acting.subject, 'agent-7')
  assert.deepEqual(acting.delegation, [{ issuer: 'https://ci.example', subject: 'gh:74', kind: 'unknown' }])
})
