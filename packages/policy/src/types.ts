import type { Identity, Origin, Severity } from '@portcullis/kernel'
import type { ApprovalTerms } from './approval-schema.ts'
import type { Mask, RuleCaps } from './schema.ts'

/** What a rule may ask of a session, the same for as long as it lives. */
export interface Subject {
  readonly identity: Identity
  readonly protocol: string
  readonly target: string
  readonly labels: Readonly<Record<string, string>>
  readonly role: string
  readonly database: string
  readonly origin: Origin
}

/** What changes from one command to the next. */
export interface Live {
  /** Milliseconds since 1970 UTC. */
  readonly nowMs: number
  /** Of the commands that have ended. */
  readonly totals: {
    readonly commands: number
    readonly rowsOut: number
    readonly bytesIn: number
    readonly bytesOut: number
    readonly ageMs: number
  }
  /** Of the identity, 0 to 100; absent where it cannot be known. */
  readonly risk?: number | undefined
  /** Of the command that is judged, as the target's planner says; undefined: not known. */
  readonly estimatedRows?: number | undefined
}

export type RuleMask = Mask & { readonly rule: string }

/** What the rules make of one command. */
export interface Judged {
  /** deny: no rule allows it. allow without a rule: no rule is for this target. */
  readonly action: 'allow' | 'deny' | 'hold' | 'block'
  /** The first, in the order of the file, of those that made it so. */
  readonly rule: string
  /** Of `hold`: all rules that hold it, in the order of the file, and how people approve it. */
  readonly holds: readonly { readonly rule: string; readonly approval: ApprovalTerms | undefined }[]
  /** Of all cap rules that apply the least of each; with the rule's name. Of what is held: once a person lets it pass. */
  readonly caps: { readonly [Cap in keyof RuleCaps]?: { readonly most: number; readonly rule: string } }
  /** The same list for the same rules. */
  readonly masks: readonly RuleMask[]
  /** Of rules with `observe`. */
  readonly observedMasks: readonly RuleMask[]
  readonly alerts: readonly { readonly rule: string; readonly severity: Severity }[]
  /** What rules with `observe` would have made of it, where that is stricter than what it is. */
  readonly observed: { readonly action: 'hold' | 'block'; readonly rule: string } | undefined
  /** What the rules read that no other field of the event has, as JSON; null: it could not be known. */
  readonly attributes: Readonly<Record<string, string>>
}

/** Kleene's: undefined is what cannot be known. */
export type Tri = boolean | undefined

export function both(...answers: readonly Tri[]): Tri {
  if (answers.includes(false)) return false
  return answers.includes(undefined) ? undefined : true
}
