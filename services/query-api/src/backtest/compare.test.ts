import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Judged } from '@portcullis/policy'
import { decidedAnew, decidedThen } from './compare.ts'
import type { Row } from './query.ts'

const row = (parts: Partial<Row>): Row => ({
  ...{ identity: 'i|a', issuer: 'i', subject: 'a', target: 'shop', protocol: 'postgres', verb: 'SELECT' },
  ...{ recorded: [], action: 'allow', reason: '', rule: '', enforced: true, observing: 0, approved: 0 },
  ...{ stopped: 0, n: 1, examples: [] },
  ...parts,
})
const then = (parts: Partial<Row>) => {
  const decided = decidedThen(row(parts))
  return 'leftOut' in decided ? `left out: ${decided.leftOut}` : `${decided.outcome} by ${decided.rule}`
}

test('what rules decided, however it is recorded', () => {
  assert.equal(then({ rule: 'reads' }), 'allow by reads')
  const refused = { stopped: 1, action: 'block' }
  assert.equal(then({ ...refused, reason: 'policy_block', rule: 'r' }), 'block by r')
  assert.equal(then({ ...refused, reason: 'policy_default' }), 'deny by ')
  const hold = { action: 'hold', reason: 'policy_hold', rule: 'r' }
  assert.equal(then({ ...hold, stopped: 1 }), 'hold by r')
  assert.equal(then({ ...hold, enforced: false }), 'would hold by r')
  assert.equal(then({ ...hold, enforced: false, observing: 1 }), 'hold by r')
  // Prepared, and to be held when it runs.
  assert.equal(then(hold), 'hold by r')
})

test('what people answered is no matter of rules: they held it', () => {
  assert.equal(then({ rule: 'r', approved: 1 }), 'hold by r')
  for (const reason of ['approval_denied', 'approval_expired', 'approval_unavailable'])
    assert.equal(then({ action: 'hold', reason, rule: 'r', approved: 1, stopped: 1 }), 'hold by r')
  assert.equal(then({ approved: 1 }), 'allow by undefined')
  assert.equal(
    then({ action: 'hold', reason: 'approval_denied', approved: 1, stopped: 1 }),
    'left out: approval_denied',
  )
})

test('verdicts and caps: left out where they refused it, let pass by rules where it ran', () => {
  for (const reason of ['verdict_block', 'cap_commands', 'mask_unavailable', 'unsupported'])
    assert.equal(then({ action: 'block', reason, stopped: 1 }), `left out: ${reason}`)
  assert.equal(then({ action: 'cap', reason: 'cap_rows_statement', rule: 'c' }), 'allow by undefined')
  assert.equal(then({ action: 'throttle', reason: 'verdict_throttle' }), 'allow by undefined')
  assert.equal(then({ reason: 'verdict_block', enforced: false }), 'left out: verdict_block')
})

test('commands of one message are refused together: by a block, by no rule, then by a hold', () => {
  const judged = (action: Judged['action'], rule = ''): Judged => ({
    ...{ action, rule, holds: [], caps: {}, masks: [], observedMasks: [], alerts: [] },
    ...{ observed: undefined, attributes: {} },
  })
  const anew = (...all: Judged[]) => decidedAnew(all).map(({ outcome, rule }) => `${outcome} ${rule}`)
  const [allow, hold, deny, block] = [
    judged('allow', 'a'),
    judged('hold', 'h'),
    judged('deny'),
    judged('block', 'b'),
  ]
  assert.deepEqual(anew(allow, hold, deny, block), Array(4).fill('block b'))
  assert.deepEqual(anew(allow, hold, deny), Array(3).fill('deny '))
  assert.deepEqual(anew(hold, allow), Array(2).fill('hold h'))
  const watched = { ...allow, observed: { action: 'block', rule: 'w' } as const }
  assert.deepEqual(anew(allow, watched), ['allow a', 'would block w'])
})
