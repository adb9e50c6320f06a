/** Real tokens of a real issuer on loopback, and RFC 8725's list of mistakes turned against the verifier. */
import assert from 'node:assert/strict'
import { createHmac, createPublicKey, hash, randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { type Clock, type Started, systemClock } from '@portcullis/kernel'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose'
import { IdentityError, type IdentityErrorCode } from './errors.ts'
import type { IssuerConfig } from './issuer-config.ts'
import { createTokenVerifier, type TokenVerifier } from './verifier.ts'

const quiet = { info() {}, warn() {} }
const algorithms = ['ES256', 'RS256', 'PS256', 'EdDSA', 'ES384']
let started: Started<TestIssuer>
let issuer: TestIssuer
let verifier: TokenVerifier

const verifierWith = (more: Partial<IssuerConfig> = {}, clock: Clock = systemClock, cacheEntriesMax = 100) =>
  createTokenVerifier({
    issuers: [{ issuer: issuer.issuer, audience: ['portcullis'], ...more }],
    clock,
    log: quiet,
    cacheEntriesMax,
  })

async function refused(
  token: string | Promise<string>,
  code: IdentityErrorCode,
  by = verifier,
): Promise<IdentityError> {
  const text = await token
  try {
    const proof = await by.verify(text)
    assert.fail(`proved ${JSON.stringify(proof)}, expected ${code}`)
  } catch (error) {
    assert.ok(error instanceof IdentityError, String(error))
    assert.equal(error.code, code, error.message)
    const [, payload = '', signature = ''] = text.split('.')
    if (signature.length > 20) assert.ok(!error.message.includes(signature), 'the error shows the signature')
    if (payload.length > 20) assert.ok(!error.message.includes(payload), 'the error shows the token')
    assert.equal(by.verifyCached(text), undefined)
    return error
  }
}

before(async () => {
  started = await startTestIssuer({ algorithms })
  issuer = started.value
  verifier = verifierWith()
})
after(() => started.stop())

describe('a token that proves', () => {
  for (const alg of ['ES256', 'RS256', 'PS256', 'EdDSA'])
    test(`signed with ${alg}`, async () => {
      const token = await issuer.sign({ sub: 'alice', groups: ['g'], jti: `t-${alg}` }, { alg })
      const proof = await verifier.verify(token)
      assert.deepEqual(proof.identity, {
        issuer: issuer.issuer,
        subject: 'alice',
        groups: ['g'],
        delegation: [],
        task: '',
        ancestors: [],
        instance: `t-${alg}`,
      })
      const { exp } = JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString())
      assert.equal(proof.expiresAtUs, exp * 1e6)
      assert.equal(verifier.verifyCached(token), proof)
      assert.equal(await verifier.verify(token), proof)
    })

  test('without jti is known by the SHA-256 of what is signed, however its signature is spelled', async () => {
    const token = await issuer.sign({ sub: 'alice', jti: undefined })
    const { tokenId, identity } = await verifier.verify(token)
    const [header, payload, signature = ''] = token.split('.')
    assert.equal(tokenId, hash('sha256', `${header}.${payload}`))
    assert.equal(identity.instance, tokenId)
    const other = await verifier.verify(`${header}.${payload}.${otherSignature(signature)}`)
    assert.equal(other.tokenId, tokenId)
  })

  test('without kid is tried with each key that fits', async () => {
    const header = { kid: undefined }
    await issuer.rotate({ keepOld: true })
    const rotated = verifierWith()
    const token = await issuer.sign({ sub: 'alice' }, { header })
    assert.equal((await rotated.verify(token)).identity.subject, 'alice')
    const { privateKey } = await generateKeyPair('ES256')
    await refused(signedBy(privateKey, { alg: 'ES256' }, { sub: 'eve' }), 'bad_signature', rotated)
  })

  test('of each type that grants access', async () => {
    for (const typ of ['JWT', 'jwt', 'at+jwt', 'application/at+jwt', 'JOSE', undefined])
      await verifier.verify(await issuer.sign({ sub: 'alice' }, { header: { typ } }))
  })

  test('with one of several audiences', async () => {
    await verifier.verify(await issuer.sign({ sub: 'alice', aud: ['other', 'portcullis'] }))
  })

  test('within the leeway of its times', async () => {
    const now = Math.floor(Date.now() / 1000)
    await verifier.verify(await issuer.sign({ sub: 'a', exp: now - 20 }))
    await verifier.verify(await issuer.sign({ sub: 'a', nbf: now + 20, iat: now + 20 }))
  })
})

