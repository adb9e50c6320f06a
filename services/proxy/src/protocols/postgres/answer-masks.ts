/**
 * Server -> client, what must not be seen: which rows of the result that comes now are to be rewritten, and how. It is
 * asked before the first row of a result, when the server has described it; a row that comes without is shown to nobody.
 */
import type { Refusal } from '@portcullis/kernel'
import { MaskingError, maskRows, type Piece } from '@portcullis/masking'
import { ServerViolation } from './answer-rules.ts'
import type { Frame, Handling } from './frames.ts'
import type { Ledger, Running } from './ledger.ts'
import { type MaskingDeps, readRowDescription, type ResultMasks, resultMasks } from './result-masks.ts'
import { backend } from './wire.ts'

export interface AnswerMasksDeps extends MaskingDeps {
  readonly ledger: Ledger
  readonly unmaskable: (rule: string, detail: string) => Refusal
}

/** Of a row that is rewritten: it is read whole. */
const rowBytesMax = 16_777_216

export class AnswerMasks {
  readonly #deps: AnswerMasksDeps

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

  /** What is done to the result that comes now; undefined: all of it is shown. */
  of(run: Running): ResultMasks | 'unmaskable' {
    const { mask } = run.command
    if (!mask) return undefined
    if (run.masks) return run.masks.result
    const { fields } = run.shape ?? {}
    if (!fields) throw new ServerViolation('rows came before they were described')
    const result = resultMasks(mask, fields, this.#deps)
    run.masks = { result }
    if (typeof result === 'object') run.masked = [...run.masked, ...result.filter((one) => one !== undefined)]
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

  /** CopyOutResponse. */
  copyBegins(_frame: Frame): void {
    const run = this.#deps.ledger.running
    if (run?.command.mask) run.masks = { result: 'unmaskable' }
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

  /** Whole rows, rewritten where they lie. */
  rows(run: Running, buffer: Buffer, start: number, end: number): Piece {
    const masks = this.of(run)
    if (masks === undefined) return { buffer, start, end }
    if (masks === 'unmaskable') throw new ServerViolation('rows that cannot be masked')
    try {
      return maskRows(masks, buffer, start, end)
    } catch (error) {
      if (error instanceof MaskingError || error instanceof RangeError)
        throw new ServerViolation('a row that is not of the columns that were described', { cause: error })
      throw error
    }
  }
}
