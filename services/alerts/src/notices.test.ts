import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  type Alert,
  type ApprovalRequest,
  type ControlEvent,
  evolveControl,
  initialControl,
} from '@portcullis/kernel'
import { type Notices, noticeTextCharsMax, onApproval, onApprovalTick } from './notices.ts'
import { pagerDutyEvent } from './sinks/pagerduty.ts'
import { approvalMessage } from './sinks/slack-approvals.ts'
import { webhookBody } from './sinks/webhook.ts'
import { accessOf, heldOf, issuer } from './test-events.ts'

const digest = 'd'.repeat(64)
const person = (subject: string) => ({ issuer, subject, roles: [] })

/** The approval after these changes, each by its person and at its second. */
function approvalOf(request: ApprovalRequest, ...later: readonly (readonly [string, number, object])[]) {
  const fold = initialControl()
  const changes = [['gate-1', 1, { type: 'approval.requested', request }] as const, ...later]
  for (const [offset, [by, sec, change]] of changes.entries()) {
    const { type, ...payload } = { type: '', approvalId: 'a-1', digest, ...change }
    const event: ControlEvent = {
      ...{ eventId: `e${offset}`, aggregateId: 'approval/a-1', type, at: sec * 1e6, actor: person(by) },
      ...{ expectedVersion: -1, payload: JSON.stringify(payload) },
    }
    assert.ok(evolveControl(fold, { event, offset }).accepted, JSON.stringify(event))
  }
  const approval = fold.approvals.get('a-1')
  assert.ok(approval)
  return approval
}

const answered = (answer: 'approve' | 'deny', reason = '') => ({
  ...{ type: 'approval.answered', answer, reason, groups: ['dba'], delegation: [], via: 'api' },
})
const told = (alerts: readonly Alert[]) => alerts.map(({ action, approval }) => [action, approval?.standing])

function messageOf(alert: Alert | undefined) {
  assert.ok(alert?.approval)
  const message = approvalMessage(alert, alert.approval)
  const all = JSON.stringify(message.blocks)
  assert.ok(message.blocks.length <= 50 && message.text.length <= 3_000)
  return { ...message, all }
}

test('told once as it waits, again with each answer, and closed when nothing can come of it', () => {
  const state: Notices = new Map()
  const quorum = [{ groups: ['dba'], count: 2 }]
  const steps = [
    approvalOf(heldOf({ quorum })),
    approvalOf(heldOf({ quorum }), ['ben', 2, answered('approve')]),
    approvalOf(heldOf({ quorum }), ['ben', 2, answered('approve')], ['cid', 3, answered('approve')]),
  ]
  const alerts = steps.flatMap((approval) => [
    ...onApproval(state, approval, 4e6, undefined),
    ...onApproval(state, approval, 4e6, undefined),
  ])
  assert.deepEqual(told(alerts), [
    ['trigger', 'pending'],
    ['trigger', 'pending'],
    ['trigger', 'approved'],
  ])
  assert.deepEqual(onApprovalTick(state, 5e6, undefined), [])
  assert.deepEqual(told(onApprovalTick(state, 304e6, undefined)), [['resolve', 'expired']])
  assert.equal(state.size, 0)
  assert.equal(new Set(alerts.map(({ dedupKey }) => dedupKey)).size, 1)
})

test('nobody is told of what was over before, and what nobody answers is closed at its deadline', () => {
  const state: Notices = new Map()
  const denied = approvalOf(heldOf(), ['ben', 2, answered('deny')])
  assert.deepEqual(onApproval(state, denied, 3e6, undefined), [])
  assert.deepEqual(onApproval(state, approvalOf(heldOf()), 600e6, undefined), [])
  assert.equal(onApproval(state, approvalOf(accessOf()), 3e6, undefined).length, 1)
  assert.deepEqual(told(onApprovalTick(state, 600e6, undefined)), [['resolve', 'expired']])
})

