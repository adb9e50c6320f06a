/**
 * What the gate gets to decide: a client's message with what it comes to, and what is to be done with it once it is
 * allowed. One at a time waits. It refuses nothing itself, but names what the gate must refuse whatever the rules say.
 */
import type { Analysis, Clock, Command, Unit } from '@portcullis/kernel'
import type { BindValue, StatementAnalysis } from '@portcullis/sql'
import type { Batch } from './batch.ts'
import type { Frame } from './frames.ts'
import type { Ledger, Running } from './ledger.ts'
import type { ReadText } from './read-text.ts'
import { ProtocolViolation, tooLarge } from './request-rules.ts'
import type { ValuesOf } from './row-estimate.ts'
import { originsOf, SqlNames } from './sql-names.ts'
import { type Portal, Statements } from './statements.ts'
import type { TransactionStatus } from './wire.ts'

export interface UnitsDeps {
  readonly ledger: Ledger
  readonly readText: ReadText
  readonly clock: Clock
  readonly statementBytesMax: number
  /** What the gate must refuse whatever the rules say. */
  readonly objection: (analyses: readonly Analysis[]) => Unit['objection']
  /** How many rows these would change or return, and whether anybody asks. */
  readonly estimate: (analyses: readonly Analysis[], values?: ValuesOf) => Unit['estimate']
  readonly asksRows: () => boolean
  readonly isMasking: () => boolean
  /** The transaction status of the last ReadyForQuery. */
  readonly status: () => TransactionStatus
}

/** The message behind the unit that the gate is deciding. */
export interface Pending {
  readonly frame: Frame
  readonly simple: boolean
  readonly allowed: (runs: readonly Running[]) => void
  /** What must reach the server before its frame does. */
  readonly before?: ((runs: readonly Running[]) => void) | undefined
  /** It goes to the server with what follows. */
  withheld: boolean
  /** The command that the unit goes on with. */
  readonly adopted: Running | undefined
}

type Parts = Omit<Unit, 'receivedAt'>

export class Units {
  readonly statements = new Statements()
  readonly #names: SqlNames
  readonly #deps: UnitsDeps
  readonly #batch: Batch
  #pending: Pending | undefined
  #receivedAt = 0
  readonly #lineagesOf: NonNullable<Unit['lineagesOf']> = (analyses) =>
    this.#deps.readText.lineagesOf(analyses, this.#names.sights(analyses))
  /** What only undoes is on its way: one at a time gets past a verdict. */
  #undoing = false

  constructor(deps: UnitsDeps, batch: Batch) {
    this.#deps = deps
    this.#batch = batch
    this.#names = new SqlNames(this.statements, deps.readText)
  }

  received(): void {
    this.#receivedAt = this.#deps.clock.nowUs()
  }

  simple(frame: Frame, parts: Parts, allowed: Pending['allowed']): Unit {
    this.#pending = { frame, simple: true, allowed, withheld: false, adopted: undefined }
    return this.#unit(parts)
  }

  extended(
    frame: Frame,
    parts: Parts,
    allowed: Pending['allowed'],
    adopted?: Running,
    before?: Pending['before'],
  ): Unit {
    this.#pending = { frame, simple: false, allowed, withheld: false, adopted, before }
    return this.#unit(parts)
  }

  tooLarge(frame: Frame, simple: boolean): Unit {
    this.#pending = { frame, simple, allowed: letThrough, withheld: false, adopted: undefined }
    return this.#unit(tooLarge(frame))
  }

  isTooLarge(frame: Frame): boolean {
    return frame.end - frame.start + frame.rest > this.#deps.statementBytesMax
  }

