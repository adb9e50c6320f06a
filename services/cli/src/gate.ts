/** What most commands need: the gate's API, who is asking, and what they can reach. */
import { type Api, connectApi } from './api.ts'
import type { Call } from './command.ts'
import { CliError, shown } from './errors.ts'
import { findProof, type Proof } from './proof.ts'
import { apiUrl, configDir, trustCa } from './settings.ts'
import { openTokenStore, type TokenStore } from './token-store.ts'

export interface Gate {
  readonly api: Api
  readonly store: TokenStore
  /** @throws CliError as findProof does */
  proof(): Promise<Proof>
}

/** @throws CliError usage, file */
export function gateOf({ options, env, interrupted }: Call): Gate {
  trustCa(env)
  const store = openTokenStore(configDir(env))
  const url = apiUrl(options, env, env.PORTCULLIS_URL ? undefined : store.current())
  return {
    api: connectApi(url, interrupted),
    store,
    proof: () => findProof(options, { url, store, env, nowMs: Date.now() }),
  }
}

/** As GET /v1/targets lists it. */
export interface Target {
  readonly name: string
  readonly protocol: string
  readonly roles: readonly string[]
  readonly database: string
  readonly address: string
  readonly tls: boolean
  readonly labels: Readonly<Record<string, string>>
}

export async function targetsOf(api: Api, { token }: Proof): Promise<readonly Target[]> {
  return (await api.get<{ items: readonly Target[] }>('/v1/targets', token)).items
}

/** One that may be reached in this role. @throws CliError refused */
export function pickTarget(targets: readonly Target[], name: string, role: string): Target {
  const target = targets.find((one) => one.name === name)
  if (!target) {
    const names = targets.map((one) => one.name).join(', ')
    throw new CliError(
      'refused',
      `there is no target ${JSON.stringify(shown(name))} that you may reach`,
      names === ''
        ? 'you may reach none: see your groups with portcullis whoami'
        : `you may reach ${shown(names)}`,
    )
  }
  if (target.roles.includes(role)) return target
  const roles = target.roles.filter((one) => one !== '').join(', ')
  const given = roles === '' ? '' : `--role ${shown(roles)}`
  const none = target.roles.includes('') ? 'no --role' : ''
  throw new CliError(
    'refused',
    role === ''
      ? `target ${name} is not yours without a role`
      : `target ${name} has no role ${JSON.stringify(shown(role))} for you`,
    `you may have ${[none, given].filter((one) => one !== '').join(', or ')}`,
  )
}

export function splitAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':')
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) }
}
