/**
 * Client -> server: messages into units for the gate, and into what is forwarded.
 *
 *   Q                      one unit: all its statements, or none
 *   P / B                  a unit that opens a command (planning can run functions), unless this batch has opened it
 *   E                      goes on with the command its portal opened; decided again, recorded once
 *   D C H S d c f          forwarded; S ends the batch: what was opened and not executed was only prepared
 *   refused, simple        answered here, or (inside a transaction) a message that must fail goes in its place
 *   refused, extended      the same, and what follows is dropped up to Sync, as a server in error would
 */
import type { Analysis, Clock, Command, Refusal, Road, Unit } from '@portcullis/kernel'
import { refusalMessage, sqlstateOf } from './deny.ts'
import { type Frame, Frames } from './frames.ts'
import { createRunning, type Ledger, type Prepared, type Running } from './ledger.ts'
import { Output } from './output.ts'
import { callFunctionAnalysis, poisonParse, poisonQuery, unknownStatementAnalysis } from './own-messages.ts'
import type { ReadText } from './read-text.ts'
import {
  duringCopy,
  endOfString,
  mayBeCut,
  mayCopyIn,
  nameOf,
  ProtocolViolation,
  requestRules,
  tooLarge,
  whenRead,
} from './request-rules.ts'
import { originsOf, SqlNames } from './sql-names.ts'
import { Statements } from './statements.ts'
import { cstring, frontend, headerBytes, message, readyForQuery, type TransactionStatus } from './wire.ts'

export interface RequestsDeps {
  readonly ledger: Ledger
  readonly readText: ReadText
  readonly clock: Clock
  readonly statementBytesMax: number
  /** What the gate must refuse whatever the rules say. */
  readonly objection: (analyses: readonly Analysis[]) => Unit['objection']
  /** The client has got whole messages only: something of the gate's own may be put between. */
  readonly clientAtBoundary: () => boolean
  /** The transaction status of the last ReadyForQuery. */
  readonly status: () => TransactionStatus
  /** Answers the client from here; only called where the server owes nothing. */
  readonly answer: (messages: readonly Buffer[]) => void
  /** Queued output stands recorded: write it to the server. */
  readonly forward: (output: Output) => void
  /** Each execution has a time of its own: the server must not hold its answer back. */
  readonly isTimed: boolean
  /** The client says goodbye; the server is told so in its turn. */
  readonly leaving: () => void
  readonly notice: (reason: string, waitMs: number) => void
}

/** The password's is for the start-up alone. */
const known = new Set<number>(Object.values(frontend).filter((type) => type !== frontend.password))
const pipelineMessagesMax = 100_000
const tooMany = { objection: 'too_many_statements' } as const

