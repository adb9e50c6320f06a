/**
 * What a proof may be used for, beside what its groups may: names of targets and of their roles, and from where. Pure. It only ever takes
 * away: nothing here lets anyone reach what their groups do not.
 */
import { IdentityError, quoteUnproven } from '../errors.ts'
import { isWithin } from './networks.ts'

export interface Scope {
  /** Targets that may be reached; absent: those that the groups may. */
  readonly targets?: readonly string[]
  /** Roles that may be asked for, '' for a target's own user; absent: those that the groups may. */
  readonly roles?: readonly string[]
  /** Lists of networks, CIDR: it must come from one of each. Absent: from everywhere. */
  readonly networks?: readonly (readonly string[])[]
}

export const everything: Scope = {}

/** Why this scope keeps its bearer from `role` ('' for none) of `target`; undefined where it does not. */
export function outOfScope({ targets, roles }: Scope, target: string, role: string): string | undefined {
  if (targets && !targets.includes(target))
    return `the token is good for target [${targets.join(', ')}] only, not for "${target}"`
  if (roles && !roles.includes(role))
    return role === ''
      ? `the token is good for role [${roles.join(', ')}] only, not without one`
      : `the token is good for role [${roles.map((name) => name || '(none)').join(', ')}] only, not for "${role}"`
  return undefined
}

/** Why this scope keeps a bearer at `address` out; undefined where it does not. */
export function outsideNetworks({ networks }: Scope, address: string | undefined): string | undefined {
  if (!networks || networks.every((list) => isWithin(list, address))) return undefined
  return `may not come from ${address ?? 'an unknown address'}`
}

/** Both at once. */
export function intersection(a: Scope, b: Scope): Scope {
  const networks = [...(a.networks ?? []), ...(b.networks ?? [])]
  return {
    ...both('targets', a.targets, b.targets),
    ...both('roles', a.roles, b.roles),
    ...(networks.length > 0 && { networks }),
  }
}

function both(
  name: 'targets' | 'roles',
  a: readonly string[] | undefined,
  b: readonly string[] | undefined,
): Scope {
  if (!a || !b) return a || b ? { [name]: a ?? b } : {}
  return { [name]: a.filter((one) => b.includes(one)) }
}

/** What a request for a token asks to be left with. */
export interface WantedScope extends Pick<Scope, 'targets' | 'roles'> {
  readonly groups?: readonly string[]
}

/**
 * The words of an OAuth `scope` (RFC 6749 section 3.3): `target:NAME`, `role:NAME` (`role:` for a target's own user),
 * `group:NAME`. Throws IdentityError('scope') for any other word: one that is not understood would be no limit.
 */
export function parseScope(text: string): WantedScope {
  const wanted: Record<'targets' | 'roles' | 'groups', string[]> = { targets: [], roles: [], groups: [] }
  for (const word of text.split(' ').filter(Boolean)) {
    const [, kind, name = ''] = /^(target|role|group):(.*)$/s.exec(word) ?? []
    if (kind === undefined || (name === '' && kind !== 'role'))
      throw new IdentityError(
        'scope',
        `${quoteUnproven(word)} is none of target:NAME, role:NAME and group:NAME`,
      )
    wanted[`${kind as 'target' | 'role' | 'group'}s`].push(name)
  }
  return Object.fromEntries(
    Object.entries(wanted).flatMap(([kind, names]) =>
      names.length > 0 ? [[kind, [...new Set(names)]]] : [],
    ),
  )
}

/** The same in words; '' where it limits nothing. */
export function scopeText({ targets = [], roles = [] }: Scope): string {
  return [...targets.map((name) => `target:${name}`), ...roles.map((name) => `role:${name}`)].join(' ')
}
