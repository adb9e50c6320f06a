/**
 * The form of a token request (RFC 8693 section 2.1) -> what is asked for. Pure. It refuses a parameter that comes twice
 * (RFC 6749 section 3.2) and a type of token that it does not know; parameters that it does not know are let go, as the
 * RFC says.
 */
import { IdentityError, parseScope, type Scope } from '@portcullis/identity'
import { OauthError } from './oauth-error.ts'

export const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange'
const type = (name: string) => `urn:ietf:params:oauth:token-type:${name}`
export const accessTokenType = type('access_token')
const apiKeyType = 'urn:portcullis:token-type:api-key'
/** What may be traded in. */
export const inputTypes = [type('jwt'), accessTokenType, type('id_token'), apiKeyType]
export const targetPrefix = 'urn:portcullis:target:'
const taskCharsMax = 200

export interface TradeRequest {
  readonly subjectToken: string
  readonly actorToken: string | undefined
  readonly wanted: Scope & { readonly groups?: readonly string[] }
  readonly task: string
  /** How long it shall live at most; undefined for as long as it may. */
  readonly lifeSec: number | undefined
}

/** Throws OauthError. */
export function readTradeForm(form: URLSearchParams): TradeRequest {
  refuseRepeated(form)
  const grant = form.get('grant_type')
  if (!grant) throw new OauthError('invalid_request', 'grant_type is missing')
  if (grant !== exchangeGrant)
    throw new OauthError('unsupported_grant_type', `grant_type must be ${exchangeGrant}`)
  const wantedType = form.get('requested_token_type') || accessTokenType
  if (![accessTokenType, type('jwt')].includes(wantedType))
    throw new OauthError('invalid_request', `requested_token_type must be ${accessTokenType}`)
  const subjectToken = tokenOf(form, 'subject')
  if (subjectToken === undefined) throw new OauthError('invalid_request', 'subject_token is missing')
  const scope = readScope(form.get('scope') ?? '')
  const named = [...form.getAll('audience').filter(Boolean), ...form.getAll('resource').map(targetOf)]
  const wanted = [...new Set([...(scope.targets ?? []), ...named])]
  return {
    subjectToken,
    actorToken: tokenOf(form, 'actor'),
    wanted: { ...scope, ...(wanted.length > 0 && { targets: wanted }) },
    task: taskOf(form.get('task') ?? ''),
    lifeSec: lifeOf(form.get('expires_in') || undefined),
  }
}

export interface KnownTargets {
  has(name: string): boolean
  /** Whether one of these targets has it, or one of all where none are named. */
  hasRole(role: string, targets: readonly string[] | undefined): boolean
}

/** To be asked for who was proven: nobody else is told which targets there are. @throws OauthError */
export function requireTargets(names: readonly string[], targets: Pick<KnownTargets, 'has'>): void {
  const unknown = names.find((name) => !targets.has(name))
  if (unknown !== undefined) throw new OauthError('invalid_target', `there is no target ${shown(unknown)}`)
}

/** The same of roles that are asked for, at what the token will be good for: with another it would open nothing. */
export function requireRoles(
  roles: readonly string[],
  { targets: among }: Pick<Scope, 'targets'>,
  targets: Pick<KnownTargets, 'hasRole'>,
): void {
  // Each target has a user of its own.
  const unknown = roles.find((role) => role !== '' && !targets.hasRole(role, among))
  if (unknown === undefined) return
  const where = among ? `none of the targets ${shown(among.join(', '))} has` : 'there is no target with'
  throw new OauthError('invalid_scope', `${where} role ${shown(unknown)}`)
}

/**
 * RFC 6749 section 3.2. In one walk: it is a stranger's, and asked for by name each of some thousands would be a walk over
 * all. Throws OauthError.
 */
export function refuseRepeated(form: URLSearchParams): void {
  const seen = new Set<string>()
  for (const name of form.keys()) {
    if (seen.has(name)) throw new OauthError('invalid_request', `${shown(name)} comes more than once`)
    if (name !== 'resource' && name !== 'audience') seen.add(name)
  }
}

function tokenOf(form: URLSearchParams, whose: 'subject' | 'actor'): string | undefined {
  const token = form.get(`${whose}_token`) || undefined
  const given = form.get(`${whose}_token_type`) || undefined
  if (token === undefined) {
    if (given === undefined) return undefined
    throw new OauthError('invalid_request', `${whose}_token_type goes with ${whose}_token`)
  }
  if (given === undefined) throw new OauthError('invalid_request', `${whose}_token_type is missing`)
  if (!inputTypes.includes(given))
    throw new OauthError('invalid_request', `${whose}_token_type must be one of ${inputTypes.join(', ')}`)
  if ((given === apiKeyType) !== token.startsWith('pck_'))
    throw new OauthError('invalid_request', `${whose}_token is not of its ${whose}_token_type`)
  return token
}

/** Throws OauthError. */
export function readScope(text: string): ReturnType<typeof parseScope> {
  try {
    return parseScope(text)
  } catch (cause) {
    if (!(cause instanceof IdentityError)) throw cause
    throw new OauthError('invalid_scope', cause.message, { cause })
  }
}

function targetOf(resource: string): string {
  if (resource.startsWith(targetPrefix)) return resource.slice(targetPrefix.length)
  throw new OauthError('invalid_target', `resource must be ${targetPrefix}NAME`)
}

function taskOf(text: string): string {
  if (text.length <= taskCharsMax && text.isWellFormed() && !/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text))
    return text
  throw new OauthError('invalid_request', `task must be at most ${taskCharsMax} characters that show`)
}

function lifeOf(text: string | undefined): number | undefined {
  if (text === undefined || /^[1-9]\d{0,8}$/.test(text)) return text === undefined ? undefined : Number(text)
  throw new OauthError('invalid_request', 'expires_in must be a number of seconds')
}

function shown(text: string): string {
  return JSON.stringify(text.slice(0, 80)).replace(/[^\x20-\x7e]/g, '?')
}
