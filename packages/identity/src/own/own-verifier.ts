/**
 * Proves Portcullis' own tokens by the signing keys in the control log: nobody is asked, no JWKS is fetched, and a key that
 * was retired proves nothing from the moment this process hears of it, whatever was cached. It refuses every algorithm but
 * Ed25519, every header but its own three, and a token bound to a key that nobody showed.
 */
import { createPublicKey, hash, type KeyObject } from 'node:crypto'
import type { ApiKey, Clock, Identity, PublicSigningKey } from '@portcullis/kernel'
import { errors, jwtVerify } from 'jose'
import { requireShown } from '../confirmation.ts'
import { IdentityError, quoteUnproven } from '../errors.ts'
import type { IdentityLog } from '../issuer-keys.ts'
import { createProofCache } from '../proof-cache.ts'
import { apiKeyPrefix } from './api-key.ts'
import { ownAlgorithm, ownTokenCharsMax, ownTokenType, readOwnClaims } from './own-token.ts'
import { apiKeyIssuer, type Presented, type ScopedProof, tokenName } from './proof.ts'
import { outsideNetworks } from './scope.ts'

export interface OwnVerifierOptions {
  readonly issuer: string
  readonly audience: string
  readonly clock: Clock
  readonly log: Pick<IdentityLog, 'warn'>
  /** Proven tokens remembered; default 10,000. */
  readonly cacheEntriesMax?: number
}

export interface OwnVerifier {
  /** All keys that are not retired, in place of those before. */
  replace(keys: readonly PublicSigningKey[]): void
  /** Rejects with IdentityError. */
  verify(token: string, presented: Presented): Promise<ScopedProof>
}

/** Of another machine's clock that signs: how far in the future `iat` may lie. Never beyond `exp`. */
const leewaySec = 30

export function createOwnVerifier(options: OwnVerifierOptions): OwnVerifier {
  const { clock, log } = options
  const cache = createProofCache<CachedBy>(options.cacheEntriesMax ?? 10_000)
  let keys = new Map<string, KeyObject>()

  function fromCache(tokenHash: string): ScopedProof | undefined {
    const entry = cache.get(tokenHash)
    if (!entry) return undefined
    const { keyId, key, proof } = entry.keys
    if (keys.get(keyId) === key && clock.nowUs() < proof.expiresAtUs) return proof
    cache.delete(tokenHash)
    return undefined
  }

  return {
    replace(signingKeys) {
      const before = keys
      keys = new Map()
      for (const { keyId, algorithm, publicJwk } of signingKeys) {
        const key = before.get(keyId) ?? readKey(algorithm, publicJwk)
        if (key) keys.set(keyId, key)
        else
          log.warn({ keyId, algorithm }, 'a signing key of ours is of a kind that this version does not know')
      }
    },
    async verify(token, presented) {
      if (token.length > ownTokenCharsMax)
        throw new IdentityError('too_large', `the token has ${token.length} characters`)
      const tokenHash = hash('sha256', token)
      const cached = fromCache(tokenHash)
      if (cached) return bound(cached, presented)
      const keyId = keyIdOf(token)
      const key = keys.get(keyId)
      if (!key)
        throw new IdentityError(
          'unknown_key',
          `no key of ours is ${quoteUnproven(keyId)}: it was retired, or never was`,
        )
      const proof = await verified(token, key, options)
      cache.set(tokenHash, { proof, keys: { keyId, key, proof } })
      return bound(proof, presented)
    },
  }
}

interface CachedBy {
  readonly keyId: string
  readonly key: KeyObject
  readonly proof: ScopedProof
}

/** Whether this says of itself that it is one of ours. Whatever it is then, nothing else verifies it. */
export function isOwnToken(token: string): boolean {
  const end = token.indexOf('.')
  return end > 0 && end <= headerCharsMax && headerOf(token.slice(0, end))?.typ === ownTokenType
}

/** The API keys that an identity stands or falls with: the one it came by, and those its token was traded from. */
function apiKeysBehind(identity: Pick<Identity, 'issuer' | 'instance' | 'ancestors'>): string[] {
  if (identity.issuer !== apiKeyIssuer && identity.ancestors.length === 0) return []
  const prefix = `${apiKeyIssuer} ${apiKeyPrefix}`
  return [tokenName(identity), ...identity.ancestors]
    .filter((name) => name.startsWith(prefix))
    .map((name) => name.slice(apiKeyIssuer.length + 1))
}

