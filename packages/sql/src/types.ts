import type { Analysis, CopyLayout, Effect, Where } from '@portcullis/kernel'
import type { BindValue } from './bind.ts'
import type { Catalogue, CatalogueData } from './catalogue-types.ts'
import type { Tree } from './grammar.ts'
import type { Tables } from './shape.ts'

/** What one statement does, judged from its text alone. Immutable and shared between executions of the same text. */
export interface StatementAnalysis extends Analysis {
  /** False only where no literal of the text can change anything here but `text` and `textBytes`. */
  readonly literalsMatter: boolean
  readonly transaction?: Transaction
  /** Of a COPY that sends its data to the client, where it can be read. */
  readonly copy?: CopyLayout
  /** What a target's catalogue may say more about; absent where it would say nothing. */
  readonly facts?: Facts
  /** What its bind values decide; absent: no value of them could widen what it changes. */
  readonly open?: OpenConditions
  /** The prepared statement or cursor that it makes, uses or drops. */
  readonly named?: NamedStatement
  /** Fingerprint of the statement that a name stood for, where it uses one. */
  readonly origin?: string
  /** That statement. */
  readonly behind?: Analysis
  /** Of a long text, which would take too long to parse again: what its lineage is read from (lineage/slim.ts). */
  readonly tree?: Uint8Array
}

/** Conditions of an UPDATE, DELETE or MERGE that some bind values make hold for every row. */
export interface OpenConditions {
  /** What the statement leaves besides. */
  readonly closed?: Where
  readonly conditions: readonly OpenCondition[]
}

export interface OpenCondition {
  readonly clause: Tree
  readonly tables: Tables
}

/** SQL's own names for statements: PREPARE and EXECUTE, DECLARE and FETCH. */
export interface NamedStatement {
  readonly kind: 'prepared' | 'cursor'
  /** As PostgreSQL folds it; undefined: all of them. */
  readonly name: string | undefined
  readonly action: 'make' | 'use' | 'drop'
  /** The cursor outlives its transaction. */
  readonly holds: boolean
  /** What is used is planned and not run: EXPLAIN EXECUTE. */
  readonly planned: boolean
  /** Of EXECUTE. */
  readonly args?: readonly Tree[]
  /** Effects beside those of what is used: of its arguments, of the table that takes its rows. */
  readonly beside: readonly Effect[]
}

/**
 * What a statement names whose meaning only the target's catalogue tells (catalogue.ts), and what is left of its effects
 * without any of that. Its tables and functions stand among its objects.
 */
export interface Facts {
  readonly effects: readonly Effect[]
  readonly privileged: boolean
  readonly where?: Where
  /** It is planned and not run: EXPLAIN. */
  readonly planned: boolean
  /** How tables are changed by it: which of their rules and triggers go off. */
  readonly changes: readonly Change[]
  readonly calls: readonly Call[]
  /** Each once; `schema` is empty where the text names none. */
  readonly operators: readonly Name[]
  /** Types that something is made into, but for plain ones of PostgreSQL's own. */
  readonly types: readonly Name[]
  /** Names read from something, as in `t.name`: columns, or functions of a row. */
  readonly attributes: readonly string[]
}

export type Change = 'insert' | 'update' | 'delete' | 'truncate'

export interface Name {
  readonly schema: string
  readonly name: string
}

export interface Call extends Name {
  readonly arguments: number
}

export type Transaction = 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollbackTo'

/** How the session reads text now, as the server last reported it. The default is what a UTF-8 session has. */
export interface Reading {
  /** The server's `standard_conforming_strings`. */
  readonly standardConformingStrings: boolean
  /** encodingIsAsciiSafe(the server's `client_encoding`). */
  readonly encodingAsciiSafe: boolean
  /**
   * Something is under way that may change both out of sight (a view's or trigger's function, an operator, a cast): only a
   * text that every reading cuts at the same places is read. Default false.
   */
  readonly unsure?: boolean
}

export interface AnalyzerOptions {
  /** Texts kept by their exact bytes. 0 keeps none. */
  readonly cacheEntries: number
  /** Bytes of keys and analyses together, an estimate. */
  readonly cacheBytesMax: number
  /** Texts longer than this are analysed by a worker thread, so that they stall no other session. Default 1024. */
  readonly syncBytesMax?: number
  /**
   * How long the worker may take for one text before it is given up as unknown: of its own CPU time on Linux (and five times
   * that on the clock), elsewhere on the clock. Default 2000.
   */
  readonly workerDeadlineMs?: number
  /** Each analysis comes with the tree that a lineage is read from. Default false: the text is parsed again for it. */
  readonly keepsTrees?: boolean
  /** Texts longer than this are not parsed: effect unknown. Default 1 MiB. */
  readonly parseBytesMax?: number
}

export interface AnalyzerStats {
  readonly entries: number
  readonly bytes: number
  readonly hits: number
  /** Hits by the form without literals. */
  readonly strippedHits: number
  readonly misses: number
  readonly unparsable: number
  /** Long texts that the worker could not finish in time. */
  readonly givenUp: number
}

export interface SqlAnalyzer {
  /**
   * One analysis for each statement of a simple query's text, `sql[start, end)` without the closing NUL; an empty query
   * gives one with verb `EMPTY`, a text that cannot be read, or of more than 1000 statements, gives one with verb `UNKNOWN`. Never throws for any input.
   * A promise only for texts longer than `syncBytesMax` that are not cached; it never rejects. `sql` may be reused by
   * the caller as soon as the call returns.
   */
  analyze(
    sql: Uint8Array,
    start: number,
    end: number,
    reading?: Reading,
  ): readonly StatementAnalysis[] | Promise<readonly StatementAnalysis[]>
  /** The same, always on this thread. For tools and tests. */
  analyzeNow(sql: Uint8Array, start: number, end: number, reading?: Reading): readonly StatementAnalysis[]
  /**
   * Reads a target's catalogue, so that analyses can be refined by it. Definitions (of views, rules, functions) are parsed
   * when they are first met, on this thread; those that `previous` had parsed are taken over.
   */
  catalogue(data: CatalogueData, previous?: Catalogue): Catalogue
  /**
   * What a prepared statement comes to with these values for $1, $2, …; undefined: before any are known, when nothing of
   * it is run yet and it counts for no more than what some values leave. The same object for the same ones as long as it
   * is the same to whoever decides, so that it can be told by identity whether the values changed anything.
   */
  bind(analysis: StatementAnalysis, values: readonly BindValue[] | undefined): StatementAnalysis
  /** The same with the arguments of an EXECUTE, as its analysis has them. */
  bindExecute(analysis: StatementAnalysis, args: readonly Tree[] | undefined): StatementAnalysis
  stats(): AnalyzerStats
  /**
   * Starts the worker and lets the engine compile the grammar's hot paths: 0.3 s that the first clients then do not
   * wait. Optional, once, at start.
   */
  warm(): Promise<void>
  /** Ends the worker thread; texts that wait for it come back as unknown. */
  close(): Promise<void>
}
