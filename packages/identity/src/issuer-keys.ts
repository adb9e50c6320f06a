/**
 * The public keys of one issuer: found by OIDC discovery, cached, fetched again when they are old or when a token names
 * one that is not among them. Refuses to be a lever against the issuer (unknown keys cause at most one fetch a cooldown),
 * to wait for an issuer that is away (known keys serve on, for a stated time, over restarts where there is a store), and to take keys from a document that
 * names another issuer.
 *
 * OpenID Connect Discovery 1.0 section 4.3; RFC 7517; RFC 8725 section 3.8.
 */
import { hash } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'
import { createLocalJWKSet, type JSONWebKeySet, type JWK } from 'jose'
import { IdentityError } from './errors.ts'
import { type FetchJson, fetchJson } from './fetch-json.ts'
import { isSafeKeyUrl, type TrustedIssuer } from './issuer-config.ts'
import type { KeyStore } from './key-store.ts'

/** One published set of keys. A new object whenever what is published changed, so that it can stand for the set. */
export interface KeySet {
  readonly find: ReturnType<typeof createLocalJWKSet>
  readonly keyIds: readonly string[]
}

export interface IssuerKeys {
  /** Keys young enough to be used without asking anyone. */
  fresh(): KeySet | undefined
  /** Keys to judge a token by, fetched where needed. Rejects with IdentityError('issuer_unavailable') within seconds. */
  current(): Promise<KeySet>
  /** After `seen` lacked a token's key: the set fetched anew, or `seen` where that was done less than a cooldown ago. */
  afterUnknownKey(seen: KeySet): Promise<KeySet>
  status(): IssuerStatus
}

export interface IssuerStatus {
  readonly issuer: string
  /** false: a token of this issuer cannot be judged now. */
  readonly usable: boolean
  /** Seconds since the keys were last fetched; null where they never were. */
  readonly keysAgeSec: number | null
  /** What the last attempt failed with; empty where it did not. */
  readonly lastFailure: string
}

export interface IdentityLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

const fetchTimeoutMs = 3000
const documentBytesMax = 512 * 1024
const keysMax = 200
const backoffMsMax = 30_000

