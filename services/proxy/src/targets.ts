/**
 * The targets of the configuration: who may reach which, as whom, with which caps. Secrets and
 * certificates are read anew for each session, so that a rotated one needs no restart.
 */
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Config, TargetConfig } from '@portcullis/config'
import { resolveSecret, resolveValue } from '@portcullis/config/secret'
import type { Caps, Identity, LoginRequest, TargetHost, UpstreamTls } from '@portcullis/kernel'
import type { Authorised } from './door.ts'

export interface TargetBook {
  /** Changes whenever what is allowed may change. */
  readonly version: string
  authorise(
    identity: Identity,
    request: Pick<LoginRequest, 'target' | 'role' | 'database' | 'protocol'>,
  ): Authorised
}

export function createTargetBook(config: Pick<Config, 'targets'>): TargetBook {
  const targets = new Map(config.targets.map((target) => [target.name, { target, caps: capsOf(target) }]))
  // A file that is not there is the start's failure, not the first session's.
  for (const target of config.targets) readTls(target)
  return {
    version: hash('sha256', JSON.stringify(config.targets)).slice(0, 12),
    authorise(identity, request) {
      const known = targets.get(request.target)
      if (!known || known.target.protocol !== request.protocol)
        return denied(`there is no ${request.protocol} target "${request.target}"`)
      const { target } = known
      if (!isMember(identity, target.groups))
        return denied(`none of the groups [${identity.groups.join(', ')}] may reach target "${target.name}"`)
      const role =
        request.role === ''
          ? undefined
          : Object.entries(target.roles).find(([name]) => name === request.role)?.[1]
      if (request.role !== '' && !role) return denied(`target "${target.name}" has no role "${request.role}"`)
      if (role && !isMember(identity, role.groups))
        return denied(`none of the groups [${identity.groups.join(', ')}] has role "${request.role}"`)
      const database = request.database || target.database
      if (target.databases && database !== target.database && !target.databases.includes(database)) {
        return denied(`database "${database}" of target "${target.name}" is not among those allowed`)
      }
      const credentials = role?.credentials ?? target.credentials
      try {
        return {
          allowed: true,
          caps: known.caps,
          access: {
            name: target.name,
            hosts: [target.address].flat().map(hostOf),
            sessionAttrs: target.targetSessionAttrs,
            loadBalance: target.loadBalanceHosts,
            database,
            tls: readTls(target),
            credentials: {
              user: resolveValue(credentials.user),
              password: credentials.password === undefined ? '' : resolveSecret(credentials.password),
            },
            connectTimeoutMs: target.connectTimeoutMs,
            keepalive: target.keepalive,
            timeouts: {
              statementMs: target.statementTimeoutMs,
              idleSessionMs: target.idleSessionTimeoutMs,
              idleInTransactionMs: target.idleInTransactionTimeoutMs,
            },
            ...(target.catalogue.read && { catalogueRefreshMs: target.catalogue.refreshSec * 1000 }),
          },
        }
      } catch (error) {
        const told = `the gate cannot sign in at target "${target.name}"`
        return { allowed: false, why: `${told}: ${(error as Error).message}`, told }
      }
    },
  }
}

function denied(why: string): Authorised {
  return { allowed: false, why }
}

function hostOf(address: string): TargetHost {
  const split = address.lastIndexOf(':')
  return { host: address.slice(0, split).replace(/^\[|\]$/g, ''), port: Number(address.slice(split + 1)) }
}

function isMember(identity: Identity, groups: readonly string[]): boolean {
  return groups.includes('*') || identity.groups.some((group) => groups.includes(group))
}

function readTls({ tls }: TargetConfig): UpstreamTls {
  const read = (key: 'ca' | 'cert' | 'key') =>
    tls[key] === undefined ? {} : { [key]: readFileSync(tls[key], 'utf8') }
  return { mode: tls.mode, ...read('ca'), ...read('cert'), ...read('key') }
}

function capsOf({ caps }: TargetConfig): Caps {
  const { windowSec, ...limits } = caps
  const set = Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
  return { ...set, windowMs: windowSec * 1000 }
}
