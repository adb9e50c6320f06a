/** Tokens, API keys and revocation over two API instances that share a real embedded bus, with a real issuer. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createTokenVerifier, IdentityError, type Prover } from '@portcullis/identity'
import { type Bus, type Started, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { startControlLog } from '@portcullis/platform/control'
import { createLog } from '@portcullis/platform/service'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { FastifyInstance } from 'fastify'
import { decodeJwt, decodeProtectedHeader, jwtVerify, createLocalJWKSet } from 'jose'
import { eventually, startInstance, tokens } from './test-api.ts'
import { testProver, testSealer } from './test-own-tokens.ts'
import { createSigningKeys } from './tokens/signing-keys.ts'
import { createTrail } from './trail.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-tokens-'))
const log = createLog({ service: 'test', level: 'silent' })
const codecs = createCodecs()
let issuer: Started<TestIssuer>
let bus: Started<Bus>
let first: { readonly app: FastifyInstance; readonly prover: Prover; stop(): Promise<void> }
let other: typeof first

before(async () => {
  issuer = await startTestIssuer()
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  first = await instance()
  other = await instance()
})
after(async () => {
  await first.stop()
  await other.stop()
  await bus.stop()
  await issuer.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function instance(): Promise<typeof first> {
  const issuers = [{ issuer: issuer.value.issuer, audience: ['portcullis'] }]
  const prover = testProver(createTokenVerifier({ issuers, clock: systemClock, log }))
  // No store: the trail is away, and nothing here may depend on it.
  const trail = createTrail({
    store: { query: () => Promise.reject(new Error('away')) },
    nowUs: systemClock.nowUs,
  })
  const { value: app, stop } = await startInstance(bus.value, trail, {
    roles: { oncall: 'responder' },
    prover,
  })
  return { app, prover, stop }
}

const type = (name: string) => `urn:ietf:params:oauth:token-type:${name}`
const exchange = 'urn:ietf:params:oauth:grant-type:token-exchange'

async function trade(parameters: Record<string, string | string[]>, app = first.app) {
  const form = new URLSearchParams()
  const { subject_token: subject = '' } = parameters
  const isKey = String(subject).startsWith('pck_')
  const given = {
    grant_type: exchange,
    subject_token_type: isKey ? 'urn:portcullis:token-type:api-key' : type('jwt'),
    ...parameters,
  }
  for (const [name, values] of Object.entries(given))
    for (const value of [values].flat()) form.append(name, value)
  const response = await app.inject({
    method: 'POST',
    url: '/v1/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: form.toString(),
  })
  return {
    status: response.statusCode,
    headers: response.headers,
    body: response.json(),
    text: response.body,
  }
}

async function ask(
  method: 'GET' | 'POST' | 'DELETE',
  url: string,
  payload?: object,
  token: string = tokens.admin,
) {
  const headers = { authorization: `Bearer ${token}` }
  const response = await first.app.inject({ method, url, headers, ...(payload && { payload }) })
  return { status: response.statusCode, body: response.json(), text: response.body }
}

function ciToken(claims: object = {}, ttlSec = 300): Promise<string> {
  return issuer.value.sign({ sub: 'repo:acme/shop', groups: ['agents', 'oncall'], ...claims }, { ttlSec })
}

async function refusedAs(code: string, proving: Promise<unknown>): Promise<void> {
  await assert.rejects(proving, (error) => error instanceof IdentityError && error.code === code)
}

test('a CI token is traded for one that is good for one target, and every instance proves it', async () => {
  const parent = await ciToken({ jti: 'job-1' })
  const { status, body, headers } = await trade({
    ...{ subject_token: parent, scope: 'target:shop role:reader group:agents', task: 'nightly report' },
  })
  assert.equal(status, 200, JSON.stringify(body))
  assert.equal(headers['cache-control'], 'no-store')
  assert.equal(body.issued_token_type, type('access_token'))
  assert.equal(body.token_type, 'Bearer')
  assert.equal(body.scope, 'target:shop role:reader')
  assert.ok(body.expires_in > 290 && body.expires_in <= 300, 'no longer than its parent')
  await eventually(async () => (await other.app.inject('/v1/jwks.json')).json().keys.length === 1)
  for (const { prover } of [first, other]) {
    const { identity, scope, expiresAtUs } = await prover.prove(body.access_token, {})
    assert.equal(identity.issuer, issuer.value.issuer)
    assert.equal(identity.subject, 'repo:acme/shop')
    assert.deepEqual(identity.groups, ['agents'])
    assert.equal(identity.task, 'nightly report')
    assert.deepEqual(identity.ancestors, [`${issuer.value.issuer} job-1`])
    assert.deepEqual(scope, { targets: ['shop'], roles: ['reader'] })
    assert.equal(expiresAtUs, (decodeJwt(parent).exp ?? 0) * 1e6)
  }
})

test('the published keys verify the token, and the metadata says where they are', async () => {
  const { body } = await trade({ subject_token: await ciToken(), audience: ['shop', 'orders'] })
  const metadata = (await first.app.inject('/.well-known/oauth-authorization-server')).json()
  const keys = (await first.app.inject('/v1/jwks.json')).json()
  const { payload } = await jwtVerify(body.access_token, createLocalJWKSet(keys), {
    issuer: metadata.issuer,
    audience: 'portcullis',
  })
  assert.deepEqual((payload.portcullis as { targets: string[] }).targets, ['shop', 'orders'])
  assert.equal(metadata.token_endpoint, `${metadata.issuer}/v1/token`)
  assert.equal(metadata.jwks_uri, `${metadata.issuer}/v1/jwks.json`)
  assert.ok(!JSON.stringify(keys).includes('"d"'))
})

test('a child of a child: it narrows, and asking for more is refused in the words of the RFC', async () => {
  const { body } = await trade({
    subject_token: await ciToken(),
    scope: 'target:shop target:orders role:reader',
  })
  const parent = body.access_token
  const child = await trade({
    subject_token: parent,
    subject_token_type: type('access_token'),
    scope: 'target:shop',
  })
  assert.equal(child.body.scope, 'target:shop role:reader')
  const { identity } = await first.prover.prove(child.body.access_token, {})
  assert.equal(identity.ancestors.length, 2)
  const more = { subject_token: child.body.access_token }
  for (const [asked, error] of [
    [{ scope: 'target:orders' }, 'invalid_target'],
    [{ resource: 'urn:portcullis:target:orders' }, 'invalid_target'],
    [{ resource: 'https://shop.example' }, 'invalid_target'],
    [{ audience: 'nowhere' }, 'invalid_target'],
    [{ scope: 'role:writer' }, 'invalid_scope'],
    [{ scope: 'role:' }, 'invalid_scope'],
    [{ scope: 'group:admins' }, 'invalid_scope'],
    [{ scope: 'everything' }, 'invalid_scope'],
  ] as const) {
    const { status, body: answer } = await trade({ ...more, ...asked })
    assert.equal(status, 400)
    assert.equal(answer.error, error, JSON.stringify(asked))
    assert.ok(answer.error_description)
  }
})

test('a role that no target has is not given: the token would open nothing', async () => {
  const asking = async (scope: string) => {
    const { status, body } = await trade({ subject_token: await ciToken(), scope })
    return [status, body.error, body.error_description]
  }
  const refused = (why: string) => [400, 'invalid_scope', why]
  assert.deepEqual(await asking('role:nobodys'), refused('there is no target with role "nobodys"'))
  assert.deepEqual(
    await asking('target:shop role:writer'),
    refused('none of the targets "shop" has role "writer"'),
  )
  assert.deepEqual(await asking('role:toString'), refused('there is no target with role "toString"'))
  assert.equal((await asking('target:shop target:orders role:writer role:reader'))[0], 200)
  assert.equal((await asking('target:shop role:'))[0], 200)
})

test('with an actor token the actor acts, on behalf of the subject', async () => {
  const person = await issuer.value.sign({ sub: 'alice', groups: ['agents'], jti: 'p-1' })
  const agent = await issuer.value.sign({ sub: 'agent-7', groups: ['admins'], jti: 'a-1' })
  const { body } = await trade({ subject_token: person, actor_token: agent, actor_token_type: type('jwt') })
  const { identity } = await first.prover.prove(body.access_token, {})
  assert.equal(identity.subject, 'agent-7')
  assert.deepEqual(identity.groups, ['agents'])
  assert.deepEqual(
    identity.delegation.map(({ subject }) => subject),
    ['alice'],
  )
  assert.deepEqual(identity.ancestors, [`${issuer.value.issuer} p-1`, `${issuer.value.issuer} a-1`])
})

test('chains have an end', async () => {
  let token = await ciToken()
  for (let n = 0; n < 4; n++) token = (await trade({ subject_token: token })).body.access_token
  const { body } = await trade({ subject_token: token })
  assert.equal(body.error, 'invalid_request')
  assert.match(body.error_description, /more than 4 tokens/)
})

test('what is no request is told so, in the form of RFC 6749', async () => {
  const subject = await ciToken()
  const wrong: readonly [Record<string, string | string[]>, string][] = [
    [{ grant_type: 'password', subject_token: subject }, 'unsupported_grant_type'],
    [{ grant_type: '', subject_token: subject }, 'invalid_request'],
    [{ subject_token: '' }, 'invalid_request'],
    [{ subject_token: [subject, subject] }, 'invalid_request'],
    [{ subject_token: subject, subject_token_type: type('saml2') }, 'invalid_request'],
    [{ subject_token: subject, subject_token_type: 'urn:portcullis:token-type:api-key' }, 'invalid_request'],
    [{ subject_token: subject, requested_token_type: type('refresh_token') }, 'invalid_request'],
    [{ subject_token: subject, actor_token: subject }, 'invalid_request'],
    [{ subject_token: subject, actor_token_type: type('jwt') }, 'invalid_request'],
    [{ subject_token: subject, task: 'a\nb' }, 'invalid_request'],
  ]
  for (const [parameters, error] of wrong) {
    const { status, body } = await trade(parameters)
    assert.equal(status, 400, JSON.stringify(parameters))
    assert.deepEqual(Object.keys(body), ['error', 'error_description'])
    assert.equal(body.error, error, JSON.stringify(parameters))
  }
  const json = await first.app.inject({ method: 'POST', url: '/v1/token', payload: { grant_type: exchange } })
  assert.equal(json.statusCode, 400)
  assert.equal(json.json().error, 'invalid_request')
})

test('a thousand forged tokens: none is traded, and none is told why', async () => {
  const stranger = await startTestIssuer()
  const real = await ciToken()
  const answers = new Set<string>()
  for (let n = 0; n < 1000; n++) {
    const forged =
      n % 2 === 0
        ? await stranger.value.sign({ sub: 'x', iss: issuer.value.issuer })
        : `${real.slice(0, real.lastIndexOf('.') + 1)}${randomBytes(64).toString('base64url')}`
    // Neither which targets there are.
    const scope = n % 3 === 0 ? 'target:shop' : 'target:nowhere'
    const { status, text } = await trade({ subject_token: forged, scope })
    assert.equal(status, 400)
    answers.add(text)
  }
  await stranger.stop()
  assert.deepEqual(
    [...answers],
    ['{"error":"invalid_request","error_description":"subject_token proves nobody here"}'],
  )
})

test('whoever tries on is told to wait, in the words of RFC 6749 and with when to come back', async () => {
  const tryKey = () =>
    trade({ subject_token: `pck_${randomBytes(8).toString('hex')}_${'A'.repeat(49)}` }, other.app)
  let answer = await tryKey()
  for (let tries = 0; tries < 1100 && answer.status === 400; tries++) answer = await tryKey()
  assert.deepEqual([answer.status, answer.body.error], [429, 'temporarily_unavailable'])
  assert.match(String(answer.headers['retry-after']), /^\d+$/)
})

test('an API key is shown once, trades, and is worth nothing from the moment it is disabled', async () => {
  const made = await ask('POST', '/v1/api-keys', {
    ...{ subject: 'backup', groups: ['agents'], targets: ['shop'], lifeSec: 86_400 },
  })
  assert.equal(made.status, 201, made.text)
  const { key, keyId } = made.body
  assert.match(key, /^pck_/)
  const listed = await ask('GET', '/v1/api-keys', undefined, tokens.viewer)
  assert.equal(listed.body.items[0].keyId, keyId)
  assert.equal(listed.body.lastUsedKnown, false)
  assert.ok(!listed.text.includes(key) && !/"hash"/.test(listed.text))
  const child = await trade({ subject_token: key })
  assert.equal(child.body.scope, 'target:shop')
  assert.ok(child.body.expires_in <= 3600)
  const { identity } = await first.prover.prove(child.body.access_token, {})
  assert.equal(`${identity.issuer}|${identity.subject}`, 'portcullis|backup')
  assert.deepEqual(identity.ancestors, [`portcullis ${keyId}`])

  assert.equal(
    (await ask('POST', `/v1/api-keys/${keyId}/disable`, { reason: 'leaked' }, tokens.viewer)).status,
    403,
  )
  const off = await ask('POST', `/v1/api-keys/${keyId}/disable`, { reason: 'leaked' }, tokens.responder)
  assert.deepEqual(off.body, { keyId, enabled: false })
  await refusedAs('disabled', first.prover.prove(key, {}))
  await refusedAs('disabled', first.prover.prove(child.body.access_token, {}))
  assert.equal((await trade({ subject_token: key })).body.error, 'invalid_request')
  await eventually(() =>
    other.prover.prove(key, {}).then(
      () => false,
      (error) => error.code === 'disabled',
    ),
  )
  await ask('POST', `/v1/api-keys/${keyId}/enable`, { reason: 'a false alarm' })
  await first.prover.prove(key, {})
  assert.deepEqual((await ask('DELETE', `/v1/api-keys/${keyId}?reason=over`)).body, { keyId, deleted: true })
  await refusedAs('unknown_key', first.prover.prove(key, {}))
  assert.equal((await ask('POST', `/v1/api-keys/${keyId}/enable`, { reason: 'again' })).status, 404)
})

test('an API key must end, name targets that there are, and not go by the name of a static token', async () => {
  const good = { subject: 'cron', groups: ['agents'], lifeSec: 3600 }
  for (const [changes, status] of [
    [{ lifeSec: undefined }, 400],
    [{ lifeSec: undefined, expiresAt: '2020-01-01T00:00:00Z' }, 400],
    [{ lifeSec: 367 * 86_400 }, 400],
    [{ targets: ['nowhere'] }, 400],
    [{ networks: ['10.0.0.0/33'] }, 400],
    [{ subject: 'a\u0000b' }, 400],
    [{ subject: 'root' }, 409],
  ] as const)
    assert.equal(
      (await ask('POST', '/v1/api-keys', { ...good, ...changes })).status,
      status,
      JSON.stringify(changes),
    )
  assert.equal((await ask('POST', '/v1/api-keys', good, tokens.responder)).status, 403)
})

test('a token that was found is revoked by itself: its children are too, and it trades no more', async () => {
  const parent = await ciToken({ jti: 'found-1' })
  const child = (await trade({ subject_token: parent })).body.access_token
  const { status, body } = await ask(
    'POST',
    '/v1/revocations',
    { token: parent, reason: 'in a log' },
    tokens.responder,
  )
  assert.equal(status, 201, JSON.stringify(body))
  assert.equal(body.action, 'kill')
  assert.equal(body.reason, 'revoked')
  assert.deepEqual(body.subject, { kind: 'token', issuer: issuer.value.issuer, id: '', instance: 'found-1' })
  const livesSec = (Date.parse(body.until) - Date.now()) / 1000
  assert.ok(livesSec > 86_000 && livesSec <= 86_400, `${livesSec} s`)
  for (const token of [parent, child]) {
    const refused = await trade({ subject_token: token })
    assert.equal(refused.body.error_description, 'subject_token proves nobody here')
  }
  assert.equal((await ask('POST', '/v1/revocations', { token: 'x.y.z', reason: 'r' })).status, 400)
  assert.equal((await ask('POST', '/v1/revocations', { reason: 'r' })).status, 400)
  const subject = { kind: 'delegation', issuer: issuer.value.issuer, id: 'alice' }
  assert.equal((await ask('POST', '/v1/revocations', { subject, reason: 'r' }, tokens.viewer)).status, 403)
  assert.equal((await ask('POST', '/v1/revocations', { subject, reason: 'r' })).status, 201)
})

test('an identity is revoked with all who act for it', async () => {
  const person = await issuer.value.sign({ sub: 'bob', groups: ['agents'] })
  const agent = await issuer.value.sign({ sub: 'agent-9', groups: ['agents'] })
  const both = { subject_token: person, actor_token: agent, actor_token_type: type('jwt') }
  const child = (await trade(both)).body.access_token
  const subject = { kind: 'identity', issuer: issuer.value.issuer, id: 'bob' }
  assert.equal((await ask('POST', '/v1/revocations', { subject, reason: 'left' })).status, 201)
  for (const token of [person, child]) assert.equal((await trade({ subject_token: token })).status, 400)
  assert.equal((await trade({ subject_token: agent })).status, 200, 'the agent works on for others')
})

test('of our own tokens one for targets has no role in the API; one without has, by its groups, until revoked', async () => {
  const whole = (await trade({ subject_token: await ciToken() })).body.access_token
  const scoped = (await trade({ subject_token: whole, scope: 'target:shop' })).body.access_token
  assert.equal((await ask('GET', '/v1/whoami', undefined, whole)).body.role, 'responder')
  const { body } = await ask('GET', '/v1/whoami', undefined, scoped)
  assert.deepEqual([body.subject, body.role, body.scope], ['repo:acme/shop', '', 'target:shop'])
  assert.equal((await ask('GET', '/v1/verdicts', undefined, scoped)).status, 403)
  await ask('POST', '/v1/revocations', { token: whole, reason: 'leaked' })
  assert.equal((await ask('GET', '/v1/whoami', undefined, whole)).status, 403, 'revoked here too')
})

test('the targets are those that the groups may reach and the token is good for, with how to dial them', async () => {
  const listed = async (token: string) => {
    const { status, body } = await ask('GET', '/v1/targets', undefined, token)
    assert.equal(status, 200)
    return body.items.map(({ name, roles }: { name: string; roles: string[] }) => [name, roles])
  }
  const all = await ciToken({ groups: ['agents', 'writers'] })
  const { body } = await ask('GET', '/v1/targets', undefined, all)
  assert.deepEqual(body.items, [
    {
      ...{ name: 'shop', protocol: 'postgres', roles: [''], database: 'shop' },
      ...{ address: 'gate.example:15432', tls: false, labels: { tier: 'one' } },
    },
    {
      ...{ name: 'orders', protocol: 'postgres', roles: ['', 'writer'], database: 'postgres' },
      ...{ address: 'gate.example:15432', tls: false, labels: {} },
    },
  ])
  assert.deepEqual(await listed(await ciToken({ groups: ['agents'] })), [
    ['shop', ['']],
    ['orders', ['']],
  ])
  assert.deepEqual(await listed(await ciToken({ groups: [] })), [['shop', ['']]])
  const narrowed = async (scope: string) =>
    listed((await trade({ subject_token: all, scope })).body.access_token)
  assert.deepEqual(await narrowed('role:writer'), [['orders', ['writer']]])
  assert.deepEqual(await narrowed('target:shop'), [['shop', ['']]])
  assert.deepEqual(await narrowed('target:shop role:writer'), [])
  assert.deepEqual(await listed(tokens.admin), [], 'a static token is nobody at a door')
  assert.equal((await ask('GET', '/v1/targets', undefined, 'nobody')).status, 401)
})

test('a token lives no longer than is asked for', async () => {
  const life = async (seconds: string) => {
    const { status, body } = await trade({ subject_token: await ciToken(), expires_in: seconds })
    return status === 200 ? body.expires_in : body.error
  }
  assert.ok([59, 60].includes(await life('60')))
  assert.ok((await life('86400')) <= 300, 'nor than its parent')
  for (const wrong of ['0', '-5', '1e3', '60s', '99999999999999999999'])
    assert.equal(await life(wrong), 'invalid_request', wrong)
})

test('a rotated key lets what is out live on; after a leak it is retired at once', async () => {
  const before = (await trade({ subject_token: await ciToken() })).body.access_token
  const rotated = await ask('POST', '/v1/signing-keys/rotate', { reason: 'yearly' })
  assert.equal(rotated.status, 201, rotated.text)
  assert.deepEqual(
    rotated.body.items.map(({ signs }: { signs: boolean }) => signs),
    [true, false],
  )
  const after = (await trade({ subject_token: await ciToken() })).body.access_token
  assert.equal(decodeProtectedHeader(after).kid, rotated.body.keyId)
  await first.prover.prove(before, {})
  await first.prover.prove(after, {})
  await ask('POST', '/v1/signing-keys/rotate', { reason: 'leaked', retireNow: true })
  for (const token of [before, after]) await refusedAs('unknown_key', first.prover.prove(token, {}))
  assert.equal((await trade({ subject_token: before })).status, 400)
  await trade({ subject_token: await ciToken() })
  assert.equal((await ask('GET', '/v1/signing-keys', undefined, tokens.responder)).status, 403)
})

test('a superseded key is retired when nothing that it signed can be valid; another master key opens nothing', async () => {
  const control = await startControlLog({
    bus: bus.value,
    codecs,
    clock: systemClock,
    ids: () => randomBytes(8).toString('hex'),
  })
  await control.value.whenCaughtUp
  const actor = { issuer: 'portcullis', subject: 'test', roles: [] }
  const sealer = testSealer(randomBytes(32).toString('hex'))
  let aheadUs = 0
  const clock = { nowUs: () => systemClock.nowUs() + aheadUs, monotonicMs: systemClock.monotonicMs }
  const keys = createSigningKeys({ control: control.value, sealer, clock, log, tokenSecMax: 3600 })
  await assert.rejects(keys.current(), /cannot be opened/)
  const mine = await keys.rotate(actor, 'another master key', false)
  assert.equal((await keys.current()).keyId, mine)
  const all = keys.list().length
  assert.ok(all >= 2)
  aheadUs = 3_600_000_000
  await keys.retireSuperseded()
  assert.equal(keys.list().length, all)
  aheadUs += 120_000_000
  await keys.retireSuperseded()
  assert.deepEqual(
    keys.list().map(({ keyId }) => keyId),
    [mine],
  )
  assert.equal((await keys.current()).keyId, mine)
  // What everybody can read of the log has neither the private half nor anything that opens it.
  const secret = (await keys.current()).privateKey.export({ format: 'jwk' }).d ?? ''
  assert.ok(
    secret !== '' && !JSON.stringify([...control.value.state().signingKeys.values()]).includes(secret),
  )
  await control.stop()
})
