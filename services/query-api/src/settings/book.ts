/**
 * What is configured, by the file and by the API, as one and as of now: the targets, the issuers, the roles by group. Made
 * anew with each control event that concerns it. What does not pass the schema is told and left out, as the proxies do.
 */
import {
  type ApiSettings,
  type Config,
  createSettingsReader,
  noSettings,
  type TargetConfig,
  withFile,
} from '@portcullis/config'
import { createVerifierIssuers } from '@portcullis/config/issuers'
import type { TokenVerifier } from '@portcullis/identity'
import type { ControlEvent, ControlState, Evolved } from '@portcullis/kernel'
import type { Log } from '@portcullis/platform/service'
import { isRole, type Role } from '../auth.ts'

export interface SettingsBook {
  targets(): readonly TargetConfig[]
  hasTarget(name: string): boolean
  /** Whether one of these targets has it, or one of all where none are named. */
  hasRole(role: string, targets: readonly string[] | undefined): boolean
  /** Role by group. */
  roles(): Readonly<Record<string, Role>>
  /** To be called with each control event as it was folded. Never throws. */
  follow(event: Pick<ControlEvent, 'type'>, evolved: Pick<Evolved, 'accepted' | 'state'>): void
}

export type SettingsFile = Pick<
  Config,
  'targets' | 'identity' | 'api' | 'secrets' | 'policy' | 'masking' | 'proxy'
>

export interface SettingsBookOptions {
  readonly config: SettingsFile
  readonly verifier: Pick<TokenVerifier, 'replace'>
  readonly log: Pick<Log, 'error'>
}

export function createSettingsBook({ config, verifier, log }: SettingsBookOptions): SettingsBook {
  const file: ApiSettings = { targets: config.targets, issuers: config.identity.issuers }
  const read = createSettingsReader(config, (what, problems) =>
    log.error(
      { what, problems },
      'a setting of the API is not taken: what stood before, if anything, stands',
    ),
  )
  const verifierIssuers = createVerifierIssuers(file.issuers)
  let whole = withFile(file, noSettings)
  let names = new Set(whole.targets.map(({ name }) => name))
  let roles: Readonly<Record<string, Role>> = config.api.roles

  function rolesOf({ roleMappings }: Pick<ControlState, 'roleMappings'>): Readonly<Record<string, Role>> {
    const mapped = Array.from(roleMappings.values()).flatMap(({ group, role }): [string, Role][] => {
      if (isRole(role)) return [[group, role]]
      log.error({ group, role }, 'a role of the API is not taken: this version does not know it')
      return []
    })
    return { ...Object.fromEntries(mapped), ...config.api.roles }
  }

  function take({ targets, issuers }: Pick<ControlState, 'targets' | 'issuers'>): void {
    const stored = { targets: Array.from(targets.values()), issuers: Array.from(issuers.values()) }
    const next = withFile(file, read(stored))
    for (const error of verifier.replace(verifierIssuers(next.issuers)))
      log.error({ why: error.message }, 'an issuer cannot be served: what stood under its name stands')
    whole = next
    names = new Set(whole.targets.map(({ name }) => name))
  }

  return {
    targets: () => whole.targets,
    hasTarget: (name) => names.has(name),
    hasRole: (role, among) =>
      whole.targets.some(
        (target) => Object.hasOwn(target.roles, role) && (among?.includes(target.name) ?? true),
      ),
    roles: () => roles,
    follow({ type }, { accepted, state }) {
      if (!accepted) return
      if (type.startsWith('role-mapping.')) roles = rolesOf(state)
      if (type.startsWith('target.') || type.startsWith('issuer.')) take(state)
    },
  }
}
