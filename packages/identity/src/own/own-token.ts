/**
 * Portcullis' own tokens: JWTs (RFC 7519) signed with Ed25519, of a type of their own so that nobody takes one for a
 * token of something else, nor something else for one of these (RFC 8725 section 3.11).
 *
 *   header   alg EdDSA, kid, typ portcullis+jwt; nothing else
 *   payload  iss, aud, iat, exp, jti   this token's
 *            sub, groups               who acts, and with what authority
 *            cnf                       what it is bound to (RFC 7800), where it is
 *            portcullis                {issuer, delegation, task, ancestors, targets?, roles?, networks?, provider?, uses?}
 *
 * Whoever it is stays who they were: `portcullis.issuer` is the issuer that first proved them, so that a baseline and a
 * verdict stay one whichever token is used. It refuses what it does not know: a claim that a newer version added may take
 * something away.
 */
import type { KeyObject } from 'node:crypto'
import type { Actor, Identity } from '@portcullis/kernel'
import { SignJWT } from 'jose'
import { IdentityError } from '../errors.ts'
import type { CarriedUse, Confirmation, ScopedProof } from './proof.ts'
import type { Scope } from './scope.ts'

export const ownTokenType = 'portcullis+jwt'
const scopeClaims = ['targets', 'roles', 'networks']
export const ownAlgorithm = 'EdDSA'
/** What is longer is neither made nor read. */
export const ownTokenCharsMax = 16_384

/** What a token is to say. */
export interface Grant {
  readonly identity: Omit<Identity, 'instance'>
  readonly scope: Scope
  /** As in ScopedProof. */
  readonly provider?: string
  /** Microseconds since 1970 UTC; the token's `exp` is the whole second before. */
  readonly expiresAtUs: number
  readonly confirmation?: Confirmation
  /** As in ScopedProof. */
  readonly carried?: readonly CarriedUse[]
}

export interface Minting {
  readonly issuer: string
  readonly audience: string
  readonly keyId: string
  /** Ed25519. */
  readonly privateKey: KeyObject
  readonly nowUs: number
  /** Unique over all tokens. */
  readonly tokenId: string
}

/** Throws IdentityError('too_large') for a token that no door would read. */
export async function mintToken(grant: Grant, minting: Minting): Promise<string> {
  const { identity, scope, confirmation, provider, carried = [] } = grant
  const { issuer, subject, groups, delegation, task, ancestors } = identity
  const token = await new SignJWT({
    iss: minting.issuer,
    aud: minting.audience,
    iat: Math.floor(minting.nowUs / 1e6),
    exp: Math.floor(grant.expiresAtUs / 1e6),
    jti: minting.tokenId,
    sub: subject,
    groups: [...groups],
    ...(confirmation && { cnf: confirmation }),
    portcullis: {
      issuer,
      delegation,
      task,
      ancestors,
      ...scope,
      ...(provider !== undefined && { provider }),
      ...(carried.length > 0 && { uses: carried.map(claimOfUse) }),
    },
  })
    .setProtectedHeader({ alg: ownAlgorithm, kid: minting.keyId, typ: ownTokenType })
    .sign(minting.privateKey)
  if (token.length > ownTokenCharsMax)
    throw new IdentityError('too_large', `the token would have more than ${ownTokenCharsMax} characters`)
  return token
}

