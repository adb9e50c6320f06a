/**
 * A real OpenID provider (oidc-provider) on loopback with people to sign in, for tests and screenshots: discovery, code
 * flow with PKCE, `iss` in the answer (RFC 9207), userinfo. Its page asks for a login and takes any that it knows, without
 * a password. Refuses nothing else: it is no provider for anyone real.
 */
import { generateKeyPairSync, randomBytes, type JsonWebKey } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Started } from '@portcullis/kernel'
import Provider from 'oidc-provider'

export interface TestPerson {
  readonly [claim: string]: unknown
}

export interface TestOidcOptions {
  /** By login, which is also `sub`; the other claims as they are. */
  readonly people: Readonly<Record<string, TestPerson>>
  readonly clientId: string
  readonly clientSecret: string
  readonly redirectUris: readonly string[]
  /** Algorithm of ID tokens, ES256 by default. */
  readonly algorithm?: 'ES256' | 'RS256'
  /** Whether claims beside `sub` stand in the ID token too, not only at userinfo. Default true. */
  readonly claimsInIdToken?: boolean
}

export async function startOidcProvider(
  options: TestOidcOptions,
): Promise<Started<{ readonly issuer: string }>> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const provider = new Provider(issuer, configurationOf(options))
  const serve = provider.callback()
  server.on('request', (request, response) => {
    if (!request.url?.startsWith('/interaction/')) return void serve(request, response)
    interact(provider, request, response).catch((error: unknown) => {
      response.writeHead(500).end(String(error))
    })
  })
  return {
    value: { issuer },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function configurationOf(options: TestOidcOptions): object {
  const { algorithm = 'ES256', people } = options
  const names = [...new Set(Object.values(people).flatMap((person) => Object.keys(person)))]
  return {
    jwks: { keys: [signingKey(algorithm)] },
    clients: [
      {
        client_id: options.clientId,
        client_secret: options.clientSecret,
        redirect_uris: [...options.redirectUris],
        response_types: ['code'],
        grant_types: ['authorization_code'],
        id_token_signed_response_alg: algorithm,
        token_endpoint_auth_method: 'client_secret_basic',
      },
    ],
    claims: { openid: ['sub', 'acr', 'amr', 'auth_time'], profile: names },
    conformIdTokenClaims: options.claimsInIdToken === false,
    pkce: { required: () => true },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    features: { devInteractions: { enabled: false }, userinfo: { enabled: true } },
    interactions: { url: (_: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    findAccount: (_: unknown, login: string) =>
      Object.hasOwn(people, login)
        ? { accountId: login, claims: async () => ({ ...people[login], sub: login }) }
        : undefined,
  }
}

function signingKey(algorithm: 'ES256' | 'RS256'): JsonWebKey & { kid: string; alg: string; use: string } {
  const { privateKey } =
    algorithm === 'ES256'
      ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
      : generateKeyPairSync('rsa', { modulusLength: 2048 })
  return {
    ...privateKey.export({ format: 'jwk' }),
    kid: randomBytes(8).toString('hex'),
    alg: algorithm,
    use: 'sig',
  }
}

/** One page: who are you. To ask for it is to consent. */
async function interact(
  provider: Provider,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const details = await provider.interactionDetails(request, response)
  if (request.method !== 'POST' && details.prompt.name === 'login')
    return void response
      .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
      .end(
        `<!doctype html><title>Sign in</title><h1>Test identity provider</h1><form method="post" action="${request.url}"><label>Login <input name="login" autofocus></label> <button>Sign in</button></form>`,
      )
  const accountId =
    details.session?.accountId ?? new URLSearchParams(await bodyOf(request)).get('login') ?? ''
  const { clientId, scope } = textParameters(details.params)
  const grant = new provider.Grant({ accountId, clientId })
  grant.addOIDCScope(scope)
  const grantId = await grant.save()
  await provider.interactionFinished(
    request,
    response,
    accountId === 'refused'
      ? { error: 'access_denied', error_description: 'the person said no' }
      : { login: { accountId, acr: 'urn:test:password', amr: ['pwd'] }, consent: { grantId } },
    { mergeWithLastSubmission: false },
  )
}

function textParameters(params: Readonly<Record<string, unknown>>): { clientId: string; scope: string } {
  return { clientId: String(params.client_id), scope: String(params.scope) }
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}
