/**
 * What is trusted of one issuer, and the checks that refuse a configuration which would trust more than it says:
 * symmetric algorithms, plain HTTP beyond loopback, an empty audience, an expression that is none.
 */
import { isIP } from 'node:net'
import { IdentityError } from './errors.ts'
import { type Mapping, mappingOf } from './mapping.ts'

/** Whether a token may be used only from where it was used first: off, or by address or network. */
export type PinAddress = 'off' | 'address' | 'network'

export interface IssuerConfig {
  /** Exactly the token's `iss`, and the base of discovery. */
  readonly issuer: string
  /** At least one must be among the token's `aud`. */
  readonly audience: readonly string[]
  /** Asymmetric JWS algorithms; default RS256, PS256, ES256, EdDSA. */
  readonly algorithms?: readonly string[]
  /** Allowed difference of clocks for `exp`, `nbf` and `iat`; default 30, at most 300. */
  readonly leewaySec?: number
  /** CEL expressions over `claims`: each must be true, or the token proves nobody. What one reads must be there. */
  readonly conditions?: readonly string[]
  /** CEL over `claims` that gives the subject, in place of `subjectClaim`. */
  readonly subject?: string | undefined
  /** CEL over `claims` that gives a list of strings (or one string), in place of `groupsClaim`. */
  readonly groups?: string | undefined
  /** Groups that every identity of this issuer has, beside those that its token names. */
  readonly addGroups?: readonly string[]
  /**
   * CEL over `claims` that names the running copy, so that all its tokens count as one: a run's id, a pod's. It must differ
   * between any two copies that the issuer signs for. Where absent: the token's `jti`, or the hash that stands in for it.
   */
  readonly instance?: string | undefined
  /** CEL over `claims` that says what the workload was sent to do, for every event of it. Where absent: nothing. */
  readonly task?: string | undefined
  /** A claim's name, or a dotted path to it; default `groups`. */
  readonly groupsClaim?: string
  /** A claim's name, or a dotted path to it; default `sub`. */
  readonly subjectClaim?: string
  /** Where the keys are, instead of asking discovery. */
  readonly jwksUri?: string
  /**
   * Gives a bearer token to send where the keys are fetched, and only to the host of `issuer` or of `jwksUri`: what a
   * discovery document names does not get it. Asked at each fetch, as such tokens are rotated. May throw.
   */
  readonly jwksToken?: (() => string) | undefined
  /** Keys older than this are fetched again; default 600. */
  readonly jwksCacheSec?: number
  /** How much longer known keys serve while the issuer is away; default 86400. */
  readonly jwksStaleSec?: number
  /** Between two fetches that tokens with unknown keys may cause; default 10. */
  readonly jwksCooldownSec?: number
  /** Default 16384. */
  readonly maxTokenBytes?: number
  /** PEM for the issuer's own TLS. */
  readonly ca?: string
  /** Claim (or dotted path) -> the values allowed. Pins what a shared issuer leaves open, such as a repository's id. */
  readonly requiredClaims?: Readonly<Record<string, readonly string[]>>
  /** Where given, `azp` (or `client_id`) must be one of them. */
  readonly authorizedParties?: readonly string[] | undefined
  /** Other issuers that this one may name in `act.iss`; see ADR 3. Default none. */
  readonly actorIssuers?: readonly string[]
  /** Whether one of its tokens may be used from one place only; for the door to judge. */
  readonly pinAddress?: PinAddress | undefined
}

/** `IssuerConfig` with its defaults, checked. */
export type TrustedIssuer = Required<Omit<IssuerConfig, Optional | keyof Mapping>> &
  Pick<IssuerConfig, Optional> & { readonly mapping: Mapping }

type Optional = 'jwksUri' | 'jwksToken' | 'ca' | 'authorizedParties' | 'pinAddress'

/** Throws IdentityError('config') that names the issuer, the setting and what would be right. */
export function trustedIssuer(config: IssuerConfig): TrustedIssuer {
  const refuse = (setting: string, why: string): never => {
    throw new IdentityError('config', `issuer ${config.issuer || '(empty)'}: ${setting} ${why}`)
  }
  const url = parseUrl(config.issuer) ?? refuse('issuer', 'must be an absolute URL')
  if (!isSafe(url)) refuse('issuer', 'must be https (http is allowed on loopback only)')
  if (url.search || url.hash || url.username || url.password)
    refuse('issuer', 'must have no query, fragment or credentials')
  if (config.issuer.includes('|') || /\s/.test(config.issuer))
    refuse('issuer', 'must not contain | or spaces')
  if (config.jwksUri !== undefined && !isSafeKeyUrl(config.jwksUri, config.issuer))
    refuse('jwksUri', 'must be an https URL (http on loopback only)')
  if (config.audience.length === 0 || config.audience.includes(''))
    refuse('audience', 'must name at least one audience, none of them empty')
  const algorithms = config.algorithms ?? ['RS256', 'PS256', 'ES256', 'EdDSA']
  for (const alg of algorithms)
    if (!asymmetric.includes(alg))
      refuse(
        'algorithms',
        `may only name ${asymmetric.join(', ')}; ${JSON.stringify(alg)} is not one of them`,
      )
  if (algorithms.length === 0) refuse('algorithms', 'must name at least one')
  const within = (setting: string, value: number, min: number, max: number): number =>
    Number.isFinite(value) && value >= min && value <= max
      ? value
      : refuse(setting, `must be between ${min} and ${max}`)
  const { conditions, subject, groups, addGroups, instance, task, ...rest } = config
  return {
    ...rest,
    mapping: mappingOf({ conditions, subject, groups, addGroups, instance, task }, refuse),
    algorithms,
    leewaySec: within('leewaySec', config.leewaySec ?? 30, 0, 300),
    groupsClaim: config.groupsClaim ?? 'groups',
    subjectClaim: config.subjectClaim ?? 'sub',
    jwksCacheSec: within('jwksCacheSec', config.jwksCacheSec ?? 600, 1, 86_400),
    jwksStaleSec: within('jwksStaleSec', config.jwksStaleSec ?? 86_400, 0, 30 * 86_400),
    jwksCooldownSec: within('jwksCooldownSec', config.jwksCooldownSec ?? 10, 1, 3600),
    maxTokenBytes: within('maxTokenBytes', config.maxTokenBytes ?? 16_384, 256, 1024 * 1024),
    requiredClaims: config.requiredClaims ?? {},
    actorIssuers: config.actorIssuers ?? [],
  }
}

/** https, or on the same machine where the issuer itself is on the same machine. */
export function isSafeKeyUrl(jwksUri: string, issuer: string): boolean {
  const url = parseUrl(jwksUri)
  if (!url) return false
  return url.protocol === 'https:' || (isSafe(url) && isLoopback(new URL(issuer).hostname))
}

const asymmetric = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
]

function isSafe(url: URL): boolean {
  return url.protocol === 'https:' || (url.protocol === 'http:' && isLoopback(url.hostname))
}

function isLoopback(hostname: string): boolean {
  const host = hostname.replace(/^\[|\]$/g, '')
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))
}

function parseUrl(text: string): URL | undefined {
  return URL.parse(text) ?? undefined
}
