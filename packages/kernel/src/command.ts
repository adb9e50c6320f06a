import type { Effect, Outcome, Stage, TargetObject } from './events.gen.ts'
import type { MaskedValues } from './mask.ts'

export type { Effect, Outcome, Stage, TargetObject } from './events.gen.ts'

/**
 * Which of a table's rows an UPDATE, DELETE or MERGE leaves to be changed: it has no condition; one that holds for every
 * row; one that a row's values decide; one that holds for none; one that is the same for all rows, and nobody here can
 * tell which way. Of several in one command the first of these that there is: none, always, unknown, some, never.
 */
export type Where = 'none' | 'always' | 'unknown' | 'some' | 'never'

/**
 * What is known of a command from its text alone, before it runs. Immutable and shared: one analysis serves every
 * execution of the same text, so nothing about a session may enter it.
 */
export interface Analysis {
  /** The text with credential literals removed: the only form that may be stored, logged or shown. */
  readonly text: string
  /** Length of the original in bytes. */
  readonly textBytes: number
  /** Equal for commands that differ only in literals. */
  readonly fingerprint: string
  /** SELECT, INSERT, ...; a method; exec; a tool's name. Upper case for SQL. */
  readonly verb: string
  readonly effects: readonly Effect[]
  readonly objects: readonly TargetObject[]
  /** Uses power beyond data: roles, grants, file and network functions, programs, server settings. */
  readonly privileged: boolean
  /** May send rows back (or cannot be known not to), so that a cap may have to cut it. */
  readonly returnsRows: boolean
  /** Absent: it changes no rows that were there before. */
  readonly where?: Where
  /**
   * The same object for all commands that differ in nothing but `text`, `textBytes` and what nobody may decide by; absent:
   * this analysis stands for itself. What was decided for one may be taken for the others.
   */
  readonly alike?: object
  /** Only ends or undoes a transaction (ROLLBACK, ABORT): let through even to the blocked, since it can only undo. */
  readonly undoes: boolean
}

/** What came of a command. Rows and bytes count what passed, not what was asked for. */
export interface CommandResult {
  readonly outcome: Outcome
  readonly stage: Stage
  /** Native code (SQLSTATE, HTTP status, exit status), empty where none. */
  readonly errorCode: string
  /** Native completion tag, such as `SELECT 3`. */
  readonly tag: string
  readonly rowsIn: number
  readonly rowsOut: number
  readonly rowsAffected: number
  readonly bytesIn: number
  readonly bytesOut: number
  /** Absent: nothing was. */
  readonly masked?: readonly MaskedValues[]
}
