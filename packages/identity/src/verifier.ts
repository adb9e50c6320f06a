/**
 * A token -> who it proves. Verifies JWTs of trusted OIDC issuers by RFC 7519 and RFC 8725. Refuses every algorithm the
 * issuer's configuration does not name (so `none`, and HMAC with a public key as its secret, never), every key that the
 * token itself brings (`jwk`, `jku`, `x5c`, `x5u` are not read), every header extension marked critical, and to guess:
 * issuer and audience must be exactly those configured, and `exp` must be there.
 */
import { isUtf8 } from 'node:buffer'
import { hash } from 'node:crypto'
import type { Clock, Identity } from '@portcullis/kernel'
import { type CryptoKey, errors, jwtVerify } from 'jose'
import { type Claims, identityOf, requirePinned, tokenIdOf } from './claims.ts'
import { confirmationOf, isShown, requireShown } from './confirmation.ts'
import { IdentityError, quoteUnproven } from './errors.ts'
import type { FetchJson } from './fetch-json.ts'
import { type IssuerConfig, type PinAddress, type TrustedIssuer, trustedIssuer } from './issuer-config.ts'
import {
  createIssuerKeys,
  type IdentityLog,
  type IssuerKeys,
  type IssuerStatus,
  type KeySet,
} from './issuer-keys.ts'
import { namesTwice } from './json-members.ts'
import type { KeyStore } from './key-store.ts'
import type { Confirmation, Presented } from './own/proof.ts'
import { type CachedProof, createProofCache } from './proof-cache.ts'

export interface Proof {
  readonly identity: Identity
  /** The token's `exp`, microseconds since 1970 UTC. Clocks may differ by the leeway: it can lie in the past. */
  readonly expiresAtUs: number
  /**
   * `jti`, or where it has none the SHA-256 of what is signed (64 hex digits). Not of the signature: anyone can spell
   * that in another way (ECDSA's other `s`, base64url's unused bits), and would so slip from a verdict on the instance.
   * The same as `identity.instance`.
   */
  readonly tokenId: string
  /** What the token is bound to and was shown; absent for a bearer token. */
  readonly confirmation?: Confirmation
  /** What its issuer's configuration says of where it may be used; absent where that says nothing. */
  readonly pinAddress?: PinAddress
}

export interface TokenVerifier {
  /**
   * Rejects with IdentityError. Within seconds, whatever the issuer does. A token that is bound to a key (RFC 7800) is
   * refused unless that key was presented: taken as a bearer token it would lose what its owner bound it for.
   */
  verify(token: string, presented?: Presented): Promise<Proof>
  /** The same without waiting, for a token proven before; undefined where only `verify` can tell. */
  verifyCached(token: string, presented?: Presented): Proof | undefined
  /**
   * From now on these are trusted, and no others; whoever is the same goes on with the keys that are known, and what was
   * proven by another is proven no longer. Answers which cannot be served, and why (code `config`): what stood under their
   * names goes on to stand, and no other waits for them.
   */
  replace(issuers: readonly IssuerConfig[]): readonly IdentityError[]
  /** The longest token that any of them may send. */
  bytesMax(): number
  /** Fetches every issuer's keys, so that the first login finds them. Never rejects: `status` says what came of it. */
  warmUp(): Promise<void>
  status(): readonly IssuerStatus[]
}

export interface TokenVerifierDeps {
  readonly issuers: readonly IssuerConfig[]
  readonly clock: Clock
  readonly log: IdentityLog
  readonly fetchJson?: FetchJson
  /** Keeps the last good keys over restarts; without it a verifier that starts while its issuer is away proves nobody. */
  readonly keyStore?: KeyStore
  /** Proven tokens remembered; default 10,000 (about 1 KB each). */
  readonly cacheEntriesMax?: number
}

