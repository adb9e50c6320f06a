/**
 * Presses in Slack against the real API over a real bus, with a local HTTP server in Slack's place: what is forged, replayed,
 * late, of the wrong person or team changes nothing, and only the one who pressed hears of it.
 */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, beforeEach, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  approvalAggregate,
  evolveControl,
  initialControl,
  type Started,
  systemClock,
} from '@portcullis/kernel'
import { ControlError, type ControlLog } from '@portcullis/platform/control'
import { createLog } from '@portcullis/platform/service'
import {
  type ApprovalsBed,
  heldCommand,
  identityOf,
  issuer,
  startApprovalsBed,
} from '../approvals/test-bed.ts'
import { startPureApi, testAuth } from '../test-pure-api.ts'
import { createRespond } from './respond.ts'
import { createSlackVerifier, slackSignature } from './signature.ts'

const secret = 'the signing secret of the app'
const told: { path: string; text: string; type: string; replaces: boolean }[] = []
let hooks: Server
let hooksUrl = ''
let bed: Started<ApprovalsBed>

before(async () => {
  hooks = createServer((request, response) => {
    let body = ''
    request.on('data', (chunk) => {
      body += chunk
    })
    request.on('end', () => {
      const { text, response_type: type, replace_original: replaces } = JSON.parse(body)
      told.push({ path: request.url ?? '', text, type, replaces })
      response.end('ok')
    })
  })
  await new Promise<void>((resolve) => hooks.listen(0, '127.0.0.1', resolve))
  hooksUrl = `http://127.0.0.1:${(hooks.address() as AddressInfo).port}`
  const log = createLog({ service: 'test', level: 'silent' })
  const person = (subject: string, ...groups: string[]) => ({ issuer, subject, groups })
  bed = await startApprovalsBed(() => ({
    slack: {
      verifier: createSlackVerifier({ secret, clock: systemClock }),
      teams: ['T1'],
      users: {
        UANN: person('ann', 'dba'),
        UBEN: person('ben', 'dba'),
        UZOE: person('zoe', 'dba'),
        UBOT: person('bot', 'dba'),
        ULEE: person('lee', 'lead'),
        USUE: person('sue', 'staff'),
        UBAD: person('mallory', 'dba'),
      },
      respond: createRespond({ apiUrl: `${hooksUrl}/api`, log, waitsMs: [10] }),
    },
  }))
})
after(async () => {
  await bed.stop()
  await new Promise((resolve) => hooks.close(resolve))
})
beforeEach(() => told.splice(0))

interface Pressed {
  readonly id: string
  readonly user: string
  readonly team?: string
  readonly action?: string
  readonly digest?: string
  readonly reason?: string
  readonly responseUrl?: string
}

async function bodyOf({ id, user, team = 'T1', action = 'approve', digest, ...more }: Pressed) {
  const { body } = await bed.value.ask('s:staff', 'GET', `/v1/approvals/${id}`)
  return new URLSearchParams({
    payload: JSON.stringify({
      ...{ type: 'block_actions', team: { id: 'T1' }, user: { id: user, team_id: team } },
      response_url: more.responseUrl ?? `${hooksUrl}/actions/${user}`,
      state: { values: { reason: { reason: { value: more.reason ?? null } } } },
      actions: [
        {
          action_id: `portcullis.${action}`,
          value: JSON.stringify({ approval: id, digest: digest ?? body.digest ?? 'd'.repeat(64) }),
        },
      ],
    }),
  }).toString()
}

interface Sending {
  readonly at?: number
  readonly by?: string
  readonly signature?: string
  readonly timestamp?: string
}

async function send(
  body: string,
  { at = Date.now(), by = secret, ...more }: Sending = {},
  app = bed.value.app,
) {
  const timestamp = more.timestamp ?? String(Math.floor(at / 1000))
  const response = await app.inject({
    ...{ method: 'POST', url: '/slack/interactions', payload: body },
    headers: {
      'content-type': 'application/x-www-form-urlencoded',
      'x-slack-request-timestamp': timestamp,
      'x-slack-signature': more.signature ?? slackSignature(by, timestamp, Buffer.from(body)),
    },
  })
  return response.statusCode
}

let presses = 0
/** Each press has an address of its own, as in Slack. */
async function press(pressed: Pressed, how?: Sending, app = bed.value.app) {
  presses += 1
  const path = `/actions/${pressed.user}/${presses}`
  const status = await send(await bodyOf({ responseUrl: `${hooksUrl}${path}`, ...pressed }), how, app)
  return { status, path, heard: () => heard(path) }
}

