/**
 * Who calls the API and as what: a static token (for machines), whatever proves an identity (a trusted issuer's token, one
 * of our own, an API key), or a person's console session. Groups map to a role, unless it was given out for targets alone;
 * without one it may ask about itself and no more. A plain name of a group makes people approvers and admins, and nobody
 * else: any issuer of workloads can say it.
 * It keeps only hashes of static tokens, compares all of them in constant time, and after some failures an address has to wait. A
 * static token that is right is let in all the same: behind a balancer all callers share an address, and nobody's wrong
 * tokens may keep an analyst from stopping an attack. A refusal never says which part was wrong.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import { apiTokenCharsMin } from '@portcullis/config'
import type { DpopVerifier, Presented, Scope, ScopedProof, ShownKey } from '@portcullis/identity'
import { belongsTo, type Clock, type ControlEvent, groupsIssuer, type Identity } from '@portcullis/kernel'
import { createFailureBudget } from './failure-budget.ts'
import type { Session, Sessions } from './people/session.ts'
import { ApiError } from './problems.ts'

export type Role = 'viewer' | 'responder' | 'approver' | 'admin'
const rank: Record<Role, number> = { viewer: 1, responder: 2, approver: 3, admin: 4 }

export function isRole(text: string): text is Role {
  return Object.hasOwn(rank, text)
}

export interface Caller {
  readonly actor: ControlEvent['actor']
  /** Undefined where none of the groups has one, or the token is good for targets only. */
  readonly role: Role | undefined
  /** Who was proven, and for what; undefined for static tokens. */
  readonly proof: ScopedProof | undefined
  /** When the token ends, microseconds since 1970 UTC; undefined for static tokens. */
  readonly expiresAtUs: number | undefined
  /** Where a browser's cookie says who it is. */
  readonly session: Session | undefined
  /** Whether a session was signed out of since, or its time is over. */
  isOver(): boolean
}

/** What of a request says who it is from. */
export interface Credentials {
  readonly authorization: string | undefined
  readonly cookie: string | undefined
  readonly address: string
  readonly sent?: SentProof
}

export type Roles = Readonly<Record<string, Role>>