/** Throws IdentityError('config') where an issuer's configuration cannot be served safely. */
export function createTokenVerifier(deps: TokenVerifierDeps): TokenVerifier {
  const { clock } = deps
  let issuers = knownIssuers(deps.issuers, new Map(), deps, (error) => {
    throw error
  })
  let bytesMax = bytesMaxOf(issuers)
  const cache = createProofCache<CachedBy>(deps.cacheEntriesMax ?? 10_000)

  function fromCache(tokenHash: string): CachedProof<CachedBy> | undefined {
    const entry = cache.get(tokenHash)
    if (!entry) return undefined
    const { proof, keys } = entry
    if (clock.nowUs() >= proof.expiresAtUs || !isTrusted(keys.by)) {
      cache.delete(tokenHash)
      return undefined
    }
    return keys.by.keys.fresh() === keys.set ? entry : undefined
  }

  function isTrusted(known: KnownIssuer): boolean {
    return issuers.get(known.trusted.issuer) === known
  }

  return {
    verifyCached(token, presented = {}) {
      const cached = token.length > bytesMax ? undefined : fromCache(sha256(token))
      return cached && isShown(cached.proof, presented) ? cached.proof : undefined
    },
    async verify(token, presented = {}) {
      if (token.length > bytesMax)
        throw new IdentityError('too_large', `the token has ${token.length} characters, over ${bytesMax}`)
      const tokenHash = sha256(token)
      const cached = fromCache(tokenHash)
      if (cached) return shown(cached.proof, presented)
      const by = judgeUnproven(token, issuers)
      const { trusted, keys } = by
      try {
        const { claims, set } = await prove(token, trusted, keys, clock)
        const proof = proofOf(claims, token, trusted)
        if (!isTrusted(by))
          throw new IdentityError('unknown_issuer', `what is trusted of ${trusted.issuer} has changed`)
        cache.set(tokenHash, { proof, keys: { by, set } })
        return shown(proof, presented)
      } catch (error) {
        throw withProof(error, token, trusted)
      }
    },
    replace(configs) {
      const refused: IdentityError[] = []
      issuers = knownIssuers(configs, issuers, deps, (error) => void refused.push(error))
      bytesMax = bytesMaxOf(issuers)
      return refused
    },
    bytesMax: () => bytesMax,
    async warmUp() {
      await Promise.allSettled([...issuers.values()].map(({ keys }) => keys.current()))
    },
    status: () => [...issuers.values()].map(({ keys }) => keys.status()),
  }
}

function shown(proof: Proof, presented: Presented): Proof {
  requireShown(proof, presented)
  return proof
}

function knownIssuers(
  configs: readonly IssuerConfig[],
  before: ReadonlyMap<string, KnownIssuer>,
  deps: TokenVerifierDeps,
  onRefused: (error: IdentityError) => void,
): ReadonlyMap<string, KnownIssuer> {
  const issuers = new Map<string, KnownIssuer>()
  for (const config of configs) {
    if (issuers.has(config.issuer)) {
      onRefused(new IdentityError('config', `issuer ${config.issuer} is configured twice`))
      continue
    }
    const known = before.get(config.issuer)
    try {
      issuers.set(config.issuer, knownIssuer(config, known, deps))
    } catch (error) {
      if (!(error instanceof IdentityError)) throw error
      onRefused(error)
      if (known) issuers.set(config.issuer, known)
    }
  }
  return issuers
}

function knownIssuer(
  config: IssuerConfig,
  known: KnownIssuer | undefined,
  deps: TokenVerifierDeps,
): KnownIssuer {
  const settings = JSON.stringify(config)
  if (known?.settings === settings) return known
  const trusted = trustedIssuer(config)
  return { trusted, settings, keys: createIssuerKeys(trusted, deps) }
}

function bytesMaxOf(issuers: ReadonlyMap<string, KnownIssuer>): number {
  return Math.max(0, ...[...issuers.values()].map(({ trusted }) => trusted.maxTokenBytes))
}

function proofOf(claims: Claims, token: string, issuer: TrustedIssuer): Proof {
  requirePinned(claims, issuer)
  const tokenId = tokenIdOf(claims, () => sha256(token.slice(0, token.lastIndexOf('.'))))
  const confirmation = confirmationOf(claims)
  return {
    identity: identityOf(claims, issuer, tokenId),
    expiresAtUs: expiryUs(claims),
    tokenId,
    ...(confirmation && { confirmation }),
    ...(issuer.pinAddress && { pinAddress: issuer.pinAddress }),
  }
}

