/** A pinned token at the API: what the proxy saw of it counts here, and what it is traded from here counts there. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  createJudgeUse,
  createTokenVerifier,
  judgeCarried,
  type JudgeUse,
  type Prover,
} from '@portcullis/identity'
import { type Bus, type Started, systemClock, topics } from '@portcullis/kernel'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { openTokenUses, type TokenUses } from '@portcullis/platform/token-uses'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { FastifyInstance } from 'fastify'
import { startInstance, tokens } from './test-api.ts'
import { testProver } from './test-own-tokens.ts'
import { createTrail } from './trail.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-pinned-'))
const log = createLog({ service: 'test', level: 'silent' })
const clock = systemClock
let issuer: Started<TestIssuer>
let bus: Started<Bus>
let uses: readonly Started<TokenUses>[]
let api: Started<FastifyInstance>
/** The proxy's, over the same file. */
let judgeAtDoor: JudgeUse
/** The API's, which folds the keys of the log. */
let prover: Prover
const verifier = () =>
  testProver(
    createTokenVerifier({
      ...{ issuers: [{ issuer: issuer.value.issuer, audience: ['portcullis'], pinAddress: 'address' }] },
      ...{ clock, log },
    }),
  )

before(async () => {
  issuer = await startTestIssuer()
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({ topic, partitions: 1, cleanup: 'delete', retentionMs: -1 })),
  )
  uses = [openTokenUses({ dir, clock }), openTokenUses({ dir, clock })]
  const [atDoor, atApi] = uses.map(({ value }) =>
    createJudgeUse({ replay: 'finding', pinAddress: 'off' }, value, log),
  )
  assert.ok(atDoor && atApi)
  judgeAtDoor = atDoor
  prover = verifier()
  const away = () => Promise.reject(new Error('away'))
  api = await startInstance(bus.value, createTrail({ store: { query: away }, nowUs: clock.nowUs }), {
    ...{ prover, judgeUse: atApi, roles: { oncall: 'responder' } },
  })
})
after(async () => {
  await api.stop()
  for (const one of uses) await one.stop()
  await bus.stop()
  await issuer.stop()
  rmSync(dir, { recursive: true, force: true })
})

const sign = (jti: string) => issuer.value.sign({ sub: 'ci', groups: ['oncall'], jti }, { ttlSec: 300 })

async function trade(fields: Record<string, string>, remoteAddress: string) {
  const type = 'urn:ietf:params:oauth:token-type:jwt'
  const { statusCode, body } = await api.value.inject({
    ...{ method: 'POST', url: '/v1/token', remoteAddress },
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    payload: new URLSearchParams({
      ...{ grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange', subject_token_type: type },
      ...(fields.actor_token && { actor_token_type: type }),
      ...fields,
    }).toString(),
  })
  return { status: statusCode, body }
}

test('a token that came in at the proxy is neither traded nor taken from elsewhere', async () => {
  const token = await sign('used-at-the-door')
  assert.ok('attributes' in judgeAtDoor(token, await verifier().prove(token, {}), '10.0.0.1'))
  const stolen = await trade({ subject_token: token }, '10.9.9.9')
  assert.equal(stolen.status, 400)
  assert.match(stolen.body, /subject_token proves nobody here/)
  assert.doesNotMatch(stolen.body, /10\.0\.0\.1/)
  const whoami = (remoteAddress: string) =>
    api.value.inject({ url: '/v1/whoami', remoteAddress, headers: { authorization: `Bearer ${token}` } })
  assert.equal((await whoami('10.9.9.9')).statusCode, 401)
  assert.equal((await whoami('10.0.0.1')).statusCode, 200)
  assert.equal((await trade({ subject_token: token }, '10.0.0.1')).status, 200)
})

test('a token that was traded is good at the proxy from there alone; so is one of who will act', async () => {
  const [token, actor] = [await sign('traded'), await sign('acting')]
  assert.equal((await trade({ subject_token: token, actor_token: actor }, '10.0.0.1')).status, 200)
  for (const one of [token, actor]) {
    const proof = await verifier().prove(one, {})
    assert.ok('why' in judgeAtDoor(one, proof, '10.9.9.9'))
    assert.ok('attributes' in judgeAtDoor(one, proof, '10.0.0.1'))
  }
  const other = await sign('another')
  assert.equal((await trade({ subject_token: other, actor_token: actor }, '10.9.9.9')).status, 400)
})

test('a proxy that shares no file with the API hears by the child where its parents were traded', async () => {
  const [stolen, used] = [await sign('stolen'), await sign('used-later')]
  const elsewhere = openTokenUses({ dir: join(dir, 'elsewhere'), clock })
  const judge = createJudgeUse({ replay: 'finding', pinAddress: 'off' }, elsewhere.value, log)
  const proofOf = async (token: string) => ({ token, proof: await prover.prove(token, {}) })
  const comes = ({ token, proof }: Awaited<ReturnType<typeof proofOf>>, from: string) => {
    const use = judge(token, proof, from)
    return 'why' in use ? use.why : (judgeCarried(judge, proof.carried) ?? 'let in')
  }
  const childOf = async (token: string, from: string) => {
    const { status, body } = await trade({ subject_token: token }, from)
    assert.equal(status, 200, body)
    return proofOf(JSON.parse(body).access_token)
  }
  // First at that proxy, then traded by who stole it: nothing comes of it there, from wherever.
  assert.equal(comes(await proofOf(stolen), '10.0.0.1'), 'let in')
  const child = await childOf(stolen, '10.9.9.9')
  for (const from of ['10.9.9.9', '10.0.0.1'])
    assert.match(comes(child, from), /first used from 10\.0\.0\.1.*traded/)
  const grandchild = await childOf(child.token, '10.9.9.9')
  assert.match(comes(grandchild, '10.0.0.1'), /first used from 10\.0\.0\.1.*traded/)
  // First traded: the child may be carried on, its parent may not come from there.
  const carriedOn = await childOf(used, '10.0.0.1')
  assert.equal(comes(carriedOn, '10.5.5.5'), 'let in')
  assert.match(comes(await proofOf(used), '10.5.5.5'), /first used from 10\.0\.0\.1/)
  assert.equal(comes(await proofOf(used), '10.0.0.1'), 'let in')
  await elsewhere.stop()
})

test('whoever finds a pinned token may have it revoked from wherever they are', async () => {
  const token = await sign('found')
  assert.equal((await trade({ subject_token: token }, '10.0.0.1')).status, 200)
  const { statusCode, body } = await api.value.inject({
    ...{ method: 'POST', url: '/v1/revocations', remoteAddress: '10.9.9.9' },
    headers: { authorization: `Bearer ${tokens.responder}` },
    payload: { token, reason: 'in a log' },
  })
  assert.equal(statusCode, 201, body)
})
