/**
 * Tokens that must prove nobody: the mistakes of RFC 8725 one by one, and any number of mutations of a real token. One
 * list for the verifier alone and for the whole gate.
 */
import { createHmac, createPublicKey, hash, randomUUID } from 'node:crypto'
import { type CryptoKey, EncryptJWT, exportJWK, generateKeyPair, SignJWT } from 'jose'
import type { TestIssuer } from './tokens.ts'

export interface ForgedToken {
  /** Letters, digits and hyphens. */
  readonly name: string
  readonly token: string
  /** The verifier's code for it. */
  readonly code: string
}

/** For a verifier of this one issuer, of audience `portcullis` and with `authorizedParties: [ci]`. */
export async function forgedTokens(issuer: TestIssuer): Promise<ForgedToken[]> {
  const { privateKey, publicKey } = await generateKeyPair('ES256')
  const ownJwk = await exportJWK(publicKey)
  const jwk = await issuer.publicJwk()
  const kid = jwk.kid ?? ''
  const nowSec = Math.floor(Date.now() / 1000)
  const claims = {
    ...{ iss: issuer.issuer, aud: 'portcullis', azp: 'ci', sub: 'eve', groups: ['agents'] },
    ...{ iat: nowSec, exp: nowSec + 300, jti: randomUUID() },
  }
  const forged: ForgedToken[] = []
  const add = (name: string, code: string, token: string) => void forged.push({ name, code, token })
  const unsigned = (header: object, payload: object = claims, signature = 'AAAA') =>
    `${encoded(header)}.${encoded(payload)}.${signature}`
  const own = (header: object, payload: object = claims) => signed(privateKey, header, payload)
  /** By the issuer itself: what is wrong is what it says. */
  const real = (over: Record<string, unknown>, header: Record<string, unknown> = {}) =>
    issuer.sign({ ...claims, ...over }, { header })

  for (const [index, alg] of ['none', 'None', 'NONE', 'nOnE', ''].entries())
    for (const signature of ['', 'AAAA'])
      add(
        `alg-none-${index}${signature && '-signed'}`,
        'algorithm',
        unsigned({ alg, kid }, claims, signature),
      )
  add('alg-missing', 'algorithm', unsigned({ kid }))
  add('alg-list', 'algorithm', unsigned({ alg: ['ES256'], kid }))
  const key = createPublicKey({ key: { ...jwk }, format: 'jwk' })
  const secrets = {
    pem: key.export({ type: 'spki', format: 'pem' }),
    der: key.export({ type: 'spki', format: 'der' }),
    jwk: JSON.stringify(jwk),
    empty: '',
  }
  for (const [form, secret] of Object.entries(secrets))
    for (const bits of ['256', '384', '512']) {
      const text = `${encoded({ alg: `HS${bits}`, kid })}.${encoded(claims)}`
      const mac = createHmac(`sha${bits}`, secret).update(text).digest('base64url')
      add(`hs${bits}-with-public-key-${form}`, 'algorithm', `${text}.${mac}`)
    }
  add('other-algorithm', 'algorithm', unsigned({ alg: 'ES384', kid }))
  add('other-curve', 'unknown_key', unsigned({ alg: 'RS256', kid }))

  for (const [index, url] of ['', '/', '/.', '?a=b', '#'].entries())
    if (url !== '') add(`issuer-near-${index}`, 'unknown_issuer', await real({ iss: issuer.issuer + url }))
  add('issuer-other', 'unknown_issuer', await real({ iss: 'https://evil.example' }))
  add('issuer-missing', 'unknown_issuer', await real({ iss: undefined }))
  add('issuer-list', 'unknown_issuer', await real({ iss: [issuer.issuer] }))
  for (const [index, aud] of ['other', 'portcullis2', 'PORTCULLIS', '', [], [['portcullis']]].entries())
    add(`audience-${index}`, 'wrong_audience', await real({ aud }))
  add('audience-missing', 'claim_missing', await real({ aud: undefined }))
  add('azp-other', 'wrong_party', await real({ azp: 'other' }))
  add('azp-missing', 'wrong_party', await real({ azp: undefined }))
  add('azp-list', 'wrong_party', await real({ azp: ['ci'] }))

  const kids = ['../../../../dev/null', "' OR '1'='1'; --", '__proto__', '\u0000', 'k'.repeat(4000), '']
  for (const [index, other] of kids.entries())
    add(`kid-trick-${index}`, 'unknown_key', await own({ alg: 'ES256', kid: other }))
  for (const [index, other] of [7, null, {}, [kid]].entries())
    add(`kid-no-string-${index}`, 'malformed', unsigned({ alg: 'ES256', kid: other }))
  const brought = {
    jwk: { jwk: ownJwk },
    jku: { jku: 'http://127.0.0.1:1/jwks' },
    x5u: { x5u: 'http://127.0.0.1:1/cert' },
    x5c: { x5c: ['MIIB'] },
  }
  for (const [member, header] of Object.entries(brought)) {
    add(`${member}-with-real-kid`, 'bad_signature', await own({ alg: 'ES256', kid, ...header }))
    add(`${member}-with-own-kid`, 'unknown_key', await own({ alg: 'ES256', kid: 'mine', ...header }))
  }
  add('crit', 'unsupported_header', unsigned({ alg: 'ES256', kid, crit: ['exp'], exp: 1 }))
  add('b64', 'unsupported_header', unsigned({ alg: 'ES256', kid, crit: ['b64'], b64: false }))
  for (const [index, typ] of ['logout+jwt', 'dpop+jwt', 'secevent+jwt', ''].entries())
    add(`type-${index}`, 'token_type', await real({}, { typ }))

  add('expired', 'expired', await real({ exp: nowSec - 60 }))
  add('exp-missing', 'claim_missing', await real({ exp: undefined }))
  add('exp-text', 'claim_invalid', await real({ exp: String(nowSec + 60) }))
  add('exp-without-end', 'claim_invalid', await real({ exp: 1e300 }))
  add('nbf-future', 'not_yet_valid', await real({ nbf: nowSec + 600 }))
  add('iat-future', 'not_yet_valid', await real({ iat: nowSec + 600 }))
  add('subject-missing', 'claim_missing', await real({ sub: undefined }))
  add('subject-hidden-character', 'claim_invalid', await real({ sub: 'alice\u200b' }))
  add('actor-of-another-issuer', 'delegation', await real({ act: { sub: 'a', iss: 'https://evil.example' } }))
  add('bound-to-a-key', 'bound_to_key', await real({ cnf: { jkt: 'x' } }))

  const jwe = new EncryptJWT(claims).setProtectedHeader({ alg: 'dir', enc: 'A256GCM', cty: 'JWT' })
  add('jwe', 'malformed', await jwe.encrypt(Buffer.from(hash('sha256', 'key', 'hex'), 'hex')))
  const inner = await real({})
  const nestedText = `${encoded({ alg: 'ES256', kid, cty: 'JWT' })}.${Buffer.from(inner).toString('base64url')}`
  add('nested', 'malformed', `${nestedText}.AAAA`)
  const twice = JSON.stringify(claims).replace('{', '{"sub":"root",')
  add(
    'claim-twice',
    'malformed',
    `${encoded({ alg: 'ES256', kid })}.${Buffer.from(twice).toString('base64url')}.AAAA`,
  )
  const algTwice = `{"alg":"none","alg":"ES256","kid":${JSON.stringify(kid)}}`
  add('alg-twice', 'malformed', `${Buffer.from(algTwice).toString('base64url')}.${encoded(claims)}.AAAA`)
  const noUtf8 = Buffer.concat([
    Buffer.from('{"sub":"'),
    Buffer.from([0xc3, 0x28]),
    Buffer.from('"}'),
  ]).toString('base64url')
  add('no-utf8', 'malformed', `${encoded({ alg: 'ES256', kid })}.${noUtf8}.AAAA`)
  add('oversized', 'too_large', await real({ pad: 'x'.repeat(20_000) }))
  add('oversized-by-far', 'too_large', 'x'.repeat(1_000_000))
  add('deep', 'malformed', `${encoded({ alg: 'ES256', kid })}.${deep()}.AAAA`)
  for (const [index, text] of ['password', 'a.b', '..', '.', 'a.b.c.d', '😀.é.ß'].entries())
    add(`no-token-${index}`, 'malformed', text)
  return forged
}

