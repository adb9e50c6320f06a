/** Proofs that a real DPoP client makes, and each way in which one can be wrong (RFC 9449 section 4.3). */
import assert from 'node:assert/strict'
import { hash, randomBytes, randomUUID } from 'node:crypto'
import { test } from 'node:test'
import { calculateJwkThumbprint, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { createDpopVerifier, type ProvenRequest } from './dpop.ts'
import { IdentityError } from './errors.ts'
import { createUsedOnce } from './people/used-once.ts'

const baseUrl = 'https://gate.example/portcullis/'
const nowSec = 1_800_000_000
const clock = { nowUs: () => nowSec * 1e6 }
const request: ProvenRequest = { method: 'GET', path: '/v1/sessions?limit=1', token: 'a-token' }
const right = {
  htm: 'GET',
  htu: 'https://gate.example/portcullis/v1/sessions',
  ath: hash('sha256', 'a-token', 'base64url'),
}

interface Making {
  readonly alg?: string
  readonly claims?: Record<string, unknown>
  readonly header?: object
}

async function proofBy({ alg = 'ES256', claims = {}, header = {} }: Making = {}) {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true })
  const jwk = await exportJWK(publicKey)
  const proof = await new SignJWT({ ...right, jti: randomUUID(), iat: nowSec, ...claims })
    .setProtectedHeader({ alg, typ: 'dpop+jwt', jwk, ...header })
    .sign(privateKey)
  return {
    proof,
    thumbprint: await calculateJwkThumbprint(jwk, 'sha256'),
    privateJwk: await exportJWK(privateKey),
  }
}

const verifierWith = (idsMax?: number) =>
  createDpopVerifier({ baseUrl, clock, used: createUsedOnce(clock, idsMax) })
const verifier = verifierWith()

async function refused(proof: string, why: RegExp, by = verifier, of = request): Promise<void> {
  const judging = by.verify(proof, of).then((key) => key.spend())
  await assert.rejects(judging, (error) => {
    assert.ok(error instanceof IdentityError && error.code === 'dpop', String(error))
    assert.match(error.message, why)
    return true
  })
}

test('a right proof shows its key, of each kind', async () => {
  for (const alg of ['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256']) {
    const { proof, thumbprint } = await proofBy({ alg })
    const key = await verifier.verify(proof, request)
    assert.equal(key.thumbprint, thumbprint)
    await key.spend()
  }
})

test('the address is compared as addresses are, without query and fragment', async () => {
  for (const htu of [
    'HTTPS://GATE.example:443/portcullis/v1/sessions',
    'https://gate.example/portcullis/v1/sessions?other=1#x',
    'https://gate.example/portcullis/v1/./sessions',
  ])
    await verifier.verify((await proofBy({ claims: { htu } })).proof, request)
})

test('a proof is good once', async () => {
  const { proof } = await proofBy()
  await (await verifier.verify(proof, request)).spend()
  await refused(proof, /used before/)
  const [one, two] = [await verifier.verify((await proofBy()).proof, request), await proofBy()]
  const spent = await Promise.allSettled([one.spend(), one.spend()])
  assert.deepEqual(spent.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
  // Another key may have the same jti.
  const jti = 'one'
  for (const { proof: own } of [await proofBy({ claims: { jti } }), await proofBy({ claims: { jti } })])
    await (await verifier.verify(own, request)).spend()
  await (await verifier.verify(two.proof, request)).spend()
})

test('where uses cannot be remembered, none is good', async () => {
  const full = verifierWith(1)
  await (await full.verify((await proofBy()).proof, request)).spend()
  await refused((await proofBy()).proof, /cannot be told/, full)
})

test('for another request, token or time', async () => {
  const cases: [Record<string, unknown>, RegExp][] = [
    [{ htm: 'POST' }, /another method.*htm/],
    [{ htm: 'get' }, /htm/],
    [{ htm: undefined }, /htm/],
    [{ htu: 'https://evil.example/portcullis/v1/sessions' }, /another address.*htu/],
    [{ htu: 'http://gate.example/portcullis/v1/sessions' }, /htu/],
    [{ htu: 'https://gate.example/portcullis/v1/sessions/' }, /htu/],
    [{ htu: 'https://gate.example/v1/sessions' }, /htu/],
    [{ htu: 'https://a@gate.example/portcullis/v1/sessions' }, /htu/],
    [{ htu: 7 }, /htu/],
    [{ htu: undefined }, /htu/],
    [{ ath: hash('sha256', 'another', 'base64url') }, /another token.*ath/],
    [{ ath: undefined }, /ath/],
    [{ iat: nowSec - 61 }, /not within the last 60 s/],
    [{ iat: nowSec + 11 }, /not within/],
    [{ iat: undefined }, /no iat/],
    [{ exp: nowSec - 20 }, /is not right/],
    [{ jti: undefined }, /jti/],
    [{ jti: '' }, /jti/],
    [{ jti: 'x'.repeat(257) }, /jti/],
  ]
  for (const [claims, why] of cases) await refused((await proofBy({ claims })).proof, why)
  const { token: _, ...withoutToken } = request
  await (await verifier.verify((await proofBy({ claims: { ath: undefined } })).proof, withoutToken)).spend()
})

test('a path that names another host stays a path', async () => {
  const path = '//evil.example/v1/sessions'
  await refused(
    (await proofBy({ claims: { htu: 'https://evil.example/v1/sessions' } })).proof,
    /htu/,
    verifier,
    {
      ...request,
      path,
    },
  )
})

test('of another kind, without its key, with too much of it, by another, or not a proof at all', async () => {
  const { proof, privateJwk } = await proofBy()
  const other = await exportJWK((await generateKeyPair('ES256', { extractable: true })).publicKey)
  const [head = '', body = ''] = proof.split('.')
  const none = Buffer.from(JSON.stringify({ alg: 'none', typ: 'dpop+jwt' })).toString('base64url')
  const secret = { kty: 'oct', k: 'c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2U' }
  for (const bad of [
    (await proofBy({ header: { typ: 'JWT' } })).proof,
    (await proofBy({ header: { typ: undefined } })).proof,
    (await proofBy({ header: { jwk: undefined } })).proof,
    (await proofBy({ header: { jwk: privateJwk } })).proof,
    (await proofBy({ header: { jwk: other } })).proof,
    await new SignJWT(right)
      .setProtectedHeader({ alg: 'HS256', typ: 'dpop+jwt', jwk: secret })
      .sign(Buffer.from(secret.k, 'base64url')),
    `${none}.${body}.`,
    `${head}.${body}.AAAA`,
    `${proof}, ${proof}`,
    '',
    'x'.repeat(9000),
  ])
    await refused(bad, /is not right|has more than|must bring/)
})

test('a key whose signature would take long to look at is not tried', async () => {
  const large = { kty: 'RSA', n: randomBytes(1024).toString('base64url'), e: 'AQAB' }
  const slow = {
    kty: 'RSA',
    n: randomBytes(384).toString('base64url'),
    e: randomBytes(384).toString('base64url'),
  }
  for (const jwk of [large, slow])
    await refused((await proofBy({ alg: 'RS256', header: { jwk } })).proof, /RSA key of more than 4096 bits/)
})
