/**
 * A person proves who they are to an OpenID provider, by authorisation code with PKCE (OpenID Connect Core 1.0, RFC
 * 7636, RFC 9207, RFC 9700):
 *
 *   browser             Portcullis                        provider
 *      | -- begin ------->|                                  |
 *      |<- 302, cookie ---|  state, nonce, S256 challenge    |
 *      | -- the person signs in ---------------------------->|
 *      |<- 302 with code, state, iss ------------------------|
 *      | -- callback, cookie ->|  code, verifier, secret --->|
 *      |                       |<-- ID token (signed) -------|
 *
 * Refuses: an answer for another browser, provider or address; a second use; an ID token with another algorithm than
 * configured, without a valid signature (the back channel's TLS alone is not taken for it), for another client or nonce;
 * claims that are not as pinned. No token, code or answer is in any message.
 */
import type { Clock } from '@portcullis/kernel'
import * as client from 'openid-client'
import { SignInError } from './errors.ts'
import { createProviderFetch, isSafeProviderUrl, type ProviderFetch } from './fetch.ts'
import { type OidcClaimRules, personOfClaims } from './oidc-person.ts'
import { explain } from './oidc-errors.ts'
import type { BeginOptions, Begun, SignedIn } from './person.ts'
import { safeReturnTo } from './return-to.ts'
import type { Transactions } from './transaction.ts'

export interface OidcProviderConfig extends OidcClaimRules {
  readonly name: string
  /** Exactly the ID tokens' `iss`, and the base of discovery. */
  readonly issuer: string
  readonly clientId: string
  /** Absent for a public client, which PKCE alone protects. */
  readonly clientSecret?: string | undefined
  readonly clientAuth?: 'basic' | 'post'
  /** Beside `openid`; default profile and email. */
  readonly scopes?: readonly string[]
  /** Asymmetric algorithms of ID tokens; default RS256, PS256, ES256, EdDSA. */
  readonly algorithms?: readonly string[]
  /** Whether claims that the ID token lacks are asked for at the userinfo endpoint. Default false. */
  readonly userinfo?: boolean
  /** The person must have proven themselves within this time. */
  readonly maxAgeSec?: number | undefined
  /** One of these must be the ID token's `acr`. */
  readonly acrValues?: readonly string[] | undefined
  /** Further parameters of the request, such as `prompt` or `hd`; none that the protocol needs. */
  readonly parameters?: Readonly<Record<string, string>>
  /** PEM for the provider's own TLS. */
  readonly ca?: string | undefined
  /** Default 30. */
  readonly leewaySec?: number
}

export interface ProviderDeps {
  readonly clock: Pick<Clock, 'nowUs'>
  readonly transactions: Transactions
}

export interface OidcProvider {
  /** @throws SignInError provider_unavailable, config */
  begin(options: BeginOptions): Promise<Begun>
  /** `url` is where the browser came back to, with its query. @throws SignInError */
  finish(url: string, transaction: string): Promise<SignedIn>
}

const timeoutSec = 10
const bytesMax = 1_048_576
/** How long discovery serves, and how much longer while the provider is away. */
const discoverySecMax = 600
const reserved =
  /^(client_id|response_type|redirect_uri|scope|state|nonce|code_challenge.*|request.*|response_mode)$/

/** @throws SignInError config */
export function createOidcProvider(config: OidcProviderConfig, deps: ProviderDeps): OidcProvider {
  const algorithms = checked(config)
  const fetch = createProviderFetch({ ca: config.ca, timeoutMs: timeoutSec * 1000, bytesMax })
  const discovered = createDiscovery(config, algorithms, fetch, deps.clock)

  return {
    async begin({ redirectUri, returnTo }) {
      const configuration = await discovered()
      const state = client.randomState()
      const nonce = client.randomNonce()
      const codeVerifier = client.randomPKCECodeVerifier()
      const url = client.buildAuthorizationUrl(configuration, {
        ...config.parameters,
        redirect_uri: redirectUri,
        scope: ['openid', ...(config.scopes ?? ['profile', 'email'])].join(' '),
        state,
        nonce,
        code_challenge: await client.calculatePKCECodeChallenge(codeVerifier),
        code_challenge_method: 'S256',
        ...(config.maxAgeSec === undefined ? {} : { max_age: String(config.maxAgeSec) }),
        ...(config.acrValues ? { acr_values: config.acrValues.join(' ') } : {}),
      })
      const content = { state, nonce, codeVerifier, redirectUri, returnTo: safeReturnTo(returnTo) }
      const { sealed, expiresAtUs } = deps.transactions.seal(config.name, content)
      return { url: url.href, form: undefined, transaction: sealed, cookieSameSite: 'lax', expiresAtUs }
    },

    async finish(url, sealed) {
      const transaction = deps.transactions.open(config.name, sealed)
      const { state, nonce, codeVerifier, redirectUri, returnTo } = transaction
      if (nonce === undefined || codeVerifier === undefined)
        throw new SignInError('transaction_invalid', 'the transaction was begun for another protocol')
      const callback = callbackOf(url, redirectUri)
      const configuration = await discovered()
      // Before anything is used up: an answer with another state or iss is not this sign-in's.
      requireOurs(callback.searchParams, state, configuration.serverMetadata())
      await transaction.use()
      const checks = {
        expectedState: state,
        expectedNonce: nonce,
        pkceCodeVerifier: codeVerifier,
        idTokenExpected: true,
        ...(config.maxAgeSec === undefined ? {} : { maxAge: config.maxAgeSec }),
      }
      const tokens = await client
        .authorizationCodeGrant(configuration, callback, checks)
        .catch((error: unknown) => Promise.reject(explain(error)))
      const claims = tokens.claims()
      if (!claims) throw new SignInError('malformed', 'the provider sent no ID token')
      const more = config.userinfo
        ? await client
            .fetchUserInfo(configuration, tokens.access_token, claims.sub)
            .catch((error: unknown) => Promise.reject(explain(error)))
        : {}
      // What the ID token says goes before userinfo, which is not signed.
      const person = personOfClaims({ ...more, ...claims }, config)
      if (config.acrValues && !config.acrValues.includes(person.acr ?? ''))
        throw new SignInError('too_weak', 'the ID token has none of the configured acr values')
      return { provider: config.name, person, returnTo }
    },
  }
}

