/**
 * How the gate signs in at HashiCorp Vault, and keeps signed in: by a token, AppRole, a Kubernetes service account or a
 * JWT (Vault's API documentation: "Token", "AppRole", "Kubernetes", "JWT/OIDC" auth methods).
 *
 *   gate                                          Vault
 *   POST auth/MOUNT/login {role…}            ->   or for a token of its own: GET auth/token/lookup-self
 *                                            <-   client_token, lease_duration, renewable
 *   POST auth/token/renew-self               ->   at 2/3 of its life, for what was lent to a token ends with it
 *   POST auth/MOUNT/login                    ->   where it cannot be renewed to at least half of that life
 *
 * Refuses to log in anew while a login is under way: a thousand sessions make one.
 */
import type { Clock } from '@portcullis/kernel'
import { VaultError } from '../errors.ts'
import { type Answer, isObject, jsonObject } from '../http.ts'
import { refusedAs } from '../source.ts'
import { type ReadLocal, readFile } from './local.ts'

/** Exactly one; references are `env:` or `file:`. A mount is the path that the method is enabled at. */
export interface HashicorpAuth {
  readonly token?: string | undefined
  readonly appRole?:
    | { readonly roleId: string; readonly secretId: string; readonly mount: string }
    | undefined
  readonly kubernetes?:
    | { readonly role: string; readonly tokenFile: string; readonly mount: string }
    | undefined
  readonly jwt?: { readonly role: string; readonly token: string; readonly mount: string } | undefined
}

export interface Login {
  readonly token: string
  /** Counts up with each. */
  readonly number: number
}

export interface LoginDeps {
  readonly auth: HashicorpAuth
  readonly clock: Clock
  readonly readLocal: ReadLocal
  /** One exchange under /v1/, with this token or none. */
  readonly ask: (method: 'GET' | 'POST', path: string, token: string, body?: object) => Promise<Answer>
}

export interface Logins {
  /** The one in force, or a new one. Rejects with VaultError. */
  current(): Promise<Login>
  /** Vault did not take this token: whether it is over, so that another login may help. Rejects with VaultError. */
  isOver(login: Login): Promise<boolean>
  readonly number: number
  stop(): void
}

interface Held extends Login {
  readonly endsMs: number
}

const whose = 'Vault'
const retryMs = 2000
/** A timer cannot wait longer. */
const waitMsMax = 2_147_483_647

export function createLogins({ auth, clock, readLocal, ask }: LoginDeps): Logins {
  let held: Held | undefined
  let running: Promise<Held> | undefined
  let timer: NodeJS.Timeout | undefined
  let count = 0

  function login(): Promise<Held> {
    running ??= begin().finally(() => {
      running = undefined
    })
    return running
  }

  async function begin(): Promise<Held> {
    const { token, lifeMs, renewable } =
      auth.token === undefined ? await byMethod() : await byToken(auth.token)
    count++
    held = {
      token,
      number: count,
      endsMs: lifeMs === 0 ? Number.POSITIVE_INFINITY : clock.monotonicMs() + lifeMs,
    }
    schedule(lifeMs, lifeMs, renewable)
    return held
  }

  async function byMethod() {
    const [mount, body] = bodyOf(auth, readLocal)
    const answer = await ask('POST', `auth/${mount}/login`, '', body)
    // A wrong role or secret is status 400 here.
    if (answer.status === 400 || answer.status === 403)
      throw new VaultError(
        'denied',
        `the gate cannot log in at Vault by auth/${mount} (status ${answer.status})`,
      )
    if (answer.status !== 200) throw refusedAs(answer.status, whose, `auth/${mount}/login`)
    const { auth: given } = jsonObject(answer.text, whose)
    if (!isObject(given) || typeof given.client_token !== 'string')
      throw new VaultError('malformed', `Vault answered auth/${mount}/login without a token`)
    return {
      token: given.client_token,
      lifeMs: secondsOf(given.lease_duration),
      renewable: given.renewable === true,
    }
  }

  async function byToken(reference: string) {
    const token = readLocal(reference)
    const answer = await ask('GET', 'auth/token/lookup-self', token)
    if (answer.status === 403) throw new VaultError('denied', `Vault does not take the token of ${reference}`)
    if (answer.status !== 200) throw refusedAs(answer.status, whose, 'auth/token/lookup-self')
    const { data } = jsonObject(answer.text, whose)
    const { ttl, renewable } = isObject(data) ? data : {}
    return { token, lifeMs: secondsOf(ttl), renewable: renewable === true }
  }

  function schedule(leftMs: number, lifeMs: number, renewable: boolean): void {
    clearTimeout(timer)
    if (lifeMs === 0) return
    timer = setTimeout(() => void keep(lifeMs, renewable), Math.min((leftMs * 2) / 3, waitMsMax)).unref()
  }

  /** Never rejects: what fails is tried again until the token is over, and then whoever needs one hears why there is none. */
  async function keep(lifeMs: number, renewable: boolean): Promise<void> {
    const before = held
    if (!before) return
    try {
      if (renewable) {
        const leftMs = await renewSelf(before)
        if (leftMs >= lifeMs / 2) {
          held = { ...before, endsMs: clock.monotonicMs() + leftMs }
          return schedule(leftMs, lifeMs, true)
        }
      }
      // Vault gives this token no more time: whatever comes next is lent to another.
      await login()
    } catch {
      if (clock.monotonicMs() < before.endsMs)
        timer = setTimeout(() => void keep(lifeMs, renewable), retryMs).unref()
    }
  }

  /** Milliseconds it then has left; 0 where Vault refuses. */
  async function renewSelf({ token }: Held): Promise<number> {
    const answer = await ask('POST', 'auth/token/renew-self', token, {})
    if (answer.status === 400 || answer.status === 403) return 0
    if (answer.status !== 200) throw refusedAs(answer.status, whose, 'auth/token/renew-self')
    const { auth: given } = jsonObject(answer.text, whose)
    return isObject(given) ? secondsOf(given.lease_duration) : 0
  }

  return {
    async current() {
      const isFresh = held && clock.monotonicMs() < held.endsMs
      // Whoever keeps a token in a file (Vault Agent) changes it there.
      const isSame = auth.token === undefined || (held && readLocal(auth.token) === held.token)
      return held && isFresh && isSame ? held : login()
    },
    async isOver(used) {
      if (held && held.number !== used.number) return true
      const answer = await ask('GET', 'auth/token/lookup-self', used.token)
      const over = answer.status === 403
      if (over && held?.number === used.number) held = undefined
      return over
    },
    get number() {
      return count
    },
    stop: () => clearTimeout(timer),
  }
}

function bodyOf({ appRole, kubernetes, jwt }: HashicorpAuth, readLocal: ReadLocal): [string, object] {
  if (appRole)
    return [appRole.mount, { role_id: readLocal(appRole.roleId), secret_id: readLocal(appRole.secretId) }]
  if (kubernetes) return [kubernetes.mount, { role: kubernetes.role, jwt: readFile(kubernetes.tokenFile) }]
  if (jwt) return [jwt.mount, { role: jwt.role, jwt: readLocal(jwt.token) }]
  throw new VaultError('reference', 'the configuration does not say how to log in at Vault')
}

/** In milliseconds. */
export function secondsOf(value: unknown): number {
  return typeof value === 'number' && value > 0 ? value * 1000 : 0
}
