/**
 * Client -> server: messages into units for the gate, and into what is forwarded.
 *
 *   Q F                    one unit: all its statements, or none (requests-simple.ts)
 *   P / B                  a unit that opens a command (planning can run functions), unless this batch has opened it
 *   E                      goes on with the command its portal opened (requests-extended.ts)
 *   D                      decided as what it describes, but no command of its own
 *   C H S                  forwarded, even for the blocked, for none tells anything; S ends the batch: what was opened and
 *                          not executed was only prepared
 *   d c f                  forwarded while data is copied in (copy-in.ts)
 *   refused, simple        answered here, or (inside a transaction) a message that must fail goes in its place
 *   refused, extended      the same, and what follows is dropped up to Sync, as a server in error would
 */
import type { Command, Hold, Refusal, Road, Unit } from '@portcullis/kernel'
import { Batch } from './batch.ts'
import { CopyIn } from './copy-in.ts'
import { refusalMessage, sqlstateOf } from './deny.ts'
import { type Frame, Frames } from './frames.ts'
import { createRunning, type Running } from './ledger.ts'
import { Output } from './output.ts'
import { poisonParse, poisonQuery } from './own-messages.ts'
import { duringCopy, ProtocolViolation, requestRules } from './request-rules.ts'
import { Units, type UnitsDeps } from './request-units.ts'
import { ExtendedRequests, type ExtendedRequestsDeps } from './requests-extended.ts'
import { SimpleRequests } from './requests-simple.ts'
import type { Statements } from './statements.ts'
import { frontend, headerBytes, readyForQuery } from './wire.ts'

export interface RequestsDeps extends UnitsDeps, ExtendedRequestsDeps {
  /** The client has got whole messages only: something of the gate's own may be put between. */
  readonly clientAtBoundary: () => boolean
  /** Answers the client from here; only called where the server owes nothing. */
  readonly answer: (messages: readonly Buffer[]) => void
  /** Queued output stands recorded: write it to the server. */
  readonly forward: (output: Output) => void
  /** The client says goodbye; the server is told so in its turn. */
  readonly leaving: () => void
  readonly notice: (reason: string, waitMs: number) => void
  readonly holding: (hold: Hold | undefined) => void
}

/** The password's is for the start-up alone. */
const known = new Set<number>(Object.values(frontend).filter((type) => type !== frontend.password))
const pipelineMessagesMax = 100_000

export class Requests implements Road {
  readonly #deps: RequestsDeps
  readonly #frames: Frames
  readonly #batch = new Batch()
  readonly #copy = new CopyIn(this.#batch)
  readonly #units: Units
  readonly #simple: SimpleRequests
  readonly #extended: ExtendedRequests
  /** For the client, from here: sent once what they answer stands recorded. */
  #answers: Buffer[] = []
  /** A failing message of ours that waits for the end of a streamed one: in its middle it would be taken for its bytes. */
  #late: Buffer | undefined
  /** A cut is being settled: nothing new may start before. */
  cutting = false
  /** The client's CancelRequest is on its way to the server: it must not hit what would start now. */
  cancelling = false
  /** The client has said goodbye: the server reads nothing after that. */
  #left = false
  /** The session has ended: what still waited for its reading, its turn or its record goes nowhere. */
  over = false

  constructor(deps: RequestsDeps) {
    this.#deps = deps
    this.#frames = new Frames(requestRules(deps.statementBytesMax))
    this.#units = new Units(deps, this.#batch)
    this.#simple = new SimpleRequests(deps, this.#batch, this.#copy, this.#units)
    this.#extended = new ExtendedRequests(deps, this.#batch, this.#copy, this.#units)
  }

  feed(chunk: Buffer): void {
    this.#units.received()
    this.#frames.feed(chunk)
  }

  get statements(): Statements {
    return this.#units.statements
  }

  /** The command that takes data which the client copies in. */
  get copyIn(): Running | undefined {
    return this.#copy.running
  }

  /** An error of the server's ended it. */
  endCopy(): void {
    this.#copy.running = undefined
  }

  /** Input is left that waits for the server: call `pass` again when something has changed. */
  get blocked(): boolean {
    return this.#frames.peek() !== undefined && ((this.#frozen && this.#frames.atBoundary) || this.#held())
  }