export function createIssuerKeys(
  issuer: TrustedIssuer,
  deps: { clock: Clock; log: IdentityLog; fetchJson?: FetchJson; keyStore?: KeyStore },
): IssuerKeys {
  const { clock, log, keyStore } = deps
  const load = () => loadKeys(issuer, deps.fetchJson ?? fetchJson, clock)
  const storedAs = storeName(issuer)
  let keys: KeySet | undefined
  let published = ''
  let fetchedMs = Number.NEGATIVE_INFINITY
  /** Stored keys stand in for an issuer that is away; they never spare asking it. */
  let fetchedByUs = false
  let failedMs = Number.NEGATIVE_INFINITY
  let askedForUnknownMs = Number.NEGATIVE_INFINITY
  let failures = 0
  let lastFailure: Error | undefined
  let flight: Promise<void> | undefined

  const ageSec = () => (clock.monotonicMs() - fetchedMs) / 1000
  const inBackoff = () =>
    failures > 0 && clock.monotonicMs() - failedMs < Math.min(backoffMsMax, 500 * 2 ** failures)
  const fresh = () => (fetchedByUs && ageSec() < issuer.jwksCacheSec ? keys : undefined)
  const usable = () => (ageSec() < issuer.jwksCacheSec + issuer.jwksStaleSec ? keys : undefined)

  function use(set: JSONWebKeySet, fields: object, message: string): void {
    const text = JSON.stringify(set)
    if (text === published) return
    keys = { find: createLocalJWKSet(set), keyIds: set.keys.map((key) => key.kid ?? '(no kid)') }
    published = text
    log.info({ issuer: issuer.issuer, keyIds: keys.keyIds, ...fields }, message)
  }

  function useStored(): void {
    const stored = readStored(keyStore?.load(storedAs), issuer)
    if (!stored) return
    const storedAgeSec = (clock.nowUs() - stored.fetchedAtUs) / 1e6
    if (storedAgeSec < -issuer.leewaySec || storedAgeSec >= issuer.jwksCacheSec + issuer.jwksStaleSec) return
    fetchedMs = clock.monotonicMs() - Math.max(0, storedAgeSec) * 1000
    use(
      stored.set,
      { ageSec: Math.round(storedAgeSec) },
      'issuer keys of an earlier run serve until it answers',
    )
  }

  async function store(set: JSONWebKeySet): Promise<void> {
    try {
      await keyStore?.save(storedAs, { issuer: issuer.issuer, fetchedAtUs: clock.nowUs(), keys: set.keys })
    } catch (error) {
      log.warn(
        { issuer: issuer.issuer, why: error instanceof Error ? error.message : String(error) },
        'issuer keys cannot be stored: after a restart nobody gets in while the issuer is away',
      )
    }
  }

  /** Never rejects: the outcome stands in `keys`, `failures` and `lastFailure`. One at a time. */
  function refresh(): Promise<void> {
    if (flight) return flight
    flight = load()
      .then(({ set, ignored }) => {
        use(set, { ignored }, 'issuer keys loaded')
        fetchedMs = clock.monotonicMs()
        fetchedByUs = true
        void store(set)
        failures = 0
        lastFailure = undefined
      })
      .catch((cause: unknown) => {
        failures += 1
        failedMs = clock.monotonicMs()
        lastFailure = cause instanceof Error ? cause : new Error(String(cause))
        log.warn(
          {
            issuer: issuer.issuer,
            why: lastFailure.message,
            failures,
            knownKeysServe: usable() !== undefined,
          },
          'issuer keys could not be fetched',
        )
      })
      .finally(() => {
        flight = undefined
      })
    return flight
  }

  useStored()
  return {
    fresh,
    async current() {
      const isFresh = fresh() !== undefined
      // A login waits only where it must: not for keys past four fifths of their life, and not for an issuer that is
      // known to be away while its known keys still serve.
      const mayWait = !isFresh && !(failures > 0 && usable())
      if (mayWait && (flight || !inBackoff())) await refresh()
      else if ((!isFresh || ageSec() >= issuer.jwksCacheSec * 0.8) && !flight && !inBackoff()) void refresh()
      const found = usable()
      if (found) return found
      throw new IdentityError(
        'issuer_unavailable',
        `the keys of ${issuer.issuer} are not known: ${lastFailure?.message ?? 'never fetched'}`,
        { cause: lastFailure },
      )
    },
    async afterUnknownKey(seen) {
      if (keys !== seen && keys) return keys
      const sinceSec = (clock.monotonicMs() - askedForUnknownMs) / 1000
      if (flight) await flight
      else if (sinceSec >= issuer.jwksCooldownSec && !inBackoff()) {
        askedForUnknownMs = clock.monotonicMs()
        await refresh()
      }
      return usable() ?? seen
    },
    status: () => ({
      issuer: issuer.issuer,
      usable: usable() !== undefined,
      keysAgeSec: keys ? Math.round(ageSec()) : null,
      lastFailure: lastFailure?.message ?? '',
    }),
  }
}

