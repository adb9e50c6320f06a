/**
 * A real OIDC issuer on loopback for tests: discovery, JWKS and tokens signed by keys that nobody else has. It can
 * rotate its keys, go away, answer slowly and answer garbage, since that is what issuers do. It has no token endpoint
 * and authenticates nobody: only the test that started it can sign.
 */
import { randomUUID } from 'node:crypto'
import { createServer, type RequestListener, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { Started } from '@portcullis/kernel'
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose'

/**
 * normal: as an issuer should. away: connections are reset. error: 503. garbage: 200 with what is no JSON.
 * hang: takes the request and never answers. drip: one byte every 50 ms. foreign: discovery names another issuer.
 * astray: discovery says that the keys are at a plain-HTTP address elsewhere. huge: a body without end. cut: half an answer, then nothing. moved: a redirect.
 */
export type IssuerMood =
  | 'normal'
  | 'away'
  | 'error'
  | 'garbage'
  | 'hang'
  | 'drip'
  | 'foreign'
  | 'astray'
  | 'huge'
  | 'cut'
  | 'moved'

export interface SignOptions {
  /** Default: the issuer's first algorithm. */
  readonly alg?: string
  /** Added to, or overriding, the protected header. */
  readonly header?: Readonly<Record<string, unknown>>
  /** Seconds until `exp`; default 300. */
  readonly ttlSec?: number
}

export interface TestIssuer {
  readonly issuer: string
  /** `iss`, `aud` (`portcullis`), `iat`, `exp` and `jti` are filled in; a claim given as undefined is left out. */
  sign(claims: Readonly<Record<string, unknown>>, options?: SignOptions): Promise<string>
  /** New keys under new ids; the old ones are no longer published, unless `keepOld`. */
  rotate(options?: { keepOld?: boolean }): Promise<void>
  /** Publishes these keys too, as they are. */
  publish(jwk: JWK): void
  behave(mood: IssuerMood): void
  /** The same as `behave('away')` and `behave('normal')`. */
  pause(): void
  resume(): void
  /** Public half of the current key of an algorithm. */
  publicJwk(alg?: string): Promise<JWK>
  readonly jwksHits: number
  readonly discoveryHits: number
}

interface SigningKey {
  readonly alg: string
  readonly privateKey: CryptoKey
  readonly publicJwk: JWK
}

export async function startTestIssuer(
  options: {
    algorithms?: readonly string[]
    tls?: { cert: string; key: string }
    /** The bearer token without which it shows no keys, as a Kubernetes API server; asked at each request. */
    bearer?: () => string
  } = {},
): Promise<Started<TestIssuer>> {
  const algorithms = options.algorithms ?? ['ES256']
  const firstAlg = algorithms[0] ?? 'ES256'
  let keys = await makeKeys(algorithms)
  let published: JWK[] = keys.map((key) => key.publicJwk)
  let mood: IssuerMood = 'normal'
  let jwksHits = 0
  let discoveryHits = 0

  const serve: RequestListener = (request, response) => {
    const isJwks = request.url === '/jwks'
    const isDiscovery = request.url === '/.well-known/openid-configuration'
    if (isJwks) jwksHits += 1
    if (isDiscovery) discoveryHits += 1
    const { bearer } = options
    if (bearer && request.headers.authorization !== `Bearer ${bearer()}`)
      return void response.writeHead(401).end('{}')
    if (mood === 'away') return void request.socket.destroy()
    if (mood === 'hang') return
    if (mood === 'error') return void response.writeHead(503).end('try later')
    if (mood === 'huge') return pourWithoutEnd(response)
    if (mood === 'moved') return void response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end()
    const body = isJwks
      ? { keys: published }
      : isDiscovery
        ? {
            issuer: mood === 'foreign' ? 'https://elsewhere.example' : issuer,
            jwks_uri: mood === 'astray' ? 'http://192.0.2.1/jwks' : `${issuer}/jwks`,
          }
        : undefined
    if (!body) return void response.writeHead(404).end()
    if (mood === 'cut') {
      response.writeHead(200, { 'content-length': '1000' }).write('{"issuer":')
      return void setTimeout(() => request.socket.destroy(), 20)
    }
    response.writeHead(200, { 'content-type': 'application/json' })
    if (mood === 'drip') return drip(response, JSON.stringify(body))
    response.end(mood === 'garbage' ? '<html>not what you asked for' : JSON.stringify(body))
  }
  const server = options.tls ? createTlsServer(options.tls, serve) : createServer(serve)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  const issuer = `${options.tls ? 'https' : 'http'}://127.0.0.1:${(server.address() as AddressInfo).port}`

  const keyOf = (alg: string): SigningKey => {
    const key = keys.find((candidate) => candidate.alg === alg)
    if (!key) throw new Error(`the test issuer was started without ${alg}: name it in \`algorithms\``)
    return key
  }

  const value: TestIssuer = {
    issuer,
    async sign(claims, { alg = firstAlg, header = {}, ttlSec = 300 } = {}) {
      const nowSec = Math.floor(Date.now() / 1000)
      const key = keyOf(alg)
      const payload = {
        iss: issuer,
        aud: 'portcullis',
        iat: nowSec,
        exp: nowSec + ttlSec,
        jti: randomUUID(),
        ...claims,
      }
      return new SignJWT(JSON.parse(JSON.stringify(payload)))
        .setProtectedHeader({
          alg,
          typ: 'JWT',
          ...(key.publicJwk.kid ? { kid: key.publicJwk.kid } : {}),
          ...header,
        })
        .sign(key.privateKey)
    },
    async rotate({ keepOld = false } = {}) {
      keys = await makeKeys(algorithms)
      published = [...(keepOld ? published : []), ...keys.map((key) => key.publicJwk)]
    },
    publish: (jwk) => {
      published = [...published, jwk]
    },
    behave: (next) => {
      mood = next
      if (next === 'away') server.closeAllConnections()
    },
    pause: () => value.behave('away'),
    resume: () => value.behave('normal'),
    publicJwk: async (alg = firstAlg) => keyOf(alg).publicJwk,
    get jwksHits() {
      return jwksHits
    },
    get discoveryHits() {
      return discoveryHits
    },
  }
  return {
    value,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

async function makeKeys(algorithms: readonly string[]): Promise<SigningKey[]> {
  return Promise.all(
    algorithms.map(async (alg) => {
      const { privateKey, publicKey } = await generateKeyPair(alg)
      const publicJwk = { ...(await exportJWK(publicKey)), kid: randomUUID(), alg, use: 'sig' }
      return { alg, privateKey, publicJwk }
    }),
  )
}

function drip(response: ServerResponse, text: string): void {
  let sent = 0
  const timer = setInterval(() => {
    if (sent === text.length) response.end()
    else response.write(text[sent++])
  }, 50)
  response.once('close', () => clearInterval(timer))
}

function pourWithoutEnd(response: ServerResponse): void {
  const chunk = Buffer.alloc(64 * 1024, 0x20)
  const pour = () => {
    while (!response.destroyed && response.write(chunk));
  }
  response.on('drain', pour)
  pour()
}