test('a message shows what is asked, by whom and for how long; its buttons bind the press to it', () => {
  const [alert] = onApproval(new Map(), approvalOf(heldOf({ values: ['7'] })), 3e6, 'https://gate.example/')
  const { all, blocks, text } = messageOf(alert)
  assert.match(
    text,
    /A command waits at shop: pending, https:\/\/idp\.example\|ann → https:\/\/idp\.example\|agent-7/,
  )
  assert.match(all, /"delete from orders".*"\$1 = 7".*1 of dba.*rule where-missing.*about 1200/s)
  const actions = blocks.find((block) => 'type' in block && block.type === 'actions')
  const buttons = (actions as { elements: { action_id: string; value?: string; url?: string }[] }).elements
  assert.deepEqual(
    buttons.map(({ action_id: id, value, url }) => [id, value ? JSON.parse(value) : url]),
    [
      ['portcullis.approve', { approval: 'a-1', digest }],
      ['portcullis.deny', { approval: 'a-1', digest }],
      ['portcullis.open', 'https://gate.example/approvals/a-1'],
    ],
  )
})

test('what does not fit has no button to approve it, and stays within the limits', () => {
  const long = heldOf({
    statement: `delete from t where ${'x'.repeat(noticeTextCharsMax)}`,
    values: Array.from({ length: 50 }, () => 'v'.repeat(1000)),
    quorum: Array.from({ length: 16 }, (_, n) => ({ groups: [`g${n}${'&'.repeat(200)}`], count: 1 })),
  })
  const [alert] = onApproval(new Map(), approvalOf(long), 3e6, undefined)
  assert.equal(alert?.approval?.isWhole, false)
  const { all, blocks } = messageOf(alert)
  assert.doesNotMatch(all, /portcullis\.approve/)
  assert.match(all, /portcullis\.deny/)
  assert.match(all, /Not all of it fits here/)
  for (const block of blocks) {
    const texts = JSON.stringify(block).matchAll(/"text":"((?:[^"\\]|\\.)*)"/g)
    for (const [, one = ''] of texts) assert.ok(JSON.parse(`"${one}"`).length <= 3_000)
    if ('fields' in block) {
      const fields = block.fields as { text: string }[]
      assert.ok(fields.length <= 10 && fields.every(({ text }) => text.length <= 2_000))
    }
  }
})

test('a statement forges no mark-up, no mention and no line that it does not have', () => {
  const statement = "select '```<!channel> *bold* \u202egnp.exe' -- \r; drop table x"
  const reason = '<!here> <https://evil.example|click>'
  const approval = approvalOf(heldOf({ statement }), ['ben', 2, answered('approve', reason)])
  const state: Notices = new Map()
  onApproval(state, approvalOf(heldOf({ statement })), 1e6, undefined)
  const [alert] = onApproval(state, approval, 3e6, undefined)
  const { all, blocks } = messageOf(alert)
  const rich = blocks.filter((block) => 'type' in block && block.type === 'rich_text')
  assert.match(JSON.stringify(rich), /⟨U\+202E⟩gnp\.exe' -- ⟨U\+000D⟩; drop table x/)
  assert.match(JSON.stringify(rich), /rich_text_preformatted/)
  const others = blocks.filter((block) => !rich.includes(block))
  assert.doesNotMatch(JSON.stringify(others), /<!|<https/)
  assert.match(all, /&lt;!here&gt;/)
})

test('other sinks are told whose command waits, where, and where to answer; closed with the same key', () => {
  const state: Notices = new Map()
  const [asked] = onApproval(state, approvalOf(heldOf()), 3e6, 'https://gate.example')
  const denied = approvalOf(heldOf(), ['ben', 4, answered('deny', 'not today')])
  const [closed] = onApproval(state, denied, 5e6, 'https://gate.example')
  assert.ok(asked && closed)
  const event = pagerDutyEvent(asked, 'R', 'https://console.example')
  assert.ok('payload' in event)
  const { payload, client_url: link } = event
  assert.deepEqual(
    [payload.summary, payload.source, payload.severity, payload.class, payload.component, link],
    [
      ...['agent-7 asks for a command at shop: pending', 'shop', 'info', 'approval', 'agent-7'],
      'https://gate.example/approvals/a-1',
    ],
  )
  assert.equal(payload.custom_details.explanation, 'delete from orders')
  const over = pagerDutyEvent(closed, 'R', undefined)
  assert.deepEqual([over.event_action, over.dedup_key], ['resolve', event.dedup_key])
  const { type, data } = webhookBody(closed, undefined)
  assert.equal(type, 'approval.resolve')
  assert.equal(data.approval?.state, 'denied')
  assert.deepEqual(
    data.approval?.answers.map(({ by, reason, at }) => [by, reason, at]),
    [['https://idp.example|ben', 'not today', '1970-01-01T00:00:04.000Z']],
  )
})
