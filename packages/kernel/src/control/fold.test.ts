import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type ControlChange,
  type ControlEvent,
  aggregateOf,
  evolveControl,
  initialControl,
  pruneControl,
  type RejectionCode,
  seenMax,
  type Verdict,
} from '../index.ts'

const actor = { issuer: 'https://idp.example', subject: 'sam', roles: ['responder'] }
const verdict: Verdict = {
  verdictId: 'v1',
  action: 'block',
  subject: { kind: 'identity', issuer: 'https://idp.example', id: 'agent-7', instance: '' },
  target: '',
  issuedAt: 1_000_000,
  until: 9_000_000,
  ratePerMinute: 0,
  cancelRunning: false,
  reason: 'by_hand',
  explanation: 'leaked token',
}
const issued = (verdictId: string): ControlChange => ({
  type: 'verdict.issued',
  verdict: { ...verdict, verdictId },
})
const lifted = (verdictId: string): ControlChange => ({
  type: 'verdict.lifted',
  verdictId,
  reason: 'false alarm',
})

const keyAdded = (keyId: string): ControlChange => ({
  type: 'signing-key.added',
  keyId,
  algorithm: 'EdDSA',
  publicJwk: '{}',
  sealedPrivateKey: 'sealed',
})
const keyCreated = (keyId: string): ControlChange => ({
  type: 'api-key.created',
  keyId,
  hash: 'ab'.repeat(32),
  description: 'nightly import',
  subject: 'importer',
  groups: ['agents'],
  targets: [],
  networks: ['10.0.0.0/8'],
  expiresAt: 9_000_000,
})
const secretSealed = (name: string): ControlChange => ({ type: 'secret.sealed', name, sealed: 'sealed' })

function eventOf(eventId: string, change: ControlChange, expectedVersion = -1): ControlEvent {
  const { type, ...payload } = change
  return {
    eventId,
    aggregateId: aggregateOf(change),
    type,
    at: 2_000_000,
    actor,
    expectedVersion,
    payload: JSON.stringify(payload),
  }
}

/** Folds a log, as every reader does; offsets are places in the log. */
function fold(log: readonly ControlEvent[]) {
  const state = initialControl()
  const results = log.map((event, offset): 'accepted' | RejectionCode => {
    const evolved = evolveControl(state, { event, offset })
    return evolved.accepted ? 'accepted' : (evolved.rejection?.code ?? 'invalid')
  })
  return { state, results }
}

test('a verdict by hand is in force until it is lifted', () => {
  const state = initialControl()
  evolveControl(state, { event: eventOf('e1', issued('v1')), offset: 0 })
  assert.deepEqual(state.verdicts.get('v1'), { ...verdict, issuedBy: 'https://idp.example|sam' })
  evolveControl(state, { event: eventOf('e2', lifted('v1')), offset: 1 })
  assert.equal(state.verdicts.size, 0)
  assert.deepEqual(state.lifted.get('v1'), {
    at: 2_000_000,
    by: 'https://idp.example|sam',
    reason: 'false alarm',
  })
  assert.equal(state.versions.get('verdict/v1'), 2)
})

test('a verdict of the analyzer, unknown to this log, can be lifted, once', () => {
  const { state, results } = fold([eventOf('e1', lifted('x')), eventOf('e2', lifted('x'))])
  assert.deepEqual(results, ['accepted', 'already_lifted'])
  assert.equal(state.lifted.size, 1)
})

test('an id that was issued or lifted before is never issued again', () => {
  const { results } = fold([
    eventOf('e1', issued('v1')),
    eventOf('e2', issued('v1')),
    eventOf('e3', lifted('v1')),
    eventOf('e4', issued('v1')),
  ])
  assert.deepEqual(results, ['accepted', 'exists', 'accepted', 'exists'])
})

test('a stale expectedVersion is a conflict and says both versions', () => {
  const state = initialControl()
  evolveControl(state, { event: eventOf('e1', issued('v1'), 0), offset: 0 })
  const { rejection } = evolveControl(state, { event: eventOf('e2', lifted('v1'), 0), offset: 1 })
  assert.equal(rejection?.code, 'conflict')
  assert.match(rejection?.why ?? '', /at version 1, the writer saw 0/)
})

test('an unknown kind is skipped and counted, and its version counts as in a reader that knows it', () => {
  const later = { ...eventOf('e1', issued('v1')), type: 'target.renamed', aggregateId: 'target/a' }
  const { state, results } = fold([later])
  assert.deepEqual(results, ['unknown_type'])
  assert.equal(state.skipped, 1)
  assert.equal(state.versions.get('target/a'), 1)
})

test('every problem of a payload is named at once, and nothing of it is taken', () => {
  const event = {
    ...eventOf('e1', issued('v1')),
    payload: JSON.stringify({
      verdict: {
        ...verdict,
        action: 'frown',
        until: 1.5,
        subject: { kind: 'token', issuer: '', id: '', instance: '' },
      },
    }),
  }
  const state = initialControl()
  const { rejection } = evolveControl(state, { event, offset: 0 })
  assert.equal(rejection?.code, 'invalid')
  for (const place of [
    'verdict.action',
    'verdict.until',
    'verdict.subject.issuer',
    'verdict.subject.instance',
  ])
    assert.ok(rejection?.why.includes(place), `${place} in: ${rejection?.why}`)
  assert.equal(state.verdicts.size, 0)
})

