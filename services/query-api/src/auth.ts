/**
 * Who calls the API and as what: a static token (for machines), or whatever proves an identity (a trusted issuer's token,
 * one of our own, an API key). Its groups map to a role, unless it was given out for targets alone; without one it may ask
 * about itself and no more. It keeps
 * only hashes of static tokens, compares all of them in constant time, and after some failures an address has to wait. A
 * static token that is right is let in all the same: behind a balancer all callers share an address, and nobody's wrong
 * tokens may keep an analyst from stopping an attack. A refusal never says which part was wrong.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { apiTokenCharsMin } from '@portcullis/config'
import type { DpopVerifier, Presented, Scope, ScopedProof, ShownKey } from '@portcullis/identity'
import type { Clock, ControlEvent } from '@portcullis/kernel'
import { ApiError } from './problems.ts'

export type Role = 'viewer' | 'responder' | 'approver' | 'admin'
const rank: Record<Role, number> = { viewer: 1, responder: 2, approver: 3, admin: 4 }

export interface Caller {
  readonly actor: ControlEvent['actor']
  /** Undefined where none of the groups has one, or the token is good for targets only. */
  readonly role: Role | undefined
  /** Who was proven, and for what; undefined for static tokens. */
  readonly proof: ScopedProof | undefined
  /** When the token ends, microseconds since 1970 UTC; undefined for static tokens. */
  readonly expiresAtUs: number | undefined
}

export interface AuthOptions {
  readonly tokens: readonly { readonly name: string; readonly role: Role; readonly token: string }[]
  /** Role by group. */
  readonly roles: Readonly<Record<string, Role>>
  /** Proves whatever else is presented; rejects where it proves nobody. */
  readonly prove: (token: string, presented: Presented) => Promise<ScopedProof>
  /** Judges proofs of possession; without it a token that is bound to a key proves nobody. */
  readonly dpop?: DpopVerifier
  readonly clock: Clock
  /** Told of each refusal, for the log; never the token. */
  readonly onRefused: (address: string, why: string) => void
  /** Failures an address may have at once, and how many come back each minute. Default 10. */
  readonly failuresPerMinute?: number
}

/** What a proof of possession is about, and the proof: the DPoP header (RFC 9449). */
export interface SentProof {
  readonly method: string
  readonly path: string
  readonly proof: string | undefined
}

export interface Authenticator {
  /**
   * What the caller may is `requireRole`'s to say. Without `sent` a token that is bound to a key proves nobody.
   * @throws ApiError unauthenticated, too_many_attempts
   */
  authenticate(authorization: string | undefined, address: string, sent?: SentProof): Promise<Caller>
}

export function createAuthenticator(options: AuthOptions): Authenticator {
  const { clock, onRefused } = options
  const known = options.tokens.map(({ name, role, token }) => {
    if (token.length < apiTokenCharsMin)
      throw new Error(`api.tokens.${name}: a token must have at least ${apiTokenCharsMin} characters`)
    return { name, role, hash: sha256(token) }
  })
  const failures = createFailureBudget(options.failuresPerMinute ?? 10, clock)

  function byStaticToken(token: string): Caller | undefined {
    const hash = sha256(token)
    // Every one is compared, so that the time tells nothing of which comes close.
    const [match] = known.filter((one) => timingSafeEqual(one.hash, hash))
    if (!match) return undefined
    const { name, role } = match
    return {
      actor: { issuer: 'portcullis', subject: name, roles: [role] },
      ...{ role, proof: undefined, expiresAtUs: undefined },
    }
  }

  async function byProof(token: string, address: string, key: ShownKey | undefined): Promise<Caller> {
    const proof = await options.prove(token, { address, ...(key && { keyThumbprint: key.thumbprint }) })
    const { identity, expiresAtUs, scope, confirmation } = proof
    if (key && confirmation?.jkt === undefined)
      throw new Error('the token is not bound to the key that was shown: it is a bearer token')
    await key?.spend()
    const roles = isLimited(scope)
      ? []
      : [...new Set(identity.groups.flatMap((group) => ownValue(options.roles, group)))]
    const role = roles.sort((a, b) => rank[b] - rank[a])[0]
    const actor = { issuer: identity.issuer, subject: identity.subject, roles }
    return { actor, role, proof, expiresAtUs }
  }

  function keyShown(token: string, sent: SentProof | undefined): Promise<ShownKey> {
    if (!options.dpop || sent?.proof === undefined) throw new Error('no DPoP proof came with the token')
    const { method, path, proof } = sent
    return options.dpop.verify(proof, { method, path, token })
  }

  function refuse(address: string, why: string): ApiError {
    failures.spend(address)
    onRefused(address, why)
    return new ApiError('unauthenticated', 'The token is missing, malformed, expired or not known here.')
  }

  return {
    async authenticate(authorization, address, sent) {
      const [, scheme = '', token] = /^(Bearer|DPoP) +([\x21-\x7e]+)$/i.exec(authorization ?? '') ?? []
      const isBearer = scheme.toLowerCase() === 'bearer'
      const caller = token !== undefined && isBearer ? byStaticToken(token) : undefined
      if (caller) return caller
      const waitMs = failures.waitMs(address)
      if (waitMs > 0)
        throw new ApiError('too_many_attempts', 'Wait, and check the token.', {
          retryAfterSec: Math.ceil(waitMs / 1000),
        })
      if (token === undefined)
        throw refuse(
          address,
          authorization === undefined ? 'no token' : 'neither a bearer token nor one of DPoP',
        )
      try {
        return await byProof(token, address, isBearer ? undefined : await keyShown(token, sent))
      } catch (error) {
        if (error instanceof ApiError) throw error
        throw refuse(address, error instanceof Error ? error.message : String(error))
      }
    },
  }
}

/** @throws ApiError forbidden */
export function requireRole(caller: Caller, role: Role): void {
  if (caller.role === undefined)
    throw new ApiError(
      'forbidden',
      caller.proof && isLimited(caller.proof.scope)
        ? 'You are known, but your token is good for targets only.'
        : 'You are known, but none of your groups has a role here (api.roles).',
    )
  if (rank[caller.role] < rank[role])
    throw new ApiError('forbidden', `This needs the role ${role}; you are ${caller.role}.`)
}

function isLimited({ targets, roles }: Scope): boolean {
  return targets !== undefined || roles !== undefined
}

const addressesMax = 10_000

/** A token bucket of failures for each address; the longest idle are forgotten where there are too many. */
function createFailureBudget(perMinute: number, clock: Clock) {
  const buckets = new Map<string, { left: number; atMs: number }>()
  const current = (address: string): number => {
    const bucket = buckets.get(address)
    if (!bucket) return perMinute
    return Math.min(perMinute, bucket.left + ((clock.monotonicMs() - bucket.atMs) * perMinute) / 60_000)
  }
  return {
    waitMs: (address: string): number => {
      const left = current(address)
      return left >= 1 ? 0 : ((1 - left) * 60_000) / perMinute
    },
    spend(address: string): void {
      const left = current(address) - 1
      buckets.delete(address)
      buckets.set(address, { left, atMs: clock.monotonicMs() })
      const [oldest] = buckets.keys()
      if (buckets.size > addressesMax && oldest !== undefined) buckets.delete(oldest)
    },
  }
}

function ownValue<V>(record: Readonly<Record<string, V>>, key: string): V[] {
  const value = Object.hasOwn(record, key) ? record[key] : undefined
  return value === undefined ? [] : [value]
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
