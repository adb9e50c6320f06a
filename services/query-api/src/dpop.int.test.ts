/** DPoP (RFC 9449) at the API: tokens bound at the token endpoint, used with proofs, and stolen without them. */
import assert from 'node:assert/strict'
import { hash, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createTokenVerifier, dpopAlgorithms } from '@portcullis/identity'
import { type Bus, type Started, systemClock, topics } from '@portcullis/kernel'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { FastifyInstance } from 'fastify'
import {
  calculateJwkThumbprint,
  type CryptoKey,
  decodeJwt,
  exportJWK,
  generateKeyPair,
  type JWTPayload,
  SignJWT,
} from 'jose'
import { startInstance, tokens } from './test-api.ts'
import { testProver } from './test-own-tokens.ts'
import { createTrail } from './trail.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-dpop-'))
const log = createLog({ service: 'test', level: 'silent' })
const base = 'http://127.0.0.1:8080'
let issuer: Started<TestIssuer>
let bus: Started<Bus>
let app: FastifyInstance
let stop: () => Promise<void>

before(async () => {
  issuer = await startTestIssuer()
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  const issuers = [{ issuer: issuer.value.issuer, audience: ['portcullis'] }]
  const prover = testProver(createTokenVerifier({ issuers, clock: systemClock, log }))
  const trail = createTrail({
    store: { query: () => Promise.reject(new Error('away')) },
    nowUs: systemClock.nowUs,
  })
  const started = await startInstance(bus.value, trail, { roles: { oncall: 'responder' }, prover })
  app = started.value
  stop = started.stop
})
after(async () => {
  await stop()
  await bus.stop()
  await issuer.stop()
  rmSync(dir, { recursive: true, force: true })
})

interface Key {
  readonly thumbprint: string
  /** A proof for a request, with whatever is to be wrong about it. */
  prove(method: string, path: string, token?: string, claims?: JWTPayload): Promise<string>
}

async function makeKey(): Promise<Key> {
  const pair: { privateKey: CryptoKey; publicKey: CryptoKey } = await generateKeyPair('ES256')
  const jwk = await exportJWK(pair.publicKey)
  return {
    thumbprint: await calculateJwkThumbprint(jwk),
    prove: (method, path, token, claims = {}) =>
      new SignJWT({
        ...{ htm: method, htu: `${base}${path}`, jti: randomUUID() },
        ...(token !== undefined && { ath: hash('sha256', token, 'base64url') }),
        ...{ iat: Math.floor(Date.now() / 1000), ...claims },
      })
        .setProtectedHeader({ alg: 'ES256', typ: 'dpop+jwt', jwk })
        .sign(pair.privateKey),
  }
}

function ciToken(claims: object = {}): Promise<string> {
  return issuer.value.sign({ sub: 'agent', groups: ['oncall'], ...claims })
}

async function trade(subject: string, proof?: string) {
  const response = await app.inject({
    method: 'POST',
    url: '/v1/token',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...(proof && { dpop: proof }) },
    payload: new URLSearchParams({
      grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
      subject_token: subject,
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    }).toString(),
  })
  return { status: response.statusCode, body: response.json() }
}

async function boundTo(key: Key): Promise<string> {
  const { status, body } = await trade(await ciToken(), await key.prove('POST', '/v1/token'))
  assert.equal(status, 200, JSON.stringify(body))
  assert.equal(body.token_type, 'DPoP')
  return body.access_token
}

async function whoami(authorization: string, dpop?: string | string[]) {
  const headers = { authorization, ...(dpop && { dpop }) }
  const response = await app.inject({ url: '/v1/whoami', headers })
  return {
    status: response.statusCode,
    challenge: response.headers['www-authenticate'],
    body: response.json(),
  }
}

test('a proof at the token endpoint binds the token, and each call with it needs a proof of its own', async () => {
  const key = await makeKey()
  const token = await boundTo(key)
  assert.deepEqual(decodeJwt(token).cnf, { jkt: key.thumbprint })
  for (let calls = 0; calls < 3; calls++) {
    const { status, body } = await whoami(`DPoP ${token}`, await key.prove('GET', '/v1/whoami', token))
    assert.equal(status, 200)
    assert.equal(body.subject, 'agent')
  }
})

