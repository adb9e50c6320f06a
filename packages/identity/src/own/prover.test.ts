import assert from 'node:assert/strict'
import { createHash, createHmac, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { test } from 'node:test'
import type { ApiKey, ClientCertificate, PublicSigningKey } from '@portcullis/kernel'
import fc from 'fast-check'
import { IdentityError } from '../errors.ts'
import { apiKeyRandomBytes, makeApiKey } from './api-key.ts'
import { type Grant, mintToken } from './own-token.ts'
import { createProver, type Prover } from './prover.ts'

const nowUs = 1_800_000_000_000_000
const own = { issuer: 'https://gate.example', audience: 'portcullis' }
const first = makeKey('k1')
const second = makeKey('k2')

function makeKey(keyId: string) {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const known: PublicSigningKey = {
    keyId,
    algorithm: 'EdDSA',
    publicJwk: JSON.stringify(publicKey.export({ format: 'jwk' })),
    addedAt: 0,
  }
  return { keyId, privateKey, known }
}

const grant: Grant = {
  identity: {
    issuer: 'https://ci.example',
    subject: 'repo:acme/shop',
    groups: ['agents'],
    delegation: [{ issuer: 'https://idp.example', subject: 'alice', kind: 'person' }],
    task: 'nightly report',
    ancestors: ['https://ci.example job-1'],
  },
  scope: { targets: ['shop'], roles: ['reader', ''] },
  expiresAtUs: nowUs + 600_000_000,
}

function minted(changes: Partial<Grant> = {}, minting: Partial<Parameters<typeof mintToken>[1]> = {}) {
  const { keyId, privateKey } = first
  return mintToken({ ...grant, ...changes }, { ...own, keyId, privateKey, nowUs, tokenId: 't-1', ...minting })
}

function started(
  signingKeys = [first.known],
  apiKeys: readonly ApiKey[] = [],
): { prover: Prover; clock: { advanceMs(ms: number): void } } {
  let atUs = nowUs
  const clock = {
    nowUs: () => atUs,
    monotonicMs: () => atUs / 1000,
    advanceMs(ms: number) {
      atUs += ms * 1000
    },
  }
  const issuers = {
    verify: () => Promise.reject(new IdentityError('unknown_issuer', 'a trusted issuer was asked')),
  }
  const prover = createProver({ own, issuers, clock, log: { warn: () => undefined } })
  prover.replace({ removedIssuers: [], signingKeys, apiKeys })
  return { prover, clock }
}

async function refusedAs(code: string, proving: Promise<unknown>, why = /./): Promise<IdentityError> {
  const error = await proving.then(
    () => assert.fail('it was proven'),
    (thrown: unknown) => thrown,
  )
  assert.ok(error instanceof IdentityError, String(error))
  assert.equal(error.code, code, error.message)
  assert.match(error.message, why)
  return error
}

test('what was granted is what is proven', async () => {
  const { prover } = started()
  const proof = await prover.prove(await minted(), {})
  assert.deepEqual(proof, {
    identity: { ...grant.identity, instance: 't-1' },
    expiresAtUs: grant.expiresAtUs,
    tokenId: 't-1',
    scope: grant.scope,
  })
})

test('any grant survives its token', async () => {
  const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).map((text) => text.toWellFormed())
  const words = fc.array(word, { maxLength: 4 })
  const grants = fc.record({
    subject: word,
    groups: words,
    task: word,
    ancestors: words,
    targets: words,
    roles: words,
  })
  const { prover } = started()
  await fc.assert(
    fc.asyncProperty(grants, async ({ targets, roles, ...identity }) => {
      const changes = { identity: { ...grant.identity, ...identity }, scope: { targets, roles } }
      const proof = await prover.prove(await minted(changes), {})
      assert.deepEqual(proof.identity, { ...changes.identity, instance: 't-1' })
      assert.deepEqual(proof.scope, changes.scope)
    }),
    { numRuns: 100 },
  )
})

test('a signing key that is retired proves nothing at once, in spite of the cache; a rotated one goes on', async () => {
  const { prover } = started()
  const token = await minted()
  await prover.prove(token, {})
  prover.replace({ removedIssuers: [], signingKeys: [first.known, second.known], apiKeys: [] })
  await prover.prove(token, {})
  prover.replace({ removedIssuers: [], signingKeys: [second.known], apiKeys: [] })
  await refusedAs('unknown_key', prover.prove(token, {}), /retired/)
})

