/**
 * What proves who is at the command line, and its trade for less. The order: what `--from` says, PORTCULLIS_TOKEN, the token
 * of `portcullis login`, the platform's own. It refuses one that is over rather than have the gate refuse it.
 */
import type { Api, OauthAnswer } from './api.ts'
import { type Options, textOption } from './command.ts'
import { CliError, shown } from './errors.ts'
import { detectSource, readSource, type SourceName, sourceNames } from './sources.ts'
import type { TokenStore } from './token-store.ts'

export interface Proof {
  readonly token: string
  readonly from: SourceName | 'login'
  /** Milliseconds since 1970; undefined where it does not say (an API key). */
  readonly expiresAtMs: number | undefined
}

export const sourceOptions = {
  from: { type: 'string' },
  file: { type: 'string' },
  audience: { type: 'string' },
} as const

export interface ProofDeps {
  readonly url: string
  readonly store: TokenStore
  readonly env: NodeJS.ProcessEnv
  readonly nowMs: number
}

/** @throws CliError not_signed_in, usage, file, unreachable, refused */
export async function findProof(options: Options, deps: ProofDeps): Promise<Proof> {
  const { env, store, url, nowMs } = deps
  const given = textOption(options, 'from')
  const named = sourceNames.find((name) => name === given)
  if (given !== undefined && named === undefined)
    throw new CliError(
      'usage',
      `--from ${shown(given)} is not known`,
      `it is one of ${sourceNames.join(', ')}`,
    )
  const source = named ?? (env.PORTCULLIS_TOKEN ? 'env' : undefined)
  const stored = source === undefined ? store.get(url) : undefined
  const detected =
    source ?? (stored && isLiving(Date.parse(stored.expiresAt), nowMs) ? undefined : detectSource(env))
  if (detected !== undefined) return living(await readSource(detected, options, env), detected, nowMs)
  if (!stored)
    throw new CliError(
      'not_signed_in',
      `you are not signed in at ${url}`,
      'portcullis login; or set PORTCULLIS_TOKEN; in CI see --from',
    )
  const expiresAtMs = Date.parse(stored.expiresAt)
  if (!isLiving(expiresAtMs, nowMs)) throw over(`your sign-in at ${url}`, 'portcullis login')
  return { token: stored.token, from: 'login', expiresAtMs }
}

function living(token: string, from: SourceName, nowMs: number): Proof {
  const expiresAtMs = expiryOf(token)
  if (expiresAtMs !== undefined && !isLiving(expiresAtMs, nowMs))
    throw over(`the token of ${from}`, 'get a new one')
  return { token, from, expiresAtMs }
}

function isLiving(expiresAtMs: number, nowMs: number): boolean {
  return expiresAtMs > nowMs
}

function over(what: string, hint: string): CliError {
  return new CliError('not_signed_in', `${what} is over`, hint)
}

/** What a JWT says of its end, not verified; undefined where it is none. */
export function expiryOf(token: string): number | undefined {
  const [, payload = ''] = token.split('.')
  try {
    const { exp } = JSON.parse(Buffer.from(payload, 'base64url').toString()) as { exp?: unknown }
    return typeof exp === 'number' ? exp * 1000 : undefined
  } catch {
    return undefined
  }
}

/** What is to be left of a proof. */
export interface Narrowing {
  readonly targets: readonly string[]
  /** '' is a target's own user. */
  readonly roles: readonly string[]
  readonly task: string | undefined
  readonly lifeSec: number | undefined
}

export interface Traded {
  readonly token: string
  readonly expiresAtMs: number
  readonly scope: string
}

/**
 * RFC 8693. `not_offered` where this gate gives out no tokens of its own.
 * @throws CliError refused, not_offered, unreachable
 */
export async function trade(api: Api, proof: Proof, narrowing: Narrowing, nowMs: number): Promise<Traded> {
  const { targets, roles, task, lifeSec } = narrowing
  const scope = [...targets.map((name) => `target:${name}`), ...roles.map((name) => `role:${name}`)].join(' ')
  const answer = await api.form('/v1/token', {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    subject_token: proof.token,
    subject_token_type: proof.token.startsWith('pck_')
      ? 'urn:portcullis:token-type:api-key'
      : 'urn:ietf:params:oauth:token-type:jwt',
    ...(scope !== '' && { scope }),
    ...(task !== undefined && { task }),
    ...(lifeSec !== undefined && { expires_in: String(lifeSec) }),
  })
  const { access_token, expires_in, scope: granted } = answer.body
  if (answer.status === 200 && typeof access_token === 'string' && typeof expires_in === 'number')
    return {
      token: access_token,
      expiresAtMs: nowMs + expires_in * 1000,
      scope: typeof granted === 'string' ? granted : scope,
    }
  throw refusal(api.url, answer)
}

function refusal(url: string, { status, body }: OauthAnswer): CliError {
  const said = `${new URL(url).host} says: ${shown(String(body.error_description ?? body.error ?? `status ${status}`))}`
  if (body.error === 'temporarily_unavailable' && /not configured/.test(said))
    return new CliError('not_offered', said, 'whoever runs this gate can set identity.own.key')
  if (status === 429) return new CliError('unreachable', said, 'wait a minute; a token serves until it ends')
  if (status >= 500) return new CliError('unreachable', said, 'try again later')
  const isTooMuch = body.error === 'invalid_scope' || body.error === 'invalid_target'
  return new CliError(
    'refused',
    said,
    isTooMuch
      ? 'portcullis whoami shows what you have; a token is only ever traded for less'
      : 'sign in again: portcullis login; or check PORTCULLIS_TOKEN',
  )
}