  /** Bytes of the chunk were not taken: it is still needed. The beginning of a message that was, is not left. */
  get inputLeft(): boolean {
    return this.#frames.unread
  }

  /** The server may have got only part of a message: its rest is still to come, or will not be sent any more. */
  get midMessage(): boolean {
    return (!this.#frames.atBoundary && !this.#batch.dropsRest) || !this.#batch.output.isEmpty
  }

  /** Nothing is under way. */
  get quiet(): boolean {
    return !this.#batch.isOpen && this.#batch.skipping === 'no' && this.#deps.ledger.idle
  }

  /** The server skips to a Sync that has not come yet. */
  get skips(): boolean {
    return this.#batch.skipping === 'server'
  }

  /** The server is in error and skips to Sync; so do we. */
  skipToSync(): void {
    if (this.#batch.skipping === 'no') this.#batch.skipping = 'server'
  }

  /** A statement was cut but the server had finished it: make the server fail all the same. */
  poison(simple: boolean, refusal: Refusal, shown: boolean): void {
    const bytes = simple ? poisonQuery(refusal.decision.id) : poisonParse(refusal.decision.id)
    this.#deps.ledger.push({ kind: 'poison', simple, refusal: shown ? refusal : undefined })
    if (!simple) this.#batch.skipping = 'server'
    this.#sendOwn(bytes)
  }

  #sendOwn(bytes: Buffer): void {
    if (!this.#frames.atBoundary) {
      this.#late = bytes
      return
    }
    const output = new Output()
    output.add(bytes)
    this.#deps.forward(output)
  }

  /** Data is copied in, and the server listens to nothing else: it is told that the copy has failed. */
  cutCopy(run: Running, refusal: Refusal): void {
    this.#sendOwn(this.#copy.fail(run, refusal))
  }

  /** CopyInResponse. False where nothing that was forwarded takes data: the gate has then misread what runs. */
  copyBegan(run: Running | undefined): boolean {
    return this.#copy.began(run)
  }

  next(): Unit | Promise<Unit> | undefined {
    for (;;) {
      if (this.over || this.#left) return undefined
      if (this.#late && this.#frames.atBoundary) {
        this.#batch.output.add(this.#late)
        this.#late = undefined
      }
      if ((this.#frozen && this.#frames.atBoundary) || this.#held()) return undefined
      const frame = this.#frames.next()
      if (!frame) return undefined
      if (frame.type === 0) {
        if (!this.#batch.dropsRest) this.#batch.output.add(frame.buffer, frame.start, frame.end)
        continue
      }
      const unit = this.#take(frame)
      if (unit) return unit
    }
  }

  allowed(unit: Unit, commands: readonly Command[]): void {
    const pending = this.#units.takePending()
    if (!pending) return
    const { frame, simple } = pending
    const runs = unit.adopts ? [] : commands.map((command) => createRunning(command, simple))
    if (this.#batch.skipping !== 'no' || this.over) {
      // The server fell into error while this waited: it would ignore it, so it is owed no answer.
      this.#batch.drop(frame)
      for (const run of runs) this.#deps.ledger.finish(run, 'skipped')
      return
    }
    for (const run of runs) {
      run.bytesIn += frame.end - frame.start + frame.rest
      if (run.command.analysis.effects.some((effect) => effect !== 'read')) this.#batch.onlyReads = false
    }
    if (unit.undoes) this.#units.undoing()
    pending.before?.(runs)
    if (pending.withheld) this.#batch.withhold(frame)
    else this.#batch.forward(frame)
    pending.allowed(runs)
  }

  refused(_unit: Unit, refusal: Refusal): string {
    const sqlstate = sqlstateOf(refusal.reason)
    const pending = this.#units.takePending()
    if (!pending) return sqlstate
    const { frame, simple, adopted } = pending
    // The gate has said what came of it.
    if (adopted) adopted.done = true
    this.#batch.drop(frame)
    if (this.#batch.skipping !== 'no' || this.over) return sqlstate
    const status = this.#deps.status()
    const alone = this.#deps.ledger.idle && !this.#batch.isOpen && this.#deps.clientAtBoundary()
    if (alone && (simple ? status !== 'T' : status === 'I')) {
      const error = refusalMessage(refusal, 'ERROR')
      this.#answers.push(error, ...(simple ? [readyForQuery(status)] : []))
      if (!simple) this.#batch.skipping = 'local'
      return sqlstate
    }
    this.#deps.ledger.push({ kind: 'poison', simple, refusal })
    this.#batch.output.add(simple ? poisonQuery(refusal.decision.id) : poisonParse(refusal.decision.id))
    if (!simple) this.#batch.skipping = 'server'
    return sqlstate
  }

  send(): void {
    if (this.over) return
    const answers = this.#answers
    this.#answers = []
    if (answers.length > 0) this.#deps.answer(answers)
    this.#deps.forward(this.#batch.output)
  }

  waiting(_unit: Unit, reason: string, waitMs: number): void {
    this.#deps.notice(reason, waitMs)
  }

  holding(_unit: Unit, hold: Hold | undefined): void {
    this.#deps.holding(hold)
  }

  /** The server works on something, or owes an answer. */
  get serverBusy(): boolean {
    return this.#deps.ledger.size > this.#batch.output.withheld
  }

  get #frozen(): boolean {
    return this.cutting || this.cancelling
  }

  #held(): boolean {
    const run = this.#batch.holdFor
    if (!run) return false
    if (run.done) {
      this.#batch.holdFor = undefined
      return false
    }
    if (this.#copy.running) return false
    const type = this.#frames.peek()
    // A batch that only reads has nothing to commit: its Sync may pass.
    const ends = type === frontend.terminate || (type === frontend.sync && this.#batch.onlyReads)
    // Data that comes before the server asks for it waits, so that it is known whose it is and counts against its caps.
    return type !== undefined && type !== 0 && !ends
  }

  #take(frame: Frame): Unit | Promise<Unit> | undefined {
    const { type } = frame
    this.#batch.dropsRest = false
    if (!known.has(type)) throw new ProtocolViolation(`message type ${type} is out of place`)
    if (this.#batch.skipping !== 'no' && type !== frontend.sync && type !== frontend.terminate) {
      this.#batch.drop(frame)
      return undefined
    }
    if (this.#deps.ledger.size > pipelineMessagesMax) {
      throw new ProtocolViolation(`over ${pipelineMessagesMax} messages are waiting for an answer`)
    }
    if (this.#copy.running && !duringCopy.has(type))
      throw new ProtocolViolation(`message type ${type} is out of place while data is copied in`)
    switch (type) {
      case frontend.query:
        return this.#simple.query(frame)
      case frontend.functionCall:
        return this.#simple.functionCall(frame)
      case frontend.parse:
        return this.#extended.parse(frame)
      case frontend.bind:
        return this.#extended.bind(frame)
      case frontend.execute:
        return this.#extended.execute(frame)
      case frontend.describe:
        return this.#extended.describe(frame)
      default:
        this.#undecided(frame)
    }
  }

  /** What is no command: passed on, or taken off here. */
  #undecided(frame: Frame): void {
    switch (frame.type) {
      case frontend.close:
        return this.#extended.close(frame)
      case frontend.flush:
        return this.#flush(frame)
      case frontend.sync:
        return this.#sync(frame)
      case frontend.copyData:
        return this.#copy.data(frame)
      case frontend.copyDone:
      case frontend.copyFail:
        return this.#copy.end(frame)
      case frontend.terminate:
        this.#left = true
        this.#deps.leaving()
        return this.#batch.open(frame)
    }
  }

  #flush(frame: Frame): void {
    // The server would fail at it, which no entry of the ledger would account for.
    if (frame.end - frame.start > headerBytes) throw new ProtocolViolation('a Flush with a payload')
    if (!this.#copy.running) this.#batch.forward(frame)
  }

  #sync(frame: Frame): void {
    if (this.#batch.skipping === 'local') {
      this.#batch.skipping = 'no'
      this.#answers.push(readyForQuery('I'))
      return
    }
    this.#batch.skipping = 'no'
    // While data is copied in the server ignores it; where the copy has just failed it would not.
    if (!this.#copy.running) this.#extended.sync(frame)
  }

  /** When it is forwarded, and when the server has done it. */
  noteNames(command: Command, isDone: boolean): void {
    this.#units.noteNames(command, isDone)
  }

  /** After an error in the extended protocol. */
  rebuildNames(): void {
    this.#units.rebuildNames()
  }

  /** ReadyForQuery says that no transaction is open. */
  endTransaction(): void {
    this.#units.endTransaction()
  }
}
