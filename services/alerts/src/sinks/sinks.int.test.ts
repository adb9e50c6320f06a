/** Each sink against a real HTTP receiver: the exact shapes of what is sent, and what is made of every kind of answer. */
import assert from 'node:assert/strict'
import { createHmac } from 'node:crypto'
import { after, before, beforeEach, test } from 'node:test'
import type { Sink, Started } from '@portcullis/kernel'
import { alertOf, findingOf, verdictOf } from '../test-events.ts'
import { type Play, type Receiver, startReceiver } from '../test-receiver.ts'
import { createPagerDutySink } from './pagerduty.ts'
import { createPost, parseRetryAfter } from './post.ts'
import { createSlackSink, escapeClipped, slackMessage } from './slack.ts'
import { createWebhookSink } from './webhook.ts'

const post = createPost(300)
const secretUrlPath = '/services/T000/B000/SECRETSECRET'
let receiver: Started<Receiver>
let webhookSlack: Sink
let botSlack: Sink
let pagerDuty: Sink
let webhook: Sink

before(async () => {
  receiver = await startReceiver(() => ({ status: 200, body: 'ok' }))
  const { url } = receiver.value
  const consoleUrl = 'https://gate.example:8080'
  webhookSlack = createSlackSink({ webhook: `${url}${secretUrlPath}`, consoleUrl, post })
  botSlack = createSlackSink({
    bot: { token: 'xoxb-1', channel: '#alerts', apiUrl: `${url}/api` },
    consoleUrl,
    post,
  })
  pagerDuty = createPagerDutySink({ routingKey: 'R0UT1NG', url: `${url}/v2/enqueue`, consoleUrl, post })
  webhook = createWebhookSink({
    url: `${url}/hook`,
    secret: 's3cret',
    post,
    nowUs: () => 1_700_000_000_000_000,
  })
})
after(() => receiver.stop())
beforeEach(() => {
  receiver.value.requests.length = 0
})

function only() {
  const [request, ...more] = receiver.value.requests
  assert.ok(request)
  assert.equal(more.length, 0)
  return request
}
const slackOk: Play = { status: 200, body: '{"ok":true,"channel":"C42","ts":"1700.0001"}' }
const slackError = (error: string): Play => ({ status: 200, body: JSON.stringify({ ok: false, error }) })

test('Slack by webhook: header, text, fields, link and context', async () => {
  assert.deepEqual(await webhookSlack.deliver(alertOf(), undefined), {
    kind: 'delivered',
    reference: 'webhook',
  })
  const { method, path, headers, body } = only()
  assert.equal(method, 'POST')
  assert.equal(path, secretUrlPath)
  assert.match(headers['content-type'] ?? '', /^application\/json/)
  assert.deepEqual(body, {
    text: 'agent-7 blocked at shop',
    blocks: [
      {
        type: 'header',
        text: { type: 'plain_text', text: ':no_entry: agent-7 blocked at shop', emoji: true },
      },
      { type: 'section', text: { type: 'mrkdwn', text: '900 commands/min, 12 expected' } },
      {
        type: 'section',
        fields: [
          ['Identity', 'agent-7'],
          ['Issuer', 'https://idp.example'],
          ['Target', 'shop'],
          ['Severity', 'critical'],
          ['Action', 'block'],
          ['Until', '1970-01-01T00:10:00.000Z'],
          ['Reason', 'pressure'],
          ['Issued by', 'analyzer'],
          ['Command', 's1.7'],
        ].map(([name, value]) => ({ type: 'mrkdwn', text: `*${name}*\n${value}` })),
      },
      {
        type: 'section',
        text: {
          type: 'mrkdwn',
          text: '<https://gate.example:8080/v1/identities/https%3A%2F%2Fidp.example%7Cagent-7|Commands and baseline>',
        },
      },
      {
        type: 'context',
        elements: [{ type: 'mrkdwn', text: 'Portcullis · verdict v1 · 2026-11-22T10:00:00.000Z' }],
      },
    ],
  })
})

test('Slack by webhook: an update is a new message that says so', async () => {
  await webhookSlack.deliver(alertOf(), 'webhook')
  assert.match(only().text, /update of an earlier message, which a webhook cannot edit/)
})

