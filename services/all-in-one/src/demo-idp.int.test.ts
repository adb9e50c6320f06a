/** The demo's issuer as its own process, asked for tokens by the demo and by everyone else on the machine. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, type TestContext, test } from 'node:test'
import { createTokenVerifier } from '@portcullis/identity'
import { type Started, systemClock } from '@portcullis/kernel'
import { type DemoIdp, startDemoIdp } from './demo-idp.ts'

const quiet = { info() {}, warn() {} }
let dir: string
let shared: Started<DemoIdp>
let idp: DemoIdp

before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'portcullis-demo-idp-'))
  shared = await startDemoIdp({ dir: join(dir, 'idp'), port: 0, log: quiet })
  idp = shared.value
})
after(async () => {
  await shared.stop()
  await rm(dir, { recursive: true })
})

async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-demo-idp-'))
  t.after(() => rm(dir, { recursive: true, force: true }))
  return dir
}

/** On a port of its own, so that tests do not meet a running demo. */
async function start(
  t: TestContext,
  dir: string,
  log: { warn(fields: object, message: string): void } = quiet,
) {
  const started = await startDemoIdp({ dir: join(dir, 'idp'), port: 0, log })
  t.after(started.stop)
  return started
}

const verifierOf = ({ issuer, audience }: DemoIdp) =>
  createTokenVerifier({ issuers: [{ issuer, audience: [audience] }], clock: systemClock, log: quiet })

async function post(issuer: string, form: Record<string, string>, headers: Record<string, string> = {}) {
  const response = await fetch(`${issuer}/token`, {
    method: 'POST',
    body: new URLSearchParams(form),
    headers,
  })
  return { status: response.status, text: await response.text() }
}

function basic(user: string, password: string) {
  return { authorization: `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` }
}

test('tokens prove agents with subject, groups, delegation, jti and lifetime, to our own verifier', async () => {
  const verifier = verifierOf(idp)
  const nowUs = systemClock.nowUs()
  const token = await idp.mint('agent-7', { groups: ['analysts', 'on call'], ttlSec: 120 })
  const proof = await verifier.verify(token)
  assert.equal(proof.identity.issuer, idp.issuer)
  assert.equal(proof.identity.subject, 'agent-7')
  assert.deepEqual(proof.identity.groups, ['analysts', 'on call'])
  assert.ok(Math.abs(proof.expiresAtUs - nowUs - 120e6) < 5e6)
  const other = await verifier.verify(await idp.mint('agent-7'))
  assert.notEqual(other.tokenId, proof.tokenId)
  const delegated = await verifier.verify(await idp.mint('alice', { act: { sub: 'agent-7', kind: 'agent' } }))
  assert.equal(delegated.identity.subject, 'agent-7')
  assert.deepEqual(delegated.identity.delegation, [{ issuer: idp.issuer, subject: 'alice', kind: 'unknown' }])
  assert.ok(Buffer.byteLength(token) < 1000, 'short enough to paste')
})

test('nobody else on the machine gets a token', async () => {
  const form = { grant_type: 'client_credentials', portcullis_claims: JSON.stringify({ subject: 'eve' }) }
  const kept = JSON.parse(await readFile(join(dir, 'idp', 'demo-idp.json'), 'utf8'))
  const guesses: Record<string, string>[] = [
    {},
    basic('portcullis-demo', ''),
    basic('portcullis-demo', 'secret'),
    basic('portcullis-demo', kept.jwk.d),
    basic('other', 'secret'),
    { authorization: 'Bearer x' },
  ]
  for (const headers of guesses) {
    const { status, text } = await post(idp.issuer, form, headers)
    assert.ok(status === 400 || status === 401, `${status} ${text}`)
    assert.ok(!text.includes('access_token'), text)
  }
  for (const client_secret of ['', 'secret']) {
    const { status } = await post(idp.issuer, { ...form, client_id: 'portcullis-demo', client_secret })
    assert.ok(status === 400 || status === 401)
  }
})

