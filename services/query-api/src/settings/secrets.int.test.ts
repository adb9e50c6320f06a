/** Sealed secrets by the API, over instances that share a real embedded bus and have the master keys that each test gives them. */
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type Bus, type Started, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { startControlLog } from '@portcullis/platform/control'
import { createLog } from '@portcullis/platform/service'
import { createLocalKeys, createSealer, type Sealer, VaultError } from '@portcullis/vault'
import type { FastifyInstance } from 'fastify'
import { eventually, startInstance, tokens } from '../test-api.ts'
import { createSigningKeys } from '../tokens/signing-keys.ts'
import { createTrail } from '../trail.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-secrets-'))
const log = createLog({ service: 'test', level: 'silent' })
const codecs = createCodecs()
const keys: Record<string, string> = {
  'env:A': randomBytes(32).toString('hex'),
  'env:B': randomBytes(32).toString('base64'),
}
let bus: Started<Bus>
let app: Started<FastifyInstance>
const answers: string[] = []

const sealerOf = (...ids: ['A' | 'B', ...('A' | 'B')[]]): Sealer => {
  const [first, ...others] = ids.map((id) => ({ id, key: `env:${id}` }))
  assert.ok(first)
  return createSealer(createLocalKeys([first, ...others], (reference) => keys[reference] ?? ''))
}

before(async () => {
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  app = await instance(sealerOf('A'))
})
after(async () => {
  await app.stop()
  await bus.stop()
  rmSync(dir, { recursive: true, force: true })
})

function instance(sealer: Sealer): Promise<Started<FastifyInstance>> {
  const trail = createTrail({
    store: { query: () => Promise.reject(new Error('away')) },
    nowUs: systemClock.nowUs,
  })
  return startInstance(bus.value, trail, { sealer })
}

async function ask(
  method: 'GET' | 'PUT' | 'POST' | 'DELETE',
  path: string,
  payload?: object,
  { at = app, headers = {} }: { at?: Started<FastifyInstance>; headers?: Record<string, string> } = {},
) {
  const response = await at.value.inject({
    ...{ method, url: `/v1/${path}`, headers: { authorization: `Bearer ${tokens.admin}`, ...headers } },
    ...(payload && { payload }),
  })
  answers.push(response.body, JSON.stringify(response.headers))
  return { status: response.statusCode, body: response.json() }
}

const canary = 'Canary-of-the-vault "quoted" ✓'

test('a secret is put and listed, and its value is in no answer and no event', async () => {
  assert.equal((await ask('PUT', 'secrets/db', { value: canary })).status, 201)
  const { body } = await ask('GET', 'secrets')
  const [{ sealedAt, ...secret }] = body.items
  assert.match(sealedAt, /^20\d\d-/)
  assert.deepEqual(secret, {
    ...{ name: 'db', version: 1, sealedBy: 'portcullis|root', keyId: 'A', isOld: false },
    ...{ addresses: [], usedBy: [] },
  })
  for (const wrong of [{}, { value: '' }, { value: 7 }, { value: 'a\0b' }, { value: canary, valeu: canary }])
    assert.equal((await ask('PUT', 'secrets/db', wrong)).status, 400)
  assert.equal((await ask('PUT', 'secrets/Not-a-name', { value: canary })).status, 400)
  assert.equal((await ask('GET', 'secrets')).body.items[0].version, 1)
  assert.doesNotMatch(answers.join('\n'), /Canary/)
  const events = await controlEvents()
  assert.equal(events.at(-1)?.type, 'secret.sealed')
  for (const text of ['Canary', Buffer.from(canary).toString('base64'), Buffer.from(canary).toString('hex')])
    assert.ok(!JSON.stringify(events).includes(text))
})

test('a secret that a target signs in with stays', async () => {
  const credentials = { user: 'app', password: 'sealed:db' }
  const target = { protocol: 'postgres', address: 'db:5432', groups: ['agents'], credentials }
  const aimed = await ask('PUT', 'config/targets/reports', target)
  assert.equal(aimed.status, 400)
  assert.match(JSON.stringify(aimed.body.errors), /credentials\.password.*may not be sent to db:5432/)
  const put = (more: object) => ask('PUT', 'secrets/db', { value: canary, ...more })
  assert.equal((await put({ addresses: ['db'] })).status, 400)
  assert.deepEqual((await put({ addresses: ['db:5432', 'db-2:5432'] })).body.addresses.length, 2)
  assert.equal((await ask('PUT', 'config/targets/reports', target)).status, 201)
  // Nor is a target moved to somewhere else with it, or the secret from under a target.
  assert.equal((await ask('PUT', 'config/targets/reports', { ...target, address: 'evil:5432' })).status, 400)
  const away = await put({ addresses: ['db-2:5432'] })
  assert.deepEqual([away.status, away.body.type], [409, 'urn:portcullis:problem:in_use'])
  assert.match(away.body.detail, /reports/)
  assert.deepEqual((await put({})).body.addresses, ['db:5432', 'db-2:5432'], 'a rotation leaves it as it was')
  const refused = await ask('DELETE', 'secrets/db')
  assert.deepEqual([refused.status, refused.body.type], [409, 'urn:portcullis:problem:in_use'])
  assert.match(refused.body.detail, /reports/)
  assert.deepEqual((await ask('GET', 'secrets')).body.items[0].usedBy, ['reports'])
  assert.equal((await ask('DELETE', 'config/targets/reports')).status, 200)
  assert.equal((await ask('DELETE', 'secrets/db?reason=moved')).status, 200)
  assert.equal((await ask('DELETE', 'secrets/db')).status, 404)
})