/** jose judges the time last, of a payload whose signature it verified. Throws what else is wrong with it. */
function withProof(error: unknown, token: string, issuer: TrustedIssuer): unknown {
  if (!(error instanceof IdentityError) || !(error.cause instanceof errors.JWTExpired)) return error
  const proven = proofOf(error.cause.payload, token, issuer)
  return new IdentityError(error.code, error.message, { cause: error.cause, proven })
}

interface KnownIssuer {
  readonly trusted: TrustedIssuer
  /** As it was configured, to tell whether another is the same. */
  readonly settings: string
  readonly keys: IssuerKeys
}

interface CachedBy {
  readonly by: KnownIssuer
  readonly set: KeySet
}

/** All that can be refused before a signature is looked at. Whatever is read here is believed only to refuse by it. */
function judgeUnproven(token: string, issuers: ReadonlyMap<string, KnownIssuer>): KnownIssuer {
  const parts = token.split('.')
  if (parts.length === 5)
    throw new IdentityError('malformed', 'the token is encrypted (JWE): only signed ones are read')
  const [headerPart, payloadPart, signaturePart] = parts
  if (parts.length !== 3 || headerPart === undefined || payloadPart === undefined)
    throw new IdentityError('malformed', 'the token is not a JWT: it does not have three parts')
  const header = jsonPart(headerPart, 'header')
  const payload = jsonPart(payloadPart, 'payload')
  if (header.crit !== undefined || header.b64 !== undefined)
    throw new IdentityError('unsupported_header', 'the token marks header extensions as critical')
  if (header.typ !== undefined && !isJwtType(header.typ))
    throw new IdentityError('token_type', `the token is of type ${quoteUnproven(header.typ)}, not for access`)
  if (header.kid !== undefined && typeof header.kid !== 'string')
    throw new IdentityError('malformed', 'the token has a kid that is not a string')
  const known = typeof payload.iss === 'string' ? issuers.get(payload.iss) : undefined
  if (!known) throw new IdentityError('unknown_issuer', `no trusted issuer is ${quoteUnproven(payload.iss)}`)
  if (token.length > known.trusted.maxTokenBytes)
    throw new IdentityError(
      'too_large',
      `the token has ${token.length} characters, over ${known.trusted.maxTokenBytes}`,
    )
  if (typeof header.alg !== 'string' || !known.trusted.algorithms.includes(header.alg))
    throw new IdentityError(
      'algorithm',
      `${known.trusted.issuer} may not sign with ${quoteUnproven(header.alg)}`,
    )
  if (!signaturePart) throw new IdentityError('malformed', 'the token has no signature')
  if (!base64url.test(signaturePart))
    throw new IdentityError('malformed', "the token's signature is not base64url")
  return known
}

async function prove(
  token: string,
  issuer: TrustedIssuer,
  keys: IssuerKeys,
  clock: Clock,
): Promise<{ claims: Claims; set: KeySet }> {
  let set = await keys.current()
  try {
    return { claims: await verifyWith(set.find, token, issuer, clock), set }
  } catch (error) {
    if (!(error instanceof errors.JWKSNoMatchingKey)) throw explained(error, issuer)
  }
  set = await keys.afterUnknownKey(set)
  try {
    return { claims: await verifyWith(set.find, token, issuer, clock), set }
  } catch (error) {
    throw explained(error, issuer)
  }
}