test('an expired token is refused with whom it proved, cached or not', async () => {
  const { prover, clock } = started()
  const token = await minted()
  await prover.prove(token, {})
  clock.advanceMs(600_000)
  const error = await refusedAs('expired', prover.prove(token, {}))
  assert.equal(error.proven?.identity.subject, 'repo:acme/shop')
})

test('a token that is bound to a key is worth nothing without that key', async () => {
  const { prover } = started()
  const token = await minted({ confirmation: { 'x5t#S256': 'thumb', jkt: 'key' } })
  const certificate = certificateOf({ thumbprint: 'thumb' })
  await prover.prove(token, { certificate, keyThumbprint: 'key' })
  for (const [presented, why] of [
    [{}, /cnf\.jkt.*HTTP requests only/],
    [{ certificate }, /cnf\.jkt/],
    [{ keyThumbprint: 'thumb', certificate }, /another key \(cnf\.jkt\)/],
    [{ keyThumbprint: 'key' }, /x5t#S256\), and this connection has none/],
    [
      { keyThumbprint: 'key', certificate: certificateOf({ thumbprint: 'key' }) },
      /another client certificate/,
    ],
  ] as const)
    await refusedAs('bound_to_key', prover.prove(token, presented), why)
})

test('a certificate that is not trusted refuses whatever comes with it', async () => {
  const { prover } = started()
  const token = await minted()
  const certificate = certificateOf({ problem: 'CERT_REVOKED' })
  await refusedAs('certificate', prover.prove(token, { certificate }), /CERT_REVOKED/)
  await prover.prove(token, { certificate: certificateOf({}) })
})

test('a token that was traded from a key of some networks proves nobody from elsewhere, cached or not', async () => {
  const { prover } = started()
  const token = await minted({ scope: { networks: [['10.0.0.0/8'], ['10.1.0.0/16', '::1']] } })
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3']) await prover.prove(token, { address })
  for (const presented of [{ address: '10.2.0.1' }, { address: '::1' }, {}])
    await refusedAs('network', prover.prove(token, presented))
})

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
const claims = {
  ...{
    iss: own.issuer,
    aud: own.audience,
    iat: nowUs / 1e6,
    exp: nowUs / 1e6 + 600,
    jti: 't-1',
    sub: 'ann',
    groups: [],
  },
  portcullis: { issuer: 'https://ci.example', delegation: [], task: '', ancestors: [] },
}
const header = { alg: 'EdDSA', kid: 'k1', typ: 'portcullis+jwt' }

function forged(
  changes: object,
  headerChanges: object = {},
  by: KeyObject | ((text: string) => Buffer) = first.privateKey,
): string {
  const text = `${encode({ ...header, ...headerChanges })}.${encode({ ...claims, ...changes })}`
  const signature = typeof by === 'function' ? by(text) : sign(null, Buffer.from(text), by)
  return `${text}.${signature.toString('base64url')}`
}

const publicBytes = Buffer.from(String(JSON.parse(first.known.publicJwk).x), 'base64url')
const refusals: readonly [string, string, string][] = [
  ['signed by a key of nobody', forged({}, {}, second.privateKey), 'bad_signature'],
  ['of a kid that is not known', forged({}, { kid: '../../etc/passwd' }), 'unknown_key'],
  ['of a kid that is SQL', forged({}, { kid: "k1' or '1'='1" }), 'unknown_key'],
  ['of a kid that is a member of every object', forged({}, { kid: '__proto__' }), 'unknown_key'],
  ['without a kid', forged({}, { kid: undefined }), 'malformed'],
  ['alg none, unsigned', `${encode({ ...header, alg: 'none' })}.${encode(claims)}.`, 'malformed'],
  ['alg none, with a signature', forged({}, { alg: 'none' }), 'algorithm'],
  [
    'HMAC with the public key as its secret',
    forged({}, { alg: 'HS256' }, (text) => createHmac('sha256', publicBytes).update(text).digest()),
    'algorithm',
  ],
  ['an algorithm of another kind', forged({}, { alg: 'ES256' }), 'algorithm'],
  [
    'with a key of its own in the header',
    forged({}, { jwk: JSON.parse(second.known.publicJwk) }, second.privateKey),
    'unsupported_header',
  ],
  ['with jku', forged({}, { jku: 'https://evil.example/jwks' }), 'unsupported_header'],
  ['with crit', forged({}, { crit: ['exp'] }), 'unsupported_header'],
  ['for another audience', forged({ aud: 'elsewhere' }), 'wrong_audience'],
  ['for no audience', forged({ aud: undefined }), 'wrong_audience'],
  ['of another issuer', forged({ iss: 'https://ci.example' }), 'unknown_issuer'],
  ['issued in the future', forged({ iat: nowUs / 1e6 + 31 }), 'not_yet_valid'],
  ['not valid yet', forged({ nbf: nowUs / 1e6 + 31 }), 'claim_invalid'],
  ['without exp', forged({ exp: undefined }), 'claim_missing'],
  ['without jti', forged({ jti: undefined }), 'claim_missing'],
  ['with an exp that is text', forged({ exp: '9999999999' }), 'claim_invalid'],
  [
    'with a claim of a later version',
    forged({ portcullis: { ...claims.portcullis, columns: ['a'] } }),
    'claim_invalid',
  ],
  ['with an empty cnf, which binds to nothing', forged({ cnf: {} }), 'claim_invalid'],
  ['with a cnf of another kind', forged({ cnf: { jwk: {} } }), 'claim_invalid'],
  ['with groups that are text', forged({ groups: 'admins' }), 'claim_invalid'],
  ['of another type', forged({}, { typ: 'JWT' }), 'unknown_issuer'],
  ['too long', `${forged({}).slice(0, -1)}${'A'.repeat(16_384)}`, 'too_large'],
]
for (const [what, token, code] of refusals)
  test(`refused: a token ${what}`, async () => {
    await refusedAs(code, started().prover.prove(token, {}))
  })

test('a thousand tokens with a byte changed: none is proven, none brings anything down', async () => {
  const { prover } = started()
  const token = forged({})
  await prover.prove(token, {})
  for (let n = 0; n < 1000; n++) {
    const at = randomBytes(4).readUInt32BE() % token.length
    const other = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ.{'.charAt(randomBytes(1).readUInt8() % 28)
    const changed = `${token.slice(0, at)}${other}${token.slice(at + 1)}`
    if (changed === token) continue
    // The last character of a signature holds bits that nothing reads.
    if (at === token.length - 1) continue
    await assert.rejects(prover.prove(changed, {}), IdentityError)
  }
})

function apiKeyOf(changes: Partial<ApiKey> = {}): { key: string; known: ApiKey } {
  const { key, keyId, hash } = makeApiKey(randomBytes(apiKeyRandomBytes))
  const known: ApiKey = {
    ...{ keyId, hash, description: '', subject: 'cron', groups: ['agents'], targets: [], networks: [] },
    ...{ expiresAt: nowUs + 1_000_000, enabled: true, createdAt: 0, createdBy: 'x|y' },
    ...changes,
  }
  return { key, known }
}

test('an API key proves its subject, is its own instance, and carries its targets', async () => {
  const { key, known } = apiKeyOf({ targets: ['shop'] })
  assert.match(key, /^pck_[0-9a-f]{16}_[0-9A-Za-z]{49}$/)
  assert.equal(known.hash, createHash('sha256').update(key).digest('hex'))
  const proof = await started([], [known]).prover.prove(key, {})
  assert.equal(proof.identity.issuer, 'portcullis')
  assert.equal(proof.identity.subject, 'cron')
  assert.equal(proof.identity.instance, known.keyId)
  assert.ok(key.startsWith(`${known.keyId}_`))
  assert.deepEqual(proof.scope, { targets: ['shop'] })
})

test('a disabled API key, and what was traded from it, proves nothing at once; enabled again it does', async () => {
  const { key, known } = apiKeyOf()
  const { prover } = started([first.known], [known])
  const identity = { ...grant.identity, ancestors: [`portcullis ${known.keyId}`, 'portcullis 9f1c'] }
  const child = await minted({ identity })
  await prover.prove(key, {})
  const open = (await prover.prove(child, {})).identity
  assert.equal(prover.withdrawn(open), undefined)
  prover.replace({ removedIssuers: [], signingKeys: [first.known], apiKeys: [{ ...known, enabled: false }] })
  assert.equal((await refusedAs('disabled', prover.prove(key, {}))).proven?.identity.subject, 'cron')
  await refusedAs('disabled', prover.prove(child, {}))
  assert.match(prover.withdrawn(open) ?? '', /disabled/)
  prover.replace({ removedIssuers: [], signingKeys: [first.known], apiKeys: [known] })
  await prover.prove(key, {})
  await prover.prove(child, {})
  prover.replace({ removedIssuers: [], signingKeys: [first.known], apiKeys: [] })
  await refusedAs('unknown_key', prover.prove(key, {}))
  await refusedAs('disabled', prover.prove(child, {}), /deleted/)
})

test('an API key is refused where it is wrong, mistyped, expired or from elsewhere', async () => {
  const { key, known } = apiKeyOf({ networks: ['10.0.0.0/8', '2001:db8::/32', '192.0.2.7'] })
  const { prover, clock } = started([], [known])
  const stranger = apiKeyOf()
  await refusedAs('unknown_key', prover.prove(stranger.key, {}))
  await refusedAs('malformed', prover.prove(`${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`, {}))
  await refusedAs('malformed', prover.prove(key.slice(0, 40), {}))
  for (const address of ['10.1.2.3', '::ffff:10.1.2.3', '2001:db8::1', '192.0.2.7'])
    await prover.prove(key, { address })
  for (const address of ['11.0.0.1', '2001:db9::1', '192.0.2.8', '', undefined])
    await refusedAs('network', prover.prove(key, address === undefined ? {} : { address }))
  clock.advanceMs(1000)
  await refusedAs('expired', prover.prove(key, { address: '10.1.2.3' }))
})

test('an issuer that is trusted no longer takes with it what was traded from its tokens, and what its tokens were for', async () => {
  const { prover } = started()
  const child = await minted()
  const other = await minted({
    identity: {
      ...grant.identity,
      issuer: 'https://idp.example',
      ancestors: ['https://ci.example.org job-1'],
    },
  })
  await prover.prove(child, {})
  const without = (...removedIssuers: string[]) =>
    prover.replace({ signingKeys: [first.known], apiKeys: [], removedIssuers })
  without('https://ci.example')
  await assert.rejects(prover.prove(child, {}), {
    code: 'disabled',
    message: 'issuer https://ci.example is trusted no longer',
  })
  assert.match(prover.withdrawn({ ...grant.identity, instance: 't-1' }) ?? '', /trusted no longer/)
  // Signed by the issuer that is gone, for an actor of one that is not (`actorIssuers`).
  const actor = { ...grant.identity, issuer: 'https://idp.example', ancestors: [], instance: 'jti-9' }
  const behind = [{ issuer: 'https://ci.example', subject: 'alice', kind: 'person' }]
  assert.match(prover.withdrawn({ ...actor, delegation: behind }) ?? '', /trusted no longer/)
  assert.equal(prover.withdrawn({ ...actor, delegation: [] }), undefined)
  // Its name only begins like the other's.
  await prover.prove(other, {})
  const traded = {
    ...{ issuer: 'https://idp.example', instance: 'x', ancestors: ['https://ci.example job-1'] },
    delegation: [],
  }
  assert.match(prover.withdrawn(traded) ?? '', /trusted no longer/)
  without()
  await prover.prove(child, {})
  assert.equal(prover.withdrawn(traded), undefined)
})

test('an issuer that the file names is not taken out from elsewhere', async () => {
  const issuers = { verify: () => Promise.reject(new IdentityError('unknown_issuer', 'asked')) }
  const clock = { nowUs: () => nowUs, monotonicMs: () => 0 }
  const lasting = ['https://ci.example']
  const prover = createProver({ own, issuers, clock, lasting, log: { warn: () => undefined } })
  prover.replace({ signingKeys: [first.known], apiKeys: [], removedIssuers: ['https://ci.example'] })
  assert.equal((await prover.prove(await minted(), {})).identity.subject, 'repo:acme/shop')
})
function certificateOf(parts: Partial<ClientCertificate>): ClientCertificate {
  const names = { commonNames: [], uris: [], dnsNames: [] }
  return { thumbprint: 'print', validUntilUs: Number.MAX_SAFE_INTEGER, ...names, ...parts }
}
