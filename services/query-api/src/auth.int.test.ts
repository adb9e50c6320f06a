/** Signing in to the API with tokens of a real OIDC issuer, through the real verifier. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { createProver, createTokenVerifier } from '@portcullis/identity'
import { type Started, systemClock } from '@portcullis/kernel'
import { createLog } from '@portcullis/platform/service'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { FastifyInstance } from 'fastify'
import { createAuthenticator } from './auth.ts'
import { startPureApi, tokens } from './test-pure-api.ts'

let issuer: Started<TestIssuer>
let app: FastifyInstance
const refusals: string[] = []

before(async () => {
  issuer = await startTestIssuer()
  const log = createLog({ service: 'test', level: 'silent' })
  const issuers = [{ issuer: issuer.value.issuer, audience: ['portcullis'] }]
  const auth = createAuthenticator({
    tokens: [{ name: 'ops', role: 'responder', token: tokens.responder }],
    roles: { security: 'admin', auditors: 'viewer' },
    peopleIssuers: new Set([issuer.value.issuer]),
    prove: createProver({
      own: { issuer: 'https://gate.example', audience: 'portcullis' },
      issuers: createTokenVerifier({ issuers, clock: systemClock, log }),
      ...{ clock: systemClock, log },
    }).prove,
    clock: systemClock,
    onRefused: (_, why) => refusals.push(why),
    failuresPerMinute: 100,
  })
  app = await startPureApi({ auth })
})
after(async () => {
  await app.close()
  await issuer.stop()
})

async function whoami(token: string) {
  const response = await app.inject({ url: '/v1/whoami', headers: { authorization: `Bearer ${token}` } })
  return { status: response.statusCode, body: response.json(), text: response.body }
}

test('groups of a proven token give the role', async () => {
  const token = await issuer.value.sign({ sub: 'ann', groups: ['auditors', 'security'] })
  const { status, body } = await whoami(token)
  assert.equal(status, 200)
  const { expiresAt, ...rest } = body
  assert.ok(Date.parse(expiresAt) > Date.now())
  assert.deepEqual(rest, {
    ...{ issuer: issuer.value.issuer, subject: 'ann', groups: ['auditors', 'security'] },
    ...{
      name: '',
      email: '',
      roles: ['admin', 'viewer'],
      role: 'admin',
      scope: '',
      task: '',
      delegation: [],
    },
  })
})

test('a proven token without a group that counts is known, and may nothing but ask about itself', async () => {
  const token = await issuer.value.sign({ sub: 'bob', groups: ['sales'] })
  const { status, body } = await whoami(token)
  assert.equal(status, 200)
  assert.equal(body.role, '')
  assert.deepEqual(body.groups, ['sales'])
  for (const url of ['/v1/verdicts', '/v1/commands', '/v1/api-keys', '/v1/events']) {
    const refused = await app.inject({ url, headers: { authorization: `Bearer ${token}` } })
    assert.equal(refused.statusCode, 403, url)
    assert.equal(refused.json().type, 'urn:portcullis:problem:forbidden')
  }
})

const bad: [string, () => Promise<string>][] = [
  ['expired', () => issuer.value.sign({ sub: 'ann', groups: ['security'] }, { ttlSec: -3600 })],
  ['for someone else', () => issuer.value.sign({ sub: 'ann', groups: ['security'], aud: 'other' })],
  [
    'from another issuer',
    () => issuer.value.sign({ sub: 'ann', iss: 'https://evil.example', groups: ['security'] }),
  ],
  ['tampered with', async () => `${(await issuer.value.sign({ sub: 'ann' })).slice(0, -4)}AAAA`],
  ['no token at all', () => Promise.resolve('x.y.z')],
]
for (const [name, make] of bad)
  test(`a token ${name}: 401, the reason in the log and not in the answer`, async () => {
    refusals.length = 0
    const { status, text } = await whoami(await make())
    assert.equal(status, 401)
    assert.equal(refusals.length, 1)
    assert.ok(!text.includes(refusals[0] ?? ''), text)
  })
