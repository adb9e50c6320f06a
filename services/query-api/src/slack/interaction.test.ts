import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readInteraction } from './interaction.ts'

const about = { approval: 'a-1', digest: 'd'.repeat(64) }
const pressed = {
  type: 'block_actions',
  team: { id: 'T1', domain: 'acme' },
  user: { id: 'U1', username: 'ann', team_id: 'T1' },
  api_app_id: 'A1',
  container: { type: 'message', message_ts: '1.2', channel_id: 'C1' },
  channel: { id: 'C1', name: 'approvals' },
  response_url: 'https://hooks.slack.com/actions/T1/1/abc',
  state: { values: { reason: { reason: { type: 'plain_text_input', value: ' looked at it ' } } } },
  actions: [{ action_id: 'portcullis.approve', block_id: 'b', type: 'button', value: JSON.stringify(about) }],
}
const bodyOf = (payload: object | string) =>
  Buffer.from(
    new URLSearchParams({
      payload: typeof payload === 'string' ? payload : JSON.stringify(payload),
    }).toString(),
  )

test('a press of our own button, with what was typed beside it', () => {
  assert.deepEqual(readInteraction(bodyOf(pressed)), {
    kind: 'press',
    press: {
      answer: 'approve',
      about,
      reason: 'looked at it',
      userId: 'U1',
      userTeamId: 'T1',
      responseUrl: pressed.response_url,
    },
  })
  const denied = {
    ...pressed,
    state: null,
    actions: [{ ...pressed.actions[0], action_id: 'portcullis.deny' }],
  }
  const read = readInteraction(bodyOf(denied))
  assert.ok(read.kind === 'press' && read.press.answer === 'deny' && read.press.reason === '')
})

test("the workspace is the user's own, who may be a guest of a shared channel", () => {
  const read = readInteraction(bodyOf({ ...pressed, user: { id: 'U1', team_id: 'T2' } }))
  assert.equal(read.kind === 'press' && read.press.userTeamId, 'T2')
  const grid = { ...pressed, team: null, enterprise: { id: 'E1' }, user: { id: 'W1' } }
  const wide = readInteraction(bodyOf(grid))
  assert.equal(wide.kind === 'press' && wide.press.userTeamId, 'E1')
})

test('what is none of ours is let be, what only looks like ours is not', () => {
  const withAction = (action: object) => ({ ...pressed, actions: [{ ...pressed.actions[0], ...action }] })
  assert.equal(readInteraction(bodyOf(withAction({ action_id: 'portcullis.open' }))).kind, 'other')
  assert.equal(readInteraction(bodyOf(withAction({ action_id: 'toString' }))).kind, 'other')
  assert.equal(readInteraction(bodyOf({ ...pressed, type: 'view_submission' })).kind, 'other')
  const unreadable = [
    '',
    'null',
    '{',
    '[]',
    withAction({ value: undefined }),
    withAction({ value: 'a-1' }),
    withAction({ value: JSON.stringify({ approval: 'a-1' }) }),
    withAction({ value: JSON.stringify({ ...about, more: 1 }) }),
    withAction({ value: JSON.stringify({ ...about, approval: { id: 1 } }) }),
    withAction({ value: JSON.stringify({ ...about, approval: 'x'.repeat(2000) }) }),
    { ...pressed, response_url: undefined },
    { ...pressed, user: {} },
    { ...pressed, actions: [] },
  ]
  for (const payload of unreadable)
    assert.equal(readInteraction(bodyOf(payload)).kind, 'unreadable', JSON.stringify(payload))
  assert.equal(readInteraction(Buffer.from('payload={}&payload={}')).kind, 'unreadable')
  assert.equal(readInteraction(Buffer.from([0xff, 0xfe])).kind, 'unreadable')
})