/** Reads the payload of a token whose signature, issuer, audience and time are verified. Throws IdentityError('claim_invalid'). */
export function readOwnClaims(payload: Readonly<Record<string, unknown>>): ScopedProof {
  refuseUnknown('payload', payload, ['iss', 'aud', 'iat', 'exp', 'jti', 'sub', 'groups', 'cnf', 'portcullis'])
  const own = object('portcullis', payload.portcullis)
  refuseUnknown('portcullis', own, [
    ...['issuer', 'delegation', 'task', 'ancestors', 'provider', 'uses'],
    ...scopeClaims,
  ])
  const cnf = payload.cnf === undefined ? {} : object('cnf', payload.cnf)
  refuseUnknown('cnf', cnf, ['jkt', 'x5t#S256'])
  const instance = text('jti', payload.jti)
  const identity: Identity = {
    issuer: text('portcullis.issuer', own.issuer),
    subject: text('sub', payload.sub),
    groups: texts('groups', payload.groups),
    delegation: list('portcullis.delegation', own.delegation).map(actorOf),
    instance,
    task: own.task === '' ? '' : text('portcullis.task', own.task),
    ancestors: texts('portcullis.ancestors', own.ancestors),
  }
  const scope: Scope = {
    ...(own.targets !== undefined && { targets: texts('portcullis.targets', own.targets) }),
    ...(own.networks !== undefined && {
      networks: list('portcullis.networks', own.networks).map((one) => texts('portcullis.networks', one)),
    }),
    ...(own.roles !== undefined && { roles: list('portcullis.roles', own.roles).map(roleOf) }),
  }
  const confirmation: Confirmation = {
    ...(cnf.jkt !== undefined && { jkt: text('cnf.jkt', cnf.jkt) }),
    ...(cnf['x5t#S256'] !== undefined && { 'x5t#S256': text('cnf.x5t#S256', cnf['x5t#S256']) }),
  }
  if (payload.cnf !== undefined && Object.keys(confirmation).length === 0) throw invalid('cnf')
  const expiresAtUs = Number(payload.exp) * 1e6
  if (!Number.isSafeInteger(expiresAtUs)) throw invalid('exp')
  return {
    ...{ identity, expiresAtUs, tokenId: instance, scope },
    ...(payload.cnf !== undefined && { confirmation }),
    ...(own.provider !== undefined && { provider: text('portcullis.provider', own.provider) }),
    ...(own.uses !== undefined && { carried: list('portcullis.uses', own.uses).map(useOf) }),
  }
}

function claimOfUse({ identity, tokenId, address, pinAddress, expiresAtUs }: CarriedUse) {
  return {
    issuer: identity.issuer,
    token: tokenId,
    address,
    pin: pinAddress,
    until: Math.ceil(expiresAtUs / 1e6),
  }
}

function useOf(value: unknown): CarriedUse {
  const use = object('portcullis.uses', value)
  refuseUnknown('portcullis.uses', use, ['issuer', 'token', 'address', 'pin', 'until'])
  const pinAddress = pins.find((pin) => pin === use.pin)
  const expiresAtUs = Number(use.until) * 1e6
  if (pinAddress === undefined || !Number.isSafeInteger(expiresAtUs)) throw invalid('portcullis.uses')
  return {
    identity: { issuer: text('uses.issuer', use.issuer) },
    tokenId: text('uses.token', use.token),
    address: text('uses.address', use.address),
    ...{ pinAddress, expiresAtUs },
  }
}

const pins = ['off', 'address', 'network'] as const

function actorOf(value: unknown): Actor {
  const actor = object('portcullis.delegation', value)
  refuseUnknown('portcullis.delegation', actor, ['issuer', 'subject', 'kind'])
  return {
    issuer: text('delegation.issuer', actor.issuer),
    subject: text('delegation.subject', actor.subject),
    kind: text('delegation.kind', actor.kind),
  }
}

function roleOf(value: unknown): string {
  return value === '' ? '' : text('portcullis.roles', value)
}

function invalid(claim: string): IdentityError {
  return new IdentityError('claim_invalid', `claim ${claim} of our own token is not what it must be`)
}

function refuseUnknown(claim: string, value: object, known: readonly string[]): void {
  const unknown = Object.keys(value).find((name) => !known.includes(name))
  if (unknown !== undefined) throw invalid(`${claim}.${unknown}`)
}

function object(claim: string, value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid(claim)
  return Object.fromEntries(Object.entries(value))
}

function list(claim: string, value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw invalid(claim)
  return value
}

function text(claim: string, value: unknown): string {
  if (typeof value !== 'string' || value === '') throw invalid(claim)
  return value
}

function texts(claim: string, value: unknown): string[] {
  return list(claim, value).map((item) => text(claim, item))
}
