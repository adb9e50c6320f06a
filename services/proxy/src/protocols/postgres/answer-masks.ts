/**
 * Server -> client, what must not be seen: which rows of the result that comes now are to be rewritten, and how. It is
 * asked before the first row of a result, when the server has described it; a row that comes without is shown to nobody.
 */
import type { Refusal } from '@portcullis/kernel'
import { MaskingError } from '@portcullis/masking'
import type { StatementAnalysis } from '@portcullis/sql'
import { ServerViolation } from './answer-rules.ts'
import type { Frame, Handling } from './frames.ts'
import type { Ledger, Running } from './ledger.ts'
import {
  copyMasks,
  type MaskingDeps,
  readRowDescription,
  type ResultMasks,
  rowMasks,
} from './result-masks.ts'
import { backend, headerBytes } from './wire.ts'

export interface AnswerMasksDeps extends MaskingDeps {
  readonly ledger: Ledger
  readonly unmaskable: (rule: string, detail: string) => Refusal
}

/** Of a row that is rewritten: it is read whole. */
const rowBytesMax = 16_777_216

export class AnswerMasks {
  readonly #deps: AnswerMasksDeps
  /** Something was done in this transaction that an error at its end may quote. */
  #quotable = false

  constructor(deps: AnswerMasksDeps) {
    this.#deps = deps
  }

  /** How a row of this length must come; undefined where it is not masked. */
  handling(type: number, length: number): Handling | undefined {
    if (type !== backend.dataRow && type !== backend.copyData) return undefined
    const run = this.#deps.ledger.running
    if (!run || typeof this.of(run) !== 'object') return undefined
    return length > rowBytesMax ? 'stream' : 'whole'
  }

  /** What is done to the result that comes now. */
  of(run: Running): ResultMasks {
    const { mask } = run.command
    if (!mask) return undefined
    if (run.masks) return run.masks.result
    const { fields } = run.shape ?? {}
    if (!fields) throw new ServerViolation('rows came before they were described')
    return this.#settle(run, rowMasks(mask, fields, this.#deps))
  }

  #settle(run: Running, result: ResultMasks): ResultMasks {
    run.masks = { result }
    if (typeof result === 'object')
      run.masked = [...run.masked, ...result.columns.filter((one) => one !== undefined)]
    return result
  }

  /** A RowDescription, or a NoData in its place. False where the client must not get it. */
  described({ type, buffer, start, end }: Frame): boolean {
    const { head, running } = this.#deps.ledger
    const shape = head?.kind === 'describe' ? head.shape : undefined
    const isWanted = shape !== undefined || (head?.kind === 'query' && running?.command.mask)
    if (!isWanted) return true
    const fields = type === backend.rowDescription ? readRowDescription(buffer.subarray(start, end)) : []
    if (shape) shape.fields = fields
    else if (running) {
      running.shape = { fields }
      running.masks = undefined
    }
    return !(head?.kind === 'describe' && 'runs' in head)
  }

  /** CopyOutResponse: how the data is laid out it says only in part. */
  copyBegins({ buffer, start }: Frame): void {
    const run = this.#deps.ledger.running
    if (!run?.command.mask) return
    const { copy } = run.command.analysis as Partial<StatementAnalysis>
    const count = buffer.readInt16BE(start + headerBytes + 1)
    const isAsSaid = (buffer[start + headerBytes] === 1) === (copy?.format === 'binary')
    this.#settle(run, copyMasks(run.command.mask, count, isAsSaid ? copy : undefined, this.#deps))
  }

  /** Why the result cannot be shown from this row on. */
  objection(run: Running, row: Frame): Refusal | undefined {
    const masks = this.of(run)
    if (masks === undefined || (masks !== 'unmaskable' && row.rest === 0)) return undefined
    const detail =
      masks === 'unmaskable'
        ? 'nobody can tell whether what is masked is in its answer'
        : `a row of over ${rowBytesMax} bytes`
    return this.#deps.unmaskable(run.command.mask?.rule ?? '', detail)
  }

  /** Whether an error or a notice of this command (none: of a commit) may quote what must not be seen. */
  quotes(run: Running | undefined): boolean {
    return run === undefined || settlesTransaction(run) ? this.#quotable : run.command.mask?.quotes === true
  }

  /** A command is done. What it stored may be quoted when its transaction ends: constraints can be deferred. */
  done(run: Running | undefined): void {
    if (run?.command.mask?.quotes && !settlesTransaction(run)) this.#quotable = true
  }

  /** No transaction is open. */
  settled(): void {
    this.#quotable = false
  }

  /**
   * Asks for what another service finds in these rows before they are rewritten; undefined where there is nothing to ask.
   * Resolves to why they cannot be shown.
   */
  ask(run: Running, rows: Bytes): Promise<Refusal | undefined> | undefined {
    const masks = this.of(run)
    if (typeof masks !== 'object' || masks.ask === undefined) return undefined
    const { mask } = run.command
    return masks.ask(rows.buffer, rows.start, rows.end)?.then(
      () => undefined,
      () =>
        mask?.content?.remote?.refuses
          ? this.#deps.unmaskable(mask.content.rule, 'the analyzer did not answer')
          : undefined,
    )
  }

  /** Whole rows, rewritten where they lie. */
  rows(run: Running, rows: Bytes): Bytes {
    const masks = this.of(run)
    if (masks === undefined) return rows
    if (masks === 'unmaskable') throw new ServerViolation('rows that cannot be masked')
    try {
      return masks.mask(rows.buffer, rows.start, rows.end)
    } catch (error) {
      if (error instanceof MaskingError || error instanceof RangeError)
        throw new ServerViolation('a row that is not of the columns that were described', { cause: error })
      throw error
    }
  }
}

/** `buffer[start, end)`. */
export interface Bytes {
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

function settlesTransaction({ command: { analysis } }: Running): boolean {
  const { transaction } = analysis as Partial<StatementAnalysis>
  return transaction !== undefined || analysis.verb === 'SET CONSTRAINTS'
}
