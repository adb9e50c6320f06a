import assert from 'node:assert/strict'
import { test } from 'node:test'
import { verdictKeys } from '@portcullis/kernel'
import fc from 'fast-check'
import { IdentityError } from '../errors.ts'
import { type ScopedProof, tokenName } from './proof.ts'
import { outOfScope, outsideNetworks, parseScope, scopeText } from './scope.ts'
import { tradedGrant, type Trade } from './trade.ts'

const nowUs = 1_800_000_000_000_000
const limits = { nowUs, tokenSecMax: 3600, ancestorsMax: 8 }
const names = ['a', 'b', 'c']
const some = fc.subarray(names)
const someRoles = fc.subarray(['', 'reader', 'writer'])
const scope = fc.record({
  targets: fc.option(some, { nil: undefined }),
  roles: fc.option(someRoles, { nil: undefined }),
})
const wanted = fc.record({
  targets: fc.option(some, { nil: undefined }),
  roles: fc.option(someRoles, { nil: undefined }),
  groups: fc.option(some, { nil: undefined }),
})
const proof = fc
  .record({
    issuer: fc.constantFrom('https://ci.example', 'https://idp.example'),
    subject: fc.constantFrom('ann', 'agent'),
    instance: fc.uuid(),
    groups: some,
    scope,
    lifeSec: fc.integer({ min: -5, max: 100_000 }),
    delegation: fc.array(fc.constantFrom('p', 'q', 'r'), { maxLength: 5 }),
    ancestors: fc.array(fc.uuid(), { maxLength: 5 }),
    task: fc.constantFrom('', '', 'report'),
  })
  .map(
    ({ scope: given, lifeSec, delegation, ancestors, ...identity }): ScopedProof => ({
      identity: {
        ...identity,
        delegation: delegation.map((subject) => ({ issuer: 'https://idp.example', subject, kind: 'person' })),
        ancestors: ancestors.map((id) => `https://ci.example ${id}`),
      },
      expiresAtUs: nowUs + lifeSec * 1_000_000 + 123_456,
      tokenId: identity.instance,
      scope: clean(given),
    }),
  )

function clean<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as never
}

/** The grant, or undefined where the trade is refused; anything but an IdentityError fails the test. */
function trade(of: Trade) {
  try {
    return tradedGrant(of, limits)
  } catch (error) {
    assert.ok(error instanceof IdentityError, String(error))
    return undefined
  }
}

test('a child never exceeds its parents: no group, target, role or second more, whatever is asked for', () => {
  let granted = 0
  fc.assert(
    fc.property(
      proof,
      fc.option(proof, { nil: undefined }),
      wanted,
      fc.constantFrom('', 'report'),
      (subject, actor, asked, task) => {
        const child = trade({ subject, ...(actor && { actor }), wanted: clean(asked), task })
        if (!child) return
        granted += 1
        const parents = actor ? [subject, actor] : [subject]
        for (const group of child.identity.groups) assert.ok(subject.identity.groups.includes(group))
        for (const parent of parents) {
          assert.ok(child.expiresAtUs <= parent.expiresAtUs)
          for (const target of names)
            for (const role of ['', 'reader', 'writer'])
              if (!outOfScope(child.scope, target, role))
                assert.equal(outOfScope(parent.scope, target, role), undefined)
        }
        assert.ok(child.expiresAtUs <= nowUs + limits.tokenSecMax * 1e6)
        if (subject.identity.task) assert.equal(child.identity.task, subject.identity.task)
      },
    ),
    { numRuns: 2000 },
  )
  assert.ok(granted > 50, `only ${granted} trades were granted`)
})

test('a verdict on the token of any parent, or of one of theirs, reaches the child', () => {
  fc.assert(
    fc.property(proof, fc.option(proof, { nil: undefined }), (subject, actor) => {
      const child = trade({ subject, ...(actor && { actor }), wanted: {}, task: '' })
      if (!child) return
      const keys = verdictKeys({
        identity: { ...child.identity, instance: 'child' },
        sessionId: 's',
        target: 't',
      })
      for (const { identity } of actor ? [subject, actor] : [subject]) {
        for (const name of [tokenName(identity), ...identity.ancestors])
          assert.ok(keys.includes(`token ${name}`))
        for (const one of identity.delegation)
          assert.ok(keys.includes(`delegation ${one.issuer}|${one.subject}`))
        assert.ok(keys.includes(`instance ${identity.issuer}|${identity.subject} ${identity.instance}`))
      }
    }),
  )
})

const [alice, agent] = fc.sample(proof, { numRuns: 2, seed: 1 }).map(
  (one, at): ScopedProof => ({
    ...one,
    identity: {
      ...one.identity,
      subject: at === 0 ? 'alice' : 'agent-7',
      groups: ['agents'],
      delegation: [],
      ancestors: [],
      task: '',
    },
    expiresAtUs: nowUs + 600_000_000,
    scope: {},
  }),
) as [ScopedProof, ScopedProof]

test('with an actor it is the actor who acts, on behalf of the subject and with the authority of the subject', () => {
  const actor = { ...agent, identity: { ...agent.identity, groups: ['admins'] } }
  const { identity } = tradedGrant({ subject: alice, actor, wanted: {}, task: 'report' }, limits)
  assert.equal(identity.subject, 'agent-7')
  assert.deepEqual(identity.groups, ['agents'])
  assert.deepEqual(identity.delegation, [
    { issuer: alice.identity.issuer, subject: 'alice', kind: 'unknown' },
  ])
  assert.deepEqual(identity.ancestors, [tokenName(alice.identity), tokenName(agent.identity)])
  assert.equal(identity.task, 'report')
})

