/**
 * Targets, of the file and of the API: who may reach which, as whom, with which caps. Secrets are asked of the vault and
 * certificates read anew for each session, so that a rotated one needs no restart. Nobody is asked for a secret on behalf
 * of who may not connect.
 */
import { hash } from 'node:crypto'
import type { ApiSettings, TargetConfig } from '@portcullis/config'
import { readPem } from '@portcullis/config/pem'
import {
  type Caps,
  type Identity,
  belongsTo,
  type LoginRequest,
  type TargetAccess,
  type TargetHost,
  type UpstreamTls,
} from '@portcullis/kernel'
import { isReference, type Loan, type Vault, VaultError } from '@portcullis/vault'
import type { Authorised } from './door.ts'

export interface TargetBook {
  /** Changes whenever what is allowed may change. */
  readonly version: string
  authorise(
    identity: Identity,
    request: Pick<LoginRequest, 'target' | 'role' | 'database' | 'protocol'>,
    /** Id of the access that people gave to this target and role, for who is let in by no group. */
    grantId?: string,
  ): Authorised | Promise<Authorised>
}

/** Of targets, and of issuers since they decide who comes to them. */
export function createTargetBook(
  settings: ApiSettings,
  vault: Pick<Vault, 'borrow'>,
  mayUse: MayUse = () => true,
): TargetBook {
  const targets = new Map(settings.targets.map((target) => [target.name, { target, caps: capsOf(target) }]))
  const version = hash('sha256', JSON.stringify([settings.targets, settings.issuers])).slice(0, 12)
  return {
    version,
    async authorise(identity, request, grantId) {
      const known = targets.get(request.target)
      if (!known || known.target.protocol !== request.protocol)
        return denied(`there is no ${request.protocol} target "${request.target}"`)
      const { target } = known
      const isMemberHere = belongsTo(identity, target.groups)
      if (!isMemberHere && grantId === undefined)
        return denied(`none of the groups [${identity.groups.join(', ')}] may reach target "${target.name}"`)
      const role =
        request.role === ''
          ? undefined
          : Object.entries(target.roles).find(([name]) => name === request.role)?.[1]
      if (request.role !== '' && !role) return denied(`target "${target.name}" has no role "${request.role}"`)
      const isMemberOfRole = !role || belongsTo(identity, role.groups)
      if (!isMemberOfRole && grantId === undefined)
        return denied(`none of the groups [${identity.groups.join(', ')}] has role "${request.role}"`)
      const database = request.database || target.database
      if (target.databases && database !== target.database && !target.databases.includes(database)) {
        return denied(`database "${database}" of target "${target.name}" is not among those allowed`)
      }
      try {
        const tls = readTls(target)
        const credentials = role?.credentials ?? target.credentials
        requireAims(target, credentials, mayUse)
        const signIn = await borrow(credentials, vault)
        return {
          allowed: true,
          version,
          caps: known.caps,
          labels: target.labels,
          ...(!(isMemberHere && isMemberOfRole) && grantId !== undefined && { grantId }),
          signIn,
          access: {
            name: target.name,
            hosts: [target.address].flat().map(hostOf),
            sessionAttrs: target.targetSessionAttrs,
            loadBalance: target.loadBalanceHosts,
            database,
            tls,
            credentials: signIn.credentials(),
            connectTimeoutMs: target.connectTimeoutMs,
            keepalive: target.keepalive,
            timeouts: {
              statementMs: target.statementTimeoutMs,
              idleSessionMs: target.idleSessionTimeoutMs,
              idleInTransactionMs: target.idleInTransactionTimeoutMs,
            },
            ...(target.estimate && { estimateMsMax: target.estimate.timeoutMs }),
            ...(target.catalogue.read && { catalogueRefreshMs: target.catalogue.refreshSec * 1000 }),
          },
        }
      } catch (error) {
        const told = `the gate cannot sign in at target "${target.name}"`
        const why = `${told}: ${(error as Error).message}`
        const isAway = error instanceof VaultError && error.code === 'unavailable'
        return { allowed: false, why, told, ...(isAway && { reason: 'credentials_unavailable' as const }) }
      }
    },
  }
}

/** Whether a target may sign in with a sealed secret, by where that may be sent. */
export type MayUse = (target: TargetConfig, sealedName: string) => boolean

/** @throws VaultError, before anything is opened for an address that it must not go to. */
function requireAims(target: TargetConfig, { user, password }: TargetConfig['credentials'], mayUse: MayUse) {
  for (const text of [user, password]) {
    const name = text?.startsWith('sealed:') ? text.slice('sealed:'.length) : undefined
    if (name !== undefined && !mayUse(target, name))
      throw new VaultError('denied', `${text}: it was put for other addresses than ${target.address}`)
  }
}

/** What a session signs in with, for as long as it lives. */
export interface SignIn {
  credentials(): TargetAccess['credentials']
  /** Whether there are others now. Rejects with VaultError. */
  renew(): Promise<boolean>
  release(): void
}

/** Rejects with VaultError. */
async function borrow(
  { user, password }: TargetConfig['credentials'],
  vault: Pick<Vault, 'borrow'>,
): Promise<SignIn> {
  // A user may be a plain name; the schema lets no name look like a reference.
  const references = [user, password].filter((text) => text !== undefined).filter(isReference)
  const loan: Loan = await vault.borrow(references)
  const revealed = (text: string) => loan.secrets[references.indexOf(text)]?.reveal() ?? text
  return {
    credentials: () => ({ user: revealed(user), password: password === undefined ? '' : revealed(password) }),
    renew: () => loan.renew(),
    release: () => loan.release(),
  }
}

function denied(why: string): Authorised {
  return { allowed: false, why }
}

function hostOf(address: string): TargetHost {
  const split = address.lastIndexOf(':')
  return { host: address.slice(0, split).replace(/^\[|\]$/g, ''), port: Number(address.slice(split + 1)) }
}

/** Throws where a file is not there: for those of the configuration file that is the start's failure, not the first session's. */
export function readTls({ tls }: Pick<TargetConfig, 'tls'>): UpstreamTls {
  const read = (key: 'ca' | 'cert' | 'key') => (tls[key] === undefined ? {} : { [key]: readPem(tls[key]) })
  return { mode: tls.mode, ...read('ca'), ...read('cert'), ...read('key') }
}

function capsOf({ caps }: TargetConfig): Caps {
  const { windowSec, ...limits } = caps
  const set = Object.fromEntries(Object.entries(limits).filter(([, value]) => value !== undefined))
  return { ...set, windowMs: windowSec * 1000 }
}
