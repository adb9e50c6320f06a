/** Configuration by the API, over two instances that share a real embedded bus, with a real issuer. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createTokenVerifier } from '@portcullis/identity'
import { type Bus, type Started, systemClock, topics } from '@portcullis/kernel'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { FastifyInstance } from 'fastify'
import { eventually, startInstance, tokens } from '../test-api.ts'
import { testProver } from '../test-own-tokens.ts'
import { createTrail } from '../trail.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-settings-'))
const log = createLog({ service: 'test', level: 'silent' })
let issuer: Started<TestIssuer>
let bus: Started<Bus>
const instances: Started<FastifyInstance>[] = []

before(async () => {
  issuer = await startTestIssuer()
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  for (let index = 0; index < 2; index++) instances.push(await instance())
})
after(async () => {
  for (const one of instances) await one.stop()
  await bus.stop()
  await issuer.stop()
  rmSync(dir, { recursive: true, force: true })
})

function instance(): Promise<Started<FastifyInstance>> {
  const verifier = createTokenVerifier({ issuers: [], clock: systemClock, log })
  // No store: the trail is away, and nothing here may depend on it.
  const trail = createTrail({
    store: { query: () => Promise.reject(new Error('away')) },
    nowUs: systemClock.nowUs,
  })
  return startInstance(bus.value, trail, { prover: testProver(verifier), verifier })
}

function instanceAt(index: number): FastifyInstance {
  const one = instances[index]
  assert.ok(one)
  return one.value
}

interface Asked {
  readonly payload?: object
  readonly token?: string
  readonly headers?: Record<string, string>
  readonly at?: number
}

async function ask(method: 'GET' | 'PUT' | 'POST' | 'DELETE', path: string, asked: Asked = {}) {
  const { payload, token = tokens.admin, headers = {}, at = 0 } = asked
  const response = await instanceAt(at).inject({
    ...{ method, url: `/v1/${path}`, headers: { authorization: `Bearer ${token}`, ...headers } },
    ...(payload && { payload }),
  })
  return {
    status: response.statusCode,
    body: response.json(),
    etag: String(response.headers.etag ?? ''),
  }
}

const billing = {
  protocol: 'postgres',
  address: 'billing:5432',
  credentials: { user: 'app' },
  groups: ['agents'],
}
const faults = ({ body }: { body: { errors?: { field: string; message: string }[] } }) =>
  (body.errors ?? []).map(({ field, message }) => `${field}: ${message}`)

test('a target is put, read by another instance, changed where it is what was seen, and removed', async () => {
  const put = await ask('PUT', 'config/targets/billing', { payload: billing })
  assert.deepEqual(
    [put.status, put.body, put.etag],
    [201, { id: 'billing', outcome: 'created', written: true, version: 1 }, '"1"'],
  )
  await eventually(async () => (await ask('GET', 'config/targets/billing', { at: 1 })).status === 200)
  const { body, etag } = await ask('GET', 'config/targets/billing', { at: 1 })
  assert.equal(etag, '"1"')
  assert.deepEqual(
    [body.source, body.changedBy, body.shadows, body.content],
    ['api', 'portcullis|root', false, billing],
  )
  assert.match(body.changedAt, /^20\d\d-/)

  const moved = { ...billing, address: 'billing-2:5432' }
  const change = (headers: Record<string, string>, payload: object = moved) =>
    ask('PUT', 'config/targets/billing', { payload, headers })
  assert.equal((await change({ 'if-none-match': '*' })).status, 412)
  assert.equal((await change({ 'if-match': '"7"' })).status, 412)
  assert.equal((await change({ 'if-match': 'W/"1"' })).status, 400)
  assert.equal((await change({ 'if-match': '"1"' })).body.outcome, 'changed')
  assert.equal((await change({ 'if-match': '"1"' })).status, 412)
  // Said again it is so already, and the log stays as it is.
  const before = await bus.value.endOffsets(topics.control)
  assert.deepEqual((await change({})).body, {
    ...{ id: 'billing', outcome: 'unchanged', written: false, version: 2 },
  })
  assert.deepEqual(await bus.value.endOffsets(topics.control), before)

  const listed = (await ask('GET', 'config/targets?limit=2')).body
  assert.deepEqual(
    listed.items.map(({ id, source, version }: Record<string, unknown>) => [id, source, version]),
    [
      ['billing', 'api', 2],
      ['orders', 'file', null],
    ],
  )
  const rest = (await ask('GET', `config/targets?limit=2&cursor=${listed.nextCursor}`)).body
  assert.deepEqual([rest.items.map(({ id }: { id: string }) => id), rest.nextCursor], [['shop'], null])

  assert.equal(
    (await ask('DELETE', 'config/targets/billing', { headers: { 'if-match': '"1"' } })).status,
    412,
  )
  // As a client does that names a type for whatever it sends.
  const typed = { 'content-type': 'application/json' }
  assert.equal((await ask('DELETE', 'config/targets/billing?reason=moved', { headers: typed })).status, 200)
  const empty = await ask('PUT', 'config/targets/billing', { headers: typed })
  assert.match(faults(empty)[0] ?? '', /must be a JSON object, with Content-Type/)
  assert.equal((await ask('GET', 'config/targets/billing')).status, 404)
  assert.equal((await ask('DELETE', 'config/targets/billing')).status, 404)
  const again = await ask('PUT', 'config/targets/billing', {
    ...{ payload: billing, headers: { 'if-none-match': '*' } },
  })
  assert.deepEqual([again.status, again.body.outcome], [201, 'created'])
})

test('of two who saw the same version one wins, at different instances', async () => {
  await ask('PUT', 'config/targets/raced', { payload: billing })
  await eventually(async () => (await ask('GET', 'config/targets/raced', { at: 1 })).status === 200)
  for (let round = 0; round < 10; round++) {
    const { etag } = await ask('GET', 'config/targets/raced')
    await eventually(async () => (await ask('GET', 'config/targets/raced', { at: 1 })).etag === etag)
    const both = await Promise.all(
      [0, 1].map((at) =>
        ask('PUT', 'config/targets/raced', {
          ...{ payload: { ...billing, address: `by-${at}:${round + 1}` }, headers: { 'if-match': etag }, at },
        }),
      ),
    )
    assert.deepEqual(both.map(({ status }) => status).sort(), [200, 412])
  }
})

test('a dry run says what is wrong and what would come of it, and writes nothing', async () => {
  const before = await bus.value.endOffsets(topics.control)
  const good = await ask('PUT', 'config/targets/planned?validate=true', { payload: billing })
  assert.deepEqual([good.status, good.body.outcome, good.body.written], [200, 'created', false])
  const bad = await ask('PUT', 'config/targets/planned?validate=true', { payload: { ...billing, port: 1 } })
  assert.deepEqual([bad.status, faults(bad)], [400, ['port: unknown key']])
  assert.deepEqual(await bus.value.endOffsets(topics.control), before)
})

test('what is wrong is named with its place, and a secret that stands in the open is not repeated', async () => {
  const payload = {
    ...{
      protocol: 'telnet',
      address: 'nowhere',
      groups: [],
      tls: { mode: 'verify-full', ca: '/etc/ca.pem' },
    },
    ...{ credentials: { user: 'env:DB_USER', password: 'Canary-in-the-open' } },
  }
  const answer = await ask('PUT', 'config/targets/wrong', { payload })
  assert.equal(answer.status, 400)
  assert.deepEqual(
    faults(answer).map((line) => line.slice(0, line.indexOf(':'))),
    ['protocol', 'address', 'credentials.password', 'groups'],
  )
  assert.doesNotMatch(JSON.stringify(answer.body), /Canary/)
  const local = { ...billing, credentials: { user: 'env:DB_USER', password: 'sealed:never-put' } }
  assert.deepEqual(faults(await ask('PUT', 'config/targets/wrong', { payload: local })), [
    'credentials.user: must not be env: or file:, which are for the configuration file to name: use sealed:, vault:, aws-sm: or k8s:',
  ])
  const absent = { ...billing, credentials: { user: 'app', password: 'sealed:never-put' } }
  assert.deepEqual(faults(await ask('PUT', 'config/targets/wrong', { payload: absent })), [
    'credentials.password: there is no sealed secret never-put: put it first',
  ])
})

test('what the file names is changed there', async () => {
  for (const [path, payload] of [
    ['config/targets/shop', billing],
    [`config/issuers/${encodeURIComponent('https://idp.example')}`, { audience: ['p'] }],
  ] as const) {
    const put = await ask('PUT', path, { payload })
    assert.deepEqual([put.status, put.body.type], [409, 'urn:portcullis:problem:managed'])
    assert.equal((await ask('DELETE', path)).status, 409)
    assert.equal((await ask('GET', path)).body.source, 'file')
  }
})

test('only an admin reads or changes it', async () => {
  for (const token of [tokens.viewer, tokens.responder])
    for (const [method, path] of [
      ['GET', 'config/targets'],
      ['PUT', 'config/targets/x'],
      ['DELETE', 'config/issuers/x'],
      ['PUT', 'config/role-mappings/x'],
      ['GET', 'secrets'],
      ['PUT', 'secrets/x'],
      ['POST', 'secrets/rewrap'],
    ] as const)
      assert.equal((await ask(method, path, { token, payload: {} })).status, 403, `${method} ${path}`)
})

test('an issuer and a role by the API: its people come in, with what their groups give, until it is taken out', async () => {
  const url = issuer.value.issuer
  const path = `config/issuers/${encodeURIComponent(url)}`
  const token = await issuer.value.sign({ sub: 'sam', groups: ['agents', 'oncall'] })
  const whoami = (at: number) => ask('GET', 'whoami', { token, at })
  assert.equal((await whoami(0)).status, 401)
  assert.equal((await ask('PUT', path, { payload: { audience: ['portcullis'] } })).status, 201)
  await eventually(async () => (await whoami(1)).status === 200)
  assert.equal((await whoami(0)).body.role, '')
  assert.equal((await ask('PUT', 'config/role-mappings/oncall', { payload: { role: 'king' } })).status, 400)
  assert.equal(
    (await ask('PUT', 'config/role-mappings/oncall', { payload: { role: 'responder' } })).status,
    201,
  )
  await eventually(async () => (await whoami(1)).body.role === 'responder')
  assert.equal((await ask('GET', 'verdicts', { token })).status, 200)

  // What was configured by the API counts wherever the file's does.
  const { body } = await ask('GET', 'targets', { token })
  assert.ok(body.items.some(({ name }: { name: string }) => name === 'billing'))
  const child = await trade({ subject_token: token, scope: 'target:billing' })
  assert.equal(child.status, 200)
  const unlimited = (await trade({ subject_token: token })).body.access_token
  assert.equal((await ask('GET', 'whoami', { token: unlimited })).status, 200)
  const key = { subject: 'backup', targets: ['billing'], lifeSec: 600 }
  assert.equal((await ask('POST', 'api-keys', { payload: key })).status, 201)

  assert.equal((await ask('DELETE', 'config/role-mappings/oncall')).status, 200)
  assert.equal((await ask('GET', 'verdicts', { token })).status, 403)
  assert.equal((await ask('DELETE', `${path}?reason=leaked`)).status, 200)
  await eventually(async () => (await whoami(1)).status === 401)
  assert.equal((await whoami(0)).status, 401)
  assert.equal((await ask('GET', 'whoami', { token: unlimited })).status, 401, 'what was traded from it')
  assert.equal((await ask('PUT', path, { payload: { audience: ['portcullis'] } })).status, 201)
  assert.equal((await whoami(0)).status, 200)
})

async function trade(parameters: Record<string, string>) {
  const form = new URLSearchParams({
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    ...parameters,
  })
  const response = await instanceAt(0).inject({
    ...{ method: 'POST', url: '/v1/token', payload: form.toString() },
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  return { status: response.statusCode, body: response.json() }
}

test('a policy is put as it was written, with every mistake at its line, and is in force beside the others', async () => {
  const inForce = async (at = 0) => (await ask('GET', 'policy', { at, token: tokens.viewer })).body
  assert.deepEqual(await inForce(), { version: null, documents: [] })
  const wrong = 'rules:\n  - name: a\n    action: alow\n  - use: where-misssing\n'
  const refused = await ask('PUT', 'config/policies/payments', { payload: { text: wrong, more: 1 } })
  assert.equal(refused.status, 400)
  assert.deepEqual(
    faults(refused).map((fault) => fault.split(': ').slice(0, 3).join(' ')),
    ['more unknown key', 'text payments:3:5 rules.0.action', 'text payments:4:5 rules.1.use'],
  )
  assert.match(
    faults(await ask('PUT', 'config/policies/payments', { payload: {} }))[0] ?? '',
    /text: must be/,
  )
  const text = 'rules: # ours\n  - use: where-missing\n'
  const put = await ask('PUT', 'config/policies/payments', { payload: { text } })
  assert.deepEqual([put.status, put.body.version, put.etag], [201, 1, '"1"'])
  await eventually(async () => (await inForce(1)).version !== null)
  const first = await inForce(1)
  assert.deepEqual(
    first.documents.map(({ changedAt: _, ...rest }: Record<string, unknown>) => rest),
    [
      {
        ...{ source: 'api', name: 'payments', version: 1, text, problems: [] },
        changedBy: 'portcullis|root',
      },
    ],
  )
  // More than other bodies may have.
  const long = `${text}${`# ${'"'.repeat(98)}\n`.repeat(2000)}`
  assert.equal((await ask('PUT', 'config/policies/payments', { payload: { text: long } })).status, 200)
  assert.equal((await inForce()).version, first.version, 'the same rules')
  assert.equal((await ask('PUT', 'config/policies/b', { payload: { text } })).status, 201)
  assert.notEqual((await inForce()).version, first.version)
  const ofShop = 'rules: [{ name: rest, match: { targets: [shop] }, action: allow }]'
  const ofOrders = ofShop.replace('shop', 'orders')
  for (const [name, rules] of [
    ['payments', ofOrders],
    ['b', ofShop],
  ])
    assert.equal((await ask('PUT', `config/policies/${name}`, { payload: { text: rules } })).status, 200)
  const shop = await ask('DELETE', 'config/policies/b?reason=done')
  assert.equal(shop.status, 409)
  assert.match(shop.body.detail, /last rules at shop:/)
  assert.equal((await ask('PUT', 'config/policies/payments', { payload: { text } })).status, 200)
  assert.equal((await ask('DELETE', 'config/policies/b?reason=done')).status, 200, 'others are for it')
  const last = await ask('DELETE', 'config/policies/payments?reason=done')
  assert.deepEqual([last.status, last.body.type], [409, 'urn:portcullis:problem:in_use'])
  assert.match(last.body.detail, /whoever may connect may run anything.*open=true/)
  assert.equal((await inForce()).documents.length, 1)
  assert.equal((await ask('DELETE', 'config/policies/payments?reason=done&open=true')).status, 200)
  assert.deepEqual(await inForce(), { version: null, documents: [] })
})