describe('RFC 8725: algorithms and signatures', () => {
  test('alg none, in every spelling', async () => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE', ''])
      for (const signature of ['', 'AAAA'])
        await refused(`${part({ alg })}.${part(await claims())}.${signature}`, 'algorithm')
    await refused(`${part({})}.${part(await claims())}.AAAA`, 'algorithm')
    await refused(`${part({ alg: ['RS256'] })}.${part(await claims())}.AAAA`, 'algorithm')
  })

  test('HMAC with the public key as its secret, in every form of the key', async () => {
    for (const alg of ['RS256', 'ES256']) {
      const jwk = await issuer.publicJwk(alg)
      const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
      const secrets = [
        key.export({ type: 'spki', format: 'pem' }),
        key.export({ type: 'spki', format: 'der' }),
        JSON.stringify(jwk),
        jwk.n ?? jwk.x ?? '',
      ]
      for (const hmac of ['HS256', 'HS384', 'HS512'])
        for (const secret of secrets) {
          const signed = `${part({ alg: hmac, kid: jwk.kid })}.${part(await claims())}`
          const digest = createHmac(hmac.replace('HS', 'sha'), secret).update(signed).digest('base64url')
          await refused(`${signed}.${digest}`, 'algorithm')
        }
    }
  })

  test('an algorithm that the issuer was not allowed', async () => {
    await refused(issuer.sign({ sub: 'alice' }, { alg: 'ES384' }), 'algorithm')
    const onlyEs = verifierWith({ algorithms: ['ES256'] })
    await refused(issuer.sign({ sub: 'alice' }, { alg: 'RS256' }), 'algorithm', onlyEs)
  })

  test('a key used with another algorithm than it was published for', async () => {
    const { kid } = await issuer.publicJwk('RS256')
    await refused(issuer.sign({ sub: 'alice' }, { alg: 'PS256', header: { kid } }), 'unknown_key')
    await refused(issuer.sign({ sub: 'alice' }, { alg: 'ES256', header: { kid } }), 'unknown_key')
  })

  test('one changed character anywhere', async () => {
    const token = await issuer.sign({ sub: 'alice', groups: ['a'] })
    const start = token.indexOf('.') + 1
    for (let at = start; at < token.length - 2; at += 7) {
      if (token[at] === '.') continue
      const changed = token.slice(0, at) + (token[at] === 'A' ? 'B' : 'A') + token.slice(at + 1)
      await assert.rejects(verifier.verify(changed), IdentityError)
    }
    await refused(token.slice(0, -4), 'bad_signature')
    await refused(`${token}AAAA`, 'bad_signature')
  })

  test('keys and addresses of keys that the token itself brings', async (t) => {
    let hits = 0
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const jwk = { ...(await exportJWK(publicKey)), kid: 'mine' }
    const server = createServer((_, response) => {
      hits += 1
      response.end(JSON.stringify({ keys: [jwk] }))
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    t.after(() => void server.close())
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks`
    const { kid } = await issuer.publicJwk('ES256')
    const brought = [{ jwk }, { jku: url }, { x5u: url }, { x5c: ['MIIB'] }, { jwk, jku: url, x5u: url }]
    for (const header of brought) {
      await refused(signedBy(privateKey, { alg: 'ES256', kid, ...header }, await claims()), 'bad_signature')
      await refused(
        signedBy(privateKey, { alg: 'ES256', kid: 'mine', ...header }, await claims()),
        'unknown_key',
      )
    }
    assert.equal(hits, 0)
  })

  test('key ids that try to be something else', async () => {
    const { privateKey } = await generateKeyPair('ES256')
    for (const kid of [
      '../../../../dev/null',
      "' OR '1'='1",
      '__proto__',
      'constructor',
      '\u0000',
      'k'.repeat(4000),
      '',
    ])
      await refused(signedBy(privateKey, { alg: 'ES256', kid }, await claims()), 'unknown_key')
    for (const kid of [7, null, {}, ['a']])
      await refused(`${part({ alg: 'ES256', kid })}.${part(await claims())}.AAAA`, 'malformed')
  })

  test('critical and unencoded-payload headers', async () => {
    for (const header of [
      { crit: ['exp'], exp: 1 },
      { crit: ['b64'], b64: true },
      { crit: [] },
      { b64: false },
    ])
      await refused(`${part({ alg: 'ES256', ...header })}.${part(await claims())}.AAAA`, 'unsupported_header')
  })

  test('a JWT of another kind', async () => {
    for (const typ of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', 'oauth-authz-req+jwt', '', 7])
      await refused(issuer.sign({ sub: 'alice' }, { header: { typ } }), 'token_type')
  })

  test('keys that are too weak or not for signatures are not used', async (t) => {
    const own = await startTestIssuer()
    t.after(own.stop)
    const { privateKey, publicKey } = await generateKeyPair('ES256')
    const published = await exportJWK(publicKey)
    own.value.publish({ ...published, kid: 'enc', use: 'enc' })
    own.value.publish({ kty: 'RSA', kid: 'weak', n: 'A'.repeat(171), e: 'AQAB' })
    own.value.publish({ kty: 'oct', kid: 'secret', k: 'AAAA' })
    own.value.publish({ ...published, kid: 'ops', key_ops: ['sign'] })
    const loaded: string[] = []
    const by = createTokenVerifier({
      issuers: [{ issuer: own.value.issuer, audience: ['portcullis'] }],
      clock: systemClock,
      log: { info: (fields) => void loaded.push(JSON.stringify(fields)), warn() {} },
    })
    const payload = { ...(await claims()), iss: own.value.issuer }
    for (const kid of ['enc', 'ops', 'secret'])
      await refused(signedBy(privateKey, { alg: 'ES256', kid }, payload), 'unknown_key', by)
    await refused(`${part({ alg: 'RS256', kid: 'weak' })}.${part(payload)}.AAAA`, 'unknown_key', by)
    assert.equal(loaded.length, 1)
    for (const kid of ['enc', 'ops', 'secret', 'weak']) assert.match(loaded.join(), new RegExp(`"${kid}: `))
  })
})

describe('RFC 8725: claims', () => {
  test('issuers that are not exactly a trusted one', async () => {
    const near = [
      `${issuer.issuer}/`,
      issuer.issuer.toUpperCase(),
      'https://evil.example',
      '',
      undefined,
      7,
      [issuer.issuer],
    ]
    for (const iss of near) await refused(issuer.sign({ sub: 'a', iss }), 'unknown_issuer')
  })

  test('one trusted issuer does not sign for another', async (t) => {
    const other = await startTestIssuer()
    t.after(other.stop)
    const both = createTokenVerifier({
      issuers: [issuer, other.value].map(({ issuer }) => ({ issuer, audience: ['portcullis'] })),
      clock: systemClock,
      log: quiet,
    })
    await refused(other.value.sign({ sub: 'alice', iss: issuer.issuer }), 'unknown_key', both)
    const { kid } = await issuer.publicJwk('ES256')
    await refused(
      other.value.sign({ sub: 'alice', iss: issuer.issuer }, { header: { kid } }),
      'bad_signature',
      both,
    )
    await both.verify(await other.value.sign({ sub: 'alice' }))
  })

  test('audiences', async () => {
    for (const aud of ['other', 'portcullis2', 'PORTCULLIS', '', [], ['other'], [['portcullis']]])
      await refused(issuer.sign({ sub: 'a', aud }), 'wrong_audience')
    await refused(issuer.sign({ sub: 'a', aud: undefined }), 'claim_missing')
  })

  test('authorised parties', async () => {
    const by = verifierWith({ authorizedParties: ['ci'] })
    await by.verify(await issuer.sign({ sub: 'a', azp: 'ci' }))
    await refused(issuer.sign({ sub: 'a', azp: 'other' }), 'wrong_party', by)
    await refused(issuer.sign({ sub: 'a' }), 'wrong_party', by)
  })

  test('times', async () => {
    const now = Math.floor(Date.now() / 1000)
    await refused(issuer.sign({ sub: 'a', exp: now - 31 }), 'expired')
    await refused(issuer.sign({ sub: 'a', exp: 0 }), 'expired')
    await refused(issuer.sign({ sub: 'a', exp: undefined }), 'claim_missing')
    await refused(issuer.sign({ sub: 'a', exp: `${now + 60}` }), 'claim_invalid')
    await refused(issuer.sign({ sub: 'a', exp: null }), 'claim_invalid')
    await refused(issuer.sign({ sub: 'a', exp: 1e300 }), 'claim_invalid')
    await refused(issuer.sign({ sub: 'a', nbf: now + 40 }), 'not_yet_valid')
    await refused(issuer.sign({ sub: 'a', iat: now + 40 }), 'not_yet_valid')
    await refused(issuer.sign({ sub: 'a', iat: 'now' }), 'claim_invalid')
  })

  test('an expired token says whom it proved, but only with a right signature and all else as it must be', async () => {
    const exp = Math.floor(Date.now() / 1000) - 60
    const errorOf = async (token: string, by = verifier) => {
      const error = await by.verify(token).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      assert.ok(error instanceof IdentityError)
      return error
    }
    const token = await issuer.sign({ sub: 'ann', exp })
    const { code, proven } = await errorOf(token)
    assert.deepEqual([code, proven?.identity.subject, proven?.expiresAtUs], ['expired', 'ann', exp * 1e6])
    const other = await issuer.sign({ sub: 'eve', exp })
    const forged = [...other.split('.').slice(0, 2), token.split('.')[2]].join('.')
    assert.deepEqual((await errorOf(forged)).proven, undefined)
    const pinned = await errorOf(token, verifierWith({ requiredClaims: { repository_id: ['7'] } }))
    assert.deepEqual([pinned.code, pinned.proven], ['claim_missing', undefined])
    assert.equal(verifier.verifyCached(token), undefined)
  })

  test('a token that is proven is still refused for what it claims', async () => {
    await refused(issuer.sign({}), 'claim_missing')
    await refused(issuer.sign({ sub: 'a', act: { sub: 'b', iss: 'https://evil.example' } }), 'delegation')
    await refused(
      issuer.sign({ sub: 'a' }),
      'claim_missing',
      verifierWith({ requiredClaims: { repository: ['o/r'] } }),
    )
  })
})

describe('what is no token', () => {
  test('is refused before any work', async () => {
    const header = part({ alg: 'ES256' })
    const nonsense = [
      '',
      '.',
      '..',
      'a.b',
      'password',
      'a.b.c',
      `${header}.e30`,
      `${header}..`,
      'a.b.c.d',
      '\u0000.é.😀',
    ]
    for (const text of nonsense) await refused(text, 'malformed')
    await refused('a.b.c.d.e', 'malformed')
    await refused(`${header}.${Buffer.from('[]').toString('base64url')}.AAAA`, 'malformed')
    await refused(`${header}.${Buffer.from('null').toString('base64url')}.AAAA`, 'malformed')
    await refused(` ${await issuer.sign({ sub: 'a' })}`, 'malformed')
    await refused(`${await issuer.sign({ sub: 'a' })}\n`, 'malformed')
  })

  test('is refused when too large, whatever it is', async () => {
    await refused('x'.repeat(20_000), 'too_large')
    await refused(issuer.sign({ sub: 'a', pad: 'x'.repeat(20_000) }), 'too_large')
    assert.equal(verifier.verifyCached('x'.repeat(10_000_000)), undefined)
    const audience = ['portcullis']
    const small = createTokenVerifier({
      issuers: [
        { issuer: issuer.issuer, audience, maxTokenBytes: 256 },
        { issuer: 'https://roomier.example', audience },
      ],
      clock: systemClock,
      log: quiet,
    })
    await refused(issuer.sign({ sub: 'a' }), 'too_large', small)
  })
})

describe('the cache of proofs', () => {
  test('never outlives exp', async () => {
    let shiftUs = 0
    const clock: Clock = { nowUs: () => systemClock.nowUs() + shiftUs, monotonicMs: systemClock.monotonicMs }
    const by = verifierWith({ leewaySec: 0 }, clock)
    const token = await issuer.sign({ sub: 'alice' }, { ttlSec: 60 })
    await by.verify(token)
    shiftUs = 58e6
    assert.ok(by.verifyCached(token))
    shiftUs = 61e6
    await refused(token, 'expired', by)
  })

  test('holds no more than it may, and keeps what is used', async () => {
    const by = verifierWith({}, systemClock, 10)
    const used = await issuer.sign({ sub: 'used' })
    await by.verify(used)
    const others: string[] = []
    for (let at = 0; at < 50; at += 1) {
      const token = await issuer.sign({ sub: `agent-${at}` })
      others.push(token)
      await by.verify(token)
      assert.equal(by.verifyCached(token)?.identity.subject, `agent-${at}`)
      assert.equal(by.verifyCached(used)?.identity.subject, 'used')
    }
    // Looking changes nothing where the newest are looked at first.
    const held = others.reverse().filter((token) => by.verifyCached(token))
    assert.ok(held.length < 10, `${held.length + 1} held`)
  })

  test('knows nobody by a refused token, nor by another token of the same claims', async () => {
    const shared = { sub: 'alice', jti: 'same', iat: 1, exp: 4_000_000_000 }
    const one = await issuer.sign(shared)
    await verifier.verify(one)
    const { privateKey } = await generateKeyPair('ES256')
    const { kid } = await issuer.publicJwk()
    const forged = await signedBy(
      privateKey,
      { alg: 'ES256', typ: 'JWT', kid },
      { ...(await claims()), ...shared },
    )
    assert.equal(verifier.verifyCached(forged), undefined)
    await refused(forged, 'bad_signature')
  })
})

test('the same issuer twice is refused', () => {
  const config = { issuer: issuer.issuer, audience: ['portcullis'] }
  assert.throws(
    () => createTokenVerifier({ issuers: [config, config], clock: systemClock, log: quiet }),
    (error) => error instanceof IdentityError && error.code === 'config',
  )
})

function part(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

async function claims(): Promise<Record<string, unknown>> {
  const now = Math.floor(Date.now() / 1000)
  return { iss: issuer.issuer, aud: 'portcullis', sub: 'eve', iat: now, exp: now + 300, jti: randomUUID() }
}

function signedBy(key: CryptoKey, header: object, payload: object): Promise<string> {
  const now = Math.floor(Date.now() / 1000)
  return new SignJWT({ iss: issuer.issuer, aud: 'portcullis', iat: now, exp: now + 300, ...payload })
    .setProtectedHeader({ alg: 'ES256', ...header })
    .sign(key)
}

/** ECDSA: where (r, s) is valid, (r, n - s) is too, and nobody needs the key to say so. */
function otherSignature(signature: string): string {
  const n = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
  const bytes = Buffer.from(signature, 'base64url')
  const s = n - BigInt(`0x${bytes.subarray(32).toString('hex')}`)
  return Buffer.concat([
    bytes.subarray(0, 32),
    Buffer.from(s.toString(16).padStart(64, '0'), 'hex'),
  ]).toString('base64url')
}
