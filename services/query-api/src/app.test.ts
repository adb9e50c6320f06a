/** The API without its stores: what it answers before it would have to read anything. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Clock } from '@portcullis/kernel'
import { createLog } from '@portcullis/platform/service'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { createAuthenticator, requireRole } from './auth.ts'
import { startPureApi, tokens } from './test-pure-api.ts'

let app: FastifyInstance
before(async () => {
  app = await startPureApi()
})
after(() => app.close())

const viewer = { authorization: `Bearer ${tokens.viewer}` }
const responder = { authorization: `Bearer ${tokens.responder}` }

async function ask(options: InjectOptions) {
  const response = await app.inject({ method: 'GET', ...options })
  return {
    status: response.statusCode,
    headers: response.headers,
    text: response.body,
    body: parse(response.body),
  }
}
function parse(text: string) {
  return text.startsWith('{') ? JSON.parse(text) : {}
}

function assertProblem(answer: Awaited<ReturnType<typeof ask>>, status: number, code: string): void {
  assert.equal(answer.status, status, answer.text)
  assert.equal(answer.headers['content-type'], 'application/problem+json')
  assert.equal(answer.body.type, `urn:portcullis:problem:${code}`)
  assert.equal(answer.body.status, status)
  assert.equal(answer.body.requestId, answer.headers['x-request-id'])
  assert.ok(answer.body.title && answer.body.detail)
  assert.doesNotMatch(answer.text, /\.ts:|node_modules| at /)
}

const refusals: [string, InjectOptions, number, string][] = [
  ['an unknown path', { url: '/nope', headers: viewer }, 404, 'not_found'],
  ['an unknown path, not signed in', { url: '/v1/nope' }, 404, 'not_found'],
  ['a wrong method', { url: '/v1/commands', method: 'DELETE', headers: viewer }, 404, 'not_found'],
  [
    'a path that cannot be decoded',
    { url: '/v1/commands/%E0%A4%A', headers: viewer },
    400,
    'invalid_request',
  ],
  ['no token', { url: '/v1/whoami' }, 401, 'unauthenticated'],
  [
    'basic authentication',
    { url: '/v1/whoami', headers: { authorization: 'Basic eDp5' } },
    401,
    'unauthenticated',
  ],
  [
    'a viewer who would issue',
    { url: '/v1/verdicts', method: 'POST', headers: viewer, payload: {} },
    403,
    'forbidden',
  ],
  ['a responder who would read the log', { url: '/v1/control-events', headers: responder }, 403, 'forbidden'],
  ['no body', { url: '/v1/verdicts', method: 'POST', headers: responder }, 400, 'invalid_request'],
  [
    'JSON that is none',
    {
      url: '/v1/verdicts',
      method: 'POST',
      headers: { ...responder, 'content-type': 'application/json' },
      payload: '{',
    },
    400,
    'invalid_request',
  ],
  [
    'another media type',
    {
      url: '/v1/verdicts',
      method: 'POST',
      headers: { ...responder, 'content-type': 'text/xml' },
      payload: '<a/>',
    },
    415,
    'unsupported_media_type',
  ],
  [
    'a body that is too large',
    { url: '/v1/verdicts', method: 'POST', headers: responder, payload: { a: 'x'.repeat(70_000) } },
    413,
    'too_large',
  ],
  ['a cursor of nobody', { url: '/v1/commands?cursor=abc', headers: viewer }, 400, 'invalid_request'],
  ['something that fails inside', { url: '/v1/sessions', headers: viewer }, 500, 'internal'],
]
for (const [name, options, status, code] of refusals)
  test(`${name}: ${status} ${code}`, async () => assertProblem(await ask(options), status, code))

test('all faults of a query are told at once, each with its place', async () => {
  const answer = await ask({
    url: '/v1/commands?limit=0&outcome=good&from=yesterday&privileged=maybe&targett=shop',
    headers: viewer,
  })
  assertProblem(answer, 400, 'invalid_request')
  assert.deepEqual(
    answer.body.errors.map((fault: { in: string; field: string }) => `${fault.in} ${fault.field}`).sort(),
    ['query from', 'query limit', 'query outcome', 'query privileged', 'query targett'],
  )
})

for (const path of ['commands', 'sessions', 'findings', 'verdicts', 'verdicts?state=all', 'events'])
  test(`an identity without its issuer at ${path} is a mistake, and never finds nothing`, async () => {
    const url = `/v1/${path}${path.includes('?') ? '&' : '?'}identity=agent:demo`
    const answer = await ask({ url, headers: viewer })
    assertProblem(answer, 400, 'invalid_request')
    assert.match(answer.body.errors[0].message, /^must be ISSUER\|SUBJECT/)
  })

const badBodies: [string, object, string][] = [
  ['neither an end nor a length', { durationSec: undefined }, 'durationSec'],
  ['both an end and a length', { until: '2030-01-01T00:00:00Z' }, 'durationSec'],
  ['an end in the past', { durationSec: undefined, until: '2001-01-01T00:00:00Z' }, 'until'],
  ['a rate without a throttle', { ratePerMinute: 3 }, 'ratePerMinute'],
  ['a throttle without a rate', { action: 'throttle' }, 'ratePerMinute'],
  [
    'an instance without its id',
    { subject: { kind: 'instance', issuer: 'https://i', id: 'a' } },
    'subject.instance',
  ],
  ['an unknown field', { force: true }, 'force'],
]
for (const [name, change, field] of badBodies)
  test(`a verdict with ${name} names ${field}`, async () => {
    const payload = {
      action: 'block',
      subject: { kind: 'identity', issuer: 'https://idp.example', id: 'a' },
      durationSec: 60,
      explanation: 'x',
      ...change,
    }
    const answer = await ask({ url: '/v1/verdicts', method: 'POST', headers: responder, payload })
    assertProblem(answer, 400, 'invalid_request')
    assert.ok(
      answer.body.errors.some((fault: { field: string }) => fault.field === field),
      answer.text,
    )
  })

test('a body that is missing, or a subject that is text, is told what it must be', async () => {
  const post = { url: '/v1/verdicts', method: 'POST', headers: responder } as const
  for (const payload of [undefined, ['a']]) {
    const answer = await ask({ ...post, ...(payload && { payload }) })
    assert.equal(answer.body.errors[0].message, 'must be a JSON object, with Content-Type: application/json')
  }
  for (const subject of ['agent-1', { kind: 'agent', id: 'x' }]) {
    const { body } = await ask({
      ...post,
      payload: { action: 'block', subject, durationSec: 60, explanation: 'x' },
    })
    assert.match(body.errors[0].message, /^must be an object such as {"kind": "identity"/)
  }
})

test('an Idempotency-Key that is none is refused', async () => {
  const payload = {
    action: 'block',
    subject: { kind: 'session', id: 's1' },
    durationSec: 60,
    explanation: 'x',
  }
  const headers = { ...responder, 'idempotency-key': 'a b' }
  assertProblem(await ask({ url: '/v1/verdicts', method: 'POST', headers, payload }), 400, 'invalid_request')
})

test('whoami says who and as what', async () => {
  const { body } = await ask({ url: '/v1/whoami', headers: responder })
  assert.deepEqual(body, {
    ...{ issuer: 'portcullis', subject: 'ops', name: '', email: '', groups: [] },
    ...{ roles: ['responder'], role: 'responder' },
    ...{ scope: '', task: '', delegation: [], expiresAt: null },
  })
})

test('a request id of the caller is kept where it is harmless', async () => {
  assert.equal(
    (await ask({ url: '/healthz', headers: { 'x-request-id': 'abc-1' } })).headers['x-request-id'],
    'abc-1',
  )
  const odd = await ask({ url: '/healthz', headers: { 'x-request-id': 'a b<script>' } })
  assert.match(String(odd.headers['x-request-id']), /^[0-9a-f-]{36}$/)
})

test('whoever opens its address is told what it is, and led on to what there is', async () => {
  const { status, text, headers } = await ask({ url: '/' })
  assert.equal(status, 200)
  assert.match(String(headers['content-type']), /^text\/html/)
  assert.match(String(headers['content-security-policy']), /default-src 'none'/)
  assert.match(text, /records every command/)
  const led = [...text.matchAll(/href="([^"]*)"/g)].map(([, path = '']) => path)
  assert.ok(led.includes('/v1/openapi.json') && !led.includes('/sign-in'), led.join())
  for (const path of led) assert.equal((await ask({ url: path })).status, 200, path)
})

test('health, readiness and metrics need no sign-in', async () => {
  assert.equal((await ask({ url: '/healthz' })).text, 'ok\n')
  const ready = await ask({ url: '/readyz' })
  assert.equal(ready.status, 503)
  assert.equal(ready.text, 'the bus cannot be read\n')
  assert.match((await ask({ url: '/metrics' })).text, /portcullis_api_request_seconds_bucket/)
})

test('the OpenAPI document describes every route, its inputs and its problems', async () => {
  const { body } = await ask({ url: '/v1/openapi.json' })
  assert.equal(body.openapi, '3.1.0')
  assert.deepEqual(Object.keys(body.paths).sort(), [
    '/v1/api-keys',
    '/v1/api-keys/{id}',
    '/v1/api-keys/{id}/disable',
    '/v1/api-keys/{id}/enable',
    '/v1/approvals',
    '/v1/approvals/{id}',
    '/v1/approvals/{id}/answers',
    '/v1/approvals/{id}/revoke',
    '/v1/backtests',
    '/v1/commands',
    '/v1/commands/{id}',
    '/v1/config/issuers',
    '/v1/config/issuers/{id}',
    '/v1/config/policies',
    '/v1/config/policies/{id}',
    '/v1/config/role-mappings',
    '/v1/config/role-mappings/{id}',
    '/v1/config/targets',
    '/v1/config/targets/{id}',
    '/v1/control-events',
    '/v1/events',
    '/v1/findings',
    '/v1/grants',
    '/v1/identities',
    '/v1/identities/{key}',
    '/v1/policy',
    '/v1/revocations',
    '/v1/secrets',
    '/v1/secrets/rewrap',
    '/v1/secrets/{name}',
    '/v1/sessions',
    '/v1/sessions/{id}',
    '/v1/sign-ins',
    '/v1/signing-keys',
    '/v1/signing-keys/rotate',
    '/v1/ssh/ca',
    '/v1/ssh/certificates',
    '/v1/targets',
    '/v1/token',
    '/v1/verdicts',
    '/v1/verdicts/{id}/lift',
    '/v1/whoami',
  ])
  const list = body.paths['/v1/commands'].get
  const names = list.parameters.map(({ name }: { name: string }) => name)
  for (const name of ['limit', 'cursor', 'identity', 'outcome', 'from', 'text'])
    assert.ok(names.includes(name), name)
  assert.ok(list.responses['200'].content['application/json'].schema.properties.items)
  assert.ok(list.responses.default.content['application/problem+json'])
  const issue = body.paths['/v1/verdicts'].post
  assert.ok(issue.requestBody.content['application/json'].schema.required.includes('explanation'))
  const payload = { ...issue.requestBody.content['application/json'].example, durationSec: 0 }
  const answer = await ask({ url: '/v1/verdicts', method: 'POST', headers: responder, payload })
  assert.deepEqual(
    answer.body.errors.map(({ field }: { field: string }) => field),
    ['durationSec'],
    'all else of the example is accepted',
  )
  assert.deepEqual(list.security, [{ bearer: [] }, { session: [] }])
})

test('the printed address of the API says where to go on', async () => {
  const { status, body } = await ask({ url: '/v1' })
  assert.equal(status, 200)
  assert.equal(body.described, '/v1/openapi.json')
  assert.ok(body.links.includes('/v1/commands') && !body.links.some((path: string) => path.includes('{')))
})

test('after some failures an address is sent away, with Retry-After, and let in again later', async () => {
  let nowMs = 0
  const clock: Clock = { nowUs: () => 1, monotonicMs: () => nowMs }
  const auth = createAuthenticator({
    tokens: [{ name: 'ops', role: 'responder', token: tokens.responder }],
    roles: {},
    prove: () => Promise.reject(new Error('no')),
    clock,
    onRefused: () => {},
    failuresPerMinute: 3,
  })
  const code = async (token: string, address = '192.0.2.1') => {
    try {
      return (await auth.authenticate({ authorization: `Bearer ${token}`, cookie: undefined, address })).role
    } catch (error) {
      return error instanceof Error && 'code' in error ? error.code : error
    }
  }
  for (let failure = 0; failure < 3; failure++) assert.equal(await code('wrong'), 'unauthenticated')
  assert.equal(await code('wrong'), 'too_many_attempts')
  assert.equal(await code('wrong', '192.0.2.2'), 'unauthenticated')
  assert.equal(await code(tokens.responder), 'responder', 'the wrong tokens of others keep nobody out')
  nowMs = 21_000
  assert.equal(await code('wrong'), 'unauthenticated')
})

function identityOf(subject: string, groups: string[]) {
  const issuer = 'https://idp.example'
  const delegation = subject === 'sent' ? [{ issuer, subject: 'ann', kind: 'person' }] : []
  return { issuer, subject, groups, delegation, instance: 'i', task: '', ancestors: [] }
}

test('groups of an OIDC token map to the strongest role; none of them: forbidden', async () => {
  const groups = new Map([
    ['a', ['dev', 'oncall']],
    ['b', ['sales']],
    ['c', ['constructor']],
    ['scoped', ['oncall']],
    ['by-corp', ['sales', 'oncall']],
    ['by-gone', ['oncall']],
    ['sent', ['oncall']],
  ])
  const auth = createAuthenticator({
    tokens: [],
    roles: { dev: 'viewer', oncall: 'responder' },
    prove: async (token) => ({
      identity: identityOf(token, groups.get(token) ?? []),
      ...{ expiresAtUs: 5, tokenId: 't' },
      scope: token === 'scoped' ? { targets: ['shop'] } : {},
      ...(token.startsWith('by-') && { provider: token.slice(3) }),
    }),
    rolesByProvider: new Map([['corp', { sales: 'admin' }]]),
    clock: { nowUs: () => 1, monotonicMs: () => 0 },
    onRefused: () => {},
  })
  const as = (token: string) =>
    auth.authenticate({ authorization: `Bearer ${token}`, cookie: undefined, address: '192.0.2.1' })
  const { isOver, ...caller } = await as('a')
  assert.equal(isOver(), false)
  assert.deepEqual(caller, {
    actor: { issuer: 'https://idp.example', subject: 'a', roles: ['responder', 'viewer'] },
    role: 'responder',
    proof: { identity: identityOf('a', ['dev', 'oncall']), ...{ expiresAtUs: 5, tokenId: 't', scope: {} } },
    ...{ expiresAtUs: 5, session: undefined },
  })
  const refused = async (token: string, why: RegExp) => {
    const known = await as(token)
    assert.equal(known.role, undefined)
    assert.throws(() => requireRole(known, 'viewer'), why)
  }
  for (const token of ['b', 'c']) await refused(token, /none of your groups has a role/)
  await refused('scoped', /good for targets only/)
  assert.equal((await as('by-corp')).role, 'admin', 'a group means what the provider says')
  await refused('by-gone', /none of your groups has a role/)
  assert.equal((await as('sent')).role, 'viewer', 'an agent does not answer for who sent it')
})

test('a plain name of a group makes approvers of people alone; of workloads one issuer’s does', async () => {
  const [people, ci, build] = ['https://idp.example', 'https://ci.example', 'https://build.example']
  const callers = new Map([
    ['person', { issuer: people, groups: ['dba'] }],
    ['ci', { issuer: ci, groups: ['dba', 'platform'] }],
    ['ci-oncall', { issuer: ci, groups: ['dba', 'oncall'] }],
    ['build', { issuer: build, groups: ['deployers'] }],
    ['other', { issuer: ci, groups: ['deployers'] }],
    ['sent', { issuer: build, groups: ['dba'] }],
    ['by-corp', { issuer: people, groups: ['leads'] }],
    ['by-new', { issuer: people, groups: ['dba'] }],
    ['by-gone', { issuer: people, groups: ['leads'] }],
  ])
  const auth = createAuthenticator({
    tokens: [],
    roles: { dba: 'approver', platform: 'admin', oncall: 'responder' },
    roleOf: [
      { issuer: build, group: 'deployers', role: 'approver' },
      { issuer: people, group: 'leads', role: 'admin' },
    ],
    peopleIssuers: new Set([people]),
    rolesByProvider: new Map([
      ['corp', {}],
      ['new', undefined],
    ]),
    prove: async (token) => ({
      identity: { ...identityOf(token, []), delegation: [], ...callers.get(token) },
      ...{ expiresAtUs: 5, tokenId: 't', scope: {} },
      ...(token.startsWith('by-') && { provider: token.slice(3) }),
    }),
    clock: { nowUs: () => 1, monotonicMs: () => 0 },
    onRefused: () => {},
  })
  const roles = new Map<string, string | undefined>()
  for (const token of callers.keys()) {
    const known = await auth.authenticate({
      ...{ authorization: `Bearer ${token}`, cookie: undefined, address: '192.0.2.1' },
    })
    roles.set(token, known.role)
    if (token === 'ci') assert.throws(() => requireRole(known, 'viewer'), /api\.roleOf/)
  }
  assert.deepEqual(Object.fromEntries(roles), {
    ...{ person: 'approver', ci: undefined, 'ci-oncall': 'responder', build: 'approver', other: undefined },
    ...{ sent: undefined, 'by-corp': 'admin', 'by-new': 'approver', 'by-gone': undefined },
  })
})

test('a static token that is too short is refused at the start', () => {
  assert.throws(
    () =>
      createAuthenticator({
        tokens: [{ name: 'weak', role: 'admin', token: 'hunter2' }],
        roles: {},
        prove: () => Promise.reject(new Error('no')),
        clock: { nowUs: () => 1, monotonicMs: () => 0 },
        onRefused: () => {},
      }),
    /api\.tokens\.weak: .* at least 16/,
  )
})

test('an API key that was put into an address stands in no log', async (t) => {
  const written: string[] = []
  const info = (fields: object) => written.push(JSON.stringify(fields))
  const log = Object.assign(createLog({ service: 'test', level: 'silent' }), { info })
  const listening = await startPureApi({ log })
  t.after(() => listening.close())
  const key = `pck_${'0a'.repeat(8)}_${'S'.repeat(49)}`
  await listening.inject({
    method: 'POST',
    url: `/v1/api-keys/${key}/disable`,
    headers: { authorization: `Bearer ${tokens.responder}` },
    payload: { reason: 'leaked' },
  })
  assert.match(written.join(), /pck_0a0a0a0a0a0a0a0a_…\/disable/)
  assert.ok(!written.join().includes('SSS'))
})

/** Who has wrong tokens behind a balancer must not keep everybody else behind it out. */
test("a balancer's word for who calls is taken from the configured ones alone", async (t) => {
  const statusFrom = async (listening: FastifyInstance, remoteAddress: string, forwarded?: string) => {
    const headers = {
      authorization: 'Bearer wrong',
      ...(forwarded !== undefined && { 'x-forwarded-for': forwarded }),
    }
    return (await listening.inject({ url: '/v1/whoami', headers, remoteAddress })).statusCode
  }
  const start = async (forwardedFrom: readonly string[]) => {
    const auth = createAuthenticator({
      ...{ tokens: [], roles: {}, onRefused: () => {}, failuresPerMinute: 3 },
      prove: () => Promise.reject(new Error('nobody')),
      clock: { nowUs: () => 1, monotonicMs: () => 0 },
    })
    const listening = await startPureApi({ auth, forwardedFrom })
    t.after(() => listening.close())
    return listening
  }
  const behind = await start(['10.0.0.0/8'])
  const spoofed = () => statusFrom(behind, '10.1.1.1', '198.51.100.9, 203.0.113.1')
  for (let n = 0; n < 3; n++) assert.equal(await spoofed(), 401)
  assert.equal(
    await spoofed(),
    429,
    'the address that the balancer itself saw counts, whatever stands before it',
  )
  assert.equal(await statusFrom(behind, '10.1.1.1', '203.0.113.2'), 401, 'another behind the same balancer')
  for (let n = 0; n < 3; n++) assert.equal(await statusFrom(behind, '192.0.2.7', `203.0.113.${n + 10}`), 401)
  assert.equal(await statusFrom(behind, '192.0.2.7', '203.0.113.99'), 429, 'no balancer of ours')

  const direct = await start([])
  for (let n = 0; n < 3; n++) assert.equal(await statusFrom(direct, '10.1.1.1', `203.0.113.${n}`), 401)
  assert.equal(await statusFrom(direct, '10.1.1.1', '203.0.113.9'), 429)
})
