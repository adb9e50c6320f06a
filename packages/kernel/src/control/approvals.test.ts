import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type Approval,
  approvalAggregate,
  type ApprovalChange,
  checkChange,
  type CommandRequest,
  type ControlEvent,
  evolveControl,
  initialControl,
  pruneControl,
  type Quorum,
  standingOf,
} from '../index.ts'

const issuer = 'https://idp.example'
const actorOf = (subject: string) => ({ issuer, subject, roles: ['approver'] })
const keyOf = (subject: string) => `${issuer}|${subject}`
const digest = 'ab'.repeat(32)
const deadline = 1_000
const usableUs = 500

const request: CommandRequest = {
  kind: 'command',
  digest,
  identity: {
    ...{ issuer, subject: 'agent', groups: ['agents'], instance: 'i1', task: '', ancestors: [] },
    delegation: [{ issuer, subject: 'owner', kind: 'person' }],
  },
  ...{ target: 'shop', role: 'app', protocol: 'postgres', database: 'shop', sessionId: 's1' },
  quorum: [{ groups: ['dba'], count: 1 }],
  ...{ excludesDelegators: true, deadline, use: 'once', usableUs, waiting: true },
  ...{ statement: 'delete from orders', fingerprint: 'f', values: [], estimatedRows: -1 },
  ...{ policyVersion: 'p1', rule: 'no-mass-delete', verdictId: '' },
}

interface Step {
  readonly change: ApprovalChange
  readonly by?: string
  readonly at?: number
}

const asked = (parts: Partial<CommandRequest> = {}): Step => ({
  change: { type: 'approval.requested', approvalId: 'a', request: { ...request, ...parts } },
  by: 'proxy',
  at: 1,
})
const answered = (
  by: string,
  answer: 'approve' | 'deny' = 'approve',
  parts: { at?: number; groups?: string[]; digest?: string; delegation?: string[] } = {},
): Step => ({
  by,
  at: parts.at ?? 10,
  change: {
    type: 'approval.answered',
    ...{ approvalId: 'a', digest: parts.digest ?? digest, answer, reason: '', via: 'api' },
    ...{ groups: parts.groups ?? ['dba'], delegation: parts.delegation ?? [] },
  },
})
const used = (commandId: string, at = 20, of = digest): Step => ({
  change: { type: 'approval.used', approvalId: 'a', digest: of, commandId },
  by: 'proxy',
  at,
})
const withdrawn: Step = { change: { type: 'approval.withdrawn', approvalId: 'a', reason: 'client gone' } }
const revoked: Step = { change: { type: 'approval.revoked', approvalId: 'a', reason: 'changed my mind' } }

function eventOf({ change, by = 'proxy', at = 10 }: Step, eventId: string): ControlEvent {
  const { type, ...payload } = change
  return {
    ...{ eventId, type, at, actor: actorOf(by), expectedVersion: -1 },
    ...{ aggregateId: approvalAggregate(change.approvalId), payload: JSON.stringify(payload) },
  }
}

function fold(steps: readonly Step[]) {
  const state = initialControl()
  const results = steps.map(
    (step, offset) =>
      evolveControl(state, { event: eventOf(step, `e${offset}`), offset }).rejection?.code ?? 'accepted',
  )
  return { state, results, approval: state.approvals.get('a') }
}

test('one that is approved is used once, and by whom is kept', () => {
  const { results, approval } = fold([asked(), answered('dana'), used('c1'), used('c2'), revoked])
  assert.deepEqual(results, ['accepted', 'accepted', 'accepted', 'decided', 'decided'])
  assert.equal(approval?.state, 'used')
  assert.equal(approval?.commandId, 'c1')
  assert.deepEqual(
    approval?.answers.map(({ by, answer, groups }) => ({ by, answer, groups })),
    [{ by: keyOf('dana'), answer: 'approve', groups: ['dba'] }],
  )
})

test('a group of one issuer approves, and one of its name that another says does not', () => {
  const quorum = [{ groups: [{ issuer, group: 'dba' }], count: 1 }]
  const elsewhere = eventOf(answered('dana'), 'e1')
  const ofCi = { ...elsewhere, actor: { ...elsewhere.actor, issuer: 'https://ci.example' } }
  const state = fold([asked({ quorum })]).state
  const refused = evolveControl(state, { event: ofCi, offset: 1 }).rejection
  assert.match(`${refused?.code}: ${refused?.why}`, /not_eligible: .*dba of https:\/\/idp\.example/)
  const sent = answered('sent', 'approve', { delegation: ['https://ci.example|someone'] })
  const results = fold([asked({ quorum }), sent, answered('dana')])
  assert.deepEqual(results.results, ['accepted', 'not_eligible', 'accepted'])
  assert.equal(results.approval?.state, 'approved')
  for (const group of [{ issuer }, { issuer, group: '' }, 7, { group: 'dba' }]) {
    const { type, ...payload } = asked().change
    const wrong = { ...payload, request: { ...request, quorum: [{ groups: [group], count: 1 }] } }
    const checked = checkChange(type, JSON.stringify(wrong))
    assert.match('code' in checked ? checked.why : '', /quorum\[0\]\.groups must be/)
  }
})