/** `count` different changes of a real token, the same for the same token; none is another spelling of it. */
export function mutatedTokens(real: string, count: number): string[] {
  const random = randomFrom(hash('sha256', real))
  const made = new Set<string>()
  while (made.size < count) {
    const parts = real.split('.')
    const mutation = mutations[random(mutations.length)]
    const mutated = mutation?.(parts, random)
    if (mutated !== undefined && mutated !== real) made.add(mutated)
  }
  return [...made]
}

type Random = (below: number) => number

/** Parts come as header, payload, signature. */
const mutations: readonly ((parts: readonly string[], random: Random) => string)[] = [
  // A character of what is signed.
  ([header = '', payload = '', signature], random) => {
    const signedText = `${header}.${payload}`
    const at = random(signedText.length)
    return `${signedText.slice(0, at)}${alphabet[random(64)]}${signedText.slice(at + 1)}.${signature}`
  },
  // A bit of the signature's bytes: of its text, some bits stand for nothing.
  ([header, payload, signature = ''], random) => {
    const bytes = Buffer.from(signature, 'base64url')
    const at = random(bytes.length)
    bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8))
    return `${header}.${payload}.${bytes.toString('base64url')}`
  },
  // A claim, with the old signature.
  ([header, payload = '', signature], random) => {
    const claims = decoded(payload)
    const name = ['sub', 'groups', 'exp', 'aud', 'iss', 'jti', 'act', 'azp'][random(8)] ?? 'sub'
    const value = ['root', ['admins'], 4e9 + random(1e6), { sub: `s${random(1e6)}` }, null, ''][random(6)]
    return `${header}.${encoded({ ...claims, [name]: value })}.${signature}`
  },
  // The header.
  ([header = '', payload, signature], random) => {
    const name = ['alg', 'kid', 'typ', 'jku', 'jwk', 'x5c', 'crit', 'cty', 'zip'][random(9)] ?? 'alg'
    const value = ['none', 'HS256', 'RS256', `k${random(1e6)}`, null, 7, {}, ['exp']][random(8)]
    return `${encoded({ ...decoded(header), [name]: value })}.${payload}.${signature}`
  },
  // Cut, and lengthened.
  (parts, random) => {
    const text = parts.join('.')
    return text.slice(0, random(text.length - 8))
  },
  (parts, random) => `${parts.join('.')}.${alphabet[random(64)]}${random(1e6)}`,
  // A character that no token has.
  (parts, random) => {
    const text = parts.join('.')
    const at = random(text.length)
    return `${text.slice(0, at)}${['=', '+', '/', ' ', '%', 'é', '.', '\u2028', '"'][random(9)]}${text.slice(at)}`
  },
  // Parts in another order, or one of them twice.
  (parts, random) => [0, 1, 2].map(() => parts[random(3)]).join('.'),
  // Bytes of the payload.
  ([header, payload = '', signature], random) => {
    const bytes = Buffer.from(payload, 'base64url')
    for (let times = 0; times <= random(4); times += 1) bytes[random(bytes.length)] = random(256)
    return `${header}.${bytes.toString('base64url')}.${signature}`
  },
]

const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'

/** Numbers that only look random, from a hexadecimal seed. */
function randomFrom(seed: string): Random {
  let state = Number.parseInt(seed.slice(0, 8), 16)
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

function encoded(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}

function decoded(part: string): object {
  return JSON.parse(Buffer.from(part, 'base64url').toString())
}

/** Brackets as deep as a token may be long, never closed. */
function deep(): string {
  return Buffer.from(`{"a":${'['.repeat(8000)}`).toString('base64url')
}

function signed(key: CryptoKey, header: object, payload: object): Promise<string> {
  return new SignJWT({ ...payload }).setProtectedHeader({ alg: 'ES256', ...header }).sign(key)
}
