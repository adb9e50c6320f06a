/**
 * What a proven identity can connect to, and how: the same rules as the proxy's door, so that nothing is listed which would
 * be refused, and nothing is told of targets that are not one's own.
 */
import type { Config, TargetConfig } from '@portcullis/config'
import { publicAddress } from '@portcullis/config/public-address'
import { outOfScope, type Scope } from '@portcullis/identity'
import { type Identity, belongsTo } from '@portcullis/kernel'

export interface ReachableTarget {
  readonly name: string
  readonly protocol: string
  /** Those that may be asked for; '' is the target's own user, for who names no role. */
  readonly roles: readonly string[]
  /** Where the client names none. */
  readonly database: string
  /** HOST:PORT to dial. */
  readonly address: string
  /** Whether the door speaks TLS; without it tokens are taken from loopback only. */
  readonly tls: boolean
  readonly labels: Readonly<Record<string, string>>
}

export type ReachableTargets = (
  identity: Pick<Identity, 'issuer' | 'delegation' | 'groups'>,
  scope: Scope,
  /** Access that people gave it for a while. */
  given: readonly GivenAccess[],
) => readonly ReachableTarget[]

export interface GivenAccess {
  readonly target: string
  readonly role: string
}

/** `targets`: those that there are now, of the file and of the API. */
export function createReachableTargets(
  config: Pick<Config, 'proxy' | 'identity' | 'api'>,
  targets: () => readonly TargetConfig[],
): ReachableTargets {
  const address = publicAddress(config)
  const tls = config.proxy.tls !== undefined
  return (identity, scope, given) =>
    targets().flatMap(({ name, groups: own, protocol, roles: all, database, labels }) => {
      const isTheirs = belongsTo(identity, own)
      const isGiven = (role: string) => given.some((one) => one.target === name && one.role === role)
      const roles = ['', ...Object.keys(all)].filter(
        (role) =>
          ((isTheirs && (role === '' || belongsTo(identity, all[role]?.groups ?? []))) || isGiven(role)) &&
          outOfScope(scope, name, role) === undefined,
      )
      return roles.length === 0 ? [] : [{ name, protocol, roles, database, address, tls, labels }]
    })
}
