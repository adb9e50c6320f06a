/**
 * The simple protocol, client -> server: a Query is one unit, all its statements or none; so is a FunctionCall, of which
 * only the function's number can be read.
 */
import type { Unit } from '@portcullis/kernel'
import type { Batch } from './batch.ts'
import type { CopyIn } from './copy-in.ts'
import type { Frame } from './frames.ts'
import type { Ledger } from './ledger.ts'
import { callFunctionAnalysis } from './own-messages.ts'
import type { ReadText } from './read-text.ts'
import { endOfString, mayBeCut, mayCopyIn, ProtocolViolation, tooLarge, whenRead } from './request-rules.ts'
import type { Units } from './request-units.ts'
import { headerBytes } from './wire.ts'

export interface SimpleRequestsDeps {
  readonly ledger: Ledger
  readonly readText: ReadText
}

export class SimpleRequests {
  readonly #deps: SimpleRequestsDeps
  readonly #batch: Batch
  readonly #copy: CopyIn
  readonly #units: Units

  constructor(deps: SimpleRequestsDeps, batch: Batch, copy: CopyIn, units: Units) {
    this.#deps = deps
    this.#batch = batch
    this.#copy = copy
    this.#units = units
  }

  query(frame: Frame): Unit | Promise<Unit> {
    const units = this.#units
    if (units.isTooLarge(frame)) return units.tooLarge(frame, true)
    endOfString(frame.buffer, frame.start + headerBytes, frame.end)
    const { ledger, readText } = this.#deps
    const reading = readText.analyze(frame.buffer, frame.start + headerBytes, frame.end - 1)
    return whenRead(units.withColumns(reading), (read) => {
      const analyses = units.meaning(read)
      const original = () => ({
        pieces: [frame.buffer.subarray(frame.start + headerBytes, frame.end - 1)],
        names: readText.standFor(),
        values: [],
      })
      return units.simple(
        frame,
        { analyses, undoes: units.undoes(analyses), original, estimate: units.estimate(analyses) },
        (runs) => {
          readText.unsure()
          ledger.push({ kind: 'query', runs, at: 0, failed: false })
          if (runs.some(mayBeCut)) this.#batch.holdFor = runs.at(-1)
          if (runs.some(mayCopyIn)) this.#copy.holdFor(runs.at(-1))
          for (const { command } of runs) units.noteNames(command, false)
        },
      )
    })
  }

  functionCall(frame: Frame): Unit {
    if (frame.end - frame.start < headerBytes + 4)
      throw new ProtocolViolation('a function call without its function')
    const parts = this.#units.isTooLarge(frame)
      ? tooLarge(frame)
      : { analyses: [callFunctionAnalysis(frame.buffer.readUInt32BE(frame.start + headerBytes))] }
    return this.#units.simple(frame, parts, (runs) => {
      this.#deps.readText.unsure()
      this.#deps.ledger.push({ kind: 'function', runs })
    })
  }
}
