/** The API over the real embedded engine and the real embedded bus, with events written as the projector writes them. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { InjectOptions } from 'fastify'
import { startTestApi, type TestApi, tokens } from './test-api.ts'
import type { Started } from '@portcullis/kernel'

let api: Started<TestApi>
before(async () => {
  api = await startTestApi()
})
after(async () => {
  await api.stop()
})

async function get(url: string, token: string = tokens.viewer) {
  const response = await api.value.app.inject({
    method: 'GET',
    url,
    headers: { authorization: `Bearer ${token}` },
  })
  return { status: response.statusCode, headers: response.headers, body: response.json() }
}
async function post(
  url: string,
  payload: object,
  token: string = tokens.responder,
  more: InjectOptions['headers'] = {},
) {
  const headers = { authorization: `Bearer ${token}`, ...more }
  const response = await api.value.app.inject({ method: 'POST', url, headers, payload })
  return { status: response.statusCode, headers: response.headers, body: response.json() }
}

test('commands page by page: every one once, latest first, none skipped while new ones come in', async () => {
  const seen: string[] = []
  let cursor: string | null = null
  let pages = 0
  do {
    const { status, body } = await get(
      `/v1/commands?limit=11&identity=${key('agent-1')}${cursor ? `&cursor=${cursor}` : ''}`,
    )
    assert.equal(status, 200, JSON.stringify(body))
    seen.push(...body.items.map((item: { commandId: string }) => item.commandId))
    cursor = body.nextCursor
    pages += 1
    // A newer one comes in while somebody reads.
    await api.value.addCommands([{ session: 900 + pages, startedAt: Date.now() * 1000 }])
  } while (cursor)
  assert.equal(pages, 3)
  assert.equal(seen.length, 30)
  assert.equal(new Set(seen).size, 30)
})

test('the largest page is whole and in order', async () => {
  const many = Array.from({ length: 450 }, (_, index) => ({
    session: 5_000 + index,
    number: 1,
    seq: 5_000 + index,
    subject: 'agent-3',
    startedAt: Date.UTC(2026, 10, 19) * 1_000 + Math.floor(index / 100),
  }))
  await api.value.addCommands(many)
  const { status, body } = await get(`/v1/commands?limit=500&identity=${key('agent-3')}`)
  assert.equal(status, 200, JSON.stringify(body))
  const ids = body.items.map((item: { commandId: string }) => item.commandId)
  const expected = [...many]
    .map(({ session, startedAt }) => ({ id: `s${session}.1`, startedAt }))
    .sort((a, b) => b.startedAt - a.startedAt || (a.id < b.id ? 1 : -1))
  assert.deepEqual(
    ids,
    expected.map(({ id }) => id),
  )
})

test('a row has times with microseconds and 64-bit numbers as text, nested as the events are', async () => {
  const { body } = await get('/v1/commands/s1.1')
  assert.match(body.startedAt, /^2026-11-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/)
  assert.equal(body.bytesOut, String(2 ** 40))
  assert.equal(body.origin.country, 'DE')
  assert.equal(body.origin.asn, '4200000000')
  assert.equal(body.decision.reason, 'verdict_throttle')
  assert.equal(body.decision.enforced, false)
  assert.equal(body.privileged, true)
  assert.deepEqual(body.effects, ['read', 'execute'])
  assert.deepEqual(body.objects[0], {
    kind: 'table',
    namespace: 'public',
    name: 't1',
    effect: 'read',
    columns: ['a', 'b'],
  })
  assert.match(body.hash, /^[0-9a-f]{64}$/)
})

const filters: [string, number][] = [
  ['session=s1', 1],
  ['session=nowhere', 0],
  ['target=shop&outcome=error', 50],
  ['outcome=ok&outcome=refused', 0],
  ['outcome=ok&outcome=error', 50],
  ['verb=SELECT', 50],
  ['effect=write', 0],
  ['effect=write&effect=read', 50],
  ['privileged=false', 0],
  ['text=FROM%20t3', 1],
  ['text=nothing%20like%20it', 0],
  ['contains=%22Quoted', 50],
  ["contains='%3B%20DROP%20TABLE%20commands_log%3B--", 0],
  ['decision=d-s2.2', 1],
  ["verb=it's%5C%22%0A&verb=%5D,%5B&effect=read", 0],
  ['contains=a%00b%09%5Cc', 0],
  ['from=2100-01-01T00:00:00Z', 0],
]
for (const [query, count] of filters)
  test(`filter ${query}`, async () => {
    const to = 'to=2026-11-21T00:00:00Z&limit=50'
    const { status, body } = await get(`/v1/commands?${query}&${query.startsWith('from') ? 'limit=1' : to}`)
    assert.equal(status, 200, JSON.stringify(body))
    assert.equal(body.items.length, count)
  })

test('sessions, findings and control events answer from their tables', async () => {
  const sessions = await get('/v1/sessions?phase=closed')
  assert.equal(sessions.body.items.length, 1)
  assert.equal(sessions.body.items[0].commands, '5')
  assert.equal((await get('/v1/sessions/s1')).body.client, 'psql')
  const findings = await get(`/v1/findings?identity=${key('agent-1')}&severity=critical`)
  assert.equal(findings.body.items.length, 1)
  assert.equal(findings.body.items[0].observed, 900)
  const control = await get('/v1/control-events', tokens.admin)
  assert.equal(control.status, 200)
  assert.ok(Array.isArray(control.body.items))
  assert.equal((await get('/v1/control-events', tokens.responder)).status, 403)
})

test('identities: the list, and one with its baseline, verdicts and findings', async () => {
  const list = await get('/v1/identities?since=2026-01-01T00:00:00Z')
  assert.deepEqual(
    list.body.items.map((item: { identity: string }) => item.identity),
    ['https://idp.example|agent-1'],
  )
  assert.equal(list.body.items[0].subject, 'agent-1')
  await api.value.eventually(
    async () => (await get(`/v1/identities/${key('agent-1')}`)).body.baseline !== null,
  )
  const { body } = await get(`/v1/identities/${key('agent-1')}`)
  assert.deepEqual(body.baseline.state, { rate: 3 })
  assert.equal(body.findings.length, 1)
  assert.equal((await get(`/v1/identities/${key('nobody')}`)).status, 404)
})

test('a verdict by hand is in force in every API process, once, however often it is sent', async () => {
  const body = blockOf('agent-9')
  const first = await post('/v1/verdicts', body, tokens.responder, { 'idempotency-key': 'k1' })
  assert.equal(first.status, 201, JSON.stringify(first.body))
  const again = await api.value.other.inject({
    method: 'POST',
    url: '/v1/verdicts',
    headers: { authorization: `Bearer ${tokens.responder}`, 'idempotency-key': 'k1' },
    payload: body,
  })
  assert.equal(again.statusCode, 201, again.body)
  assert.equal(again.headers['idempotency-replayed'], 'true')
  assert.equal(again.json().verdictId, first.body.verdictId)
  const other = await post('/v1/verdicts', { ...body, action: 'kill' }, tokens.responder, {
    'idempotency-key': 'k1',
  })
  assert.equal(other.status, 422)
  assert.equal(other.body.type, 'urn:portcullis:problem:idempotency_key_reused')
  const active = await get(`/v1/verdicts?identity=${key('agent-9')}`)
  assert.deepEqual(
    active.body.items.map((item: { verdictId: string }) => item.verdictId),
    [first.body.verdictId],
  )
  assert.equal(active.body.items[0].issuedBy, 'portcullis|ops')
})

test('two API processes at once with one key: one verdict, both are answered with it', async () => {
  const request = {
    method: 'POST' as const,
    url: '/v1/verdicts',
    headers: { authorization: `Bearer ${tokens.responder}`, 'idempotency-key': 'race' },
    payload: blockOf('agent-10'),
  }
  const answers = await Promise.all(
    [api.value.app, api.value.other, api.value.app, api.value.other].map((app) => app.inject(request)),
  )
  assert.deepEqual(
    answers.map(({ statusCode }) => statusCode),
    [201, 201, 201, 201],
  )
  assert.equal(new Set(answers.map((answer) => answer.json().verdictId)).size, 1)
  assert.equal(answers.filter(({ headers }) => headers['idempotency-replayed'] === undefined).length, 1)
})

test("lifting ends a verdict, the analyzer's too, once", async () => {
  await api.value.eventually(async () => (await get('/v1/verdicts')).body.items.some(isAnalyzers))
  const lifted = await post('/v1/verdicts/a-1/lift', { reason: 'known batch' })
  assert.equal(lifted.status, 200, JSON.stringify(lifted.body))
  assert.equal(lifted.body.liftedBy, 'portcullis|ops')
  assert.equal((await get('/v1/verdicts')).body.items.some(isAnalyzers), false)
  const again = await post('/v1/verdicts/a-1/lift', { reason: 'known batch' })
  assert.equal(again.status, 200)
  assert.equal(again.headers['idempotency-replayed'], 'true')
  const other = await post('/v1/verdicts/a-1/lift', { reason: 'another reason' })
  assert.equal(other.status, 409)
  assert.equal((await post('/v1/verdicts/none/lift', { reason: 'x' })).status, 404)
})

test('the history has both verdicts and liftings, and says who and why; the log has every change', async () => {
  const historyOf = async () => (await get('/v1/verdicts?state=all&limit=10')).body.items
  await api.value.eventually(async () => (await historyOf()).length === 3)
  const items = await historyOf()
  const analyzers = items.find(isAnalyzers)
  assert.equal(analyzers.state, 'lifted')
  assert.equal(analyzers.liftedBy, 'portcullis|ops')
  assert.equal(analyzers.liftReason, 'known batch')
  assert.deepEqual(analyzers.subject, {
    kind: 'identity',
    issuer: 'https://idp.example',
    id: 'agent-1',
    instance: '',
  })
  const active = (await get('/v1/verdicts')).body.items
  const byHand = items.find(({ verdictId }: { verdictId: string }) => verdictId === active[0].verdictId)
  assert.equal(byHand.issuedBy, 'portcullis|ops')
  assert.equal(byHand.causeReceivedAt, null)
  assert.match(analyzers.causeReceivedAt, /^20/)
  // The same verdict from memory and from the trail has the same fields with the same values.
  assert.deepEqual(byHand, active[0])
  const issued = await get('/v1/control-events?type=verdict.issued&accepted=true', tokens.admin)
  assert.equal(issued.body.items.length, 2)
  assert.equal(issued.body.items[0].actor.subject, 'ops')
  assert.equal(issued.body.items[0].payload.verdict.action, 'block')
  const filtered = await get(`/v1/verdicts?state=all&identity=${key('agent-1')}&action=throttle`)
  assert.equal(filtered.body.items.length, 1)
})

test('a verdict on whom the trail has never seen, or on a session that is not open, says so', async () => {
  const issuer = 'https://idp.example'
  const subjects: [object, RegExp | undefined][] = [
    [{ kind: 'identity', issuer, id: 'agent-1' }, undefined],
    [{ kind: 'instance', issuer, id: 'agent-1', instance: 'jti-1' }, undefined],
    [{ kind: 'token', issuer, instance: 'jti-1' }, undefined],
    [{ kind: 'delegation', issuer, id: 'ann' }, undefined],
    [{ kind: 'delegation', issuer, id: 'bob' }, /no session of this delegation/],
    [{ kind: 'instance', issuer, id: 'agent-1', instance: 'jti-2' }, /no session of this instance/],
    [{ kind: 'session', id: 's1' }, /no session of this id is open/],
  ]
  for (const [subject, expected] of subjects) {
    const { status, body } = await post('/v1/verdicts', { ...blockOf(''), subject, target: 'nowhere' })
    assert.equal(status, 201, JSON.stringify(body))
    if (expected) assert.match(body.warning, expected)
    else assert.equal(body.warning, undefined)
    await post(`/v1/verdicts/${body.verdictId}/lift`, { reason: 'test' })
  }
})

test('live: commands, verdicts and control changes come over the bus to who watches', async () => {
  const url = await api.value.app.listen({ host: '127.0.0.1', port: 0 })
  const controller = new AbortController()
  const headers = { authorization: `Bearer ${tokens.viewer}` }
  const response = await fetch(`${url}/v1/events`, { headers, signal: controller.signal })
  let text = ''
  const reading = (async () => {
    for await (const chunk of response.body ?? []) text += Buffer.from(chunk).toString()
  })()
  reading.catch(() => undefined)
  await api.value.addCommands([
    { session: 7_000, number: 3, text: `SELECT Mixed_Case, 'Größe', '${'x'.repeat(100_000)}'` },
  ])
  const issued = await post('/v1/verdicts', blockOf('agent-11'))
  await post(`/v1/verdicts/${issued.body.verdictId}/lift`, { reason: 'known' })
  await api.value.eventually(async () => /event: command/.test(text) && /"state":"lifted"/.test(text))
  const [made, over] = [...text.matchAll(/event: verdict\ndata: (.*)\n/g)].map(([, json]) =>
    JSON.parse(json ?? ''),
  )
  const { warning, ...verdict } = issued.body
  assert.match(warning, /matches nothing known: the audit trail has no session of this identity/)
  assert.deepEqual(made, verdict)
  assert.deepEqual([over.verdictId, over.subject, over.liftReason], [made.verdictId, made.subject, 'known'])
  const data = /event: command\ndata: (.*)\n/.exec(text)?.[1] ?? ''
  const shown: { commandId: string; text: string; textTruncated: boolean; bytesOut: string } =
    JSON.parse(data)
  assert.equal(shown.commandId, 's7000.3')
  assert.equal(shown.text.length, 4_000)
  assert.equal(shown.textTruncated, true)
  assert.equal(shown.bytesOut, String(2 ** 40))
  assert.match(text, /event: control\ndata: .*"type":"verdict.issued".*"accepted":true/)
  const listed = await get('/v1/commands?session=s7000')
  assert.equal(listed.body.items[0].text.length, 4_000)
  assert.equal(listed.body.items[0].textTruncated, true)
  assert.equal((await get('/v1/commands?session=s1')).body.items[0].textTruncated, false)
  assert.equal((await get('/v1/commands/s7000.3')).body.text.length, 100_030)
  controller.abort()
  for (const words of ['mixed case', 'CASE select', 'größe'])
    assert.equal(
      (await get(`/v1/commands?session=s7000&text=${encodeURIComponent(words)}`)).body.items.length,
      1,
      words,
    )
  assert.equal((await get('/v1/commands?session=s7000&contains=GR%C3%96SSE')).body.items.length, 0)
  assert.equal((await get('/v1/commands?session=s7000&contains=GR%C3%96%C3%9FE')).body.items.length, 1)
})

test('with the engine away the answer is 503 with Retry-After, soon', async () => {
  const started = performance.now()
  const { status, headers, body } = await api.value.withoutEngine('/v1/commands')
  assert.equal(status, 503)
  assert.equal(headers['retry-after'], '5')
  assert.equal(body.type, 'urn:portcullis:problem:trail_unavailable')
  assert.ok(performance.now() - started < 2_000)
})

test('an engine that never answers: 503 when the time is up', async () => {
  const { status, body } = await api.value.withHungEngine('/v1/sessions')
  assert.equal(status, 503)
  assert.match(body.detail, /took too long/)
})

function key(subject: string): string {
  return encodeURIComponent(`https://idp.example|${subject}`)
}
function isAnalyzers({ verdictId }: { verdictId: string }): boolean {
  return verdictId === 'a-1'
}
function blockOf(id: string) {
  return {
    action: 'block',
    subject: { kind: 'identity', issuer: 'https://idp.example', id },
    durationSec: 600,
    explanation: 'leaked token',
  }
}

test('a revocation lasts as long as the tokens that the trail has seen, and says where it has seen none', async () => {
  const issuer = 'https://idp.example'
  const until = async (subject: object) => {
    const { status, body } = await post('/v1/revocations', { subject, reason: 'a test' })
    assert.equal(status, 201, JSON.stringify(body))
    return { sec: (Date.parse(body.until) - Date.now()) / 1000, warning: body.warning }
  }
  const day = 86_400
  const seen = await until({ kind: 'token', issuer, instance: 'jti-1' })
  assert.ok(seen.sec > day - 60 && seen.sec <= day, `${seen.sec}`)
  assert.equal(seen.warning, undefined)
  const unseen = await until({ kind: 'token', issuer, instance: 'jti-never' })
  assert.ok(unseen.sec > 365 * day)
  assert.match(unseen.warning, /matches nothing known/)
  const person = await until({ kind: 'delegation', issuer, id: 'ann' })
  assert.ok(person.sec > day - 60 && person.sec <= day, `${person.sec}`)
})