/** Why what was proven by API keys is no longer: one of them is disabled or deleted. Not for their expiry. */
export function withdrawnBy(
  identity: Pick<Identity, 'issuer' | 'instance' | 'ancestors'>,
  apiKeys: ReadonlyMap<string, ApiKey>,
): string | undefined {
  const gone = apiKeysBehind(identity).find((keyId) => apiKeys.get(keyId)?.enabled !== true)
  return gone === undefined ? undefined : `API key ${gone} is disabled or deleted`
}

const headerCharsMax = 1024

function headerOf(part: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const header: unknown = JSON.parse(Buffer.from(part, 'base64url').toString('utf8'))
    if (typeof header !== 'object' || header === null || Array.isArray(header)) return undefined
    return Object.fromEntries(Object.entries(header))
  } catch {
    // Whatever it is, it is none of ours.
    return undefined
  }
}

const signed = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/

function keyIdOf(token: string): string {
  if (!signed.test(token))
    throw new IdentityError('malformed', 'the token does not have three parts in base64url')
  const header = headerOf(token.slice(0, token.indexOf('.'))) ?? {}
  const foreign = Object.keys(header).find((name) => !['alg', 'kid', 'typ'].includes(name))
  if (foreign !== undefined)
    throw new IdentityError('unsupported_header', `the token has a header ${quoteUnproven(foreign)}`)
  if (header.alg !== ownAlgorithm)
    throw new IdentityError('algorithm', `our own tokens are not signed with ${quoteUnproven(header.alg)}`)
  if (typeof header.kid !== 'string') throw new IdentityError('malformed', 'the token does not name its key')
  return header.kid
}

function readKey(algorithm: string, publicJwk: string): KeyObject | undefined {
  if (algorithm !== ownAlgorithm) return undefined
  try {
    const key = createPublicKey({ key: JSON.parse(publicJwk), format: 'jwk' })
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    // Told by the caller, with the key's id.
    return undefined
  }
}

async function verified(token: string, key: KeyObject, options: OwnVerifierOptions): Promise<ScopedProof> {
  const nowSec = options.clock.nowUs() / 1e6
  try {
    const { payload } = await jwtVerify(token, key, {
      issuer: options.issuer,
      audience: options.audience,
      algorithms: [ownAlgorithm],
      typ: ownTokenType,
      currentDate: new Date(nowSec * 1000),
      requiredClaims: ['exp', 'iat', 'jti', 'sub', 'portcullis'],
    })
    if (typeof payload.iat !== 'number' || payload.iat > nowSec + leewaySec)
      throw new IdentityError('not_yet_valid', 'the token was issued in the future: compare the clocks')
    return readOwnClaims(payload)
  } catch (error) {
    throw explained(error, options)
  }
}

function explained(error: unknown, { audience, issuer }: OwnVerifierOptions): IdentityError {
  if (error instanceof IdentityError) return error
  const as = (code: IdentityError['code'], message: string, proven?: ScopedProof) =>
    new IdentityError(code, message, { cause: error, ...(proven && { proven }) })
  if (error instanceof errors.JWTExpired)
    return as('expired', `the token is expired (exp ${error.payload.exp})`, readOwnClaims(error.payload))
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return as('wrong_audience', `the token is not for ${audience}`)
    if (error.claim === 'iss') return as('unknown_issuer', `the token was not issued by ${issuer}`)
    return as(
      error.reason === 'missing' ? 'claim_missing' : 'claim_invalid',
      `claim ${error.claim} of our own token is not what it must be`,
    )
  }
  if (error instanceof errors.JWSSignatureVerificationFailed)
    return as('bad_signature', 'the signature is not by a key of ours')
  return as('malformed', `the token is malformed: ${error instanceof Error ? error.message : error}`)
}

function bound(proof: ScopedProof, presented: Presented): ScopedProof {
  const outside = outsideNetworks(proof.scope, presented.address)
  if (outside !== undefined) throw new IdentityError('network', `the token ${outside}`, { proven: proof })
  requireShown(proof, presented)
  return proof
}
