/** What a kind of control state is made of: how its changes are read, which aggregate each belongs to, and what each does. */
import type { FieldReader } from './fields.ts'

/**
 * conflict: the aggregate has moved on from `expectedVersion`, or others from what the writer saw. invalid: the payload is not what its type says.
 * exists: one of this id was there before. not_found: there is none of this id. already_lifted: it was lifted before.
 * Of approvals: answered: this person has answered before. decided: it was decided, spent or withdrawn before. too_late: by
 * its own time the change comes after the deadline. not_eligible: this person may not answer. not_approved: it cannot be
 * spent or revoked, since it is not approved. mismatch: its digest is another.
 * duplicate: this event id, or this offset, was folded before. unknown_type: a newer service's kind of event; skipped
 * and counted.
 */
export type RejectionCode =
  | 'conflict'
  | 'invalid'
  | 'exists'
  | 'not_found'
  | 'already_lifted'
  | 'answered'
  | 'decided'
  | 'too_late'
  | 'not_eligible'
  | 'not_approved'
  | 'mismatch'
  | 'duplicate'
  | 'unknown_type'

export interface Rejection {
  readonly code: RejectionCode
  readonly why: string
}

/** Of the event that a change came in. */
export interface Occurrence {
  /** Microseconds since 1970 UTC, by the writer's clock. */
  readonly at: number
  /** Who made the change, in the form of an identity key. */
  readonly by: string
  /** How many changes this aggregate had taken before. */
  readonly version: number
}

export interface Aggregate<Change extends { readonly type: string }, State> {
  /** By type of change. Whoever calls it looks at `problems`; with any, what is returned is not used. */
  readonly readers: {
    readonly [T in Change['type']]: (
      read: FieldReader,
      problems: string[],
    ) => Extract<Change, { readonly type: T }>
  }
  /** The aggregate that a change belongs to, such as `verdict/01J…`. */
  idOf(change: Change): string
  /** Changes `state` in place, or says why not and leaves it. Never looks at a clock. */
  apply(state: State, change: Change, occurrence: Occurrence): Rejection | undefined
}