test('a token that its own issuer bound is used, and traded, with its key alone; the child stays bound', async () => {
  const [key, thief] = [await makeKey(), await makeKey()]
  const token = await ciToken({ cnf: { jkt: key.thumbprint } })
  assert.equal((await whoami(`DPoP ${token}`, await key.prove('GET', '/v1/whoami', token))).status, 200)
  const { body } = await trade(token, await key.prove('POST', '/v1/token'))
  assert.deepEqual(decodeJwt(body.access_token).cnf, { jkt: key.thumbprint })
  for (const proof of [undefined, await thief.prove('POST', '/v1/token')]) {
    const refused = await trade(token, proof)
    assert.equal(refused.status, 400)
    assert.match(refused.body.error_description, /proves nobody here/)
  }
})

test('a stolen token is worth nothing: not as a bearer token, not with another key, not with a proof that was seen', async () => {
  const [key, thief] = [await makeKey(), await makeKey()]
  const token = await boundTo(key)
  const seen = await key.prove('GET', '/v1/whoami', token)
  assert.equal((await whoami(`DPoP ${token}`, seen)).status, 200)
  const path = '/v1/whoami'
  const nowSec = Math.floor(Date.now() / 1000)
  const attempts: [string, string | string[] | undefined][] = [
    [`Bearer ${token}`, undefined],
    [`Bearer ${token}`, await key.prove('GET', path, token)],
    [`DPoP ${token}`, undefined],
    [`DPoP ${token}`, seen],
    [`DPoP ${token}`, await thief.prove('GET', path, token)],
    [`DPoP ${token}`, await key.prove('GET', path, 'another')],
    [`DPoP ${token}`, await key.prove('GET', path)],
    [`DPoP ${token}`, await key.prove('POST', path, token)],
    [`DPoP ${token}`, await key.prove('GET', '/v1/sessions', token)],
  ]
  for (const [index, [authorization, proof]] of attempts.entries()) {
    const { status, challenge } = await whoami(authorization, proof)
    assert.equal(status, 401, `attempt ${index}`)
    assert.match(String(challenge), /Bearer .*, DPoP .*algs="ES256/)
  }
  // What failed above would make this address wait; the times are judged at the token endpoint.
  for (const claims of [
    { iat: nowSec - 120 },
    { iat: nowSec + 120 },
    { htu: 'https://evil.example/v1/token' },
  ]) {
    const { status, body } = await trade(
      await ciToken(),
      await key.prove('POST', '/v1/token', undefined, claims),
    )
    assert.equal(status, 400)
    assert.equal(body.error, 'invalid_dpop_proof')
  }
})

test('a proof is good for one trade, and not used up by a trade that fails for its token', async () => {
  const key = await makeKey()
  const proof = await key.prove('POST', '/v1/token')
  assert.equal((await trade('not-a-token', proof)).body.error, 'invalid_request')
  assert.equal((await trade(await ciToken(), proof)).status, 200)
  assert.equal((await trade(await ciToken(), proof)).body.error, 'invalid_dpop_proof')
})

test('without a proof nothing has changed, and the metadata says what may sign one', async () => {
  const { body } = await trade(await ciToken())
  assert.equal(body.token_type, 'Bearer')
  assert.equal((await whoami(`Bearer ${tokens.viewer}`)).status, 200)
  const metadata = await app.inject({ url: '/.well-known/oauth-authorization-server' })
  assert.deepEqual(metadata.json().dpop_signing_alg_values_supported, dpopAlgorithms)
})

test('a bearer token is not taken for a bound one, nor a static one for either', async () => {
  const key = await makeKey()
  for (const token of [await ciToken(), tokens.viewer])
    assert.notEqual((await whoami(`DPoP ${token}`, await key.prove('GET', '/v1/whoami', token))).status, 200)
})
