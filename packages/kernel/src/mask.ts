import type { ContentMask } from './content.ts'
import type { ColumnRef } from './lineage.ts'

/**
 * How a value is shown to whoever may not see it: not at all; its end; as a keyed hash, the same for the same value; as
 * nothing; as another of the same shape.
 */
export type MaskMethod = 'redact' | 'partial' | 'hash' | 'null' | 'fake'

export interface MaskForm {
  readonly method: MaskMethod
  /** How many characters at the end of a value `partial` leaves, at most half of it. */
  readonly keep: number
}

/** What is done to a result's column, and why. */
export interface ColumnMask extends MaskForm {
  /** The stored column that it comes from, `schema.table.column`; empty where nobody can tell. */
  readonly column: string
  readonly rule: string
  /** Where its values are that column's, as stored and of its type. */
  readonly source?: ColumnRef
}

/** What of one command's answers must not be seen by its identity. The gate makes it, the protocol carries it out. */
export interface MaskPlan {
  /** For each column of what comes back, in order; undefined: it is shown. */
  readonly columns: readonly (ColumnMask | undefined)[]
  /** For any that has no entry; `refuse`: nobody can tell what is in it, and there must be none. */
  readonly others: ColumnMask | 'refuse' | undefined
  /** The rule that says so where there must be none. */
  readonly rule: string
  /** How a stored column is shown, whatever a text was read as: for what the target itself says of a result. */
  of(column: ColumnRef): ColumnMask | undefined
  /** Errors and notices may quote what must not be seen. */
  readonly quotes: boolean
  /** Its own literals are compared with what must not be seen, or stored as such. False where nobody can tell. */
  readonly literals: boolean
  /** What is masked in the values that are shown; absent: nothing. */
  readonly content?: ContentMask | undefined
  /** Columns that must not be seen and decide what comes back, where a rule bounds how often that may be asked. */
  readonly asks: readonly MaskedAsk[]
}

/** A bound on predicates: so many an hour tell little, many tell a value bit by bit. */
export interface AskLimit {
  /** By one identity at one target, for each column; of the host's proxies together. */
  readonly perHour: number
  /** What becomes of more of them. */
  readonly over: 'throttle' | 'hold' | 'block'
}

export interface MaskedAsk extends AskLimit {
  /** As in `ColumnMask`; `?` where nobody can tell which. */
  readonly column: string
  readonly rule: string
  /** How many questions the command asks of it; over `perHour`: more than may be asked at all. */
  readonly times: number
}

/** How many values of a column were masked, or how often something was found in them. */
export interface MaskedValues {
  /**
   * As in `ColumnMask`; where nobody can tell where it comes from, `?.` and its name in the result. Where only what was found
   * in its values was masked, a colon and the kind follow.
   */
  readonly column: string
  readonly values: number
}

/** How the data of a COPY TO STDOUT is laid out (PostgreSQL manual, "COPY"). */
export interface CopyLayout {
  readonly format: 'text' | 'csv' | 'binary'
  readonly delimiter: string
  /** What stands for NULL. */
  readonly null: string
  readonly quote: string
  readonly escape: string
  /** The first line has the columns' names. */
  readonly header: boolean
  /** undefined: the session's own. */
  readonly encoding: string | undefined
  /** Columns of a table or view, and not of a query, which may be of other types than what they are read from. */
  readonly isOfTable: boolean
}
