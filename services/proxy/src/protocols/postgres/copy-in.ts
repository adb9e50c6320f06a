/**
 * Data that a client copies in: counted against its command's caps, and dropped where no copy runs, as the server would.
 * It is told of a cut as of a failure on the client's side, for it listens to nothing else meanwhile.
 */
import type { Refusal } from '@portcullis/kernel'
import type { Batch } from './batch.ts'
import type { Frame } from './frames.ts'
import type { Running } from './ledger.ts'
import { cstring, frontend, message } from './wire.ts'

export class CopyIn {
  /** CopyInResponse was seen; this command takes data. */
  running: Running | undefined
  readonly #batch: Batch
  /** What was forwarded and may ask for data. */
  #mayTake: Running | undefined
  /** The copy was cut: its data is dropped until the client ends it. */
  #dropping = false

  constructor(batch: Batch) {
    this.#batch = batch
  }

  /** While it may ask for data nothing but data passes: whether the server reads a Sync or ignores it cannot be told. */
  holdFor(last: Running | undefined): void {
    if (!last) return
    this.#batch.holdFor = last
    this.#mayTake = last
  }

  /** CopyInResponse. False where nothing that was forwarded takes data: the gate has then misread what runs. */
  began(run: Running | undefined): boolean {
    if (!this.#mayTake || this.#mayTake.done || !run) return false
    this.running = run
    this.#dropping = false
    return true
  }

  data(frame: Frame): void {
    const run = this.running
    // Where nothing is copied in the server would ignore it.
    if (this.#dropping || !run || run.done) return this.#batch.drop(frame)
    const bytes = frame.end - frame.start + frame.rest
    const { meter } = run.command
    const refusal = meter.bytesLeft < bytes ? meter.refill(0, bytes) : undefined
    if (refusal) {
      this.#batch.drop(frame)
      this.#batch.output.add(this.fail(run, refusal))
      return
    }
    meter.bytesLeft -= bytes
    run.rowsIn++
    run.bytesIn += bytes
    this.#batch.forward(frame)
  }

  /** CopyDone or CopyFail. */
  end(frame: Frame): void {
    if (this.#dropping) {
      this.#dropping = false
      return
    }
    if (!this.running) return
    this.running = undefined
    this.#batch.forward(frame)
    // A held command's answer must come although its Sync is withheld.
    if (this.#batch.holdFor && this.#batch.isOpen) this.#batch.output.add(message(frontend.flush))
  }

  /** Ends it for the gate, and returns the message that ends it for the server. */
  fail(run: Running, refusal: Refusal): Buffer {
    run.by = refusal
    this.#dropping = true
    this.running = undefined
    return message(frontend.copyFail, cstring(`PORTCULLIS REFUSED ${refusal.decision.id}`))
  }
}
