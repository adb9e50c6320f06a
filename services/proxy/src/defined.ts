import type { ChangedTables } from '@portcullis/sql'

/** A session may define something, or has: those who have read the catalogue for themselves do not know it. */
export interface Defined {
  readonly kind: 'defined'
  /** The session, by a name that no other has. */
  readonly by: string
  /** HOST:PORT/DATABASE of each host of its target. */
  readonly places: readonly string[]
  /** What was added; all of it where its transaction is over. */
  readonly changed: ChangedTables
  readonly isOpen: boolean
}