/** Throws what jose throws. A token without `kid` is tried with each of the issuer's keys that fits its algorithm. */
async function verifyWith(
  find: KeySet['find'],
  token: string,
  issuer: TrustedIssuer,
  clock: Clock,
): Promise<Claims> {
  const options = {
    issuer: issuer.issuer,
    audience: [...issuer.audience],
    algorithms: [...issuer.algorithms],
    clockTolerance: issuer.leewaySec,
    currentDate: new Date(clock.nowUs() / 1000),
    requiredClaims: ['exp'],
  }
  const claims = await jwtVerify(token, find, options).then(
    ({ payload }) => payload,
    async (error: unknown) => {
      if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw error
      for await (const key of error) {
        const payload = await payloadBy(token, key, options)
        if (payload) return payload
      }
      throw new errors.JWSSignatureVerificationFailed()
    },
  )
  const { iat } = claims
  if (typeof iat === 'number' && iat > clock.nowUs() / 1e6 + issuer.leewaySec)
    throw new IdentityError(
      'not_yet_valid',
      `the token was issued in the future (iat ${iat}): compare the clocks`,
    )
  return claims
}

async function payloadBy(
  token: string,
  key: CryptoKey,
  options: Parameters<typeof jwtVerify>[2],
): Promise<Claims | undefined> {
  try {
    return (await jwtVerify(token, key, options)).payload
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return undefined
    throw error
  }
}

function explained(error: unknown, issuer: TrustedIssuer): IdentityError {
  if (error instanceof IdentityError) return error
  const as = (code: IdentityError['code'], message: string) =>
    new IdentityError(code, message, { cause: error })
  if (error instanceof errors.JWTExpired)
    return as('expired', `the token is expired (exp ${error.payload.exp})`)
  if (error instanceof errors.JWTClaimValidationFailed) {
    const { claim, reason, payload } = error
    if (reason === 'missing') return as('claim_missing', `the token has no claim ${claim}`)
    if (reason === 'invalid') return as('claim_invalid', `claim ${claim} is not of its type`)
    if (claim === 'aud')
      return as(
        'wrong_audience',
        `the token is for ${quoteUnproven([payload.aud].flat().join(' '))}, not for ${issuer.audience.join(' or ')}`,
      )
    if (claim === 'nbf') return as('not_yet_valid', `the token is not valid yet (nbf ${payload.nbf})`)
    return as('claim_mismatch', `claim ${claim} is not what it must be`)
  }
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return as('bad_signature', `the signature is not by a key of ${issuer.issuer}`)
  if (error instanceof errors.JWKSNoMatchingKey)
    return as('unknown_key', `${issuer.issuer} publishes no key that fits the token's kid and algorithm`)
  if (error instanceof errors.JOSEAlgNotAllowed)
    return as('algorithm', 'the token names an algorithm that is not allowed')
  if (error instanceof errors.JOSEError) return as('malformed', `the token is malformed: ${error.message}`)
  return as(
    'unknown_key',
    `a key of ${issuer.issuer} cannot be used: ${error instanceof Error ? error.message : error}`,
  )
}

function expiryUs({ exp }: Claims): number {
  const us = typeof exp === 'number' ? Math.floor(exp * 1e6) : Number.NaN
  if (!Number.isSafeInteger(us)) throw new IdentityError('claim_invalid', 'claim exp is not a time')
  return us
}

const base64url = /^[A-Za-z0-9_-]+$/

function jsonPart(part: string, what: string): Record<string, unknown> {
  if (!base64url.test(part)) throw new IdentityError('malformed', `the token's ${what} is not base64url`)
  const bytes = Buffer.from(part, 'base64url')
  if (!isUtf8(bytes)) throw new IdentityError('malformed', `the token's ${what} is not UTF-8`)
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new IdentityError('malformed', `the token's ${what} is not JSON`, { cause })
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new IdentityError('malformed', `the token's ${what} is not a JSON object`)
  if (namesTwice(text, value))
    throw new IdentityError('malformed', `the token's ${what} names a member twice`)
  return Object.fromEntries(Object.entries(value))
}

/** RFC 8725 section 3.11: a JWT made for logout, DPoP or security events must not pass for one that grants access. */
function isJwtType(typ: unknown): boolean {
  if (typeof typ !== 'string') return false
  return ['jwt', 'at+jwt', 'jose'].includes(typ.toLowerCase().replace(/^application\//, ''))
}

function sha256(token: string): string {
  return hash('sha256', token, 'hex')
}