test('what stands is told by the reader’s clock, to the microsecond', () => {
  const pending = fold([asked()]).approval as Approval
  assert.equal(standingOf(pending, deadline - 1), 'pending')
  assert.equal(standingOf(pending, deadline), 'expired')
  const approved = fold([asked(), answered('dana', 'approve', { at: 900 })]).approval as Approval
  assert.equal(standingOf(approved, 900 + usableUs - 1), 'approved')
  assert.equal(standingOf(approved, 900 + usableUs), 'expired')
})

const refusals: [string, readonly Step[], string][] = [
  ['an answer at the deadline', [asked(), answered('dana', 'approve', { at: deadline })], 'too_late'],
  ['the agent’s own', [asked(), answered('agent')], 'not_eligible'],
  ['its owner’s', [asked(), answered('owner')], 'not_eligible'],
  ['that of whoever asked', [asked(), answered('proxy')], 'not_eligible'],
  [
    'that of another agent of its owner',
    [asked(), answered('agent-2', 'approve', { delegation: [keyOf('owner')] })],
    'not_eligible',
  ],
  [
    'that of an agent of its own, even where owners may',
    [asked({ excludesDelegators: false }), answered('sub', 'approve', { delegation: [keyOf('agent')] })],
    'not_eligible',
  ],
  ['that of another group', [asked(), answered('sam', 'approve', { groups: ['sales'] })], 'not_eligible'],
  ['a second of the same person', [asked(), answered('dana', 'deny'), answered('dana')], 'answered'],
  ['one after the decision', [asked(), answered('dana', 'deny'), answered('dirk')], 'decided'],
  ['one to what is no digest', [asked(), answered('dana', 'approve', { digest: 'x'.repeat(64) })], 'invalid'],
  ['one to another digest', [asked(), answered('dana', 'approve', { digest: 'cd'.repeat(32) })], 'mismatch'],
  ['a use before the answer', [asked(), used('c1')], 'not_approved'],
  ['a use of what was denied', [asked(), answered('dana', 'deny'), used('c1')], 'not_approved'],
  ['a use of what was withdrawn', [asked(), withdrawn, used('c1')], 'not_approved'],
  ['a use of what was revoked', [asked(), answered('dana'), revoked, used('c1')], 'not_approved'],
  ['a use after its time', [asked(), answered('dana'), used('c1', 10 + usableUs)], 'too_late'],
  ['a use by another command', [asked(), answered('dana'), used('c1', 20, 'cd'.repeat(32))], 'mismatch'],
  ['a use of what is good for a while', [asked({ use: 'window' }), answered('dana'), used('c1')], 'invalid'],
  ['withdrawing what was decided', [asked(), answered('dana'), withdrawn], 'decided'],
  ['revoking what is pending', [asked(), revoked], 'not_approved'],
  ['asking twice under one id', [asked(), answered('dana', 'deny'), asked()], 'exists'],
  ['an answer to nothing', [answered('dana')], 'not_found'],
]
for (const [name, steps, code] of refusals)
  test(`refused: ${name} (${code})`, () => {
    const { results, approval } = fold(steps)
    assert.deepEqual(results, [...steps.slice(1).map(() => 'accepted'), code])
    assert.deepEqual(approval, fold(steps.slice(0, -1)).approval)
  })

test('owners may answer where the request says so', () => {
  assert.equal(fold([asked({ excludesDelegators: false }), answered('owner')]).approval?.state, 'approved')
})

test('who is in two groups fills one place, whichever leaves most for the others', () => {
  const quorum: Quorum[] = [
    { groups: ['dba', 'security'], count: 1 },
    { groups: ['security'], count: 1 },
  ]
  const both = answered('both', 'approve', { groups: ['dba', 'security'] })
  const security = answered('sec', 'approve', { groups: ['security'] })
  const dba = answered('dana')
  assert.equal(fold([asked({ quorum }), both]).approval?.state, 'pending')
  assert.equal(fold([asked({ quorum }), dba, answered('dirk')]).approval?.state, 'pending')
  for (const pair of [
    [both, security],
    [security, both],
    [both, dba],
    [dba, both],
  ])
    assert.equal(fold([asked({ quorum }), ...pair]).approval?.state, 'approved')
})