async function heard(path: string): Promise<(typeof told)[number]> {
  const deadline = Date.now() + 10_000
  for (;;) {
    const found = told.find((one) => one.path === path)
    if (found) return found
    assert.ok(Date.now() < deadline, 'nobody was told')
    await delay(5)
  }
}

const stateOf = async (id: string) => (await bed.value.ask('s:staff', 'GET', `/v1/approvals/${id}`)).body

test('a press counts as the person whom the configuration names, with what was typed', async () => {
  const id = await bed.value.hold()
  const started = performance.now()
  const pressed = await press({ id, user: 'UANN', reason: 'seen <it> & fine' })
  assert.equal(pressed.status, 200)
  assert.ok(performance.now() - started < 3_000)
  const { text, type, replaces } = await pressed.heard()
  assert.deepEqual([type, replaces], ['ephemeral', false])
  assert.equal(text, `Approved, as ${issuer}|ann.`)
  const { state, answers } = await stateOf(id)
  assert.equal(state, 'approved')
  const [{ by, groups, reason, via }] = answers
  assert.deepEqual(
    { by, groups, reason, via },
    {
      ...{ by: `${issuer}|ann`, groups: ['dba'], reason: 'seen <it> & fine', via: 'slack' },
    },
  )
})

test('forged, unsigned, late, early and replayed presses are refused, and change nothing', async () => {
  const id = await bed.value.hold()
  const body = await bodyOf({ id, user: 'UANN' })
  const denial = await bodyOf({ id, user: 'UANN', action: 'deny' })
  const now = String(Math.floor(Date.now() / 1000))
  const good = slackSignature(secret, now, Buffer.from(body))
  const forged: [string, string, Sending][] = [
    ['by another secret', body, { by: 'another secret' }],
    ['by no secret', body, { by: '' }],
    ['with no signature', body, { signature: '' }],
    ['with a signature of zeros', body, { signature: `v0=${'0'.repeat(64)}` }],
    ['with a signature cut short', body, { signature: good.slice(0, -2), timestamp: now }],
    ['of another version', body, { signature: good.replace('v0=', 'v1='), timestamp: now }],
    ['for another body', denial, { signature: good, timestamp: now }],
    ['with a byte more', `${body}&x=1`, { signature: good, timestamp: now }],
    ['for another time', body, { signature: good, timestamp: String(Number(now) - 1) }],
    ['five minutes old', body, { at: Date.now() - 302_000 }],
    ['from the future', body, { at: Date.now() + 302_000 }],
    ['with no time', body, { timestamp: '' }],
    ['with a time that is none', body, { timestamp: '1e9' }],
  ]
  for (const [how, what, sending] of forged) assert.equal(await send(what, sending), 401, how)
  assert.equal((await stateOf(id)).state, 'pending')
  assert.equal(await send(body, { signature: good, timestamp: now }), 200)
  assert.match((await heard('/actions/UANN')).text, /Approved/)
  assert.equal(await send(body, { signature: good, timestamp: now }), 401, 'replayed')
  assert.equal((await stateOf(id)).answers.length, 1)
  await delay(20)
  assert.equal(told.length, 1)
})

test('replayed at a replica that did not see it, a press meets its own answer and changes nothing', async () => {
  const quorum = [{ groups: ['dba'], count: 2 }]
  const id = await bed.value.hold({ quorum })
  const body = await bodyOf({ id, user: 'UANN' })
  const timestamp = String(Math.floor(Date.now() / 1000))
  const signature = slackSignature(secret, timestamp, Buffer.from(body))
  assert.equal(await send(body, { timestamp, signature }), 200)
  assert.match((await heard('/actions/UANN')).text, /more people must approve/)
  assert.equal(await send(body, { timestamp, signature }, bed.value.other), 200)
  while (told.length < 2) await delay(5)
  const { state, answers } = await stateOf(id)
  assert.deepEqual([state, answers.length], ['pending', 1])
})

