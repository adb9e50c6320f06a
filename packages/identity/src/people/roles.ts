/**
 * What a person may do in the console and the API, by their groups. Pure. One ladder, each step with all that is below:
 *
 *   viewer     sees everything
 *   responder  and stops: blocks, lifts, throttles, kills
 *   approver   and lets run: answers held commands
 *   admin      and changes targets, policy, roles
 *
 * An approver stands above a responder, since to let through what was held can do more harm than to stop what ran, and
 * because whoever says no to a held command must be able to block who asked. Refuses nobody: no group, no role.
 */

export const peopleRoles = ['viewer', 'responder', 'approver', 'admin'] as const
export type PeopleRole = (typeof peopleRoles)[number]

/** Every role that the groups give, the highest first; empty for none. */
export function rolesOf(
  groups: readonly string[],
  byGroup: Readonly<Record<string, PeopleRole>>,
): readonly PeopleRole[] {
  const given = new Set(
    groups.filter((group) => Object.hasOwn(byGroup, group)).map((group) => byGroup[group]),
  )
  return peopleRoles.filter((role) => given.has(role)).toReversed()
}

/** Whether `role` is `needed` or above it. */
export function isAtLeast(role: PeopleRole, needed: PeopleRole): boolean {
  return peopleRoles.indexOf(role) >= peopleRoles.indexOf(needed)
}
