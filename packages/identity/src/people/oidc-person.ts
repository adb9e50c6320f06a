/**
 * Proven claims of an ID token (and userinfo) -> a Person. Pure. Refuses what would make two people look like one, an
 * actor's token, and a list of groups that the provider cut off: a missing group must not quietly be a missing right.
 */
import { type Claims, claimAt, identityOf, requirePinned } from '../claims.ts'
import { IdentityError } from '../errors.ts'
import { type TrustedIssuer, trustedIssuer } from '../issuer-config.ts'
import { SignInError, type SignInErrorCode } from './errors.ts'
import type { Person } from './person.ts'

export interface OidcClaimRules {
  readonly issuer: string
  readonly clientId: string
  /** A claim's name, or a dotted path to it; default `groups`. */
  readonly groupsClaim?: string
  /** Default `sub`, which alone is promised to be stable and unique. */
  readonly subjectClaim?: string
  /** Default `name`. */
  readonly nameClaim?: string
  /** Default `email`. */
  readonly emailClaim?: string
  /** Claim (or dotted path) -> the values allowed, such as a tenant or a hosted domain. */
  readonly requiredClaims?: Readonly<Record<string, readonly string[]>>
}

/** @throws SignInError claim_missing, claim_invalid, not_allowed */
export function personOfClaims(claims: Claims, rules: OidcClaimRules): Person {
  const groupsClaim = rules.groupsClaim ?? 'groups'
  if (claims.act !== undefined)
    throw new SignInError('claim_invalid', 'the ID token is for an actor (act), not for a person')
  const distributed = claimAt(claims, '_claim_names')
  if (
    isRecord(distributed) &&
    Object.hasOwn(distributed, groupsClaim) &&
    claimAt(claims, groupsClaim) === undefined
  )
    throw new SignInError(
      'claim_missing',
      `the provider left out ${groupsClaim}, since this person has too many: have it send only the groups assigned to this application`,
    )
  const { subject, groups } = proven(claims, rules, groupsClaim)
  const authTime = claims.auth_time
  return {
    issuer: rules.issuer,
    subject,
    groups,
    name: forScreen(claimAt(claims, rules.nameClaim ?? 'name')),
    email: forScreen(claimAt(claims, rules.emailClaim ?? 'email')),
    authTimeUs: typeof authTime === 'number' && Number.isFinite(authTime) ? authTime * 1e6 : undefined,
    acr: typeof claims.acr === 'string' ? claims.acr : undefined,
    amr: Array.isArray(claims.amr) ? claims.amr.filter((one) => typeof one === 'string') : [],
    sessionEndsUs: undefined,
  }
}

/** What is shown to others: one line, no characters that reorder or hide. Anything else is dropped. */
export function forScreen(value: unknown): string {
  if (typeof value !== 'string') return ''
  const text = value.toWellFormed().replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '')
  return [...text].slice(0, 200).join('').trim()
}

/** The same rules as for a workload's token. */
function proven(claims: Claims, rules: OidcClaimRules, groupsClaim: string) {
  try {
    const issuer: TrustedIssuer = trustedIssuer({
      issuer: rules.issuer,
      audience: [rules.clientId],
      groupsClaim,
      subjectClaim: rules.subjectClaim ?? 'sub',
      requiredClaims: rules.requiredClaims ?? {},
    })
    requirePinned(claims, issuer)
    return identityOf(claims, issuer, '')
  } catch (error) {
    if (!(error instanceof IdentityError)) throw error
    const codes: Partial<Record<string, SignInErrorCode>> = {
      claim_missing: 'claim_missing',
      claim_mismatch: 'not_allowed',
      config: 'config',
    }
    throw new SignInError(
      codes[error.code] ?? 'claim_invalid',
      error.message.replace('the token', 'the ID token'),
      {
        cause: error,
      },
    )
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
