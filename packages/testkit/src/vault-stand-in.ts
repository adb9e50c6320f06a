/**
 * A stand-in for HashiCorp Vault, for machines where the real one cannot be had: it answers the paths of Vault's HTTP
 * API that packages/vault asks (API documentation: KV version 2, Databases, Transit, AppRole, Kubernetes, JWT, Tokens,
 * /sys/leases), with the status codes and fields that the documentation gives. Leases end, tokens end and take their
 * leases along, and roles of the database engine are real roles of a real PostgreSQL. It proves nothing about Vault itself.
 */
import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Started } from '@portcullis/kernel'
import type { Postgres } from './postgres.ts'

export interface VaultStandIn {
  readonly url: string
  /** A token that never ends. */
  readonly root: string
  /** Each request as `METHOD PATH`. */
  readonly asked: string[]
  /** What it is doing: serving, sealed (503), silent (never answers). */
  state: 'serving' | 'sealed' | 'silent'
  /** How each login by a method is answered. */
  readonly logins: { ttlSec: number; maxTtlSec: number; renewable: boolean }
  /** What methods take: role_id and secret_id, or role and jwt. */
  readonly known: { readonly appRole: string[]; readonly jwt: string[] }
  /** Paths that no token may read. */
  readonly denied: Set<string>
  putKv(path: string, fields: Readonly<Record<string, string>> | undefined): void
  databaseRole(name: string, role: { ttlSec: number; maxTtlSec: number; renewable?: boolean }): void
  /** User names of the leases that stand. */
  users(): string[]
  endTokens(): Promise<void>
  rotateTransit(): void
  /** Stops listening; `open` begins again at the same port. */
  close(): Promise<void>
  open(): Promise<void>
}

interface Token {
  ttlSec: number
  endsMs: number
  readonly lastMs: number
  readonly renewable: boolean
}
interface Lease {
  readonly id: string
  readonly user: string
  readonly token: string
  readonly ttlSec: number
  endsMs: number
  readonly lastMs: number
}
type Reply = { readonly status: number; readonly body?: object }

const notFound: Reply = { status: 404, body: { errors: [] } }
const forbidden: Reply = { status: 403, body: { errors: ['permission denied'] } }
const wrong = (error: string): Reply => ({ status: 400, body: { errors: [error] } })

