/**
 * ID tokens that a provider would never send, or another one would: RFC 8725's mistakes at the door for people. The
 * provider here is one that lies, which no real one can be made to do.
 */
import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import { createServer } from 'node:http'
import { after, test } from 'node:test'
import { systemClock } from '@portcullis/kernel'
import { exportJWK, type JWTPayload, SignJWT } from 'jose'
import { createSignIn, SignInError, type SignInErrorCode } from './index.ts'

const publicUrl = 'http://127.0.0.1:1'
const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const stranger = generateKeyPairSync('rsa', { modulusLength: 2048 })
let idToken: (claims: JWTPayload) => Promise<string> | string = () => ''
let asked = { nonce: '', jwks: 0 }

const server = createServer((request, response) => {
  const path = request.url ?? ''
  const json = (body: object) =>
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body))
  if (path.startsWith('/.well-known'))
    return json({
      issuer,
      authorization_endpoint: `${issuer}/authorize`,
      token_endpoint: `${issuer}/token`,
      jwks_uri: `${issuer}/jwks`,
      id_token_signing_alg_values_supported: ['RS256', 'HS256', 'none'],
    })
  if (path === '/jwks') {
    asked.jwks += 1
    return void exportJWK(rsa.publicKey).then((jwk) =>
      json({ keys: [{ ...jwk, kid: 'k', alg: 'RS256', use: 'sig' }] }),
    )
  }
  if (path !== '/token') return response.writeHead(404).end()
  const nowSec = Math.floor(Date.now() / 1000)
  const claims = { iss: issuer, aud: 'gate', sub: 'alice', iat: nowSec, exp: nowSec + 60, nonce: asked.nonce }
  Promise.resolve(idToken(claims)).then((token) =>
    json({ access_token: 'canary-access-token', token_type: 'Bearer', id_token: token }),
  )
})
await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
const issuer = `http://127.0.0.1:${(server.address() as { port: number }).port}`
after(() => {
  server.close()
  server.closeAllConnections()
})

const signIn = createSignIn({
  publicUrl,
  key: randomBytes(32),
  clock: systemClock,
  providers: [
    {
      kind: 'oidc',
      name: 'corp',
      title: 'Corp',
      issuer,
      clientId: 'gate',
      clientSecret: 'canary-secret',
      maxAgeSec: 600,
    },
  ],
})

async function come(forge: typeof idToken) {
  const begun = await signIn.begin('corp', '/')
  const query = new URL(begun.url).searchParams
  asked = { nonce: query.get('nonce') ?? '', jwks: asked.jwks }
  idToken = forge
  const url = `/sign-in/corp/callback?code=canary-code&state=${query.get('state')}`
  return signIn.finish('corp', { kind: 'query', url }, begun.transaction)
}

const signed =
  (
    change: Readonly<Record<string, unknown>> = {},
    { key = rsa.privateKey as KeyObject, header = {} as object } = {},
  ) =>
  (claims: JWTPayload) =>
    new SignJWT(Object.assign({ auth_time: claims.iat }, claims, change))
      .setProtectedHeader({ alg: 'RS256', kid: 'k', ...header })
      .sign(key)

const raw = (header: object, sign: (input: string) => string) => (claims: JWTPayload) => {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${part(header)}.${part({ auth_time: claims.iat, ...claims })}`
  return `${input}.${sign(input)}`
}

const publicPem = rsa.publicKey.export({ type: 'spki', format: 'pem' }).toString()
const nowSec = () => Math.floor(Date.now() / 1000)

test('the token that it is all measured by is taken', async () => {
  assert.equal((await come(signed())).person.subject, 'alice')
})

const forged: [string, typeof idToken, SignInErrorCode | readonly SignInErrorCode[]][] = [
  ['no ID token', () => '', 'malformed'],
  ['no JWT', () => 'x.y', 'malformed'],
  ['alg none', raw({ alg: 'none' }, () => ''), ['algorithm', 'malformed']],
  ['alg none with a signature', raw({ alg: 'NONE', kid: 'k' }, () => 'AAAA'), 'algorithm'],
  [
    'HS256 with the public key',
    raw({ alg: 'HS256', kid: 'k' }, (input) =>
      createHmac('sha256', publicPem).update(input).digest('base64url'),
    ),
    'algorithm',
  ],
  [
    'HS256 with the client secret',
    raw({ alg: 'HS256' }, (input) => createHmac('sha256', 'canary-secret').update(input).digest('base64url')),
    'algorithm',
  ],
  [
    'an algorithm that is not configured',
    (claims) => new SignJWT(claims).setProtectedHeader({ alg: 'RS512', kid: 'k' }).sign(rsa.privateKey),
    'algorithm',
  ],
  ['another key', signed({}, { key: stranger.privateKey }), 'bad_signature'],
  [
    'another key by jku and jwk',
    signed(
      {},
      {
        key: stranger.privateKey,
        header: { jku: `${issuer}/evil`, jwk: { kty: 'RSA', n: 'AQAB', e: 'AQAB' } },
      },
    ),
    'bad_signature',
  ],
  ['a kid that is not there', signed({}, { header: { kid: '../../etc/passwd' } }), 'bad_signature'],
  [
    'a kid of SQL',
    signed({}, { key: stranger.privateKey, header: { kid: "' union select 'k" } }),
    'bad_signature',
  ],
  ['crit', signed({}, { header: { crit: ['b64'], b64: true } }), ['malformed', 'algorithm', 'bad_signature']],
  ['another issuer', signed({ iss: 'https://evil.example' }), 'mismatch'],
  ['another audience', signed({ aud: 'other' }), 'mismatch'],
  ['two audiences and no azp', signed({ aud: ['gate', 'other'] }), ['mismatch', 'malformed']],
  ['another azp', signed({ aud: ['gate', 'other'], azp: 'other' }), ['mismatch', 'malformed']],
  ['another nonce', signed({ nonce: 'x' }), 'mismatch'],
  ['no nonce', signed({ nonce: undefined }), ['mismatch', 'malformed']],
  ['expired', signed({ exp: nowSec() - 60 }), 'expired'],
  ['not yet', signed({ nbf: nowSec() + 600 }), 'expired'],
  ['no expiry', signed({ exp: undefined }), 'malformed'],
  ['no subject', signed({ sub: undefined }), ['malformed', 'claim_missing']],
  ['an empty subject', signed({ sub: '' }), 'claim_missing'],
  ['signed in too long ago', signed({ auth_time: nowSec() - 3600 }), 'expired'],
  ['no auth_time, where it is asked for', signed({ auth_time: undefined }), ['mismatch', 'malformed']],
  ['an actor', signed({ act: { sub: 'bot' } }), 'claim_invalid'],
  ['two megabytes', signed({ pad: 'x'.repeat(2_000_000) }), 'provider_unavailable'],
]
for (const [name, forge, code] of forged) {
  test(`refused: ${name}`, async () => {
    const error: unknown = await come(forge).then(
      ({ person }) => assert.fail(`taken for ${person.subject}`),
      (error) => error,
    )
    assert.ok(error instanceof SignInError, String(error))
    assert.ok([code].flat().includes(error.code), `${error.code} instead of ${code}: ${error.message}`)
    // What a logger would write of it, causes and all.
    const logged = `${error.stack} ${JSON.stringify(error, Object.getOwnPropertyNames(error))}`
    assert.doesNotMatch(logged, /canary|eyJ/)
  })
}

test('keys are not fetched for each sign-in', async () => {
  const before = asked.jwks
  for (let n = 0; n < 5; n += 1) await come(signed())
  assert.ok(asked.jwks - before <= 1)
})