test('who may not press hears so, alone, and nothing is written', async () => {
  const id = await bed.value.hold()
  const refused: [Omit<Pressed, 'id'>, RegExp][] = [
    [{ user: 'UBOT' }, /whoever asks/i],
    [{ user: 'UZOE' }, /on their behalf/],
    [{ user: 'ULEE' }, /only members of dba/i],
    [{ user: 'USUE' }, /role approver/],
    [{ user: 'UNOBODY' }, /may not answer here/],
    [{ user: 'toString' }, /may not answer here/],
    [{ user: 'UANN', team: 'T2' }, /may not answer here/],
    [{ user: 'UANN', digest: 'a'.repeat(64) }, /digest/],
  ]
  for (const [pressed, why] of refused) {
    const { status, heard: hear } = await press({ id, ...pressed })
    assert.equal(status, 200)
    const { type, text } = await hear()
    assert.equal(type, 'ephemeral')
    assert.match(text, why)
  }
  const { state, answers } = await stateOf(id)
  assert.deepEqual([state, answers], ['pending', []])
  assert.equal(bed.value.control.state().rejected, 0)
})

test('double click, second thoughts, late and after somebody else: what stands is said', async () => {
  const id = await bed.value.hold()
  const hear = async (pressed: Pressed) => (await (await press(pressed)).heard()).text
  const both = await Promise.all([hear({ id, user: 'UANN' }), hear({ id, user: 'UANN', reason: 'again' })])
  for (const text of both) assert.match(text, /Approved/)
  assert.match(await hear({ id, user: 'UANN', action: 'deny' }), /answered before/)
  assert.match(await hear({ id, user: 'UBEN', action: 'deny' }), /it was approved before/i)
  assert.equal((await stateOf(id)).answers.length, 1)
  const late = await bed.value.hold({ deadline: systemClock.nowUs() + 200_000 })
  await delay(250)
  assert.match(await hear({ id: late, user: 'UANN' }), /time to answer is over/)
  assert.match(await hear({ id: 'gone', user: 'UANN' }), /No approval of this id/)
})

test('whoever a verdict stops cannot press', async () => {
  const id = await bed.value.hold()
  const subject = { kind: 'identity', issuer, id: 'mallory' }
  const verdict = { action: 'block', subject, durationSec: 60, explanation: 'their laptop is lost' }
  const stopped = await bed.value.ask('on:oncall', 'POST', '/v1/verdicts', verdict)
  assert.equal(stopped.status, 201)
  const pressed = await press({ id, user: 'UBAD' })
  assert.match((await pressed.heard()).text, /stopped by a verdict/)
  assert.equal((await stateOf(id)).state, 'pending')
})

test('answers go to Slack and nowhere else, and what is no press is let be', async () => {
  const id = await bed.value.hold({ identity: identityOf('bot:agents') })
  for (const responseUrl of ['https://slack.com.evil.example/x', 'http://hooks.slack.com/x', 'file:///etc'])
    assert.equal((await press({ id, user: 'USUE', responseUrl })).status, 200)
  const other = new URLSearchParams({ payload: JSON.stringify({ type: 'view_closed' }) }).toString()
  assert.equal(await send(other), 200)
  assert.equal(await send('payload=nonsense'), 400)
  assert.equal(await send(`payload=${'x'.repeat(300_000)}`), 413)
  await delay(50)
  assert.deepEqual(told, [])
})

test('a press is acknowledged while the log does not answer; that it is not known is said later', async () => {
  const state = initialControl()
  const event = {
    ...{ eventId: 'e1', aggregateId: approvalAggregate('a1'), type: 'approval.requested' },
    ...{ at: systemClock.nowUs(), actor: { issuer, subject: 'gate-1', roles: [] }, expectedVersion: -1 },
    payload: JSON.stringify({ approvalId: 'a1', request: heldCommand() }),
  }
  assert.ok(evolveControl(state, { event, offset: 0 }).accepted)
  const control: ControlLog = {
    ...{ state: () => state, caughtUp: () => true, whenCaughtUp: Promise.resolve(), healthy: () => true },
    write: () => delay(400).then(() => Promise.reject(new ControlError('timeout', 'It may still count.'))),
  }
  const log = createLog({ service: 'test', level: 'silent' })
  const app = await startPureApi({
    control,
    slack: {
      verifier: createSlackVerifier({ secret, clock: systemClock }),
      ...{ teams: ['T1'], users: { UANN: { issuer, subject: 'ann', groups: ['dba'] } } },
      respond: createRespond({ apiUrl: hooksUrl, log }),
    },
    auth: testAuth({ dba: 'approver' }),
  })
  const started = performance.now()
  const pressed = await press({ id: 'a1', user: 'UANN', digest: heldCommand().digest }, {}, app)
  assert.equal(pressed.status, 200)
  const acknowledgedMs = performance.now() - started
  assert.deepEqual(told, [], 'nothing is said before it is known')
  assert.match((await pressed.heard()).text, /may still count/)
  assert.ok(acknowledgedMs < performance.now() - started)
  await app.close()
})