export async function startVaultStandIn(postgres?: Postgres): Promise<Started<VaultStandIn>> {
  const kv = new Map<string, Readonly<Record<string, string>> | undefined>()
  const roles = new Map<string, { ttlSec: number; maxTtlSec: number; renewable?: boolean }>()
  const leases = new Map<string, Lease>()
  const root = `hvs.${randomUUID()}`
  const tokens = new Map<string, Token>([[root, tokenOf(0, 0, false)]])
  const transit = [randomBytes(32)]
  let server: Server | undefined
  let port = 0
  const expiring = setInterval(() => void expire(), 50)

  async function expire(): Promise<void> {
    for (const [token, { endsMs }] of tokens) if (endsMs < Date.now()) tokens.delete(token)
    for (const lease of [...leases.values()])
      if (lease.endsMs < Date.now() || !tokens.has(lease.token)) await revoke(lease)
  }

  async function revoke(lease: Lease): Promise<void> {
    if (!leases.delete(lease.id)) return
    await postgres?.query(`drop role if exists "${lease.user}"`)
  }

  async function lend(name: string, token: string): Promise<Reply> {
    const role = roles.get(name)
    if (!role) return wrong(`unknown role: ${name}`)
    const user = `v-${name}-${randomBytes(6).toString('hex')}`
    const password = `Canary-${randomBytes(12).toString('hex')}`
    await postgres?.query(`create role "${user}" login password '${password}'`)
    const nowMs = Date.now()
    const lease = {
      id: `database/creds/${name}/${randomUUID()}`,
      ...{ user, token, ttlSec: role.ttlSec },
      endsMs: nowMs + role.ttlSec * 1000,
      lastMs: nowMs + role.maxTtlSec * 1000,
    }
    leases.set(lease.id, lease)
    const { renewable = true, ttlSec: lease_duration } = role
    return ok({ lease_id: lease.id, lease_duration, renewable, data: { username: user, password } })
  }

  function logIn(isKnown: boolean): Reply {
    if (!isKnown) return wrong('invalid role or secret ID')
    const { ttlSec, maxTtlSec, renewable } = value.logins
    const token = `hvs.${randomUUID()}`
    tokens.set(token, tokenOf(ttlSec, maxTtlSec, renewable))
    return ok({ auth: { client_token: token, lease_duration: ttlSec, renewable } })
  }

  function crypt(verb: string, body: Readonly<Record<string, unknown>>): Reply {
    const aad = Buffer.from(String(body.associated_data ?? ''), 'base64')
    if (verb === 'encrypt') {
      const nonce = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', transit.at(-1) as Buffer, nonce).setAAD(aad)
      const sealed = Buffer.concat([cipher.update(String(body.plaintext), 'base64'), cipher.final()])
      const packed = Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString('base64')
      return ok({ data: { ciphertext: `vault:v${transit.length}:${packed}`, key_version: transit.length } })
    }
    try {
      const [, version, packed = ''] = /^vault:v(\d+):(.*)$/.exec(String(body.ciphertext)) ?? []
      const bytes = Buffer.from(packed, 'base64')
      const opening = createDecipheriv(
        'aes-256-gcm',
        transit[Number(version) - 1] as Buffer,
        bytes.subarray(0, 12),
      )
      opening.setAAD(aad).setAuthTag(bytes.subarray(-16))
      const plain = Buffer.concat([opening.update(bytes.subarray(12, -16)), opening.final()])
      return ok({ data: { plaintext: plain.toString('base64') } })
    } catch {
      return wrong('cipher: message authentication failed')
    }
  }

  async function reply(
    method: string,
    path: string,
    header: string,
    body: Readonly<Record<string, unknown>>,
  ): Promise<Reply> {
    if (path === 'auth/approle/login')
      return logIn(value.known.appRole.includes(`${body.role_id}:${body.secret_id}`))
    if (path === 'auth/kubernetes/login' || path === 'auth/jwt/login')
      return logIn(value.known.jwt.includes(`${body.role}:${body.jwt}`))
    const token = tokens.get(header)
    if (!token || token.endsMs < Date.now() || value.denied.has(path)) return forbidden
    if (path === 'auth/token/lookup-self')
      return ok({ data: { ttl: secondsLeft(token.endsMs), renewable: token.renewable } })
    if (path === 'auth/token/renew-self') {
      if (!token.renewable) return wrong('lease is not renewable')
      token.endsMs = Math.min(Date.now() + token.ttlSec * 1000, token.lastMs)
      return ok({
        auth: { client_token: header, lease_duration: secondsLeft(token.endsMs), renewable: true },
      })
    }
    if (path === 'sys/leases/renew' || path === 'sys/leases/revoke') {
      const lease = leases.get(String(body.lease_id))
      if (!lease) return wrong('lease not found')
      if (path.endsWith('revoke')) {
        await revoke(lease)
        return { status: 204 }
      }
      lease.endsMs = Math.min(Date.now() + lease.ttlSec * 1000, lease.lastMs)
      return ok({ lease_id: lease.id, lease_duration: secondsLeft(lease.endsMs), renewable: true })
    }
    const role = /^database\/creds\/(.+)$/.exec(path)?.[1]
    if (role !== undefined && method === 'GET') return lend(role, header)
    const verb = /^transit\/(encrypt|decrypt)\/master$/.exec(path)?.[1]
    if (verb !== undefined) return crypt(verb, body)
    if (!kv.has(path) || method !== 'GET') return notFound
    const data = kv.get(path)
    // A version that is deleted: its metadata stays.
    return data
      ? ok({ data: { data, metadata: { version: 1, deletion_time: '' } } })
      : { status: 404, body: { data: { data: null, metadata: { deletion_time: '2026-01-01T00:00:00Z' } } } }
  }

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const path = (request.url ?? '').replace(/^\/v1\//, '')
    value.asked.push(`${request.method} ${path}`)
    if (value.state === 'silent') return
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const text = Buffer.concat(chunks).toString()
    const { status, body } =
      value.state === 'sealed'
        ? { status: 503, body: { errors: ['Vault is sealed'] } }
        : await reply(
            request.method ?? '',
            path,
            String(request.headers['x-vault-token'] ?? ''),
            text === '' ? {} : JSON.parse(text),
          )
    response.writeHead(status, { 'content-type': 'application/json' }).end(body && JSON.stringify(body))
  }

  const value: VaultStandIn = {
    get url() {
      return `http://127.0.0.1:${port}`
    },
    root,
    asked: [],
    state: 'serving',
    logins: { ttlSec: 3600, maxTtlSec: 36_000, renewable: true },
    known: { appRole: [], jwt: [] },
    denied: new Set(),
    putKv: (path, fields) => void kv.set(path, fields),
    databaseRole: (name, role) => void roles.set(name, role),
    users: () => [...leases.values()].map(({ user }) => user),
    async endTokens() {
      for (const token of tokens.keys()) if (token !== root) tokens.delete(token)
      await expire()
    },
    rotateTransit: () => void transit.push(randomBytes(32)),
    async open() {
      server = createServer((request, response) => void serve(request, response))
      await new Promise<void>((resolve) => server?.listen(port, '127.0.0.1', resolve))
      port = (server.address() as AddressInfo).port
    },
    async close() {
      server?.closeAllConnections()
      await new Promise<void>((resolve) => (server ? server.close(() => resolve()) : resolve()))
      server = undefined
    },
  }
  await value.open()
  return {
    value,
    async stop() {
      clearInterval(expiring)
      await value.close()
      for (const lease of [...leases.values()]) await revoke(lease)
    },
  }
}

function tokenOf(ttlSec: number, maxTtlSec: number, renewable: boolean): Token {
  const last = maxTtlSec === 0 ? Number.POSITIVE_INFINITY : Date.now() + maxTtlSec * 1000
  return { ttlSec, endsMs: ttlSec === 0 ? last : Date.now() + ttlSec * 1000, lastMs: last, renewable }
}

function ok(body: object): Reply {
  return { status: 200, body }
}

/** Vault counts in whole seconds. */
function secondsLeft(endsMs: number): number {
  return Number.isFinite(endsMs) ? Math.max(0, Math.round((endsMs - Date.now()) / 1000)) : 0
}
