import type { Analysis } from './command.ts'

/** A stored column, spelled as the target's catalogue does: of a table, partition, foreign table or materialized view, never of a view. */
export interface ColumnRef {
  readonly schema: string
  readonly table: string
  readonly column: string
}

/**
 * Stored columns; `lost`: nobody here can tell which, so any may be among them. Never empty for want of knowledge. A column
 * stands here once, also where it is reached by way of views or of the tables that a partitioned table is made of; a
 * partition's or child's column brings that of every table that it belongs to, and the other way round.
 */
export type Sources = readonly ColumnRef[] | 'lost'

/** One column of a result. */
export interface ResultColumn {
  /** As the client will read it; undefined where it cannot be told. */
  readonly name?: string
  /** Whose content its values are made of: read from it, computed with it, chosen by it (CASE). */
  readonly sources: Sources
  /**
   * Each value is one of its sources' values as it is stored (by way of aliases, views, casts between text types, min, UNION,
   * coalesce), or one that no source had part in. False: computed from them.
   */
  readonly exact: boolean
}

/**
 * Which stored columns' content one statement shows, and where else it goes. What is not understood is `lost`. It knows no
 * policy: whose content must not be seen is for others to say.
 */
export interface Lineage {
  /**
   * Of what comes back to the client, rows or COPY data, in order; empty where nothing does; `lost`: not even how many there
   * are. The server's own RowDescription may tell of more (`t.*` of a table that got a column since): what has no entry
   * here is lost.
   */
  readonly columns: readonly ResultColumn[] | 'lost'
  /** Whose content decides what comes back without being in it: predicates, joins, grouping, order, limits, what is counted. */
  readonly reads: Sources
  /**
   * Whose content it stores or sends elsewhere: INSERT ... SELECT, SELECT INTO, CREATE TABLE AS, UPDATE, MERGE, views,
   * bodies of functions, COPY to a file or program.
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

/** Of what nobody here can read. */
export const lostLineage: Lineage = Object.freeze({
  columns: 'lost',
  reads: 'lost',
  copies: 'lost',
  raises: 'lost',
})
