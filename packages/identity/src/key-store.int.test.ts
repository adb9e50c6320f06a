/** Restarts while the issuer is away: who is let in by the keys of before, for how long, and what may not be believed. */
import assert from 'node:assert/strict'
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Clock, systemClock } from '@portcullis/kernel'
import { startTestIssuer } from '@portcullis/testkit/tokens'
import { IdentityError } from './errors.ts'
import type { IssuerConfig } from './issuer-config.ts'
import { createKeyStore } from './key-store.ts'
import { createTokenVerifier, type TokenVerifier } from './verifier.ts'

const limits = { jwksCacheSec: 600, jwksStaleSec: 3600 }

async function setUp(t: TestContext) {
  const { value: issuer, stop } = await startTestIssuer({ algorithms: ['ES256', 'RS256'] })
  t.after(stop)
  const parent = await mkdtemp(join(tmpdir(), 'portcullis-keys-'))
  t.after(() => rm(parent, { recursive: true }))
  const dir = join(parent, 'keys')
  const warned: string[] = []
  const log = { info() {}, warn: (_fields: object, message: string) => void warned.push(message) }
  /** A verifier as a new process would have it, `laterSec` after now by the wall clock. */
  const restart = (laterSec = 0, more: Partial<IssuerConfig> = {}, from = dir): TokenVerifier => {
    const clock: Clock = { ...systemClock, nowUs: () => systemClock.nowUs() + laterSec * 1e6 }
    const issuers = [{ issuer: issuer.issuer, audience: ['portcullis'], ...limits, ...more }]
    return createTokenVerifier({ issuers, clock, log, keyStore: createKeyStore(from) })
  }
  /** The one file, once it is written. */
  const stored = async (): Promise<string> => {
    for (let tries = 0; tries < 200; tries += 1) {
      const [name] = (await readdir(dir).catch(() => [])).filter((file) => file.endsWith('.json'))
      if (name) return join(dir, name)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    return assert.fail('the keys were not stored')
  }
  return { issuer, dir, warned, restart, stored }
}

async function refused(verifier: TokenVerifier, token: string, code: string): Promise<void> {
  await assert.rejects(
    verifier.verify(token),
    (error) => error instanceof IdentityError && error.code === code,
    `expected ${code}`,
  )
}

test('a verifier that starts while its issuer is away lets in whom the stored keys prove', async (t) => {
  const { issuer, dir, restart, stored } = await setUp(t)
  const ttlSec = 100_000
  await restart().verify(await issuer.sign({ sub: 'ann' }))
  const file = await stored()
  assert.equal((await stat(file)).mode & 0o777, 0o600)
  assert.equal((await stat(dir)).mode & 0o777, 0o700)
  assert.doesNotMatch(await readFile(file, 'utf8'), /"(d|p|q|dp|dq|qi|k)":/, 'public members only')
  issuer.pause()
  const [ec, rsa] = [
    await issuer.sign({ sub: 'bea' }, { ttlSec }),
    await issuer.sign({ sub: 'cid' }, { alg: 'RS256', ttlSec }),
  ]
  const again = restart()
  assert.equal((await again.verify(ec)).identity.subject, 'bea')
  assert.equal((await again.verify(rsa)).identity.subject, 'cid')
  const [status] = again.status()
  assert.equal(status?.usable, true)
  assert.match(status?.lastFailure ?? '', /could not be reached/)
  await refused(again, `${ec.slice(0, -8)}AAAAAAAA`, 'bad_signature')

  const oldest = limits.jwksCacheSec + limits.jwksStaleSec
  await restart(oldest - 60).verify(ec)
  await refused(restart(oldest + 1), ec, 'issuer_unavailable')
  // Written in what is now the future: some clock was wrong, and how old the keys are nobody knows.
  await refused(restart(-3600), ec, 'issuer_unavailable')
  await refused(restart(0, {}, `${dir}-elsewhere`), ec, 'issuer_unavailable')
})

test('stored keys never spare asking the issuer: what it withdrew meanwhile proves nobody', async (t) => {
  const { issuer, restart, stored } = await setUp(t)
  const old = await issuer.sign({ sub: 'ann' })
  await restart().verify(old)
  const before = await readFile(await stored(), 'utf8')
  await issuer.rotate()
  const again = restart()
  await refused(again, old, 'unknown_key')
  await again.verify(await issuer.sign({ sub: 'ann' }))
  for (let tries = 0; tries < 200 && (await readFile(await stored(), 'utf8')) === before; tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 10))
  issuer.pause()
  await refused(restart(), old, 'unknown_key')
})

test('what is damaged, or was found under another configuration, is as good as nothing', async (t) => {
  const { issuer, restart, stored } = await setUp(t)
  const token = await issuer.sign({ sub: 'ann' })
  await restart().verify(token)
  const file = await stored()
  const whole = await readFile(file)
  issuer.pause()
  const flipped = Buffer.from(whole)
  flipped[whole.length - 20] = (flipped[whole.length - 20] ?? 0) ^ 1
  const damages = [Buffer.alloc(0), whole.subarray(0, -1), whole.subarray(65), flipped, Buffer.from('{}\n{}')]
  for (const damaged of damages) {
    await writeFile(file, damaged)
    await refused(restart(), token, 'issuer_unavailable')
  }
  await writeFile(file, whole)
  await restart().verify(token)
  await refused(restart(0, { jwksUri: `${issuer.issuer}/jwks` }), token, 'issuer_unavailable')

  await writeFile(file, flipped)
  issuer.resume()
  await restart().verify(token)
  for (let tries = 0; tries < 200 && (await readFile(file)).equals(flipped); tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 10))
  issuer.pause()
  assert.equal((await restart().verify(token)).identity.subject, 'ann', 'the damaged file was mended')
})

test('a folder that cannot be written costs a warning, not the login', async (t) => {
  const { issuer, dir, warned, restart } = await setUp(t)
  await writeFile(dir, 'a file where the folder should be')
  await restart().verify(await issuer.sign({ sub: 'ann' }))
  for (let tries = 0; tries < 200 && warned.length === 0; tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 10))
  assert.deepEqual(warned, [
    'issuer keys cannot be stored: after a restart nobody gets in while the issuer is away',
  ])
})
