/**
 * Configuration by events: targets, trusted issuers, and roles of the API by group. A target and an issuer are JSON objects
 * of the form that they have in the configuration file. What stands in them is not read here: whoever is to use one checks
 * it with the file's own schema, and keeps what it had where it does not pass. Here it is bounded, that is all.
 */
import type { Aggregate, Occurrence } from './aggregate.ts'
import { type Fields, type FieldReader, idCharsMax, textCharsMax } from './fields.ts'

export type SettingChange =
  | { readonly type: 'target.put'; readonly name: string; readonly target: Fields }
  | { readonly type: 'target.removed'; readonly name: string; readonly reason: string }
  | { readonly type: 'issuer.put'; readonly issuer: string; readonly trust: Fields }
  | { readonly type: 'issuer.removed'; readonly issuer: string; readonly reason: string }
  | { readonly type: 'role-mapping.put'; readonly group: string; readonly role: string }
  | { readonly type: 'role-mapping.removed'; readonly group: string; readonly reason: string }

/** Who made it what it is, and when. */
export interface SettingMark {
  /** Of the aggregate, after the change that made it so. */
  readonly version: number
  /** Microseconds since 1970 UTC, by the writer's clock. */
  readonly changedAt: number
  readonly changedBy: string
}

export interface StoredSetting extends SettingMark {
  /** Name of a target, URL of an issuer. */
  readonly id: string
  /** A JSON object. */
  readonly json: string
}

export interface RoleMapping extends SettingMark {
  readonly group: string
  readonly role: string
}

export interface SettingParts {
  readonly targets: Map<string, StoredSetting>
  readonly issuers: Map<string, StoredSetting>
  /** Issuers that were trusted and are no longer, with who took them out: what they vouched for ends. */
  readonly removedIssuers: Map<string, SettingMark>
  readonly roleMappings: Map<string, RoleMapping>
}

/** Characters of JSON. */
export const settingCharsMax = 65_536
const nameCharsMax = 63
const roleCharsMax = 64

export const settingControl: Aggregate<SettingChange, SettingParts> = {
  readers: {
    'target.put': (read) => ({
      type: 'target.put',
      name: read.text('name', 1, nameCharsMax),
      target: boundedObject(read, 'target'),
    }),
    'target.removed': (read) => ({
      type: 'target.removed',
      name: read.text('name', 1, nameCharsMax),
      reason: read.text('reason', 0, textCharsMax),
    }),
    'issuer.put': (read) => ({
      type: 'issuer.put',
      issuer: read.text('issuer', 1, idCharsMax),
      trust: boundedObject(read, 'trust'),
    }),
    'issuer.removed': (read) => ({
      type: 'issuer.removed',
      issuer: read.text('issuer', 1, idCharsMax),
      reason: read.text('reason', 0, textCharsMax),
    }),
    'role-mapping.put': (read) => ({
      type: 'role-mapping.put',
      group: read.text('group', 1, idCharsMax),
      role: read.text('role', 1, roleCharsMax),
    }),
    'role-mapping.removed': (read) => ({
      type: 'role-mapping.removed',
      group: read.text('group', 1, idCharsMax),
      reason: read.text('reason', 0, textCharsMax),
    }),
  },
  idOf: settingAggregate,
  apply(state, change, occurrence) {
    const mark = markOf(occurrence)
    switch (change.type) {
      case 'target.put':
        state.targets.set(change.name, { id: change.name, json: JSON.stringify(change.target), ...mark })
        return undefined
      case 'issuer.put':
        state.issuers.set(change.issuer, { id: change.issuer, json: JSON.stringify(change.trust), ...mark })
        state.removedIssuers.delete(change.issuer)
        return undefined
      case 'role-mapping.put':
        state.roleMappings.set(change.group, { group: change.group, role: change.role, ...mark })
        return undefined
      case 'target.removed':
        return state.targets.delete(change.name) ? undefined : absent('target', change.name)
      case 'issuer.removed':
        if (!state.issuers.delete(change.issuer)) return absent('issuer', change.issuer)
        state.removedIssuers.set(change.issuer, mark)
        return undefined
      case 'role-mapping.removed':
        return state.roleMappings.delete(change.group) ? undefined : absent('role mapping', change.group)
    }
  },
}

/** The aggregate that changes to a target, an issuer or a group's role are written under. */
export function settingAggregate(change: SettingKey): string {
  if ('name' in change) return `target/${change.name}`
  return 'issuer' in change ? `issuer/${change.issuer}` : `role-mapping/${change.group}`
}

export type SettingKey = { readonly name: string } | { readonly issuer: string } | { readonly group: string }

function boundedObject(read: FieldReader, name: string): Fields {
  const value = read.object(name)
  if (JSON.stringify(value).length > settingCharsMax)
    read.problem(name, `at most ${settingCharsMax} characters of JSON`)
  return value
}

export function markOf({ at, by, version }: Occurrence): SettingMark {
  return { version: version + 1, changedAt: at, changedBy: by }
}

function absent(what: string, id: string) {
  return { code: 'not_found', why: `the control log has no ${what} ${id}` } as const
}
