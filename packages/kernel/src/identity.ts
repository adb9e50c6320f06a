import type { Identity } from './events.gen.ts'

export type { Actor, Identity, Origin } from './events.gen.ts'

/** The key of an identity on the bus and in every table: one identity's commands stay in order on one partition. */
export function identityKey(identity: Pick<Identity, 'issuer' | 'subject'>): string {
  return `${identity.issuer}|${identity.subject}`
}

/** Whether one of these groups is theirs; "*" is everybody's. */
export function isMember(identity: Pick<Identity, 'groups'>, groups: readonly string[]): boolean {
  return groups.includes('*') || identity.groups.some((group) => groups.includes(group))
}
