/** SSH certificates over HTTP: asked for with a real issuer's tokens, used at a real sshd, found again in the control log. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { SshConfig } from '@portcullis/config'
import { createTokenVerifier } from '@portcullis/identity'
import { type Bus, type ControlEvent, type Started, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { openSshCa } from '@portcullis/ssh-ca'
import { missing } from '@portcullis/testkit/missing'
import { newSshKey, sshdBinary, startSshd } from '@portcullis/testkit/sshd'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { FastifyInstance } from 'fastify'
import { startInstance, tokens } from '../test-api.ts'
import { testProver } from '../test-own-tokens.ts'
import { createTrail } from '../trail.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-ssh-'))
const log = createLog({ service: 'test', level: 'silent' })
const codecs = createCodecs()
const me = userInfo().username
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
  const pem = generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const rule: Omit<SshConfig['certificates'][number], 'groups' | 'principals'> = {
    ...{ lifeSecMax: 600, extensions: [], sourceAddress: 'none', hosts: [] },
  }
  const rules: SshConfig['certificates'] = [
    { ...rule, groups: ['agents'], principals: [me], sourceAddress: 'caller', hosts: ['*.prod'] },
    { ...rule, groups: ['ops'], principals: [me, 'deploy'], extensions: ['permit-port-forwarding'] },
    { ...rule, groups: ['people'], principals: ['{subject}'], issuers: [issuer.value.issuer] },
    { ...rule, groups: ['strangers'], principals: ['{subject}'], issuers: ['https://other.example'] },
  ]
  const nowhere = { query: () => Promise.reject(new Error('away')) }
  api = await startInstance(bus.value, createTrail({ store: nowhere, nowUs: systemClock.nowUs }), {
    prover: testProver(createTokenVerifier({ issuers, clock: systemClock, log })),
    ssh: { ca: openSshCa(pem), rules },
  })
  url = await api.value.listen({ host: '127.0.0.1', port: 0 })
})
after(async () => {
  await api.stop()
  await bus.stop()
  await issuer.stop()
  rmSync(dir, { recursive: true, force: true })
})

interface Answer {
  readonly status: number
  readonly body: {
    readonly certificate: string
    readonly serial: string
    readonly validBefore: number
    readonly principals: string[]
    readonly hosts: string[]
    readonly detail: string
    readonly errors?: { readonly field: string }[]
  }
}

async function certificate(bearer: string, order: object): Promise<Answer> {
  const response = await fetch(`${url}/v1/ssh/certificates`, {
    method: 'POST',
    headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json' },
    body: JSON.stringify(order),
  })
  return { status: response.status, body: (await response.json()) as Answer['body'] }
}

function token(groups: string[], claims: object = {}, ttlSec = 3600): Promise<string> {
  return issuer.value.sign({ sub: 'agent-7', groups, ...claims }, { ttlSec })
}

async function issuedEvents(): Promise<ControlEvent[]> {
  const events: ControlEvent[] = []
  const end = (await bus.value.endOffsets(topics.control)).get(0) ?? 0
  const reader = await bus.value.tail({
    topics: [topics.control],
    from: 'earliest',
    onBatch(records) {
      for (const { value } of records) if (value) events.push(codecs.control.decode(value))
    },
  })
  while (events.length < end) await new Promise((resolve) => setTimeout(resolve, 10))
  await reader.stop()
  return events.filter(({ type }) => type === 'ssh-certificate.issued')
}

test('a key certified over HTTP opens a real sshd that trusts /v1/ssh/ca, as whom and from where the rule says', async (t) => {
  if (!sshdBinary) return missing(t, 'sshd')
  const caLine = await (await fetch(`${url}/v1/ssh/ca`)).text()
  assert.match(caLine, /^ssh-ed25519 \S+ portcullis-user-ca\n$/)
  const { value: server, stop } = await startSshd(dir, sshdBinary, caLine.trim())
  t.after(stop)
  const key = newSshKey(dir, 'user', '-t', 'ed25519')
  const publicKey = readFileSync(`${key}.pub`, 'utf8')
  const signedIn = async (answer: Answer, ...options: string[]) => {
    assert.equal(answer.status, 201, JSON.stringify(answer.body))
    writeFileSync(`${key}-cert.pub`, `${answer.body.certificate}\n`)
    return server.run(key, ...options)
  }

  const agent = await certificate(await token(['agents']), { publicKey, lifeSec: 300 })
  assert.deepEqual([agent.body.principals, agent.body.hosts], [[me], ['*.prod']])
  assert.ok(agent.body.validBefore <= Date.now() / 1000 + 300)
  const welcome = await signedIn(agent)
  assert.equal(welcome.stdout, 'hello\n', welcome.stderr + server.log())
  assert.ok(
    server.log().includes(`serial ${agent.body.serial}`),
    'the server logs the serial that we recorded',
  )
  assert.match(server.log(), new RegExp(`ID ${issuer.value.issuer}\\|agent-7`))
  const shown = execFileSync('ssh-keygen', ['-L', '-f', `${key}-cert.pub`], { encoding: 'utf8' })
  assert.match(shown, /source-address 127\.0\.0\.1\/32/)

  const deploy = await certificate(await token(['ops']), { publicKey, principals: ['deploy'] })
  assert.notEqual((await signedIn(deploy)).status, 0, 'for another user of the server')
  const forward = ['-o', 'ExitOnForwardFailure=yes', '-W', `127.0.0.1:${server.port}`]
  assert.notEqual((await signedIn(agent, ...forward)).status, 0, 'forwarding that the rule does not have')
  const ops = await certificate(await token(['ops']), { publicKey, principals: [me] })
  assert.match((await signedIn(ops, ...forward)).stdout, /^SSH-2\.0/)
  assert.doesNotMatch(
    execFileSync('ssh-keygen', ['-L', '-f', `${key}-cert.pub`], { encoding: 'utf8' }),
    /source-address/,
  )

  const events = await issuedEvents()
  const event = events.find(({ payload }) => JSON.parse(payload).serial === agent.body.serial)
  assert.equal(event?.actor.subject, 'agent-7')
  const { fingerprint, principals, sourceAddresses } = JSON.parse(event?.payload ?? '')
  const [, ofKey] = execFileSync('ssh-keygen', ['-l', '-f', `${key}.pub`], { encoding: 'utf8' }).split(' ')
  assert.equal(fingerprint, ofKey)
  assert.deepEqual([principals, sourceAddresses], [[me], ['127.0.0.1/32']])
})

const publicKey = `ssh-ed25519 ${Buffer.concat([
  Buffer.from('0000000b', 'hex'),
  Buffer.from('ssh-ed25519'),
  Buffer.from('00000020', 'hex'),
  Buffer.alloc(32, 7),
]).toString('base64')}`

test('a subject becomes a principal only as it is, of an issuer that may say so, and never root', async () => {
  const asked = async (sub: string, groups = ['people']) =>
    certificate(await token(groups, { sub }), { publicKey })
  assert.deepEqual((await asked('ann')).body.principals, ['ann'])
  for (const sub of ['root', 'ROOT', 'repo:acme/shop', 'ann,root', '*', '-l', 'ann\nroot', 'änn'])
    assert.ok([401, 403].includes((await asked(sub)).status), JSON.stringify(sub))
  assert.equal((await asked('ann', ['strangers'])).status, 403)
})

test('a certificate ends with the token that it was given for, at the latest', async () => {
  const { status, body } = await certificate(await token(['agents'], {}, 120), { publicKey })
  assert.equal(status, 201)
  assert.ok(body.validBefore <= Date.now() / 1000 + 120)
})

const refusals: [string, () => Promise<string>, object, number, RegExp][] = [
  ['nobody', async () => 'x.y.z', { publicKey }, 401, /not known/],
  ['a static token', async () => tokens.admin, { publicKey }, 403, /static token/],
  ['a group without a rule', () => token(['sales']), { publicKey }, 403, /None of your groups/],
  [
    'a principal beyond the rules',
    () => token(['ops']),
    { publicKey, principals: ['deploy', 'eve'] },
    403,
    /deploy/,
  ],
  ['a key that is none', () => token(['ops']), { publicKey: 'ssh-rsa AAAA' }, 400, /./],
  ['a private key', () => token(['ops']), { publicKey: '-----BEGIN OPENSSH PRIVATE KEY-----' }, 400, /./],
  ['a life of nothing', () => token(['ops']), { publicKey, lifeSec: 0 }, 400, /./],
  ['an option that is not known', () => token(['ops']), { publicKey, forceCommand: 'x' }, 400, /./],
]
for (const [what, bearer, order, status, why] of refusals)
  test(`refused, and not recorded: ${what}`, async () => {
    const before = (await issuedEvents()).length
    const answer = await certificate(await bearer(), order)
    assert.equal(answer.status, status, JSON.stringify(answer.body))
    assert.match(answer.body.detail, why)
    assert.equal((await issuedEvents()).length, before)
  })

test('who is revoked, or whose token is good for targets only, gets none; nor does anyone get very many', async () => {
  const bearer = await token(['ops'], { sub: 'agent-9' })
  const form = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: bearer,
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    scope: 'target:shop',
  }
  const traded = await fetch(`${url}/v1/token`, { method: 'POST', body: new URLSearchParams(form) })
  const { access_token: scoped } = (await traded.json()) as { access_token: string }
  assert.match((await certificate(scoped, { publicKey })).body.detail, /targets only/)
  const statuses: number[] = []
  for (let count = 0; count < 11; count++) statuses.push((await certificate(bearer, { publicKey })).status)
  assert.deepEqual(statuses, [...Array.from({ length: 10 }, () => 201), 503])

  const other = await token(['ops'], { sub: 'agent-8' })
  assert.equal((await certificate(other, { publicKey })).status, 201)
  const revoked = await api.value.inject({
    method: 'POST',
    url: '/v1/revocations',
    headers: { authorization: `Bearer ${tokens.admin}` },
    payload: { token: other, reason: 'leaked' },
  })
  assert.equal(revoked.statusCode, 201, revoked.body)
  assert.match((await certificate(other, { publicKey })).body.detail, /stopped by a verdict/)
})

test('where no authority is configured it says so', async () => {
  const nowhere = { query: () => Promise.reject(new Error('away')) }
  const without = await startInstance(bus.value, createTrail({ store: nowhere, nowUs: systemClock.nowUs }))
  const response = await without.value.inject({ url: '/v1/ssh/ca' })
  await without.stop()
  assert.equal(response.statusCode, 503)
  assert.match(response.json().detail, /the section ssh is missing/)
})
