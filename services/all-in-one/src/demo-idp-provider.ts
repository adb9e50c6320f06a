/**
 * The demo's OpenID provider: discovery, JWKS and one token endpoint, on loopback. Runs in a process of its own (see
 * demo-idp-main.ts). Refuses everything else that its library could serve (sign-in pages, registration, user info), any
 * caller without the secret of this start, and a request that names another host than the issuer's.
 *
 * A token is asked for by the client credentials grant, with one more form field, `portcullis_claims`: JSON of
 * `DemoClaims`, the agent that the token is to prove. One client speaks for all agents, since it is the demo itself.
 */
import { createServer, type IncomingMessage, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Started } from '@portcullis/kernel'
import Provider, { errors, type TokenRequestContext } from 'oidc-provider'
import { type DemoIdpState, readDemoIdpState, writeDemoIdpState } from './demo-idp-state.ts'

export const demoAudience = 'portcullis'
export const demoClientId = 'portcullis-demo'

/** What the demo asks to be signed. `act` as in RFC 8693. */
export interface DemoClaims {
  readonly subject: string
  readonly groups?: readonly string[]
  readonly act?: object
  /** Seconds until the token expires, 1 to 30 days; default an hour. */
  readonly ttlSec?: number
}

export interface DemoProviderOptions {
  /** Where its key and port are kept, readable by its owner alone. */
  readonly dir: string
  /** Tried at the first start; the port found then is kept, since it is part of every identity. */
  readonly port: number
  readonly clientSecret: string
  onFailure(message: string): void
}

/** Rejects with an Error that says what to do where the port of an earlier start is taken. */
export async function startDemoProvider(
  options: DemoProviderOptions,
): Promise<Started<{ readonly issuer: string }>> {
  const known = await readDemoIdpState(options.dir)
  const server = createServer()
  const port = await listen(server, known, options)
  const state = await writeDemoIdpState(options.dir, port, known)
  const issuer = `http://127.0.0.1:${port}`
  const provider = new Provider(issuer, configuration(state, options.clientSecret))
  provider.on('server_error', (_, error) => options.onFailure(`the token endpoint failed: ${error.message}`))
  const serve = provider.callback()
  server.on(
    'request',
    guarded(`127.0.0.1:${port}`, (request, response) => void serve(request, response)),
  )
  return {
    value: { issuer },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeIdleConnections()
        setTimeout(() => server.closeAllConnections(), 1000).unref()
      }),
  }
}

/** Only what a client of this issuer needs. The library builds its documents from the Host header, so that is pinned. */
function guarded(host: string, serve: RequestListener): RequestListener {
  const served = new Set(['GET /.well-known/openid-configuration', 'GET /jwks', 'POST /token'])
  return (request, response) => {
    const allowed = request.headers.host === host && served.has(`${request.method} ${request.url}`)
    if (allowed && !fromBrowser(request)) serve(request, response)
    else response.writeHead(404, { connection: 'close' }).end()
  }
}

/** A page in a browser on this machine has no business here, with or without the secret. */
function fromBrowser(request: IncomingMessage): boolean {
  return request.headers.origin !== undefined || request.headers['sec-fetch-site'] !== undefined
}

function listen(
  server: Server,
  known: DemoIdpState | undefined,
  { dir, port }: DemoProviderOptions,
): Promise<number> {
  const attempt = (wanted: number) =>
    new Promise<number>((resolve, reject) => {
      server.once('error', reject)
      server.listen(wanted, '127.0.0.1', () => {
        server.off('error', reject)
        resolve((server.address() as AddressInfo).port)
      })
    })
  if (known)
    return attempt(known.port).catch((cause: Error) => {
      throw new Error(
        `the demo's issuer cannot listen on 127.0.0.1:${known.port} (${cause.message}), which is part of every identity that it has proven: free that port, or remove ${dir} to begin anew with other identities`,
        { cause },
      )
    })
  return attempt(port).catch(() => attempt(0))
}

function configuration(state: DemoIdpState, clientSecret: string): object {
  const disabled = { enabled: false }
  return {
    adapter: nothingStored,
    jwks: { keys: [state.jwk] },
    clients: [
      {
        client_id: demoClientId,
        client_secret: clientSecret,
        grant_types: ['client_credentials'],
        response_types: [],
        redirect_uris: [],
        token_endpoint_auth_method: 'client_secret_basic',
        id_token_signed_response_alg: 'ES256',
      },
    ],
    clientAuthMethods: ['client_secret_basic'],
    cookies: { keys: [clientSecret] },
    scopes: [],
    responseTypes: ['code'],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: disabled,
      dPoP: disabled,
      pushedAuthorizationRequests: disabled,
      rpInitiatedLogout: disabled,
      userinfo: disabled,
      resourceIndicators: {
        enabled: true,
        defaultResource: () => `urn:${demoAudience}:gate`,
        getResourceServerInfo: (context: TokenRequestContext) => ({
          scope: '',
          audience: demoAudience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: claimsOf(context).ttlSec,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    ttl: { ClientCredentials: (context: TokenRequestContext) => claimsOf(context).ttlSec },
    formats: {
      customizers: {
        jwt: (context: TokenRequestContext, _: unknown, token: { payload: Record<string, unknown> }) => {
          const { subject, groups, act } = claimsOf(context)
          token.payload.sub = subject
          token.payload.groups = groups
          if (act) token.payload.act = act
        },
      },
    },
    // The library's own page would echo what was asked.
    renderError: (context: { body: string }) => {
      context.body = 'not served here'
    },
  }
}

function claimsOf(context: TokenRequestContext): Required<Omit<DemoClaims, 'act'>> & Pick<DemoClaims, 'act'> {
  const refuse = (why: string): never => {
    throw new errors.InvalidRequest(`portcullis_claims ${why}`)
  }
  const text = context.oidc.body?.portcullis_claims
  if (typeof text !== 'string') return refuse('is missing: JSON with the subject to prove')
  let given: unknown
  try {
    given = JSON.parse(text)
  } catch {
    return refuse('is not JSON')
  }
  if (typeof given !== 'object' || given === null) return refuse('is not a JSON object')
  const { subject, groups = [], act, ttlSec = 3600 } = given as Partial<Record<keyof DemoClaims, unknown>>
  if (typeof subject !== 'string' || subject === '') return refuse('has no subject')
  if (!Array.isArray(groups) || !groups.every((group) => typeof group === 'string'))
    return refuse('has groups that are not an array of strings')
  if (act !== undefined && (typeof act !== 'object' || act === null))
    return refuse('has an act that is not an object')
  if (typeof ttlSec !== 'number' || !Number.isInteger(ttlSec) || ttlSec < 1 || ttlSec > 30 * 86_400)
    return refuse('has a ttlSec that is not whole seconds between 1 and 2592000')
  return { subject, groups, ttlSec, ...(act ? { act } : {}) }
}

/** Signed tokens need no store, and nothing else is served. */
class nothingStored {
  async upsert(): Promise<void> {}
  async find(): Promise<undefined> {}
  async findByUid(): Promise<undefined> {}
  async findByUserCode(): Promise<undefined> {}
  async consume(): Promise<void> {}
  async destroy(): Promise<void> {}
  async revokeByGrantId(): Promise<void> {}
}