  /** Nothing is under way at the server: then it need not know yet of what only prepares. */
  withhold(): void {
    if (this.#pending && !this.#isUnderWay()) this.#pending.withheld = true
  }

  takePending(): Pending | undefined {
    const pending = this.#pending
    this.#pending = undefined
    return pending
  }

  /**
   * Whether this only undoes, and may do so for the blocked. Not under a name: that can come to stand for another
   * statement out of the gate's sight (by a function that runs DEALLOCATE and PREPARE).
   */
  undoes(analyses: readonly Analysis[], ...names: readonly string[]): boolean {
    if (!analyses[0]?.undoes || !analyses.every((analysis) => analysis.undoes)) return false
    if (names.some((name) => name !== '')) return false
    const { ledger } = this.#deps
    if (ledger.idle) this.#undoing = false
    return !this.#undoing && (this.#deps.status() !== 'I' || this.#batch.isOpen || !ledger.idle)
  }

  undoing(): void {
    this.#undoing = true
  }

  /** Before these are decided, where something may be masked: what is being read of the columns that they ask for. */
  columnsComing(analyses: readonly StatementAnalysis[]): Promise<void> | undefined {
    return this.#deps.isMasking() ? this.#deps.readText.coming(analyses) : undefined
  }

  /** The same of a text that is read now. */
  withColumns(
    reading: ReturnType<ReadText['analyze']>,
  ): readonly StatementAnalysis[] | Promise<readonly StatementAnalysis[]> {
    if (reading instanceof Promise) return reading.then((read) => this.withColumns(read))
    return this.columnsComing(reading)?.then(() => reading) ?? reading
  }

  /** What these come to with the names that stand now. */
  meaning(analyses: readonly StatementAnalysis[]): readonly StatementAnalysis[] {
    return this.#names.meaning(analyses)
  }

  /** The same of what is prepared, with the values bound to it; undefined: none are yet. */
  bound(analyses: readonly StatementAnalysis[], values?: readonly BindValue[]): readonly StatementAnalysis[] {
    if (analyses.every(({ open }) => open === undefined)) return analyses
    return analyses.map((one) => this.#deps.readText.bind(one, values))
  }

  get asksRows(): boolean {
    return this.#deps.asksRows()
  }

  estimate(analyses: readonly Analysis[], values?: ValuesOf): Unit['estimate'] {
    return this.#deps.estimate(analyses, values)
  }

  portalBound(name: string): void {
    this.#names.bound(name)
  }

  /** When it is forwarded, and when the server has done it. */
  noteNames(command: Command, isDone: boolean): void {
    this.#names.note(command, isDone)
    if (!isDone) this.#deps.readText.runs(command.analysis)
  }

  /** After an error in the extended protocol. */
  rebuildNames(): void {
    this.statements.rebuild(this.#deps.ledger, (command) => this.#names.note(command, false))
  }

  /** ReadyForQuery says that no transaction is open. */
  endTransaction(): void {
    this.statements.endTransaction(this.#deps.ledger)
    this.#names.endTransaction()
    this.#deps.readText.settled()
  }

  /** A portal that was bound while names stood for something else shows what they stood for then. */
  lineageOf(portal: Portal | undefined): Pick<Unit, 'lineagesOf'> {
    const { readText } = this.#deps
    const sight = portal?.sight
    if (sight === undefined || sight === readText.sight()) return {}
    return { lineagesOf: (analyses) => readText.lineagesOf(analyses, [sight]) }
  }

  #isUnderWay(): boolean {
    return this.#deps.status() !== 'I' || this.#deps.ledger.size > this.#batch.output.withheld
  }

  #unit(parts: Parts): Unit {
    const objection = parts.objection ?? this.#deps.objection(parts.analyses)
    const origin = originsOf(parts.analyses)
    const charges = origin && this.#names.charges(parts.analyses)
    // What a name stands for is not in the bytes that name it.
    const { original, ...others } = parts
    return {
      receivedAt: this.#receivedAt,
      lineagesOf: this.#lineagesOf,
      ...others,
      ...(original && !origin && { original }),
      inTransaction: this.#isUnderWay(),
      ...(objection && { objection }),
      ...(origin && { attributes: { origin } }),
      ...(charges && { charges }),
    }
  }
}

function letThrough(): never {
  throw new ProtocolViolation('a statement that is too long was let through')
}
