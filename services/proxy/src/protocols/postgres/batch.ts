/**
 * Where a client's messages stand: what was forwarded since its last Sync, what is dropped up to the next one, what is
 * withheld, and what is queued for the server. Simple and extended requests and copied data share one; it reads no
 * message and decides nothing.
 */
import type { Frame } from './frames.ts'
import type { Running } from './ledger.ts'
import { Output } from './output.ts'
import { frontend, message } from './wire.ts'

export class Batch {
  /** Queued for the server, until it stands recorded. */
  readonly output = new Output()
  /** Dropping up to Sync: after the server's own error or a failing message of ours, or a refusal answered here. */
  skipping: 'no' | 'local' | 'server' = 'no'
  /** Messages of the extended protocol were forwarded since the last Sync. */
  isOpen = false
  /** Every command so far only reads. */
  onlyReads = true
  /** Nothing but a copy's data passes until this command is answered: it may be cut, and what follows must not run then. */
  holdFor: Running | undefined
  /** The rest of the streamed message is dropped. */
  dropsRest = false

  forward(frame: Frame): void {
    this.output.add(frame.buffer, frame.start, frame.end)
  }

  /**
   * Forwards it with what comes next. A Parse takes locks, which a person's answer to the Bind behind it must not wait with;
   * and no server answers it before something follows.
   */
  withhold(frame: Frame): void {
    this.output.withhold(frame.buffer, frame.start, frame.end)
  }

  /** Forwards a message that the server answers at the next Sync. */
  open(frame: Frame): void {
    this.forward(frame)
    this.isOpen = true
  }

  drop(frame: Frame): void {
    this.dropsRest = frame.rest > 0
  }

  /** Withholds what follows until this command is answered; the server must then answer without waiting for Sync. */
  holdAndFlush(run: Running): void {
    this.holdFor = run
    this.output.add(message(frontend.flush))
  }

  close(): void {
    this.isOpen = false
    this.onlyReads = true
  }
}