export class Requests implements Road {
  readonly statements = new Statements()
  readonly #names: SqlNames
  readonly #deps: RequestsDeps
  readonly #frames: Frames
  readonly #output = new Output()
  /** For the client, from here: sent once what they answer stands recorded. */
  #answers: Buffer[] = []
  #receivedAt = 0
  /** The frame behind the unit that the gate is deciding. */
  #pending:
    | { frame: Frame; allowed(runs: readonly Running[]): void; simple: boolean; adopted: Running | undefined }
    | undefined
  /** Dropping up to Sync: the server's own error, a refusal answered here, or a failing message sent in its place. */
  #skipping: 'no' | 'local' | 'server' = 'no'
  /** What only undoes is on its way: one at a time gets past a verdict. */
  #undoing = false
  /** The rest of the streamed message is dropped. */
  #dropRest = false
  /** Messages of the extended protocol were forwarded since the last Sync. */
  #batchOpen = false
  /** Every command of this batch so far only reads. */
  #batchReads = true
  /** Nothing but a copy's data passes until this command is answered: it may be cut, and what follows must not run then. */
  #holdFor: Running | undefined
  /** The copy was cut: its data is dropped until the client ends it. */
  #copyDropping = false
  /** What was forwarded and may copy data in. */
  #mayCopy: Running | undefined
  /** A failing message of ours that waits for the end of a streamed one: in its middle it would be taken for its bytes. */
  #late: Buffer | undefined
  /** CopyInResponse was seen; the running command takes data. */
  copyIn: Running | undefined
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
    this.#names = new SqlNames(this.statements, deps.readText.refine)
    this.#frames = new Frames(requestRules(deps.statementBytesMax))
  }

  feed(chunk: Buffer): void {
    this.#receivedAt = this.#deps.clock.nowUs()
    this.#frames.feed(chunk)
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
    return (!this.#frames.atBoundary && !this.#dropRest) || !this.#output.isEmpty
  }

  /** Nothing is under way. */
  get quiet(): boolean {
    return !this.#batchOpen && this.#skipping === 'no' && this.#deps.ledger.idle
  }

  /** The server skips to a Sync that has not come yet. */
  get skips(): boolean {
    return this.#skipping === 'server'
  }

  /** The server is in error and skips to Sync; so do we. */
  skipToSync(): void {
    if (this.#skipping === 'no') this.#skipping = 'server'
  }

  /** A statement was cut but the server had finished it: make the server fail all the same. */
  poison(simple: boolean, refusal: Refusal, shown: boolean): void {
    const bytes = simple ? poisonQuery(refusal.decision.id) : poisonParse(refusal.decision.id)
    this.#deps.ledger.push({ kind: 'poison', simple, refusal: shown ? refusal : undefined })
    if (!simple) this.#skipping = 'server'
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
    this.#sendOwn(this.#failCopy(run, refusal))
  }

  #failCopy(run: Running, refusal: Refusal): Buffer {
    run.by = refusal
    this.#copyDropping = true
    this.copyIn = undefined
    return message(frontend.copyFail, cstring(`PORTCULLIS REFUSED ${refusal.decision.id}`))
  }

  /** CopyInResponse. False where nothing that was forwarded takes data: the gate has then misread what runs. */
  copyBegan(run: Running | undefined): boolean {
    if (!this.#mayCopy || this.#mayCopy.done || !run) return false
    this.copyIn = run
    this.#copyDropping = false
    return true
  }

  next(): Unit | Promise<Unit> | undefined {
    for (;;) {
      if (this.over || this.#left) return undefined
      if (this.#late && this.#frames.atBoundary) {
        this.#output.add(this.#late)
        this.#late = undefined
      }
      if ((this.#frozen && this.#frames.atBoundary) || this.#held()) return undefined
      const frame = this.#frames.next()
      if (!frame) return undefined
      if (frame.type === 0) {
        this.#continued(frame.buffer, frame.start, frame.end)
        continue
      }
      const unit = this.#take(frame)
      if (unit) return unit
    }
  }

  allowed(unit: Unit, commands: readonly Command[]): void {
    const pending = this.#pending
    if (!pending) return
    this.#pending = undefined
    const { frame, simple } = pending
    const runs = unit.adopts ? [] : commands.map((command) => createRunning(command, simple))
    if (this.#skipping !== 'no' || this.over) {
      // The server fell into error while this waited: it would ignore it, so it is owed no answer.
      this.#dropRest = frame.rest > 0
      for (const run of runs) this.#deps.ledger.finish(run, 'skipped')
      return
    }
    for (const run of runs) {
      run.bytesIn += frame.end - frame.start + frame.rest
      if (run.command.analysis.effects.some((effect) => effect !== 'read')) this.#batchReads = false
    }
    if (unit.undoes) this.#undoing = true
    this.#output.add(frame.buffer, frame.start, frame.end)
    pending.allowed(runs)
  }

  refused(_unit: Unit, refusal: Refusal): string {
    const sqlstate = sqlstateOf(refusal.reason)
    const pending = this.#pending
    if (!pending) return sqlstate
    this.#pending = undefined
    const { frame, simple, adopted } = pending
    // The gate has said what came of it.
    if (adopted) adopted.done = true
    this.#dropRest = frame.rest > 0
    if (this.#skipping !== 'no' || this.over) return sqlstate
    const status = this.#deps.status()
    const alone = this.#deps.ledger.idle && !this.#batchOpen && this.#deps.clientAtBoundary()
    if (alone && (simple ? status !== 'T' : status === 'I')) {
      const error = refusalMessage(refusal, 'ERROR')
      this.#answers.push(error, ...(simple ? [readyForQuery(status)] : []))
      if (!simple) this.#skipping = 'local'
      return sqlstate
    }
    this.#deps.ledger.push({ kind: 'poison', simple, refusal })
    this.#output.add(simple ? poisonQuery(refusal.decision.id) : poisonParse(refusal.decision.id))
    if (!simple) this.#skipping = 'server'
    return sqlstate
  }

  send(): void {
    if (this.over) return
    const answers = this.#answers
    this.#answers = []
    if (answers.length > 0) this.#deps.answer(answers)
    this.#deps.forward(this.#output)
  }

  waiting(_unit: Unit, reason: string, waitMs: number): void {
    this.#deps.notice(reason, waitMs)
  }

  get #frozen(): boolean {
    return this.cutting || this.cancelling
  }

  #held(): boolean {
    const run = this.#holdFor
    if (!run) return false
    if (run.done) {
      this.#holdFor = undefined
      return false
    }
    if (this.copyIn) return false
    const type = this.#frames.peek()
    // A batch that only reads has nothing to commit: its Sync may pass.
    const ends = type === frontend.terminate || (type === frontend.sync && this.#batchReads)
    // Data that comes before the server asks for it waits, so that it is known whose it is and counts against its caps.
    return type !== undefined && type !== 0 && !ends
  }

  #continued(buffer: Buffer, start: number, end: number): void {
    if (this.#dropRest) return
    this.#output.add(buffer, start, end)
  }

  #take(frame: Frame): Unit | Promise<Unit> | undefined {
    const { type } = frame
    this.#dropRest = false
    if (!known.has(type)) throw new ProtocolViolation(`message type ${type} is out of place`)
    if (this.#skipping !== 'no' && type !== frontend.sync && type !== frontend.terminate) {
      this.#dropRest = frame.rest > 0
      return undefined
    }
    if (this.#deps.ledger.size > pipelineMessagesMax) {
      throw new ProtocolViolation(`over ${pipelineMessagesMax} messages are waiting for an answer`)
    }
    if (this.copyIn && !duringCopy.has(type))
      throw new ProtocolViolation(`message type ${type} is out of place while data is copied in`)
    switch (type) {
      case frontend.query:
        return this.#query(frame)
      case frontend.parse:
        return this.#parse(frame)
      case frontend.bind:
        return this.#bind(frame)
      case frontend.execute:
        return this.#execute(frame)
      case frontend.describe:
        return this.#passOn(frame, () => this.#deps.ledger.push({ kind: 'describe' }))
      case frontend.close:
        return this.#passOn(frame, () => this.#close(frame))
      case frontend.flush:
        // The server would fail at it, which no entry of the ledger would account for.
        if (frame.end - frame.start > headerBytes) throw new ProtocolViolation('a Flush with a payload')
        return this.copyIn ? undefined : this.#passOn(frame)
      case frontend.sync:
        return this.#sync(frame)
      case frontend.functionCall:
        return this.#functionCall(frame)
      case frontend.copyData:
        return this.#copyData(frame)
      case frontend.copyDone:
      case frontend.copyFail:
        return this.#copyEnd(frame)
      case frontend.terminate:
        this.#left = true
        this.#deps.leaving()
        return this.#passOn(frame)
    }
  }

  #unit(
    frame: Frame,
    simple: boolean,
    parts: Omit<Unit, 'receivedAt'>,
    allowed: (runs: readonly Running[]) => void,
    adopted?: Running,
  ): Unit {
    this.#pending = { frame, simple, allowed, adopted }
    const objection = parts.objection ?? this.#deps.objection(parts.analyses)
    const origin = originsOf(parts.analyses)
    const charges = origin && this.#names.charges(parts.analyses)
    return {
      receivedAt: this.#receivedAt,
      ...parts,
      ...(objection && { objection }),
      ...(origin && { attributes: { origin } }),
      ...(charges && { charges }),
    }
  }

  /**
   * Whether this only undoes, and may do so for the blocked. Not under a name: that can come to stand for another
   * statement out of the gate's sight (by a function that runs DEALLOCATE and PREPARE).
   */
  #undoes(analyses: readonly Analysis[], ...names: readonly string[]): boolean {
    if (!analyses[0]?.undoes || !analyses.every((analysis) => analysis.undoes)) return false
    if (names.some((name) => name !== '')) return false
    const { ledger } = this.#deps
    if (ledger.idle) this.#undoing = false
    return !this.#undoing && (this.#deps.status() !== 'I' || this.#batchOpen || !ledger.idle)
  }

  #query(frame: Frame): Unit | Promise<Unit> {
    if (this.#isTooLarge(frame)) return this.#tooLarge(frame, true)
    endOfString(frame.buffer, frame.start + headerBytes, frame.end)
    const { readText } = this.#deps
    return whenRead(readText.analyze(frame.buffer, frame.start + headerBytes, frame.end - 1), (read) => {
      const analyses = this.#names.meaning(read)
      return this.#unit(frame, true, { analyses, undoes: this.#undoes(analyses) }, (runs) => {
        readText.unsure()
        this.#deps.ledger.push({ kind: 'query', runs, at: 0, failed: false })
        if (runs.some(mayBeCut)) this.#holdFor = runs.at(-1)
        if (runs.some(mayCopyIn)) this.#holdForCopy(runs.at(-1))
        for (const { command } of runs) this.noteNames(command, false)
      })
    })
  }

  #parse(frame: Frame): Unit | Promise<Unit> {
    if (this.#isTooLarge(frame)) return this.#tooLarge(frame, false)
    const { buffer, end } = frame
    const nameEnd = endOfString(buffer, frame.start + headerBytes, end)
    const textEnd = endOfString(buffer, nameEnd + 1, end)
    const name = nameOf(buffer, frame.start + headerBytes, nameEnd)
    return whenRead(this.#deps.readText.analyze(buffer, nameEnd + 1, textEnd), (read) => {
      const prepared: Prepared = { name, analyses: read }
      const analyses = this.#names.meaning(read)
      const undoes = this.#undoes(analyses, name)
      const parts = this.statements.hasRoomFor(prepared) ? { analyses, undoes } : { analyses, ...tooMany }
      return this.#unit(frame, false, parts, (runs) => {
        this.#batchOpen = true
        this.#deps.readText.unsure()
        this.statements.prepare(prepared)
        // No server takes more than one; they must have an outcome all the same.
        for (const run of runs) this.statements.opened(run, run === runs[0] ? prepared : undefined)
        this.#deps.ledger.push({ kind: 'parse', prepared, runs })
      })
    })
  }

  #bind(frame: Frame): Unit | Promise<Unit> {
    const { buffer, end } = frame
    const portalEnd = endOfString(buffer, frame.start + headerBytes, end)
    const nameEnd = endOfString(buffer, portalEnd + 1, end)
    const name = nameOf(buffer, portalEnd + 1, nameEnd)
    const settled = this.statements.settled(name)
    if (settled) return settled.then(() => this.#bind(frame))
    const portal = nameOf(buffer, frame.start + headerBytes, portalEnd)
    const prepared = this.statements.prepared(name)
    const push = (runs: readonly Running[], run: Running | undefined) => {
      this.#batchOpen = true
      this.#deps.readText.unsure()
      this.statements.bind(portal, { prepared, run })
      this.#names.bound(portal)
      this.#deps.ledger.push({ kind: 'bind', portal, prepared, runs })
    }
    const meant = prepared && this.#names.meaning(prepared.analyses)
    const opened = prepared && this.statements.takeOpened(prepared, meant?.[0])
    if (opened) {
      const { command } = opened
      const bind = () => {
        opened.bytesIn += end - frame.start + frame.rest
        push([opened], opened)
      }
      const undoes = command.analysis.undoes && name === '' && portal === ''
      return this.#unit(frame, false, { analyses: [command.analysis], undoes, adopts: command }, bind, opened)
    }
    const analyses = meant ?? [unknownStatementAnalysis(name)]
    const undoes = this.#undoes(analyses, name, portal)
    const parts = this.statements.hasRoomForPortal(portal) ? { analyses, undoes } : { analyses, ...tooMany }
    return this.#unit(frame, false, parts, (runs) => {
      for (const run of runs) this.statements.opened(run)
      push(runs, runs[0])
    })
  }

  #execute(frame: Frame): Unit {
    const start = frame.start + headerBytes
    const name = nameOf(frame.buffer, start, endOfString(frame.buffer, start, frame.end))
    const portal = this.statements.portal(name)
    // By SQL a cursor can take over the name of a portal.
    const names = [name, portal?.prepared?.name ?? '']
    const meant = portal?.prepared && this.#names.meaning(portal.prepared.analyses)
    // What a name stands for counts when it is executed, not when it was bound.
    const isSame = !meant || portal.run?.command.analysis === meant[0]
    const opened = isSame ? this.statements.openedFor(portal) : undefined
    const execute = (run: Running) => {
      this.#batchOpen = true
      run.executed = true
      this.#deps.ledger.push({ kind: 'execute', runs: [run] })
      this.noteNames(run.command, false)
      this.#deps.readText.unsure()
      if (mayCopyIn(run)) this.#holdForCopy(run)
      if (mayBeCut(run) || mayCopyIn(run)) this.#holdAndFlush(run)
      else if (this.#deps.isTimed) this.#output.add(message(frontend.flush))
    }
    if (opened) {
      const { command } = opened
      const undoes = command.analysis.undoes && names.every((one) => one === '')
      const parts = { analyses: [command.analysis], undoes, adopts: command }
      return this.#unit(frame, false, parts, () => execute(opened), opened)
    }
    const analyses = (meant ?? [unknownStatementAnalysis(name)]).slice(0, 1)
    // A portal that is read in pieces is one result.
    const charges = [portal?.run?.command]
    const parts = { analyses, undoes: this.#undoes(analyses, ...names), ...(isSame && { charges }) }
    return this.#unit(frame, false, parts, ([run]) => run && execute(run))
  }

  /** While it may ask for data nothing but data passes: whether the server reads a Sync or ignores it cannot be told. */
  #holdForCopy(last: Running | undefined): void {
    if (!last) return
    this.#holdFor = last
    this.#mayCopy = last
  }

  /** Withholds what follows until this command is answered; the server must then answer without waiting for Sync. */
  #holdAndFlush(run: Running): void {
    this.#holdFor = run
    this.#output.add(message(frontend.flush))
  }

  #functionCall(frame: Frame): Unit {
    if (frame.end - frame.start < headerBytes + 4)
      throw new ProtocolViolation('a function call without its function')
    const parts = this.#isTooLarge(frame)
      ? tooLarge(frame)
      : { analyses: [callFunctionAnalysis(frame.buffer.readUInt32BE(frame.start + headerBytes))] }
    return this.#unit(frame, true, parts, (runs) => {
      this.#deps.readText.unsure()
      this.#deps.ledger.push({ kind: 'function', runs })
    })
  }

  #isTooLarge(frame: Frame): boolean {
    return frame.end - frame.start + frame.rest > this.#deps.statementBytesMax
  }

  #tooLarge(frame: Frame, simple: boolean): Unit {
    return this.#unit(frame, simple, tooLarge(frame), () => {
      throw new ProtocolViolation('a statement that is too long was let through')
    })
  }

  #passOn(frame: Frame, queued?: () => void): undefined {
    this.#output.add(frame.buffer, frame.start, frame.end)
    if (frame.type !== frontend.flush && frame.type !== frontend.sync) this.#batchOpen = true
    queued?.()
    return undefined
  }

  #close(frame: Frame): void {
    const start = frame.start + headerBytes
    const name = nameOf(frame.buffer, start + 1, endOfString(frame.buffer, start + 1, frame.end))
    const isStatement = frame.buffer[start] === 0x53
    if (isStatement) this.statements.forget(name)
    this.#deps.ledger.push({ kind: 'close', statement: isStatement ? name : undefined })
  }

  #sync(frame: Frame): undefined {
    if (this.#skipping === 'local') {
      this.#skipping = 'no'
      this.#answers.push(readyForQuery('I'))
      return undefined
    }
    this.#skipping = 'no'
    // While data is copied in the server ignores it; where the copy has just failed it would not.
    if (this.copyIn) return undefined
    this.#output.add(frame.buffer, frame.start, frame.end)
    this.#batchOpen = false
    this.#batchReads = true
    this.#deps.ledger.push({ kind: 'sync', opened: this.statements.closeBatch() })
    return undefined
  }

  #copyData(frame: Frame): undefined {
    const run = this.copyIn
    // Where nothing is copied in the server would ignore it.
    if (this.#copyDropping || !run || run.done) {
      this.#dropRest = frame.rest > 0
      return undefined
    }
    const bytes = frame.end - frame.start + frame.rest
    const refusal = run.command.meter.bytesLeft < bytes ? run.command.meter.refill(0, bytes) : undefined
    if (refusal) return this.#cutCopy(frame, run, refusal)
    run.command.meter.bytesLeft -= bytes
    run.rowsIn++
    run.bytesIn += bytes
    this.#output.add(frame.buffer, frame.start, frame.end)
    return undefined
  }

  #cutCopy(frame: Frame, run: Running, refusal: Refusal): undefined {
    this.#dropRest = frame.rest > 0
    this.#output.add(this.#failCopy(run, refusal))
    return undefined
  }

  #copyEnd(frame: Frame): undefined {
    if (this.#copyDropping) {
      this.#copyDropping = false
      return undefined
    }
    if (!this.copyIn) return undefined
    this.copyIn = undefined
    this.#output.add(frame.buffer, frame.start, frame.end)
    // A held command's answer must come although its Sync is withheld.
    if (this.#holdFor && this.#batchOpen) this.#output.add(message(frontend.flush))
    return undefined
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
}
