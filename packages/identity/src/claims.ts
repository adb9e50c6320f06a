/**
 * Proven claims -> an Identity. Pure. Refuses what would make two actors look like one, or one like another: an empty
 * subject, characters that do not show or do not survive UTF-8, an actor named by an issuer that did not sign for it.
 *
 * Delegation (RFC 8693 section 4.1, ADR 3): without `act` the token's subject acts for itself. With `act`, `sub` is the
 * party on whose behalf, `act.sub` the one who acts now, and each `act` nested in it an earlier actor. The identity is
 * who acts now; `delegation` is everyone it acts for, the one who began first:
 *
 *   {sub: alice, act: {sub: agent-7, act: {sub: planner}}}   ->   agent-7, on behalf of [alice, planner]
 */
import type { Actor, Identity } from '@portcullis/kernel'
import { IdentityError, type IdentityErrorCode, quoteUnproven } from './errors.ts'
import type { TrustedIssuer } from './issuer-config.ts'
import { mapped } from './mapping.ts'

export type Claims = Readonly<Record<string, unknown>>

/**
 * `tokenId` stands for the running copy where the issuer's configuration names nothing else.
 * Throws IdentityError condition, claim_missing, claim_invalid or delegation.
 */
export function identityOf(claims: Claims, issuer: TrustedIssuer, tokenId: string): Identity {
  const { mapping, subjectClaim, groupsClaim } = issuer
  const by = mapped(claims, mapping)
  const subject = mapping.subject
    ? name(by.subject, 'subject', 'claim_missing')
    : name(claimAt(claims, subjectClaim), subjectClaim, 'claim_missing')
  const named = mapping.groups
    ? groupsOf(by.groups, 'groups')
    : groupsOf(claimAt(claims, groupsClaim), groupsClaim)
  const groups = [...new Set([...named, ...mapping.addGroups])]
  const instance = mapping.instance ? name(by.instance, 'instance', 'claim_missing') : tokenId
  const grantor: Actor = { issuer: issuer.issuer, subject, kind: kindOf(claims) }
  const [current, ...earlier] = actorsOf(claims.act, issuer)
  const task = mapping.task ? name(by.task, 'task', 'claim_missing') : ''
  const rest = { groups, instance, task, ancestors: [] }
  if (!current) return { issuer: grantor.issuer, subject: grantor.subject, delegation: [], ...rest }
  return {
    issuer: current.issuer,
    subject: current.subject,
    delegation: [grantor, ...earlier.reverse()],
    ...rest,
  }
}

/** `jti`, or where it has none the hash of what is signed. Throws IdentityError claim_invalid. */
export function tokenIdOf(claims: Claims, tokenHash: () => string): string {
  return claims.jti === undefined ? tokenHash() : name(claims.jti, 'jti', 'claim_invalid')
}

/**
 * Throws IdentityError claim_missing, claim_mismatch or wrong_party where a pinned claim is not what the configuration
 * says.
 */
export function requirePinned(claims: Claims, issuer: TrustedIssuer): void {
  for (const [path, allowed] of Object.entries(issuer.requiredClaims)) {
    const value = claimAt(claims, path)
    if (value === undefined) throw new IdentityError('claim_missing', `the token has no claim ${path}`)
    const values = (Array.isArray(value) ? value : [value]).map(textOf)
    if (!values.some((item) => typeof item === 'string' && allowed.includes(item)))
      throw new IdentityError(
        'claim_mismatch',
        `claim ${path} is ${quoteUnproven(value)}, which is not allowed`,
      )
  }
  if (issuer.authorizedParties) {
    const party = claims.azp ?? claims.client_id
    if (typeof party !== 'string' || !issuer.authorizedParties.includes(party))
      throw new IdentityError('wrong_party', `the token was issued to ${quoteUnproven(party)}`)
  }
}

/** Of two numbers that JSON.parse takes for one, neither is what was pinned. */
function textOf(item: unknown): unknown {
  const exact = typeof item === 'number' && (!Number.isInteger(item) || Number.isSafeInteger(item))
  return exact || typeof item === 'boolean' ? String(item) : item
}

/** A claim by its whole name, else by a dotted path through objects. Own members only. */
export function claimAt(claims: Claims, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const step of path.split('.')) {
    if (!isRecord(value) || !Object.hasOwn(value, step)) return undefined
    value = value[step]
  }
  return value
}

const nameCharsMax = 512
const groupsMax = 1000
const actorsMax = 8

/** A string parts at spaces, as `scope` does; members of an array are taken whole. */
function groupsOf(value: unknown, claim: string): string[] {
  if (value === undefined || value === null || value === '') return []
  const list: unknown = typeof value === 'string' ? value.split(' ').filter(Boolean) : value
  if (!Array.isArray(list))
    throw new IdentityError('claim_invalid', `claim ${claim} must be a string or an array of strings`)
  if (list.length > groupsMax)
    throw new IdentityError('claim_invalid', `claim ${claim} names more than ${groupsMax} groups`)
  return [...new Set(list.map((group) => name(group, claim, 'claim_invalid')))]
}

/** The chain from the current actor back to the first. */
function actorsOf(act: unknown, issuer: TrustedIssuer): Actor[] {
  const actors: Actor[] = []
  for (let link = act; link !== undefined; ) {
    if (!isRecord(link)) throw new IdentityError('delegation', 'claim act must be an object')
    if (actors.length === actorsMax)
      throw new IdentityError('delegation', `claim act is nested more than ${actorsMax} deep`)
    const actorIssuer = link.iss ?? issuer.issuer
    if (
      typeof actorIssuer !== 'string' ||
      (actorIssuer !== issuer.issuer && !issuer.actorIssuers.includes(actorIssuer))
    )
      throw new IdentityError(
        'delegation',
        `claim act names the issuer ${quoteUnproven(actorIssuer)}, for which ${issuer.issuer} may not speak (actorIssuers)`,
      )
    actors.push({ issuer: actorIssuer, subject: name(link.sub, 'act.sub', 'delegation'), kind: kindOf(link) })
    link = link.act
  }
  return actors
}

/** No registered claim says what sort of actor it is; `kind` is taken where an issuer gives one that we know. */
function kindOf({ kind }: Claims): string {
  return kind === 'person' || kind === 'agent' || kind === 'task' || kind === 'run' ? kind : 'unknown'
}

function name(value: unknown, claim: string, codeWhereMissing: IdentityErrorCode): string {
  if (value === undefined || value === null || value === '')
    throw new IdentityError(codeWhereMissing, `the token has no claim ${claim}, or an empty one`)
  if (typeof value !== 'string') throw new IdentityError('claim_invalid', `claim ${claim} must be a string`)
  if (value.length > nameCharsMax)
    throw new IdentityError('claim_invalid', `claim ${claim} is longer than ${nameCharsMax} characters`)
  // Lone surrogates all become U+FFFD on the bus: two subjects would share one baseline and one verdict.
  if (!value.isWellFormed() || /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(value))
    throw new IdentityError('claim_invalid', `claim ${claim} holds characters that do not show`)
  return value
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