test('nothing is served but discovery, keys and tokens, and that only under its own name', async () => {
  const paths = [
    '/',
    '/auth',
    '/auth?client_id=portcullis-demo&response_type=code',
    '/interaction/x',
    '/me',
    '/reg',
  ]
  for (const path of [
    ...paths,
    '/session/end',
    '/token',
    '/jwks/',
    '/.well-known/openid-configuration/../../auth',
  ])
    assert.equal((await fetch(idp.issuer + path)).status, 404, path)
  assert.equal(
    (await fetch(`${idp.issuer}/jwks`, { headers: { origin: 'https://evil.example' } })).status,
    404,
  )
  const port = Number(new URL(idp.issuer).port)
  const status = await new Promise((resolve, reject) => {
    const headers = { host: 'evil.example' }
    request({ host: '127.0.0.1', port, path: '/.well-known/openid-configuration', headers }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
      .on('error', reject)
      .end()
  })
  assert.equal(status, 404)
  const keys = await (await fetch(`${idp.issuer}/jwks`)).text()
  assert.ok(!keys.includes('"d"'), 'only the public half')
})

test('a second start is the same issuer with the same key; its secret is another', async (t) => {
  const dir = await folder(t)
  const first = await start(t, dir)
  const token = await first.value.mint('agent-7')
  await first.stop()
  assert.deepEqual(await readdir(join(dir, 'idp')), ['demo-idp.json'])
  assert.equal((await stat(join(dir, 'idp', 'demo-idp.json'))).mode & 0o777, 0o600)
  assert.equal((await stat(join(dir, 'idp'))).mode & 0o777, 0o700)
  await assert.rejects(first.value.mint('agent-7'))

  const second = await start(t, dir)
  assert.equal(second.value.issuer, first.value.issuer)
  const verifier = verifierOf(second.value)
  assert.equal((await verifier.verify(token)).identity.subject, 'agent-7')
  await verifier.verify(await second.value.mint('agent-7'))
  await assert.rejects(first.value.mint('agent-7'), /gave no token/)
})

test('claims that cannot be signed are refused with what is wrong', async () => {
  await assert.rejects(idp.mint(''), /has no subject/)
  await assert.rejects(idp.mint('a', { ttlSec: 0 }), /ttlSec/)
  await assert.rejects(idp.mint('a', { ttlSec: 1e9 }), /ttlSec/)
  assert.equal(
    (await verifierOf(idp).verify(await idp.mint('"é😀', { groups: ['ü'] }))).identity.subject,
    '"é😀',
  )
})

test('a port of an earlier start that is taken, and a damaged file, are said clearly', async (t) => {
  const dir = await folder(t)
  const first = await start(t, dir)
  await first.stop()
  const squatter = createServer()
  await new Promise<void>((resolve) =>
    squatter.listen(Number(new URL(first.value.issuer).port), '127.0.0.1', resolve),
  )
  t.after(() => void squatter.close())
  await assert.rejects(
    startDemoIdp({ dir: join(dir, 'idp'), log: quiet }),
    /cannot listen .* free that port, or remove/,
  )

  await writeFile(join(dir, 'idp', 'demo-idp.json'), '{"port": 1')
  await assert.rejects(startDemoIdp({ dir: join(dir, 'idp'), log: quiet }), /damaged: remove it/)
})

test('a port that is taken at the first start is not insisted upon', async (t) => {
  const squatter = createServer()
  await new Promise<void>((resolve) => squatter.listen(0, '127.0.0.1', resolve))
  t.after(() => void squatter.close())
  const { port } = squatter.address() as AddressInfo
  const started = await startDemoIdp({ dir: await folder(t), port, log: quiet })
  t.after(started.stop)
  assert.notEqual(Number(new URL(started.value.issuer).port), port)
})

test('its death is logged, and stopping it then does not hang', async (t) => {
  const warnings: string[] = []
  const warned = Promise.withResolvers<void>()
  const started = await start(t, await folder(t), {
    warn: (fields, message) => {
      warnings.push(`${message} ${JSON.stringify(fields)}`)
      warned.resolve()
    },
  })
  process.kill(started.value.pid, 'SIGKILL')
  await warned.promise
  assert.match(warnings.join(), /ended: no new demo tokens.*SIGKILL/)
  await started.stop()
})

test('it does not outlive the process that started it', async (t) => {
  const dir = await folder(t)
  const script = `
    import { startDemoIdp } from ${JSON.stringify(new URL('./demo-idp.ts', import.meta.url).href)}
    const { value } = await startDemoIdp({ dir: ${JSON.stringify(join(dir, 'idp'))}, port: 0, log: console })
    console.log(value.pid)`
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const pid = Number(await new Promise<Buffer>((resolve) => parent.stdout.once('data', resolve)))
  assert.ok(isAlive(pid))
  parent.kill('SIGKILL')
  const deadlineMs = performance.now() + 20_000
  while (isAlive(pid) && performance.now() < deadlineMs)
    await new Promise((resolve) => setTimeout(resolve, 20))
  assert.ok(!isAlive(pid))
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