/** Only the query is the provider's to choose. @throws SignInError mismatch, too_large */
function callbackOf(url: string, redirectUri: string): URL {
  if (url.length > 16_384) throw new SignInError('too_large', 'the callback is longer than 16384 characters')
  const came = URL.parse(url)
  const callback = new URL(redirectUri)
  if (!came || came.pathname !== callback.pathname)
    throw new SignInError('mismatch', 'the callback is not the redirect URI that this sign-in began with')
  // The host is the configured one, whatever a Host header said.
  callback.search = came.search
  return callback
}

/** RFC 9207 and `state`. An answer without `iss` is taken only from a provider that does not promise one. */
function requireOurs(query: URLSearchParams, state: string, metadata: client.ServerMetadata): void {
  for (const name of ['state', 'iss', 'code', 'error'])
    if (query.getAll(name).length > 1) throw new SignInError('malformed', `the callback has several ${name}`)
  if (query.get('state') !== state) throw new SignInError('mismatch', 'state is not the one of this browser')
  const iss = query.get('iss')
  if (iss !== null && iss !== metadata.issuer)
    throw new SignInError('mismatch', 'iss names another provider than this sign-in began with')
  if (iss === null && metadata.authorization_response_iss_parameter_supported)
    throw new SignInError('mismatch', 'iss is missing, which this provider always sends')
}

function createDiscovery(
  config: OidcProviderConfig,
  algorithms: readonly string[],
  fetch: ProviderFetch,
  clock: Pick<Clock, 'nowUs'>,
): () => Promise<client.Configuration> {
  let known: { configuration: client.Configuration; atUs: number } | undefined
  let running: Promise<client.Configuration> | undefined
  const discover = async (): Promise<client.Configuration> => {
    const found = await client.discovery(new URL(config.issuer), config.clientId, undefined, undefined, {
      [client.customFetch]: fetch,
      timeout: timeoutSec,
      execute: insecureOnLoopback(config.issuer),
    })
    const configuration = configurationOf(found.serverMetadata(), config, algorithms, fetch)
    known = { configuration, atUs: clock.nowUs() }
    return configuration
  }
  return async () => {
    if (known && clock.nowUs() - known.atUs < discoverySecMax * 1e6) return known.configuration
    running ??= discover().finally(() => {
      running = undefined
    })
    return running.catch((error: unknown) => {
      // Addresses change seldom: those known serve on, and whether the provider lives shows at the token endpoint.
      if (known) return known.configuration
      throw explain(error)
    })
  }
}

/** The provider's metadata, with no more algorithms than configured. @throws SignInError config */
function configurationOf(
  metadata: client.ServerMetadata,
  config: OidcProviderConfig,
  algorithms: readonly string[],
  fetch: ProviderFetch,
): client.Configuration {
  // The library makes an exception for some issuers with placeholders; here the issuer is part of who a person is.
  if (metadata.issuer !== config.issuer)
    throw new SignInError('config', `provider ${config.name}: discovery names another issuer`)
  const advertised = metadata.id_token_signing_alg_values_supported ?? ['RS256']
  const both = advertised.filter((algorithm) => algorithms.includes(algorithm))
  if (both.length === 0)
    throw new SignInError(
      'config',
      `provider ${config.name} signs ID tokens with none of ${algorithms.join(', ')}`,
    )
  const auth =
    config.clientSecret === undefined
      ? client.None()
      : config.clientAuth === 'post'
        ? client.ClientSecretPost(config.clientSecret)
        : client.ClientSecretBasic(config.clientSecret)
  const pinned = { ...metadata, id_token_signing_alg_values_supported: both }
  const configuration = new client.Configuration(
    pinned,
    config.clientId,
    { [client.clockTolerance]: config.leewaySec ?? 30 },
    auth,
  )
  configuration[client.customFetch] = fetch
  configuration.timeout = timeoutSec
  client.enableNonRepudiationChecks(configuration)
  for (const allow of insecureOnLoopback(config.issuer)) allow(configuration)
  return configuration
}

/** Which addresses are safe is then for `fetch` alone to say. */
function insecureOnLoopback(issuer: string): ((configuration: client.Configuration) => void)[] {
  return new URL(issuer).protocol === 'http:' ? [client.allowInsecureRequests] : []
}

function checked(config: OidcProviderConfig): readonly string[] {
  const refuse = (why: string): never => {
    throw new SignInError('config', `provider ${config.name}: ${why}`)
  }
  const url = URL.parse(config.issuer) ?? refuse('issuer must be a URL')
  if (!isSafeProviderUrl(url)) refuse('issuer must be https (http on loopback only)')
  if (config.clientId === '') refuse('clientId is empty')
  const algorithms = config.algorithms ?? ['RS256', 'PS256', 'ES256', 'EdDSA']
  if (
    algorithms.length === 0 ||
    algorithms.some((name) => !/^((RS|PS|ES)(256|384|512)|EdDSA|Ed25519)$/.test(name))
  )
    refuse('algorithms must be asymmetric ones')
  for (const name of Object.keys(config.parameters ?? {}))
    if (reserved.test(name)) refuse(`parameters must not set ${name}`)
  return algorithms
}