/** `ignored` says which published keys may not verify tokens, and why. One time limit over both documents. */
async function loadKeys(
  issuer: TrustedIssuer,
  fetchOne: FetchJson,
  clock: Clock,
): Promise<{ set: JSONWebKeySet; ignored: string[] }> {
  const startedMs = clock.monotonicMs()
  const trusted = [issuer.issuer, issuer.jwksUri ?? issuer.issuer].map((url) => new URL(url).origin)
  const bearer = issuer.jwksToken?.()
  const get = (url: string) =>
    fetchOne(url, {
      timeoutMs: Math.max(1, fetchTimeoutMs - Math.round(clock.monotonicMs() - startedMs)),
      bytesMax: documentBytesMax,
      ...(issuer.ca === undefined ? {} : { ca: issuer.ca }),
      ...(bearer !== undefined && trusted.includes(new URL(url).origin) ? { bearer } : {}),
    })
  const jwksUri = issuer.jwksUri ?? (await discover(issuer, get))
  const document = await get(jwksUri)
  if (!isRecord(document) || !Array.isArray(document.keys))
    throw new Error(`${jwksUri} answered with what is not a JSON Web Key Set`)
  if (document.keys.length > keysMax) throw new Error(`${jwksUri} answered with more than ${keysMax} keys`)
  const keys: JWK[] = []
  const ignored: string[] = []
  for (const key of document.keys) {
    const why = unfit(key)
    if (why === undefined) keys.push(publicMembers(key))
    else ignored.push(`${isRecord(key) && typeof key.kid === 'string' ? key.kid : '(no kid)'}: ${why}`)
  }
  return { set: { keys }, ignored }
}

/** Under what the keys were found by: a changed address or authority must not be served by the keys of the old one. */
function storeName({ issuer, jwksUri, ca }: TrustedIssuer): string {
  return hash('sha256', JSON.stringify([issuer, jwksUri ?? '', ca ?? '']), 'hex')
}

/** Undefined where it is not what `store` writes. */
function readStored(
  value: unknown,
  { issuer }: TrustedIssuer,
): { set: JSONWebKeySet; fetchedAtUs: number } | undefined {
  if (!isRecord(value) || value.issuer !== issuer || !Array.isArray(value.keys)) return undefined
  const { keys, fetchedAtUs } = value
  if (typeof fetchedAtUs !== 'number' || !Number.isSafeInteger(fetchedAtUs)) return undefined
  if (keys.length > keysMax || keys.some((key) => unfit(key) !== undefined)) return undefined
  return { set: { keys: keys.map(publicMembers) }, fetchedAtUs }
}

async function discover(issuer: TrustedIssuer, get: (url: string) => Promise<unknown>): Promise<string> {
  const url = `${issuer.issuer.replace(/\/$/, '')}/.well-known/openid-configuration`
  const document = await get(url)
  if (!isRecord(document)) throw new Error(`${url} answered with what is not a discovery document`)
  if (document.issuer !== issuer.issuer)
    throw new Error(
      `${url} names the issuer ${JSON.stringify(document.issuer)?.slice(0, 200)}, not ${issuer.issuer}; set \`issuer\` to exactly what it names`,
    )
  const { jwks_uri: jwksUri } = document
  if (typeof jwksUri !== 'string' || !isSafeKeyUrl(jwksUri, issuer.issuer))
    throw new Error(`${url} has no safe jwks_uri (https, or loopback for an issuer on loopback)`)
  return jwksUri
}

/** Why a published key may not verify tokens, or undefined where it may. */
function unfit(key: unknown): string | undefined {
  if (!isRecord(key) || typeof key.kty !== 'string') return 'not a JSON Web Key'
  if (!['RSA', 'EC', 'OKP'].includes(key.kty))
    return `key type ${JSON.stringify(key.kty)} is not a public key`
  if (key.use !== undefined && key.use !== 'sig') return 'not for signatures'
  if (key.key_ops !== undefined && !(Array.isArray(key.key_ops) && key.key_ops.includes('verify')))
    return 'not for verifying'
  if (key.kty === 'RSA' && (typeof key.n !== 'string' || key.n.length * 6 < 2048))
    return 'RSA below 2048 bits'
  return undefined
}

/** Only what verification needs: a certificate chain or a private part that an issuer publishes goes no further. */
function publicMembers(key: Record<string, unknown>): JWK {
  const kept: Record<string, unknown> = {}
  for (const name of ['kty', 'kid', 'alg', 'use', 'n', 'e', 'crv', 'x', 'y'])
    if (typeof key[name] === 'string') kept[name] = key[name]
  return kept as JWK
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