test('conditions hold for secrets too, and without one the last to come wins', async () => {
  const put = (value: string, headers: Record<string, string> = {}) =>
    ask('PUT', 'secrets/shared', { value }, { headers })
  assert.equal((await put('one', { 'if-match': '*' })).status, 412)
  assert.equal((await put('one', { 'if-none-match': '*' })).status, 201)
  assert.equal((await put('two', { 'if-none-match': '*' })).status, 412)
  assert.equal((await put('two', { 'if-match': '"1"' })).status, 200)
  assert.equal((await put('three', { 'if-match': '"1"' })).status, 412)
  const other = await instance(sealerOf('A'))
  const all = await Promise.all(
    ['a', 'b', 'c', 'd'].map((value, index) =>
      ask('PUT', 'secrets/shared', { value }, index % 2 === 0 ? {} : { at: other }),
    ),
  )
  assert.deepEqual(
    all.map(({ status }) => status),
    [200, 200, 200, 200],
  )
  await other.stop()
})

test('after a rotation of the master key all is sealed anew, and opens without the old one', async () => {
  for (const name of ['r1', 'r2']) await ask('PUT', `secrets/${name}`, { value: `${canary} ${name}` })
  const both = await instance(sealerOf('B', 'A'))
  const at = { at: both }
  const oldBefore = (await ask('GET', 'secrets', undefined, at)).body.items
  assert.ok(oldBefore.every(({ isOld }: { isOld: boolean }) => isOld))
  await ask('PUT', 'secrets/fresh', { value: 'x' }, at)
  const { body } = await ask('POST', 'secrets/rewrap', {}, at)
  assert.deepEqual(body, { rewrapped: ['shared', 'r1', 'r2'], failed: [], signingKey: null })
  const items = (await ask('GET', 'secrets', undefined, at)).body.items
  assert.ok(
    items.every(({ keyId, isOld }: { keyId: string; isOld: boolean }) => keyId === 'B' && !isOld),
    JSON.stringify(items),
  )
  // Who put the value, and when, stays; the version moves on.
  const [before, now] = [oldBefore, items].map((list) =>
    list.find(({ name }: { name: string }) => name === 'r1'),
  )
  assert.deepEqual([now.sealedAt, now.version], [before.sealedAt, before.version + 1])
  assert.deepEqual((await ask('POST', 'secrets/rewrap', {}, at)).body.rewrapped, [])
  await both.stop()

  const alone = await instance(sealerOf('B'))
  const done = (await ask('POST', 'secrets/rewrap', { all: true }, { at: alone })).body
  assert.deepEqual([done.rewrapped.length, done.failed], [4, []])
  await alone.stop()
  // One with the old key alone says which it cannot open, and leaves them.
  await eventually(async () => (await ask('GET', 'secrets')).body.items[0].keyId === 'B')
  const failed = (await ask('POST', 'secrets/rewrap', {})).body
  assert.deepEqual(failed.rewrapped, [])
  assert.equal(failed.failed.length, 4)
  assert.match(failed.failed[0].why, /its master key is not among those configured/)
  assert.doesNotMatch(answers.join('\n'), /Canary/)
})

test('a master key that is away: nothing changes, and the answer says so', async () => {
  const away = () =>
    Promise.reject(new VaultError('unavailable', 'vault:transit/gate: Vault cannot serve now'))
  const at = { at: await instance(createSealer({ wrap: away, unwrap: away, isOld: () => false })) }
  const before = await bus.value.endOffsets(topics.control)
  const put = await ask('PUT', 'secrets/late', { value: canary }, at)
  assert.deepEqual([put.status, put.body.type], [503, 'urn:portcullis:problem:sealing_unavailable'])
  assert.equal((await ask('POST', 'secrets/rewrap', {}, at)).status, 503)
  assert.deepEqual(await bus.value.endOffsets(topics.control), before)
  await at.at.stop()
})

test('after a rotation a new signing key signs, and the old master key is needed no longer', async () => {
  const control = await startControlLog({ bus: bus.value, codecs, clock: systemClock, ids: randomUUID })
  await control.value.whenCaughtUp
  const keysOf = (sealer: Sealer) =>
    createSigningKeys({ control: control.value, sealer, log, clock: systemClock, tokenSecMax: 60 })
  const { keyId: before } = await keysOf(sealerOf('A')).current()
  const both = keysOf(sealerOf('B', 'A'))
  const actor = { issuer: 'portcullis', subject: 'root', roles: ['admin'] }
  const made = await both.renewIfOld(actor)
  assert.ok(made !== undefined && made !== before)
  assert.equal(await both.renewIfOld(actor), undefined)
  assert.equal((await keysOf(sealerOf('B')).current()).keyId, made)
  // It goes on to verify what it signed.
  assert.ok(both.list().some(({ keyId }) => keyId === before))
  await control.stop()
})

async function controlEvents() {
  const events: { type: string; payload: string }[] = []
  const [end = 0] = [...(await bus.value.endOffsets(topics.control)).values()]
  const tail = await bus.value.tail({
    topics: [topics.control],
    from: 'earliest',
    onBatch: (records) =>
      void events.push(...records.flatMap(({ value }) => (value ? [codecs.control.decode(value)] : []))),
    onCaughtUp: () => undefined,
  })
  await eventually(async () => events.length >= Number(end))
  await tail.stop()
  return events
}