test('what a parent may only come from, its child may only come from', () => {
  const at = (networks: string[], of = alice): ScopedProof => ({ ...of, scope: { networks: [networks] } })
  const office = ['10.0.0.0/8', '192.0.2.1']
  const from = (address: string | undefined, subject: ScopedProof, actor?: ScopedProof) => {
    const { scope } = tradedGrant({ subject, ...(actor && { actor }), wanted: {}, task: '' }, limits)
    return outsideNetworks(scope, address) === undefined
  }
  assert.ok(from('10.1.2.3', at(office)))
  assert.ok(!from('11.1.2.3', at(office)))
  assert.ok(!from(undefined, at(office)))
  assert.ok(from('10.1.2.3', at(office), agent))
  assert.ok(!from('192.0.2.1', at(office), at(['10.0.0.0/8'], agent)))
  assert.ok(!from('10.1.2.3', at(['a network of a newer version'])))
})

const refusals: readonly [string, Partial<Trade>, string][] = [
  ['a group that the parent lacks', { wanted: { groups: ['admins'] } }, 'scope'],
  [
    'a target that the parent may not reach',
    { subject: { ...alice, scope: { targets: ['a'] } }, wanted: { targets: ['b'] } },
    'target',
  ],
  [
    'a role that the parent may not have',
    { subject: { ...alice, scope: { roles: ['reader'] } }, wanted: { roles: [''] } },
    'scope',
  ],
  [
    'another task than the parent was given for',
    { subject: { ...alice, identity: { ...alice.identity, task: 'report' } }, task: 'cleanup' },
    'scope',
  ],
  ['a parent that is over', { subject: { ...alice, expiresAtUs: nowUs + 999_999 } }, 'expired'],
  [
    'a subject and an actor that share no target',
    { subject: { ...alice, scope: { targets: ['a'] } }, actor: { ...agent, scope: { targets: ['b'] } } },
    'target',
  ],
  [
    'a chain of too many tokens',
    {
      subject: {
        ...alice,
        identity: { ...alice.identity, ancestors: Array.from({ length: 8 }, (_, n) => `i ${n}`) },
      },
    },
    'delegation',
  ],
]
for (const [what, parts, code] of refusals)
  test(`refused: ${what}`, () => {
    const of = { subject: alice, wanted: {}, task: '', ...parts }
    assert.throws(
      () => tradedGrant(of, limits),
      (error) => error instanceof IdentityError && error.code === code,
    )
  })

test('what a parent is bound to, its child is bound to', () => {
  const bound = { ...alice, confirmation: { 'x5t#S256': 'a' } }
  const of = (subject: ScopedProof, actor?: ScopedProof) =>
    tradedGrant({ subject, ...(actor && { actor }), wanted: {}, task: '' }, limits).confirmation
  assert.deepEqual(of(bound), { 'x5t#S256': 'a' })
  assert.deepEqual(of(bound, agent), { 'x5t#S256': 'a' })
  assert.deepEqual(of(bound, { ...agent, confirmation: { jkt: 'b' } }), { 'x5t#S256': 'a', jkt: 'b' })
  assert.equal(of(alice, agent), undefined)
})

test('a scope reads as it is written, and a word that is not understood is refused', () => {
  const text = 'target:shop target:orders role:reader role:'
  assert.equal(scopeText(parseScope(text)), text)
  assert.deepEqual(parseScope('group:agents'), { groups: ['agents'] })
  assert.deepEqual(parseScope(''), {})
  for (const word of ['target:', 'group:', 'openid', 'targets:shop', 'Target:shop', 'target'])
    assert.throws(
      () => parseScope(word),
      (error) => error instanceof IdentityError && error.code === 'scope',
    )
})

test('a person is named as one in the chain, and whoever a person sent is not', () => {
  const of = (subject: string, more: Partial<ScopedProof['identity']> = {}): ScopedProof => ({
    identity: {
      ...{
        issuer: 'https://idp.example',
        subject,
        groups: ['a'],
        delegation: [],
        instance: `jti-${subject}`,
      },
      ...{ task: '', ancestors: [] },
      ...more,
    },
    expiresAtUs: nowUs + 60_000_000,
    tokenId: `jti-${subject}`,
    scope: {},
  })
  const ann: ScopedProof = { ...of('ann'), provider: 'corp' }
  const asked = { wanted: {}, task: 'report' }
  const first = tradedGrant({ subject: ann, actor: of('agent'), ...asked }, limits)
  assert.equal(first.provider, 'corp')
  assert.deepEqual(first.identity.delegation, [
    { issuer: 'https://idp.example', subject: 'ann', kind: 'person' },
  ])
  const agent: ScopedProof = { ...of('agent', { delegation: first.identity.delegation }), provider: 'corp' }
  const second = tradedGrant({ subject: agent, actor: of('helper'), ...asked }, limits)
  assert.deepEqual(
    second.identity.delegation.map(({ subject, kind }) => [subject, kind]),
    [
      ['ann', 'person'],
      ['agent', 'unknown'],
    ],
  )
  // A group means what the provider of whoever has it says, not that of who acts.
  assert.equal(tradedGrant({ subject: of('ci'), actor: ann, ...asked }, limits).provider, undefined)
})
