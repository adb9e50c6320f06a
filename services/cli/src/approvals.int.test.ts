/** Approvals and grants by the command line, as a process, against answers that a test chooses. */
import assert from 'node:assert/strict'
import { after, afterEach, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import type { Approval } from './approval-text.ts'
import { type GateServer, startGateServer } from './testing/gate-server.ts'
import { runCli } from './testing/run-cli.ts'

let gate: Started<GateServer>
const env = () => ({ PORTCULLIS_URL: gate.value.url, PORTCULLIS_TOKEN: 'the-token-of-ann' })
before(async () => {
  gate = await startGateServer()
})
afterEach(() => {
  gate.value.reply.clear()
  gate.value.asked.length = 0
  gate.value.sent.length = 0
})
after(() => gate.stop())

/** What was posted, in order. */
const posted = () => gate.value.sent.filter((text) => text !== '').map((text) => JSON.parse(text))

const digest = 'd'.repeat(64)
function approvalOf(more: Partial<Approval> = {}): Approval {
  return {
    ...{ approvalId: 'a-1', kind: 'command', state: 'pending', identity: 'https://idp.example|agent-7' },
    ...{ delegation: [{ issuer: 'https://idp.example', subject: 'zoe' }], task: 'nightly', digest },
    ...{ target: 'shop', role: '', database: 'shop', values: ['7'], rule: 'where-missing', verdictId: '' },
    text: 'delete from orders -- \u202e\u001b[2Jharmless\nwhere id = $1',
    ...{ policyVersion: 'p1', estimatedRows: '1200', quorum: [{ groups: ['dba', 'lead'], count: 2 }] },
    ...{ why: '', askedAt: '2026-11-26T10:00:00.000000Z', usableSec: 900, usableUntil: null },
    ...{ expiresAt: new Date(Date.now() + 600_000).toISOString(), commandId: '', answers: [] },
    ...more,
  }
}
const reply = (what: string, body: object, status = 200) =>
  gate.value.reply.set(what, { status, body: JSON.stringify(body) })

test('list: one line each, filters as they were given, --json whole', async () => {
  const page = { items: [approvalOf()], nextCursor: null }
  reply('GET /v1/approvals?limit=200&state=pending&state=approved&target=shop', page)
  const args = ['approvals', 'list', '--state', 'pending', '--state', 'approved', '--target', 'shop']
  const { code, out, err } = await runCli(args, env())
  assert.equal(code, 0, err)
  const [head = '', line = '', ...rest] = out.trimEnd().split('\n')
  assert.match(head, /^ID +STATE +TARGET +ASKED BY +LEFT +WHAT$/)
  assert.match(
    line,
    /^a-1 +pending +shop +https:\/\/idp\.example\|agent-7 +(9|10) min +delete from orders -- /,
  )
  assert.deepEqual(rest, [])
  for (const char of ['\u001b', '\u202e']) assert.ok(!out.includes(char))
  const json = await runCli([...args, '--json'], env())
  assert.deepEqual(JSON.parse(json.out), page)
  reply('GET /v1/approvals?limit=200', { items: [], nextCursor: null })
  assert.equal((await runCli(['approvals', 'list'], env())).out, 'There is none.\n')
})

test('show: everything that it takes to judge it, and what would hide is seen', async () => {
  reply('GET /v1/approvals/a%2F1', approvalOf())
  const { out } = await runCli(['approvals', 'show', 'a/1'], env())
  assert.match(out, /on behalf of +https:\/\/idp\.example\|zoe\n/)
  assert.match(out, /held by +rule where-missing\n[\s\S]*rows +about 1200\nneeds +2 of dba or lead\n/)
  assert.match(out, /\n\ndelete from orders -- ⟨U\+202E⟩⟨U\+001B⟩\[2Jharmless\nwhere id = \$1\n\$1 = 7\n$/)
})

test('approve and deny answer what was shown, and say what stands', async () => {
  reply('GET /v1/approvals/a-1', approvalOf())
  reply('POST /v1/approvals/a-1/answers', approvalOf())
  const first = await runCli(['approvals', 'approve', 'a-1', '--reason', 'CHG-1'], env())
  assert.deepEqual([first.code, first.out], [0, 'a-1: your approval counts; more people must approve\n'])
  assert.match(first.err, /delete from orders/)
  assert.deepEqual(posted(), [{ answer: 'approve', digest, reason: 'CHG-1' }])
  reply('POST /v1/approvals/a-1/answers', approvalOf({ state: 'denied' }))
  const second = await runCli(['approvals', 'deny', 'a-1', '--json'], env())
  assert.equal(JSON.parse(second.out).state, 'denied')
  assert.equal(second.err, '')
  assert.deepEqual(posted().at(-1), { answer: 'deny', digest, reason: '' })
})

test('what the gate refuses is told with what to do, by exit code 2', async () => {
  const problem = (code: string, detail: string) => ({
    ...{ type: `urn:portcullis:problem:${code}`, title: code, status: 409, detail, requestId: 'r-1' },
  })
  reply('GET /v1/approvals/a-1', approvalOf())
  reply('POST /v1/approvals/a-1/answers', problem('conflict', 'It was denied before, by x|ben.'), 409)
  const late = await runCli(['approvals', 'approve', 'a-1'], env())
  assert.equal(late.code, 2)
  assert.match(late.err, /It was denied before, by x\|ben\.\n +nothing was changed/)
  reply('GET /v1/approvals/no', problem('not_found', 'There is no approval of this id.'), 404)
  const unknown = await runCli(['approvals', 'show', 'no'], env())
  assert.equal(unknown.code, 2)
  assert.match(unknown.err, /no approval of this id\.\n +portcullis approvals list/)
  assert.equal((await runCli(['approvals', 'approve'], env())).code, 1)
  assert.equal((await runCli(['grants', 'revoke', 'a-1'], env())).code, 1)
  assert.equal((await runCli(['grants', 'request', 'shop'], env())).code, 1)
  assert.equal(
    (await runCli(['grants', 'request', 'shop', '--reason', 'x', '--life', 'long'], env())).code,
    1,
  )
})

test('grants: asked for, listed, ended', async () => {
  const access = approvalOf({ kind: 'access', role: 'report', why: 'CHG-2', rule: '', text: '' })
  reply('POST /v1/grants', access, 201)
  const args = ['grants', 'request', 'shop', '--role', 'report', '--life', '1800', '--reason', 'CHG-2']
  const asked = await runCli(args, env())
  assert.deepEqual([asked.code, asked.out], [0, 'a-1: pending\n'])
  assert.deepEqual(posted(), [{ target: 'shop', role: 'report', durationSec: 1800, reason: 'CHG-2' }])
  const until = new Date(Date.now() + 90_000).toISOString()
  const given = { ...access, state: 'approved', usableUntil: until }
  reply('GET /v1/approvals?limit=200&kind=access&state=approved', { items: [given], nextCursor: null })
  assert.match(
    (await runCli(['grants', 'list'], env())).out,
    /a-1 +approved +shop as report .* (8|9)\d s +CHG-2/,
  )
  reply('POST /v1/approvals/a-1/revoke', { ...access, state: 'revoked' })
  const ended = await runCli(['grants', 'revoke', 'a-1', '--reason', 'done'], env())
  assert.deepEqual([ended.code, ended.out], [0, 'a-1: revoked\n'])
  assert.deepEqual(posted().at(-1), { reason: 'done' })
})
