/** Whoever is revoked gets nothing from the API either: not the trail, not the lifting of what revoked them, no open stream. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createTokenVerifier, type Prover } from '@portcullis/identity'
import { type Bus, type Started, systemClock, topics } from '@portcullis/kernel'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { FastifyInstance } from 'fastify'
import { createAuthenticator } from './auth.ts'
import { createIsStopped, refusingStopped } from './stopped.ts'
import { startInstance, tokens } from './test-api.ts'
import { testProver } from './test-own-tokens.ts'
import { createTrail } from './trail.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-revoked-'))
const log = createLog({ service: 'test', level: 'silent' })
let issuer: Started<TestIssuer>
let bus: Started<Bus>
let api: Started<FastifyInstance>
let url: string

before(async () => {
  issuer = await startTestIssuer()
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  const issuers = [{ issuer: issuer.value.issuer, audience: ['portcullis'] }]
  const prover: Prover = testProver(createTokenVerifier({ issuers, clock: systemClock, log }))
  const trail = createTrail({
    store: { query: () => Promise.reject(new Error('away')) },
    nowUs: systemClock.nowUs,
  })
  api = await startInstance(bus.value, trail, { roles: { oncall: 'responder' }, prover })
  url = await api.value.listen({ host: '127.0.0.1', port: 0 })
})
after(async () => {
  await api.stop()
  await bus.stop()
  await issuer.stop()
  rmSync(dir, { recursive: true, force: true })
})

async function ask(method: string, path: string, token: string, payload?: object) {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${token}`, ...(payload && { 'content-type': 'application/json' }) },
    ...(payload && { body: JSON.stringify(payload) }),
  })
  return { status: response.status, body: JSON.parse(await response.text()) }
}

const oncall = (sub: string) => issuer.value.sign({ sub, groups: ['oncall'] }, { ttlSec: 300 })
const identityOf = (id: string) => ({ kind: 'identity', issuer: issuer.value.issuer, id, instance: '' })

test('who is revoked cannot take it back, nor read, nor ask who they are', async () => {
  const thief = await oncall('thief')
  assert.equal((await ask('GET', '/v1/whoami', thief)).status, 200)
  const revoked = await ask('POST', '/v1/revocations', tokens.responder, { token: thief, reason: 'stolen' })
  assert.equal(revoked.status, 201, JSON.stringify(revoked.body))

  const lift = await ask('POST', `/v1/verdicts/${revoked.body.verdictId}/lift`, thief, { reason: 'it is me' })
  assert.equal(lift.status, 403, JSON.stringify(lift.body))
  assert.match(lift.body.detail, /stopped by a verdict/)
  for (const path of ['/v1/whoami', '/v1/targets', '/v1/verdicts', '/v1/api-keys'])
    assert.equal((await ask('GET', path, thief)).status, 403, path)
  assert.equal((await ask('GET', '/v1/whoami', await oncall('colleague'))).status, 200)
})

test('a token that was traded from a revoked one is as good as that', async () => {
  const parent = await oncall('parent')
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: parent,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
  }
  const traded = await fetch(`${url}/v1/token`, { method: 'POST', body: new URLSearchParams(form) })
  const { access_token: child } = (await traded.json()) as { access_token: string }
  assert.equal((await ask('GET', '/v1/whoami', child)).status, 200)
  await ask('POST', '/v1/revocations', tokens.responder, { subject: identityOf('parent'), reason: 'left' })
  assert.equal((await ask('GET', '/v1/whoami', child)).status, 403)
})

test('a verdict that leaves one the API is for somebody else to lift', async () => {
  const [watched, colleague] = [await oncall('watched'), await oncall('colleague')]
  const throttle = { action: 'throttle', ratePerMinute: 1, durationSec: 600, explanation: 'too fast' }
  const { body } = await ask('POST', '/v1/verdicts', tokens.responder, {
    ...{ ...throttle, subject: identityOf('watched') },
  })
  const path = `/v1/verdicts/${body.verdictId}/lift`
  const own = await ask('POST', path, watched, { reason: 'it is me' })
  assert.equal(own.status, 403, JSON.stringify(own.body))
  assert.match(own.body.detail, /stands on yourself/)
  assert.equal((await ask('POST', path, colleague, { reason: 'a false alarm' })).status, 200)
})

test('nobody who was proven is let in by half of the control log', async () => {
  const prover = testProver({ verify: () => Promise.reject(new Error('not asked')) })
  const identity = { issuer: 'https://idp.example', subject: 'ann', groups: ['oncall'] }
  const proof = {
    identity: { ...identity, delegation: [], instance: 'jti-1', task: '', ancestors: [] },
    ...{ expiresAtUs: Number.MAX_SAFE_INTEGER, tokenId: 'jti-1', scope: {} },
  }
  const auth = createAuthenticator({
    tokens: [{ name: 'root', role: 'admin', token: tokens.admin }],
    roleOf: [{ issuer: identity.issuer, group: 'oncall', role: 'admin' }],
    ...{ roles: {}, clock: systemClock, onRefused: () => {}, prove: async () => proof },
  })
  let caughtUp = false
  const guarded = refusingStopped(auth, createIsStopped({ active: () => [] }, prover), {
    caughtUp: () => caughtUp,
  })
  const asAnn = () =>
    guarded.authenticate({ authorization: 'Bearer a.b.c', cookie: undefined, address: '::1' })
  await assert.rejects(asAnn, { code: 'control_unavailable' })
  const root = await guarded.authenticate({
    ...{ authorization: `Bearer ${tokens.admin}`, cookie: undefined, address: '::1' },
  })
  assert.equal(root.role, 'admin')
  caughtUp = true
  assert.equal((await asAnn()).role, 'admin')
})

for (const [what, opened, close] of [
  [
    'a revoked identity',
    () => oncall('watcher'),
    () =>
      ask('POST', '/v1/revocations', tokens.responder, { subject: identityOf('watcher'), reason: 'left' }),
  ],
  [
    'a disabled API key',
    async () => {
      const made = await ask('POST', '/v1/api-keys', tokens.admin, {
        ...{ subject: 'wall', groups: ['oncall'], lifeSec: 600 },
      })
      keyId = made.body.keyId
      return made.body.key as string
    },
    () => ask('POST', `/v1/api-keys/${keyId}/disable`, tokens.responder, { reason: 'found' }),
  ],
] as const)
  test(`the open stream of ${what} ends within two seconds, and says why`, async () => {
    const stream = await fetch(`${url}/v1/events`, { headers: { authorization: `Bearer ${await opened()}` } })
    assert.equal(stream.status, 200)
    const startedMs = performance.now()
    assert.ok((await close()).status < 300)
    const all = await Promise.race([
      stream.text(),
      new Promise<string>((resolve) => setTimeout(resolve, 5000, 'still open')),
    ])
    assert.match(all, /event: revoked\n/)
    assert.ok(performance.now() - startedMs < 2000)
  })
let keyId = ''
