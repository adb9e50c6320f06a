import type { Identity } from './events.gen.ts'

export type { Actor, Identity, Origin } from './events.gen.ts'

/** The key of an identity on the bus and in every table: one identity's commands stay in order on one partition. */
export function identityKey(identity: Pick<Identity, 'issuer' | 'subject'>): string {
  return `${identity.issuer}|${identity.subject}`
}

/** Whether one of these groups is theirs, whichever issuer says so; "*" is everybody's. */
export function isMember(identity: Pick<Identity, 'groups'>, groups: readonly string[]): boolean {
  return groups.includes('*') || identity.groups.some((group) => groups.includes(group))
}

/** A group by its name, or that of one issuer alone. */
export type GroupRef = string | { readonly issuer: string; readonly group: string }

/** As `isMember`, of groups some of which are one issuer's. */
export function belongsTo(
  identity: Pick<Identity, 'issuer' | 'delegation' | 'groups'>,
  groups: readonly GroupRef[],
): boolean {
  return groups.some((ref) =>
    typeof ref === 'string'
      ? isMember(identity, [ref])
      : ref.issuer === groupsIssuer(identity) && isMember(identity, [ref.group]),
  )
}

/** A group for people to read. */
export function groupText(ref: GroupRef): string {
  return typeof ref === 'string' ? ref : `${ref.group} of ${ref.issuer}`
}

/** Who says which groups they are: whoever acts for others has the groups of the first of them (ADR 3). */
export function groupsIssuer({ issuer, delegation }: Pick<Identity, 'issuer' | 'delegation'>): string {
  return delegation[0]?.issuer ?? issuer
}