test('Slack by bot: posts, then edits the same message in place', async () => {
  receiver.value.play(slackOk, slackOk)
  const first = await botSlack.deliver(alertOf(), undefined)
  assert.deepEqual(first, { kind: 'delivered', reference: 'C42:1700.0001' })
  await botSlack.deliver(alertOf({ action: 'resolve' }), 'C42:1700.0001')
  const [posted, updated] = receiver.value.requests
  assert.equal(posted?.path, '/api/chat.postMessage')
  assert.equal(posted?.headers.authorization, 'Bearer xoxb-1')
  assert.equal(posted?.body.channel, '#alerts')
  assert.equal(posted?.body.unfurl_links, false)
  assert.equal(updated?.path, '/api/chat.update')
  assert.equal(updated?.body.channel, 'C42')
  assert.equal(updated?.body.ts, '1700.0001')
  assert.equal(updated?.body.text, 'Resolved: agent-7 blocked at shop')
})

test('Slack by bot: a message that someone deleted is posted anew', async () => {
  receiver.value.play(slackError('message_not_found'), slackOk)
  assert.equal((await botSlack.deliver(alertOf(), 'C42:1.2')).kind, 'delivered')
  assert.deepEqual(
    receiver.value.requests.map(({ path }) => path),
    ['/api/chat.update', '/api/chat.postMessage'],
  )
})

test('Slack stays within its limits whatever the alert holds, and nothing in it is markup', () => {
  const long = '<!channel> & <@U1> \u{1f600}'.repeat(2_000)
  const message = slackMessage(
    alertOf({
      title: long,
      verdict: verdictOf('v'.repeat(5_000), {
        explanation: long,
        target: long,
        reason: long,
        subject: { kind: 'identity', issuer: long, id: long, instance: '' },
      }),
    }),
    'https://gate.example',
    true,
  )
  assert.ok(message.blocks.length <= 50)
  for (const block of message.blocks) {
    const texts = JSON.stringify(block).match(/"text":"((?:[^"\\]|\\.)*)"/g) ?? []
    for (const quoted of texts) {
      const text: string = JSON.parse(quoted.slice('"text":'.length))
      const max = block.type === 'header' ? 150 : 'fields' in block ? 2_000 : 3_000
      assert.ok(text.length <= max, `${block.type}: ${text.length}`)
      if (block.type !== 'header') assert.doesNotMatch(text.replace(/^<https:\/\/gate[^>]*>?$/, ''), /<!|<@/)
    }
    if ('fields' in block) assert.ok((block.fields?.length ?? 0) <= 10)
  }
  assert.doesNotMatch(message.text, /<!channel>/)
})

test('escaping never leaves half an entity', () => {
  for (let max = 2; max < 30; max++) {
    const text = escapeClipped('a<b>&c\u{1f600}<<<<>>>>', max)
    assert.ok(text.length <= max)
    assert.match(text, /^(?:[^&<>]|&amp;|&lt;|&gt;)*$/)
    assert.ok(text.isWellFormed())
  }
})

test('PagerDuty: a trigger', async () => {
  receiver.value.play({ status: 202, body: '{"status":"success"}' })
  const delivery = await pagerDuty.deliver(alertOf(), undefined)
  assert.deepEqual(delivery, { kind: 'delivered', reference: 'portcullis-1' })
  const { path, body } = only()
  const link = 'https://gate.example:8080/v1/identities/https%3A%2F%2Fidp.example%7Cagent-7'
  assert.equal(path, '/v2/enqueue')
  assert.deepEqual(body, {
    routing_key: 'R0UT1NG',
    event_action: 'trigger',
    dedup_key: 'portcullis-1',
    client: 'Portcullis',
    client_url: link,
    links: [{ href: link, text: 'Commands and baseline' }],
    payload: {
      summary: 'agent-7 blocked at shop',
      source: 'shop',
      severity: 'critical',
      timestamp: '2026-11-22T10:00:00.000Z',
      component: 'agent-7',
      group: 'https://idp.example',
      class: 'pressure',
      custom_details: {
        explanation: '900 commands/min, 12 expected',
        verdict_id: 'v1',
        action: 'block',
        until: '1970-01-01T00:10:00.000Z',
        issued_by: 'analyzer',
        cause_command_id: 's1.7',
        findings: [
          {
            feature: 'command-rate',
            observed: 900,
            expected: 12,
            unit: 'commands/min',
            score: 12.5,
            commands: ['s1.6', 's1.7'],
          },
        ],
      },
    },
  })
})

test('PagerDuty: a resolve is the key and no payload', async () => {
  receiver.value.play({ status: 202 })
  await pagerDuty.deliver(alertOf({ action: 'resolve' }), 'portcullis-1')
  assert.deepEqual(only().body, {
    routing_key: 'R0UT1NG',
    event_action: 'resolve',
    dedup_key: 'portcullis-1',
  })
})