test('every problem of a request is named', () => {
  const event = eventOf(
    asked({ quorum: [{ groups: [], count: 0.5 }], usableUs: 0, estimatedRows: -2, digest: 'x' }),
    'e',
  )
  const { rejection } = evolveControl(initialControl(), { event, offset: 0 })
  assert.equal(rejection?.code, 'invalid')
  for (const place of [
    'digest',
    'usableUs',
    'estimatedRows',
    'quorum[0].groups',
    'quorum[0].count',
    'quorum',
  ])
    assert.ok(rejection?.why.includes(`request.${place} must`), `${place} in: ${rejection?.why}`)
})

test('what can be of no use any more is let go with its version, and what still can is not', () => {
  const { state } = fold([asked(), answered('dana', 'approve', { at: deadline - 1 })])
  assert.equal(pruneControl(state, deadline + usableUs), 0)
  assert.equal(pruneControl(state, deadline + usableUs + 1), 1)
  assert.equal(state.approvals.size, 0)
  assert.equal(state.versions.size, 0)
})

const people = ['dana', 'dirk', 'sam', 'owner', 'agent', 'helper']
const groupsOf: Record<string, string[]> = { dana: ['dba'], dirk: ['dba', 'security'], sam: ['security'] }
const anySteps = fc.array(
  fc.oneof(
    fc
      .record({
        by: fc.constantFrom(...people),
        answer: fc.constantFrom('approve' as const, 'approve' as const, 'deny' as const),
        at: fc.integer({ min: 1, max: 2 * deadline }),
        digest: fc.constantFrom(digest, digest, digest, 'cd'.repeat(32)),
      })
      .map(({ by, answer, ...parts }) =>
        answered(by, answer, {
          ...parts,
          groups: groupsOf[by] ?? ['dba', 'security'],
          delegation: by === 'helper' ? [keyOf('owner')] : [],
        }),
      ),
    fc
      .tuple(fc.constantFrom('c1', 'c2', 'c3'), fc.integer({ min: 1, max: 2 * deadline }))
      .map(([id, at]) => used(id, at)),
    fc.constantFrom(withdrawn, revoked),
  ),
  { maxLength: 12 },
)
const anyQuorum = fc.constantFrom<Quorum[]>(
  [{ groups: ['dba'], count: 1 }],
  [{ groups: ['dba', 'security'], count: 2 }],
  [
    { groups: ['dba'], count: 1 },
    { groups: ['security'], count: 1 },
  ],
  [{ groups: ['*'], count: 3 }],
)

test('whatever comes in whatever order: never approved by too few, used twice, or used once it had expired', () => {
  fc.assert(
    fc.property(anyQuorum, anySteps, (quorum, steps) => {
      const { results, approval } = fold([asked({ quorum }), ...steps])
      assert.ok(approval)
      const accepted = steps.filter((_, index) => results[index + 1] === 'accepted')
      const uses = accepted.filter(({ change }) => change.type === 'approval.used')
      assert.ok(uses.length <= 1)
      const approving = approval.answers.filter(({ answer }) => answer === 'approve')
      assert.equal(new Set(approval.answers.map(({ by }) => by)).size, approval.answers.length)
      for (const { by, at } of approval.answers) {
        assert.ok(at < deadline)
        assert.ok([keyOf('dana'), keyOf('dirk'), keyOf('sam')].includes(by))
      }
      if (approval.usableUntil > 0) {
        assert.ok(approving.length >= quorum.reduce((sum, { count }) => sum + count, 0))
        for (const { groups } of quorum)
          assert.ok(
            approving.some((one) => groups.includes('*') || one.groups.some((g) => groups.includes(g))),
          )
        assert.ok(approval.answers.every(({ answer }) => answer === 'approve'))
      } else assert.equal(uses.length, 0)
      for (const { at = 0 } of uses) assert.ok(at < approval.usableUntil)
      assert.ok(approval.usableUntil < deadline + usableUs)
    }),
    { numRuns: 2000 },
  )
})

test('two writers interleaved in any way: every reader of the log holds the same, wherever it began again', () => {
  fc.assert(
    fc.property(anySteps, anySteps, fc.array(fc.boolean()), fc.nat(20), (ours, theirs, turns, cut) => {
      const [a, b] = [[...ours], [...theirs]]
      const log = [asked()]
      for (const turn of turns) log.push(...(turn ? a : b).splice(0, 1))
      log.push(...a, ...b)
      const whole = fold(log).state
      const again = fold(log.slice(0, cut)).state
      for (const [offset, step] of log.entries())
        evolveControl(again, { event: eventOf(step, `e${offset}`), offset })
      assert.deepEqual(again, whole)
    }),
  )
})
