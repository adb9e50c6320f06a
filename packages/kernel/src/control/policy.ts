/**
 * Rules by events: the policy's documents, each under a name, in the very words in which it was written, so that a mistake
 * has its line and a person finds again what they wrote. What stands in one is not read here: whoever is to hold commands to
 * it reads it with the policy's own schema. Here it is bounded, that is all.
 */
import type { Aggregate } from './aggregate.ts'
import { textCharsMax } from './fields.ts'
import { markOf, type SettingMark } from './settings.ts'

export type PolicyChange =
  | { readonly type: 'policy.put'; readonly name: string; readonly text: string }
  | {
      readonly type: 'policy.removed'
      readonly name: string
      readonly reason: string
      /** Whether it may be the last one: where the file has no rules either, nothing is held to any from then on. */
      readonly last: boolean
    }

export interface StoredPolicy extends SettingMark {
  readonly name: string
  /** YAML. */
  readonly text: string
}

export interface PolicyParts {
  readonly policies: Map<string, StoredPolicy>
}

/** Characters of YAML. */
export const policyCharsMax = 262_144
const nameCharsMax = 63

export const policyControl: Aggregate<PolicyChange, PolicyParts> = {
  readers: {
    'policy.put': (read) => ({
      type: 'policy.put',
      name: read.text('name', 1, nameCharsMax),
      text: read.text('text', 1, policyCharsMax),
    }),
    'policy.removed': (read) => ({
      type: 'policy.removed',
      name: read.text('name', 1, nameCharsMax),
      reason: read.text('reason', 0, textCharsMax),
      // Older writers removed whatever was asked for.
      last: !read.has('last') || read.flag('last'),
    }),
  },
  idOf: ({ name }) => policyAggregate(name),
  apply({ policies }, change, occurrence) {
    const { name } = change
    if (change.type === 'policy.put') {
      policies.set(name, { name, text: change.text, ...markOf(occurrence) })
      return undefined
    }
    if (policies.has(name) && policies.size === 1 && !change.last)
      return { code: 'conflict', why: `policy ${name} is the last one` }
    if (policies.delete(name)) return undefined
    return { code: 'not_found', why: `the control log has no policy ${name}` }
  },
}

/** The aggregate that changes to a document are written under. */
export function policyAggregate(name: string): string {
  return `policy/${name}`
}
