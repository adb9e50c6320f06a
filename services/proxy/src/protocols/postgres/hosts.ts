/**
 * Which host of a target a session goes to, as libpq chooses (PostgreSQL manual, "target_session_attrs" and
 * "load_balance_hosts"): in the given order or a shuffled one, the first that answers and is of the kind asked for. A
 * host that does not answer, is not ready (57P03) or is of another kind sends us to the next. One that refuses the
 * sign-in or fails TLS ends the search: that is the configuration's fault, which trying on would hide.
 *
 * Refuses to let the client decide: a setting of its start-up packet by which hosts are told apart is not taken.
 */
import { randomInt } from 'node:crypto'
import type { SessionAttrs, TargetAccess, TargetHost } from '@portcullis/kernel'
import { type DeriveKeys, deriveKeys } from './scram-keys.ts'
import { namedSettings } from './startup-settings.ts'
import { type Fresh, openHost, type Upstream } from './upstream.ts'
import { UpstreamError } from './upstream-error.ts'

interface Failure {
  readonly host: TargetHost
  readonly error: UpstreamError
}

/** Rejects with an UpstreamError that names the target and none of its hosts. */
export async function openUpstream(
  access: TargetAccess,
  parameters: Readonly<Record<string, string>>,
  derive: DeriveKeys = deriveKeys,
): Promise<Upstream> {
  refuseToBeMisled(access, parameters)
  const { sessionAttrs } = access
  const hosts = access.loadBalance === 'random' ? shuffled(access.hosts) : access.hosts
  const wanted = sessionAttrs === 'prefer-standby' ? 'standby' : sessionAttrs
  const first = await firstFit(access, hosts, wanted, parameters, derive)
  if (!Array.isArray(first)) return first
  const others = first.filter(({ error }) => error.code === 'unfit').map(({ host }) => host)
  if (sessionAttrs !== 'prefer-standby' || others.length === 0) throw noneOf(access, first)
  const second = await firstFit(access, others, 'any', parameters, derive)
  if (!Array.isArray(second)) return second
  throw noneOf(access, second)
}

/** The connection, or what each host had against it. */
async function firstFit(
  access: TargetAccess,
  hosts: readonly TargetHost[],
  wanted: Exclude<SessionAttrs, 'prefer-standby'>,
  parameters: Readonly<Record<string, string>>,
  derive: DeriveKeys,
): Promise<Upstream | Failure[]> {
  const failures: Failure[] = []
  for (const host of hosts) {
    try {
      return await openHost(access, host, parameters, (fresh) => fits(wanted, fresh), derive)
    } catch (error) {
      if (!(error instanceof UpstreamError) || !goesOn.has(error.code)) throw error
      failures.push({ host, error })
    }
  }
  return failures
}

const goesOn: ReadonlySet<UpstreamError['code']> = new Set(['unreachable', 'not_ready', 'unfit'])

/** PostgreSQL 14 and later report both settings at the start; older servers and poolers are asked. */
async function fits(
  wanted: Exclude<SessionAttrs, 'prefer-standby'>,
  { parameters, ask }: Fresh,
): Promise<boolean> {
  const standby = parameters.get('in_hot_standby')
  const readOnly = parameters.get(decidingSetting)
  switch (wanted) {
    case 'any':
      return true
    case 'read-write':
    case 'read-only': {
      const isReadOnly =
        standby === undefined || readOnly === undefined
          ? (await ask('SHOW transaction_read_only')) === 'on'
          : standby === 'on' || readOnly === 'on'
      return isReadOnly === (wanted === 'read-only')
    }
    case 'primary':
    case 'standby': {
      const isStandby =
        standby === undefined
          ? (await ask('SELECT pg_catalog.pg_is_in_recovery()')) === 't'
          : standby === 'on'
      return isStandby === (wanted === 'standby')
    }
  }
}

const decidingSetting = 'default_transaction_read_only'

/** With it on, a primary would pass for read-only, and the client could switch it off again afterwards. */
function refuseToBeMisled(
  { name, sessionAttrs }: TargetAccess,
  parameters: Readonly<Record<string, string>>,
): void {
  if (sessionAttrs !== 'read-only' && sessionAttrs !== 'read-write') return
  const names = namedSettings(parameters).map((setting) => setting.toLowerCase())
  if (!names.includes(decidingSetting)) return
  const text = `"${decidingSetting}" cannot be set by the start-up packet: target "${name}" chooses its host by it`
  throw new UpstreamError('refused', text, '42501')
}

/** Of one host its own error; of several what they have in common. Each host's own is for the log. */
function noneOf({ name, sessionAttrs }: TargetAccess, failures: readonly Failure[]): UpstreamError {
  const [first] = failures
  if (first && failures.length === 1) return first.error
  const unfit = failures.find(({ error }) => error.code === 'unfit')
  const notReady = failures.find(({ error }) => error.code === 'not_ready')
  const { code, sqlstate } = (unfit ?? notReady ?? first)?.error ?? { code: 'unreachable', sqlstate: '08006' }
  const text = unfit
    ? `no host of target "${name}" is fit for sessions that are ${sessionAttrs}`
    : `no host of target "${name}" can be reached`
  const reasons = failures.map(({ host, error }) => `${host.host}:${host.port}: ${String(error.cause)}`)
  return new UpstreamError(code, text, sqlstate, { cause: new Error(reasons.join('; ')) })
}

/** Fisher and Yates. */
function shuffled(hosts: readonly TargetHost[]): readonly TargetHost[] {
  const mixed = [...hosts]
  for (let at = mixed.length - 1; at > 0; at--) {
    const other = randomInt(at + 1)
    const here = mixed[at] as TargetHost
    mixed[at] = mixed[other] as TargetHost
    mixed[other] = here
  }
  return mixed
}
