/** A real issuer that rotates, dies, dawdles and talks nonsense: who is let in meanwhile, and what the issuer has to bear. */
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { type TestContext, test } from 'node:test'
import { type Clock, systemClock } from '@portcullis/kernel'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { type IssuerMood, startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import { IdentityError, type IdentityErrorCode } from './errors.ts'
import type { IssuerConfig } from './issuer-config.ts'
import { createTokenVerifier, type TokenVerifier } from './verifier.ts'

/** The system's clock, moved forward by hand. */
function movableClock(): Clock & { advance(sec: number): void } {
  let shiftMs = 0
  return {
    nowUs: systemClock.nowUs,
    monotonicMs: () => systemClock.monotonicMs() + shiftMs,
    advance: (sec) => {
      shiftMs += sec * 1000
    },
  }
}

async function setUp(t: TestContext, more: Partial<IssuerConfig> = {}) {
  const started = await startTestIssuer()
  t.after(started.stop)
  const issuer: TestIssuer = started.value
  const clock = movableClock()
  const warnings: string[] = []
  const config = {
    issuer: issuer.issuer,
    audience: ['portcullis'],
    jwksCacheSec: 600,
    jwksStaleSec: 3600,
    jwksCooldownSec: 10,
    ...more,
  }
  const log = { info() {}, warn: (fields: object) => void warnings.push(JSON.stringify(fields)) }
  const verifier = createTokenVerifier({ issuers: [config], clock, log })
  return { issuer, clock, verifier, warnings }
}

async function refused(verifier: TokenVerifier, token: string, code: IdentityErrorCode): Promise<string> {
  const error = await verifier.verify(token).then(
    () => assert.fail(`proved, expected ${code}`),
    (error: unknown) => error,
  )
  assert.ok(error instanceof IdentityError, String(error))
  assert.equal(error.code, code, error.message)
  return error.message
}

test('a hundred first logins cause one fetch', async (t) => {
  const { issuer, verifier } = await setUp(t)
  const tokens = await Promise.all(
    Array.from({ length: 100 }, (_, at) => issuer.sign({ sub: `agent-${at}` })),
  )
  const proofs = await Promise.all(tokens.map((token) => verifier.verify(token)))
  assert.equal(new Set(proofs.map((proof) => proof.identity.subject)).size, 100)
  assert.deepEqual([issuer.jwksHits, issuer.discoveryHits], [1, 1])
})

test('a rotated key is found at once, and a key no longer published stops proving', async (t) => {
  const { issuer, verifier, clock } = await setUp(t)
  const old = await issuer.sign({ sub: 'alice' })
  await verifier.verify(old)
  const oldUnseen = await issuer.sign({ sub: 'bob' })
  await issuer.rotate()
  await verifier.verify(await issuer.sign({ sub: 'alice' }))
  assert.equal(issuer.jwksHits, 2)
  assert.equal(verifier.verifyCached(old), undefined, 'the proof by a withdrawn key is forgotten')
  clock.advance(11)
  await refused(verifier, old, 'unknown_key')
  await refused(verifier, oldUnseen, 'unknown_key')
})

test('old and new key prove side by side while both are published', async (t) => {
  const { issuer, verifier } = await setUp(t)
  const old = await issuer.sign({ sub: 'alice' })
  await issuer.rotate({ keepOld: true })
  await verifier.verify(await issuer.sign({ sub: 'alice' }))
  await verifier.verify(old)
})

test('a withdrawn key proves no longer than the cache time, also for proofs in the cache', async (t) => {
  const { issuer, verifier, clock } = await setUp(t)
  const token = await issuer.sign({ sub: 'alice' })
  await verifier.verify(token)
  await issuer.rotate()
  clock.advance(590)
  assert.ok(verifier.verifyCached(token))
  clock.advance(11)
  assert.equal(verifier.verifyCached(token), undefined)
  await refused(verifier, token, 'unknown_key')
})

test('1,000 forged tokens are refused and cost the issuer one fetch', async (t) => {
  const { issuer, verifier } = await setUp(t)
  const real = await issuer.sign({ sub: 'alice' })
  await verifier.verify(real)
  const { kid } = await issuer.publicJwk()
  const [, payload] = real.split('.')
  const refusals = await Promise.all(
    Array.from({ length: 1000 }, async (_, at) => {
      const header = { alg: 'ES256', kid: at % 2 ? kid : randomUUID() }
      const encoded = Buffer.from(JSON.stringify(header)).toString('base64url')
      const forged = `${encoded}.${payload}.${randomBytes(64).toString('base64url')}`
      const error: unknown = await verifier.verify(forged).catch((error: unknown) => error)
      return error instanceof IdentityError ? error.code : 'proved'
    }),
  )
  assert.deepEqual([...new Set(refusals)].sort(), ['bad_signature', 'unknown_key'])
  assert.equal(issuer.jwksHits, 2)
  await verifier.verify(real)
})

test('unknown keys cause one fetch a cooldown, however long it goes on', async (t) => {
  const { issuer, verifier, clock } = await setUp(t)
  await verifier.verify(await issuer.sign({ sub: 'alice' }))
  for (let sec = 0; sec < 60; sec += 1) {
    await refused(
      verifier,
      await issuer.sign({ sub: 'eve' }, { header: { kid: randomUUID() } }),
      'unknown_key',
    )
    clock.advance(1)
  }
  assert.ok(issuer.jwksHits <= 1 + 6, `${issuer.jwksHits} fetches in 60 s`)
  assert.ok(issuer.jwksHits >= 6, `${issuer.jwksHits} fetches in 60 s`)
})

test('with the issuer away known keys serve on, for their time and no longer', async (t) => {
  const { issuer, verifier, clock, warnings } = await setUp(t)
  const seen = await issuer.sign({ sub: 'alice' })
  await verifier.verify(seen)
  const unseen = await issuer.sign({ sub: 'bob' })
  issuer.pause()
  clock.advance(601)
  assert.equal((await verifier.verify(unseen)).identity.subject, 'bob')
  assert.equal((await verifier.verify(seen)).identity.subject, 'alice')
  assert.match(warnings.join(), /could not be reached|socket hang up/)
  clock.advance(3590)
  await verifier.verify(await issuer.sign({ sub: 'carol' }))
  clock.advance(10)
  for (const token of [seen, unseen, await issuer.sign({ sub: 'dave' })])
    await refused(verifier, token, 'issuer_unavailable')
  assert.equal(verifier.status()[0]?.usable, false)
  issuer.resume()
  clock.advance(31)
  await verifier.verify(seen)
  assert.deepEqual(verifier.status(), [
    { issuer: issuer.issuer, usable: true, keysAgeSec: 0, lastFailure: '' },
  ])
})

test('an issuer that is known to be away keeps nobody waiting', async (t) => {
  const { issuer, verifier, clock } = await setUp(t)
  await verifier.verify(await issuer.sign({ sub: 'alice' }))
  issuer.pause()
  clock.advance(601)
  await verifier.verify(await issuer.sign({ sub: 'alice' }))
  issuer.behave('hang')
  for (let login = 0; login < 5; login += 1) {
    clock.advance(60)
    const startedMs = performance.now()
    await verifier.verify(await issuer.sign({ sub: `agent-${login}` }))
    assert.ok(performance.now() - startedMs < soonMs, 'the login waited for the issuer')
  }
})

test('an issuer behind TLS is believed only by the configured authority', async (t) => {
  const { server, caPem } = makeCertificates()
  const started = await startTestIssuer({ tls: { cert: server.certPem, key: server.keyPem } })
  t.after(started.stop)
  const { issuer } = started.value
  assert.match(issuer, /^https:/)
  const verifierOf = (ca?: string) =>
    createTokenVerifier({
      issuers: [{ issuer, audience: ['portcullis'], ...(ca === undefined ? {} : { ca }) }],
      clock: systemClock,
      log: { info() {}, warn() {} },
    })
  const token = await started.value.sign({ sub: 'alice' })
  await verifierOf(caPem).verify(token)
  assert.match(await refused(verifierOf(), token, 'issuer_unavailable'), /certificate/)
  assert.match(
    await refused(verifierOf(makeCertificates().caPem), token, 'issuer_unavailable'),
    /certificate/,
  )
})

test('an issuer that comes back is asked again within its back-off, not at every login', async (t) => {
  const { issuer, verifier, clock } = await setUp(t)
  issuer.behave('error')
  const token = await issuer.sign({ sub: 'alice' })
  for (let login = 0; login < 50; login += 1) await refused(verifier, token, 'issuer_unavailable')
  assert.equal(issuer.discoveryHits, 1)
  issuer.resume()
  clock.advance(1.1)
  await verifier.verify(token)
})

/** Under the 3 s that a fetch may take, and roomy enough for a busy machine. */
const soonMs = 2500
const moods: readonly [IssuerMood, RegExp, number][] = [
  ['away', /could not be reached/, soonMs],
  ['error', /status 503/, soonMs],
  ['garbage', /not JSON/, soonMs],
  ['foreign', /names the issuer "https:\/\/elsewhere.example"/, soonMs],
  ['huge', /more than \d+ bytes/, soonMs],
  ['astray', /no safe jwks_uri/, soonMs],
  ['cut', /broke off/, soonMs],
  ['moved', /status 302/, soonMs],
  ['hang', /did not answer within 3000 ms/, 3000 + soonMs],
  ['drip', /did not answer within 3000 ms/, 3000 + soonMs],
]
test('with nothing known the login is refused soon and says why', { concurrency: true }, async (t) => {
  await Promise.all(
    moods.map(([mood, why, withinMs]) =>
      t.test(mood, async (t) => {
        const { issuer, verifier } = await setUp(t)
        issuer.behave(mood)
        const token = await issuer.sign({ sub: 'alice' })
        const startedMs = performance.now()
        assert.match(await refused(verifier, token, 'issuer_unavailable'), why)
        assert.ok(performance.now() - startedMs < withinMs, `took ${performance.now() - startedMs} ms`)
        const againMs = performance.now()
        await refused(verifier, token, 'issuer_unavailable')
        assert.ok(performance.now() - againMs < soonMs, 'the next login does not wait again')
      }),
    ),
  )
})

test('garbage where keys are known changes nothing', async (t) => {
  const { issuer, verifier, clock } = await setUp(t)
  await verifier.verify(await issuer.sign({ sub: 'alice' }))
  for (const mood of ['garbage', 'foreign', 'huge', 'error'] as const) {
    issuer.behave(mood)
    clock.advance(601)
    await verifier.verify(await issuer.sign({ sub: mood }))
  }
})

test('keys are fetched before they are too old, while they still serve', async (t) => {
  const { issuer, verifier, clock } = await setUp(t)
  await verifier.verify(await issuer.sign({ sub: 'alice' }))
  clock.advance(500)
  issuer.behave('hang')
  const startedMs = performance.now()
  await verifier.verify(await issuer.sign({ sub: 'bob' }))
  assert.ok(performance.now() - startedMs < soonMs, 'the login waited for the fetch')
})

test('a set of keys without measure is refused', async (t) => {
  const { issuer, verifier } = await setUp(t)
  const key = await issuer.publicJwk()
  for (let at = 0; at < 200; at += 1) issuer.publish({ ...key, kid: `k${at}` })
  assert.match(
    await refused(verifier, await issuer.sign({ sub: 'alice' }), 'issuer_unavailable'),
    /more than 200 keys/,
  )
})

test('a configured jwksUri is used without discovery', async (t) => {
  const first = await startTestIssuer()
  t.after(first.stop)
  const { issuer } = first.value
  const verifier = createTokenVerifier({
    issuers: [{ issuer, audience: ['portcullis'], jwksUri: `${issuer}/jwks` }],
    clock: systemClock,
    log: { info() {}, warn() {} },
  })
  await verifier.warmUp()
  assert.ok(verifier.status()[0]?.usable)
  await verifier.verify(await first.value.sign({ sub: 'alice' }))
  assert.deepEqual([first.value.jwksHits, first.value.discoveryHits], [1, 0])
})

test('keys behind a bearer token are fetched with the one of the day', async (t) => {
  let rightOne = 'first'
  const started = await startTestIssuer({ bearer: () => rightOne })
  t.after(started.stop)
  const { issuer } = started.value
  let ours = 'first'
  const clock = movableClock()
  const verifier = createTokenVerifier({
    issuers: [
      { issuer, audience: ['portcullis'], jwksCacheSec: 600, jwksStaleSec: 0, jwksToken: () => ours },
    ],
    clock,
    log: { info() {}, warn() {} },
  })
  await verifier.verify(await started.value.sign({ sub: 'pod' }))
  rightOne = 'second'
  clock.advance(601)
  const token = await started.value.sign({ sub: 'pod' })
  assert.match(await refused(verifier, token, 'issuer_unavailable'), /status 401/)
  ours = 'second'
  clock.advance(31)
  await verifier.verify(token)
})

test('the bearer token does not go where a discovery document points to', async (t) => {
  const seen: (string | undefined)[] = []
  const elsewhere = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end('{"keys":[]}')
  })
  const home = createServer((request, response) => {
    seen.push(request.headers.authorization)
    response.end(JSON.stringify({ issuer: urlOf(home), jwks_uri: `${urlOf(elsewhere)}/jwks` }))
  })
  for (const server of [elsewhere, home]) {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => void server.close())
  }
  const verifier = createTokenVerifier({
    issuers: [{ issuer: urlOf(home), audience: ['portcullis'], jwksToken: () => 'sesame' }],
    clock: systemClock,
    log: { info() {}, warn() {} },
  })
  await verifier.warmUp()
  assert.deepEqual(seen, ['Bearer sesame', undefined])
})

test('a bearer token that cannot be read is told as that', async (t) => {
  const jwksToken = () => {
    throw new Error('file:/run/token: there is no such file')
  }
  const { issuer, verifier } = await setUp(t, { jwksToken })
  const why = await refused(verifier, await issuer.sign({ sub: 'pod' }), 'issuer_unavailable')
  assert.match(why, /file:\/run\/token: there is no such file/)
  assert.equal(issuer.discoveryHits, 0)
})

function urlOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('warming up an issuer that is away does not fail the start', async (t) => {
  const { issuer, verifier } = await setUp(t)
  issuer.pause()
  await verifier.warmUp()
  assert.equal(verifier.status()[0]?.usable, false)
  assert.notEqual(verifier.status()[0]?.lastFailure, '')
})
