import type { Analysis } from './command.ts'

/**
 * A column, spelled as the target's catalogue does: of a table, a partition, a foreign table or a view. What is read by way
 * of views is of each view's column and of what stands behind it.
 */
export interface ColumnRef {
  readonly schema: string
  readonly table: string
  readonly column: string
  /**
   * Tables that have the same column by inheritance: what the table is a partition or child of, and what it is made of. The
   * same list for all columns of a table.
   */
  readonly kin?: readonly TableRef[]
}

export interface TableRef {
  readonly schema: string
  readonly table: string
}

/** Columns; `lost`: nobody here can tell which, so any may be among them. Never empty for want of knowledge. */
export type Sources = readonly ColumnRef[] | 'lost'

/** One column of a result. */
export interface ResultColumn {
  /** As the client will read it; undefined where it cannot be told. */
  readonly name?: string
  /** Whose content its values are made of: read from it, computed with it, chosen by it (CASE). */
  readonly sources: Sources
  /**
   * Each value is one of its sources' values as it is stored (by way of aliases, views, casts to text, min, UNION, coalesce),
   * or one that no source had part in. False: computed from them.
   */
  readonly exact: boolean
}

/**
 * Which stored columns' content one statement shows, and where else it goes. What is not understood is `lost`. It knows no
 * policy: whose content must not be seen is for others to say.
 */
export interface Lineage {
  /** What comes back to the client, as rows or as COPY data, in order, as far as it is known. Empty where nothing does. */
  readonly columns: readonly ResultColumn[]
  /** Any column that has no entry: `columns[at] ?? others`. */
  readonly others: ResultColumn
  /** Whose content decides what comes back without being in it: predicates, joins, grouping, order, limits, what is counted. */
  readonly reads: Sources
  /**
   * How many questions are asked of each of `reads`: one for a comparison in a WHERE or a join, a group, an ORDER BY; one for
   * each of a list's values. Infinity: as many as there are rows of something else that it is compared with. Absent: 1.
   */
  readonly timesRead?: ReadonlyMap<ColumnRef, number>
  /**
   * Whose content it stores or sends elsewhere: INSERT ... SELECT, SELECT INTO, CREATE TABLE AS, UPDATE, MERGE, views,
   * bodies of functions, COPY to a file or program, settings, notifications, locks.
   */
  readonly copies: Sources
  /**
   * Whose content an error or a notice of it may quote: all that it touches in any way, and every column of a table whose
   * rows it changes ("Failing row contains ...", "Key (a)=(b) already exists").
   */
  readonly raises: Sources
}

/**
 * Of all commands of one message at once, since an earlier may change what a later's names stand for. To be asked when the
 * message is decided on. Costs a parse of each text that was not asked for yet, then nothing: only where something must
 * not be seen.
 */
export type LineagesOf = (analyses: readonly Analysis[]) => readonly Lineage[]

const lostColumn: ResultColumn = Object.freeze({ sources: 'lost', exact: false })

/** Of what nobody here can read. */
export const lostLineage: Lineage = Object.freeze({
  columns: Object.freeze([]),
  others: lostColumn,
  reads: 'lost',
  copies: 'lost',
  raises: 'lost',
})