test('PagerDuty: lengths are cut to its limits', async () => {
  receiver.value.play({ status: 202 })
  const long = 'x'.repeat(10_000)
  const verdict = verdictOf(long, { explanation: long, target: long, reason: long, causeCommandId: long })
  const findings = Array.from({ length: 50 }, (_, index) =>
    findingOf(`f${index}`, { explanation: `${index}${long}` }),
  )
  await pagerDuty.deliver(alertOf({ title: long, dedupKey: long, verdict, findings }), undefined)
  const { body, text } = only()
  assert.equal(String(body.dedup_key).length, 255)
  assert.match(text, /"summary":"x{1023}…"/)
  assert.ok(text.length < 20_000)
})

test('webhook: signed as Standard Webhooks say, with one id for every try', async () => {
  receiver.value.play({ status: 500 })
  assert.equal((await webhook.deliver(alertOf(), undefined)).kind, 'retry')
  assert.equal((await webhook.deliver(alertOf(), undefined)).kind, 'delivered')
  const [first, second] = receiver.value.requests
  assert.ok(first && second)
  const { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signature } = second.headers
  assert.equal(first.headers['webhook-id'], id)
  assert.equal(timestamp, '1700000000')
  const expected = createHmac('sha256', 's3cret').update(`${id}.${timestamp}.${second.text}`).digest('base64')
  assert.equal(signature, `v1,${expected}`)
  assert.equal(second.body.type, 'incident.trigger')
  assert.match(second.text, /"until":"1970-01-01T00:10:00.000Z"/)
})

/** Answer -> what is made of it, for every sink that speaks plain HTTP. */
const answers: [string, Play, string, RegExp, number?][] = [
  ['429 with seconds', { status: 429, headers: { 'retry-after': '7' } }, 'retry', /429/, 7_000],
  ['429 without', { status: 429 }, 'retry', /429/],
  ['500', { status: 500, body: 'oops' }, 'retry', /500 oops/],
  ['503 with seconds', { status: 503, headers: { 'retry-after': '2' } }, 'retry', /503/, 2_000],
  ['400', { status: 400, body: 'invalid event' }, 'failed', /400 invalid event/],
  ['403', { status: 403, body: 'invalid_token' }, 'failed', /403/],
  ['a redirect', { status: 302, headers: { location: 'http://127.0.0.1:1/' } }, 'retry', /failed/],
  ['no answer', 'hang', 'retry', /no answer within 300 ms/],
  ['a dropped connection', 'drop', 'retry', /the request failed/],
]
for (const [name, play, kind, why, retryAfterMs] of answers)
  test(`${name}: ${kind}`, async () => {
    for (const sink of [webhookSlack, pagerDuty, webhook]) {
      receiver.value.play(play)
      const delivery = await sink.deliver(alertOf(), undefined)
      assert.equal(delivery.kind, kind, sink.name)
      assert.match(delivery.kind === 'delivered' ? '' : delivery.why, why)
      assert.doesNotMatch(JSON.stringify(delivery), /SECRETSECRET|R0UT1NG|s3cret/)
      if (delivery.kind === 'retry') assert.equal(delivery.retryAfterMs, retryAfterMs)
    }
  })

const slackAnswers: [Play, string][] = [
  [slackError('ratelimited'), 'retry'],
  [slackError('internal_error'), 'retry'],
  [slackError('channel_not_found'), 'failed'],
  [slackError('invalid_auth'), 'failed'],
  [{ status: 200, body: '<html>' }, 'retry'],
  [{ status: 429, headers: { 'retry-after': '30' } }, 'retry'],
]
for (const [play, kind] of slackAnswers)
  test(`Slack's Web API, ${JSON.stringify(play)}: ${kind}`, async () => {
    receiver.value.play(play)
    assert.equal((await botSlack.deliver(alertOf(), undefined)).kind, kind)
  })

test('Retry-After as seconds, as a date, as nonsense, and never beyond an hour', () => {
  const nowMs = Date.parse('2026-11-22T10:00:00Z')
  assert.equal(parseRetryAfter('3', nowMs), 3_000)
  assert.equal(parseRetryAfter('Sun, 22 Nov 2026 10:00:09 GMT', nowMs), 9_000)
  assert.equal(parseRetryAfter('Sun, 22 Nov 2026 09:00:00 GMT', nowMs), 0)
  assert.equal(parseRetryAfter('soon', nowMs), undefined)
  assert.equal(parseRetryAfter('999999', nowMs), 3_600_000)
  assert.equal(parseRetryAfter(null, nowMs), undefined)
})