test('an API key is disabled and enabled again, and gone once it is deleted, with its id', () => {
  const state = initialControl()
  let offset = 0
  const change = (one: ControlChange) =>
    evolveControl(state, { event: eventOf(`e${offset}`, one), offset: offset++ }).rejection?.code
  const key = { keyId: 'k', reason: 'tidying up' }
  assert.equal(change(keyCreated('k')), undefined)
  assert.equal(change(keyCreated('k')), 'exists')
  assert.equal(state.apiKeys.get('k')?.createdBy, 'https://idp.example|sam')
  assert.equal(change({ type: 'api-key.disabled', ...key }), undefined)
  assert.equal(state.apiKeys.get('k')?.enabled, false)
  assert.equal(change({ type: 'api-key.enabled', ...key }), undefined)
  assert.equal(state.apiKeys.get('k')?.enabled, true)
  assert.equal(change({ type: 'api-key.deleted', ...key }), undefined)
  assert.equal(state.apiKeys.size, 0)
  assert.equal(change({ type: 'api-key.enabled', ...key }), 'not_found')
  assert.equal(change(keyCreated('k')), 'exists')
})

test('a signing key is retired once, a sealed secret can be put anew and removed', () => {
  const { state, results } = fold(
    [
      keyAdded('k'),
      keyAdded('k'),
      { type: 'signing-key.retired', keyId: 'k', reason: 'rotated' } as const,
      { type: 'signing-key.retired', keyId: 'k', reason: 'rotated' } as const,
      secretSealed('s'),
      { type: 'secret.sealed', name: 's', sealed: 'anew' } as const,
      { type: 'secret.removed', name: 't', reason: '' } as const,
    ].map((change, index) => eventOf(`e${index}`, change)),
  )
  assert.deepEqual(results, [
    'accepted',
    'exists',
    'accepted',
    'not_found',
    'accepted',
    'accepted',
    'not_found',
  ])
  assert.equal(state.signingKeys.size, 0)
  assert.equal(state.sealedSecrets.get('s')?.sealed, 'anew')
})

test('a hash that is none is named', () => {
  const event = eventOf('e1', { ...keyCreated('k'), hash: 'x'.repeat(64) } as ControlChange)
  const { rejection } = evolveControl(initialControl(), { event, offset: 0 })
  assert.match(rejection?.why ?? '', /hash must be 64 hex digits/)
})

const wrong: [string, string, RegExp][] = [
  ['no JSON', '{', /not a JSON object/],
  ['an array', '[]', /not a JSON object/],
  ['null', 'null', /not a JSON object/],
  ['no verdict', '{}', /verdict must be an object/],
  [
    'over before it begins',
    JSON.stringify({ verdict: { ...verdict, until: verdict.issuedAt } }),
    /must be after/,
  ],
  [
    'a throttle to nothing',
    JSON.stringify({ verdict: { ...verdict, action: 'throttle' } }),
    /must be above 0/,
  ],
  [
    'another aggregate',
    JSON.stringify({ verdict: { ...verdict, verdictId: 'v2' } }),
    /aggregateId is verdict\/v1/,
  ],
]
for (const [name, payload, why] of wrong)
  test(`refused: ${name}`, () => {
    const { rejection } = evolveControl(initialControl(), {
      event: { ...eventOf('e1', issued('v1')), payload },
      offset: 0,
    })
    assert.equal(rejection?.code, 'invalid')
    assert.match(rejection?.why ?? '', why)
  })

test('pruning drops only what is over, and what is accepted later does not depend on it', () => {
  const pruned = fold([eventOf('e1', issued('v1'))]).state
  const kept = fold([eventOf('e1', issued('v1'))]).state
  assert.equal(pruneControl(pruned, verdict.until), 0)
  assert.equal(pruneControl(pruned, verdict.until + 1), 1)
  for (const [offset, change] of [issued('v1'), lifted('v1'), lifted('v1')].entries()) {
    const event = eventOf(`later${offset}`, change)
    assert.deepEqual(
      evolveControl(pruned, { event, offset: offset + 1 }).rejection,
      evolveControl(kept, { event, offset: offset + 1 }).rejection,
    )
  }
})

