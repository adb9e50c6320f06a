/**
 * A real SAML 2.0 identity provider (auth0's samlp) on loopback with people to sign in, for tests and screenshots:
 * metadata, requests by redirect and by post, a page that asks for a login and takes any that it knows, and an answer
 * that posts itself. What is signed and encrypted is a setting. Refuses nothing else: it is no provider for anyone real.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Started } from '@portcullis/kernel'
import samlp from 'samlp'
import { type CertificateAndKey, makeRsaCertificate } from './certificates.ts'

export interface TestSamlOptions {
  readonly acsUrl: string
  /** By login, which is the NameID; each attribute with its values. */
  readonly people: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
  readonly signAssertion: boolean
  readonly signResponse: boolean
  /** PEM certificate of the service provider; assertions are encrypted for it. */
  readonly encryptFor?: string
  readonly encryptionAlgorithm?: string
  /** Default RSA with SHA-256. */
  readonly weakSignatures?: boolean
  /** PEM; requests must then be signed by it. */
  readonly requestsSignedBy?: string
  readonly pair?: CertificateAndKey
  readonly nameIdFormat?: string
  /** Entity id of the service provider, for what this one begins by itself. */
  readonly audience?: string
}

export interface TestSamlProvider {
  readonly entityId: string
  readonly metadataUrl: string
  readonly certificate: string
}

type Middleware = ReturnType<typeof samlp.auth>

export async function startSamlProvider(options: TestSamlOptions): Promise<Started<TestSamlProvider>> {
  const pair = options.pair ?? makeRsaCertificate('Test SAML provider')
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const entityId = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const metadata = samlp.metadata({
    issuer: entityId,
    cert: pair.certPem,
    redirectEndpointPath: '/sso',
    postEndpointPath: '/sso',
  })
  const auth = samlp.auth(settingsOf(options, entityId, pair))
  server.on('request', (request, response) => {
    serve(request, response, { metadata, auth }).catch((error: unknown) => {
      response.writeHead(500, { 'content-type': 'text/plain' }).end(String(error))
    })
  })
  return {
    value: { entityId, metadataUrl: `${entityId}/metadata`, certificate: pair.certPem },
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function settingsOf(options: TestSamlOptions, issuer: string, pair: CertificateAndKey): object {
  return {
    issuer,
    cert: pair.certPem,
    key: pair.keyPem,
    destination: options.acsUrl,
    recipient: options.acsUrl,
    lifetimeInSeconds: 300,
    signAssertion: options.signAssertion,
    signResponse: options.signResponse,
    signatureAlgorithm: options.weakSignatures ? 'rsa-sha1' : 'rsa-sha256',
    digestAlgorithm: options.weakSignatures ? 'sha1' : 'sha256',
    authnContextClassRef: 'urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport',
    nameIdentifierFormat: options.nameIdFormat ?? 'urn:oasis:names:tc:SAML:2.0:nameid-format:persistent',
    sessionIndex: '_session',
    ...(options.audience === undefined ? {} : { audience: options.audience }),
    ...(options.requestsSignedBy === undefined ? {} : { signingCert: options.requestsSignedBy }),
    ...(options.encryptFor === undefined
      ? {}
      : {
          encryptionCert: options.encryptFor,
          encryptionPublicKey: options.encryptFor,
          disallowEncryptionWithInsecureAlgorithm: false,
          warnOnInsecureEncryptionAlgorithm: false,
          encryptionAlgorithm: options.encryptionAlgorithm ?? 'http://www.w3.org/2009/xmlenc11#aes256-gcm',
        }),
    getPostURL: (_audience: string, _dom: object, _request: object, done: (e: null, url: string) => void) =>
      done(null, options.acsUrl),
    profileMapper: (login: string) => ({
      getClaims: () => options.people[login],
      getNameIdentifier: () => ({ nameIdentifier: login }),
      metadata: [],
    }),
    getUserFromRequest: ({ body }: { body?: Record<string, string> }) =>
      body?.login !== undefined && Object.hasOwn(options.people, body.login) ? body.login : undefined,
  }
}

async function serve(
  request: IncomingMessage,
  response: ServerResponse,
  { metadata, auth }: { metadata: Middleware; auth: Middleware },
): Promise<void> {
  const url = new URL(request.url ?? '/', `http://${request.headers.host}`)
  const posted =
    request.method === 'POST' ? Object.fromEntries(new URLSearchParams(await bodyOf(request))) : {}
  if (url.pathname === '/metadata') return run(metadata, request, response, url, {})
  if (url.pathname !== '/sso') return void response.writeHead(404).end()
  if (posted.login !== undefined) return run(auth, request, response, url, posted)
  // The request goes through the page and comes back with the login, in the query or in the form, as it came.
  const hidden = Object.entries(posted)
    .map(([name, value]) => `<input type="hidden" name="${name}" value="${escaped(value)}">`)
    .join('')
  response
    .writeHead(200, { 'content-type': 'text/html; charset=utf-8' })
    .end(
      `<!doctype html><title>Sign in</title><h1>Test SAML provider</h1><form method="post" action="${escaped(url.pathname + url.search)}">${hidden}<label>Login <input name="login" autofocus></label> <button>Sign in</button></form>`,
    )
}

/** What express would give it. A signed redirect is looked for by the method, which the page has made a POST. */
function run(
  middleware: Middleware,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  body: Readonly<Record<string, string>>,
): Promise<void> {
  const query = Object.fromEntries(url.searchParams)
  const method = query.SAMLRequest === undefined ? request.method : 'GET'
  const seen = {
    method,
    query,
    body,
    headers: request.headers,
    protocol: 'http',
    originalUrl: url.pathname,
    url: url.pathname + url.search,
  }
  return new Promise((resolve, reject) => {
    const end = (content: string | number) => {
      response.statusCode = typeof content === 'number' ? content : response.statusCode
      response.end(String(content))
      resolve()
    }
    const set = (name: string, value: string) => void response.setHeader(name, value)
    middleware(seen, { set, send: end, end }, (error) => reject(error ?? new Error('not served')))
  })
}

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('"', '&quot;').replaceAll('<', '&lt;')
}