export interface AuthOptions {
  readonly tokens: readonly { readonly name: string; readonly role: Role; readonly token: string }[]
  /** Role by group, whoever says it. */
  readonly roles: Roles
  /** Roles of the groups of one issuer. */
  readonly roleOf?: readonly { readonly issuer: string; readonly group: string; readonly role: Role }[]
  /** Issuers that people sign in at. */
  readonly peopleIssuers?: ReadonlySet<string>
  /**
   * Role by group, for each provider that people sign in by; undefined: `roles`. Whoever signed in by one that is gone has no
   * role.
   */
  readonly rolesByProvider?: ReadonlyMap<string, Roles | undefined>
  /** Proves whatever else is presented; rejects where it proves nobody. */
  readonly prove: (token: string, presented: Presented) => Promise<ScopedProof>
  /** Judges proofs of possession; without it a token that is bound to a key proves nobody. */
  readonly dpop?: DpopVerifier
  /** Undefined where nobody can sign in. */
  readonly sessions?: Pick<Sessions, 'find' | 'isIn' | 'isOver'> | undefined
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
  authenticate(credentials: Credentials): Promise<Caller>
  /** Whom another service says that it is: the caller must have proven that it is that service. @throws ApiError forbidden */
  vouched(identity: Identity, provider: string | undefined): Caller
  /** Who a browser's cookie says it is. */
  bySession(cookie: string | undefined): Caller | undefined
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
      ...{ role, proof: undefined, expiresAtUs: undefined, session: undefined },
      isOver: () => false,
    }
  }

  async function byProof(token: string, address: string, key: ShownKey | undefined): Promise<Caller> {
    const proof = await options.prove(token, { address, ...(key && { keyThumbprint: key.thumbprint }) })
    if (key && proof.confirmation?.jkt === undefined)
      throw new Error('the token is not bound to the key that was shown: it is a bearer token')
    await key?.spend()
    return callerOf(proof, undefined, options.peopleIssuers?.has(groupsIssuer(proof.identity)) ?? false)
  }

  function rolesBy(identity: Identity, provider: string | undefined, isPerson: boolean): Role[] {
    const named = (options.roleOf ?? []).filter((one) => belongsTo(identity, [one])).map(({ role }) => role)
    const plain = (roles: Roles) => identity.groups.flatMap((group) => ownValue(roles, group))
    if (provider !== undefined) {
      if (!options.rolesByProvider?.has(provider)) return []
      return [...new Set([...plain(options.rolesByProvider.get(provider) ?? options.roles), ...named])]
    }
    const isGiven = (role: Role) => isPerson || rank[role] < rank.approver
    return [...new Set([...plain(options.roles).filter(isGiven), ...named])]
  }

  function callerOf(proof: ScopedProof, session: Session | undefined, isPerson: boolean): Caller {
    const { identity, expiresAtUs, scope, provider } = proof
    const byGroups = rolesBy(identity, provider, isPerson)
    const roles = isLimited(scope) ? [] : rolesLeft(byGroups, identity.delegation.length > 0)
    const actor = { issuer: identity.issuer, subject: identity.subject, roles }
    const isOver = () => session !== undefined && options.sessions?.isOver(session) !== false
    return { actor, role: roles[0], proof, expiresAtUs, session, isOver }
  }

  function bySession(cookie: string | undefined): Caller | undefined {
    const session = options.sessions?.find(cookie)
    return session && callerOf(session.proof, session, true)
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
    bySession,
    vouched: (identity, provider) =>
      callerOf(
        {
          ...{ identity, tokenId: identity.instance, scope: {}, expiresAtUs: Number.MAX_SAFE_INTEGER },
          ...(provider !== undefined && { provider }),
        },
        undefined,
        true,
      ),
    async authenticate({ authorization, cookie, address, sent }) {
      const [, scheme = '', token] = /^(Bearer|DPoP) +([\x21-\x7e]+)$/i.exec(authorization ?? '') ?? []
      const isBearer = scheme.toLowerCase() === 'bearer'
      const caller = token !== undefined && isBearer ? byStaticToken(token) : undefined
      if (caller) return caller
      const person = authorization === undefined ? bySession(cookie) : undefined
      if (person) return person
      // Open pages ask on when their session is over: that is no attempt to guess anything.
      if (authorization === undefined && options.sessions?.isIn(cookie))
        throw new ApiError('unauthenticated', 'Your session has ended: sign in again at /sign-in.')
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

/** The highest first. An agent has the groups of who sent it: it may see with them, and not answer for them. */
function rolesLeft(roles: readonly Role[], isSent: boolean): Role[] {
  if (isSent) return roles.length > 0 ? ['viewer'] : []
  return roles.toSorted((a, b) => rank[b] - rank[a])
}

/** @throws ApiError forbidden */
export function requireRole(caller: Caller, role: Role): void {
  if (caller.role === undefined)
    throw new ApiError(
      'forbidden',
      caller.proof && isLimited(caller.proof.scope)
        ? 'You are known, but your token is good for targets only.'
        : 'You are known, but none of your groups has a role here (api.roles; api.roleOf makes approvers and admins of workloads).',
    )
  if (rank[caller.role] < rank[role])
    throw new ApiError('forbidden', `This needs the role ${role}; you are ${caller.role}.`)
}

function isLimited({ targets, roles }: Scope): boolean {
  return targets !== undefined || roles !== undefined
}

function ownValue<V>(record: Readonly<Record<string, V>>, key: string): V[] {
  const value = Object.hasOwn(record, key) ? record[key] : undefined
  return value === undefined ? [] : [value]
}

function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest()
}