const names = fc.constantFrom('a', 'b', 'c')
const changes: fc.Arbitrary<ControlChange> = fc.oneof(
  names.map(issued),
  names.map(lifted),
  names.map(keyAdded),
  names.map((keyId) => ({ type: 'signing-key.retired' as const, keyId, reason: '' })),
  names.map(keyCreated),
  fc
    .tuple(names, fc.constantFrom('api-key.disabled', 'api-key.enabled', 'api-key.deleted'))
    .map(([keyId, type]) => ({ type, keyId, reason: '' })),
  names.map(secretSealed),
  names.map((name) => ({ type: 'secret.rewrapped' as const, name, sealed: 'rewrapped' })),
  names.map((name) => ({ type: 'secret.removed' as const, name, reason: '' })),
  fc
    .tuple(names, fc.json())
    .map(([name, about]) => ({ type: 'target.put' as const, name, target: { about } })),
  names.map((name) => ({ type: 'target.removed' as const, name, reason: '' })),
  fc
    .tuple(names, fc.json())
    .map(([issuer, about]) => ({ type: 'issuer.put' as const, issuer, trust: { about } })),
  names.map((issuer) => ({ type: 'issuer.removed' as const, issuer, reason: '' })),
  fc.tuple(names, names).map(([group, role]) => ({ type: 'role-mapping.put' as const, group, role })),
  names.map((group) => ({ type: 'role-mapping.removed' as const, group, reason: '' })),
)
const logs = fc
  .array(fc.tuple(changes, fc.integer({ min: -1, max: 3 }), fc.nat(12)), { maxLength: 40 })
  .map((rows) => rows.map(([change, version, id]) => eventOf(`e${id}`, change, version)))

test('of two writers that saw the same version exactly one wins, in any interleaving', () => {
  fc.assert(
    fc.property(fc.array(fc.boolean(), { minLength: 2, maxLength: 20 }), (turns) => {
      // Each round both writers read the version, then write in the order drawn.
      const state = initialControl()
      let offset = 0
      for (const [round, firstIsA] of turns.entries()) {
        const id = `v${Math.floor(round / 2)}`
        const change = round % 2 === 0 ? issued(id) : lifted(id)
        const seenVersion = state.versions.get(aggregateOf(change)) ?? 0
        const order = firstIsA ? ['A', 'B'] : ['B', 'A']
        const accepted = order.filter(
          (writer) =>
            evolveControl(state, {
              event: eventOf(`${writer}${round}`, change, seenVersion),
              offset: offset++,
            }).accepted,
        )
        assert.deepEqual(accepted, [order[0]])
      }
    }),
  )
})

test('every reader of one log has the same state, through a copy, a replay and repeated events', () => {
  fc.assert(
    fc.property(logs, fc.nat(40), (log, cut) => {
      const whole = fold(log).state
      const before = fold(log.slice(0, cut)).state
      const restored = structuredClone(before)
      // As after a restart: the bus hands out everything again, from the beginning.
      for (const [offset, event] of log.entries()) evolveControl(restored, { event, offset })
      assert.deepEqual(restored, whole)
      // The same events again, published a second time.
      const { nextOffset: _, ...was } = structuredClone(whole)
      for (const [index, event] of log.entries()) {
        const again = evolveControl(whole, { event, offset: log.length + index })
        assert.equal(again.rejection?.code, 'duplicate')
      }
      const { nextOffset: __, ...is } = whole
      assert.deepEqual(is, was)
    }),
  )
})

test('no payload, however odd, makes the fold throw', () => {
  fc.assert(
    fc.property(
      fc.oneof(fc.string(), fc.json()),
      fc.constantFrom(
        'verdict.issued',
        'verdict.lifted',
        'target.put',
        'issuer.put',
        'role-mapping.put',
        'x',
      ),
      (payload, type) => {
        const { accepted, rejection } = evolveControl(initialControl(), {
          event: { ...eventOf('e1', issued('v1')), payload, type },
          offset: 0,
        })
        assert.equal(accepted, false)
        assert.ok(rejection)
      },
    ),
  )
})

test('a long log folds fast and remembers the latest ids only', () => {
  const state = initialControl()
  const total = seenMax * 2 + 7
  const unknown = { ...eventOf('', issued('v')), type: 'x', aggregateId: 'x' }
  const started = performance.now()
  for (let offset = 0; offset < total; offset++)
    evolveControl(state, { event: { ...unknown, eventId: `e${offset}` }, offset })
  assert.ok(performance.now() - started < 5_000)
  assert.ok(state.seen.size >= seenMax && state.seen.size <= seenMax * 1.1)
  assert.ok(state.seen.has(`e${total - 1}`) && state.seen.has(`e${total - seenMax}`))
  assert.ok(!state.seen.has('e0'))
})

test('an SSH certificate leaves its event and nothing in the state, and one that is malformed is refused', () => {
  const certificate = (serial: string): ControlChange => ({
    type: 'ssh-certificate.issued',
    ...{ serial, keyId: 'https://idp.example|agent-7', fingerprint: 'SHA256:x' },
    ...{ principals: ['deploy'], sourceAddresses: [], expiresAt: 9_000_000 },
  })
  const { state, results } = fold([
    eventOf('e1', certificate('18446744073709551615')),
    eventOf('e2', certificate('18446744073709551615')),
    eventOf('e3', certificate('0x1')),
  ])
  assert.deepEqual(results, ['accepted', 'accepted', 'invalid'])
  assert.deepEqual([...state.versions], [['ssh-certificates', 3]])
})
