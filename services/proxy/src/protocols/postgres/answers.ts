/**
 * Server -> client: original chunks are forwarded; only headers are read, in place. What is read whole is small: tags,
 * errors, settings, ReadyForQuery.
 *
 *   D d                    counted, and metered where a cap stands; nothing is made for a row
 *   N A V                  the same: they can carry a table out as well as rows can
 *   C I s V                a command is done
 *   E                      its SQLSTATE; in the extended protocol the server now skips to Sync
 *   E for a failing message of ours: the refusal goes in its place
 *   S N E                  the real user's name and the target's host are replaced
 *   Z                      the transaction's status; a batch is over
 *
 * A cut falls between rows (cuts.ts): what comes after it is swallowed here.
 */
import { parameterTypesOf } from './bind-values.ts'
import { type Meter, type Refusal, SessionEnded } from '@portcullis/kernel'
import { AnswerMasks, type AnswerMasksDeps, type Bytes } from './answer-masks.ts'
import { answerRules, bytesOf, isDue, outOfTurn, ServerViolation, statusOf } from './answer-rules.ts'
import { Cuts, type CutsDeps } from './cuts.ts'
import { refusalMessage } from './deny.ts'
import { type Frame, Frames } from './frames.ts'
import type { Expected, Running } from './ledger.ts'
import { withoutFinds, withoutQuotes } from './quotes.ts'
import type { Scrub } from './scrub.ts'
import { backend, headerBytes, type TransactionStatus } from './wire.ts'

export interface AnswersDeps extends CutsDeps {
  readonly masking: Omit<AnswerMasksDeps, 'ledger'>
  readonly scrub: Scrub
  /** For what the server sends of its own accord. */
  readonly unasked: Meter
  /** The client asked to cancel what runs. */
  readonly cancelAsked: () => boolean
  readonly setting: (name: string, value: string) => void
  /** A batch is over. */
  readonly ready: () => void
}

/** Of a row that a client has the beginning of and does not read. */
const heldBytesMax = 1_048_576

export class Answers {
  status: TransactionStatus
  readonly #deps: AnswersDeps
  readonly #frames: Frames
  readonly #cuts: Cuts
  readonly #masks: AnswerMasks
  /** The rest of the streamed message is swallowed. */
  #dropRest = false
  /** The server has said why it ends the connection. */
  saidGoodbye = false

  constructor(deps: AnswersDeps, status: TransactionStatus) {
    this.#deps = deps
    const masks = new AnswerMasks({ ...deps.masking, ledger: deps.ledger })
    this.#masks = masks
    this.#frames = new Frames({
      ...answerRules,
      handling: (type, length) => masks.handling(type, length) ?? answerRules.handling(type, length),
    })
    this.#cuts = new Cuts(deps, (ready) => this.#finishBatch(ready))
    this.status = status
  }

  /** Something of the gate's own may be put between. */
  get atBoundary(): boolean {
    return this.#frames.atBoundary && !this.#cuts.current
  }

  /** The client has got only part of a message. */
  get midMessage(): boolean {
    return !this.#frames.atBoundary && !this.#dropRest
  }

  /** The client gets no more of what the server sends than the rest of a row, and not much: no need to wait for it. */
  get swallows(): boolean {
    return this.#cuts.current !== undefined && (this.#dropRest || this.#frames.restBytes <= heldBytesMax)
  }

  /**
   * Reads a chunk; what the client gets of it stands in the output afterwards. Where another service is asked for what is in
   * it, once that has resolved: the chunk must be kept until then, and no other fed.
   */
  feed(chunk: Buffer): undefined | Promise<void> {
    this.#frames.feed(chunk)
    return this.#goOn()
  }

  #goOn(): undefined | Promise<void> {
    for (let frame = this.#frames.next(); frame; frame = this.#frames.next()) {
      if (frame.type === 0) {
        if (!this.#dropRest) this.#deps.output.add(frame.buffer, frame.start, frame.end)
        continue
      }
      this.#dropRest = false
      this.#cuts.releaseHeld()
      if (frame.type === backend.dataRow || frame.type === backend.copyData) {
        const asked = this.#row(frame)
        if (asked) return asked.then(() => this.#goOn())
      } else this.#other(frame)
    }
    return undefined
  }

  /** Stops what the server is at work on, between rows. False where that is nothing or is being stopped already. */
  cut(refusal: Refusal): boolean {
    const { ledger, requests } = this.#deps
    const { head, underWay: run } = ledger
    if (!head || head.kind === 'poison' || run?.done || run?.by || this.#cuts.current) return false
    if (run && requests.copyIn === run) requests.cutCopy(run, refusal)
    else this.#cuts.start(run, refusal)
    return true
  }

  /** The client has not been told of this cut yet. */
  isCutting(refusal: Refusal): boolean {
    const { underWay: run } = this.#deps.ledger
    return this.#cuts.current?.refusal === refusal || (run?.by === refusal && !run.done)
  }

  #row(frame: Frame): undefined | Promise<void> {
    const run = this.#deps.ledger.running
    if (!run) throw outOfTurn(frame)
    if (!this.#cuts.current) {
      const refusal = this.#masks.objection(run, frame)
      if (refusal) this.#cuts.start(run, refusal)
    }
    if (!this.#mayPass(run, 1, bytesOf(frame))) {
      this.#dropRest = true
      return undefined
    }
    run.rowsOut++
    run.bytesOut += frame.rest
    const { type } = frame
    const asked = this.#addRows(run, frame)
    return asked ? asked.then(() => this.#moreRows(type, run)) : this.#moreRows(type, run)
  }

  #addRows(run: Running, { buffer, start, end }: Bytes): undefined | Promise<void> {
    const rows = { buffer, start, end }
    const asked = this.#masks.ask(run, rows)
    if (!asked) return this.#showRows(run, rows)
    return asked.then((refusal) => {
      if (refusal && !this.#cuts.current) this.#cuts.start(run, refusal)
      if (this.#cuts.current) this.#cuts.current.swallowed = true
      else this.#showRows(run, rows)
    })
  }

  #showRows(run: Running, rows: Bytes): undefined {
    const { buffer, start, end } = this.#masks.rows(run, rows)
    run.bytesOut += end - start
    run.command.meter.bytesLeft -= end - start - (rows.end - rows.start)
    this.#deps.output.add(buffer, start, end)
  }

  /** The rows behind it, as far as the meter allows without a look at the caps: at once, nothing is made for a row. */
  #moreRows(type: number, run: Running): undefined | Promise<void> {
    const { meter } = run.command
    const rows = this.#frames.nextRun(type, meter.rowsLeft, meter.bytesLeft)
    if (!rows) return undefined
    const { count, start, end } = rows
    meter.rowsLeft -= count
    meter.bytesLeft -= end - start
    run.rowsOut += count
    return this.#addRows(run, rows)
  }

  /** Counts against the command's caps; where these do not allow it the command is cut from here on. */
  #mayPass(run: Running, rows: number, bytes: number): boolean {
    const { meter } = run.command
    if (!this.#cuts.current && (meter.rowsLeft < rows || meter.bytesLeft < bytes)) {
      const refusal = meter.refill(rows, bytes)
      if (refusal) this.#cuts.start(run, refusal)
    }
    if (this.#cuts.current) {
      this.#cuts.current.swallowed = true
      return false
    }
    meter.rowsLeft -= rows
    meter.bytesLeft -= bytes
    return true
  }

  /**
   * Notices, notifications and a function's result carry data as rows do. What comes while nothing runs counts against
   * the session's window.
   */
  #aside(frame: Frame, bytes: Buffer | undefined): void {
    // A notification that comes while a command is cut is nobody's business but the listener's.
    const isOwn = !this.#cuts.current || frame.type !== backend.notification
    const run = isOwn ? this.#deps.ledger.charged : undefined
    const size = bytesOf(frame)
    if (run) {
      if (!this.#mayPass(run, 0, size)) {
        this.#dropRest = true
        return
      }
      run.bytesOut += size
    } else {
      const { unasked } = this.#deps
      const refusal = unasked.bytesLeft < size ? unasked.refill(0, size) : undefined
      if (refusal) throw new SessionEnded(refusal)
      unasked.bytesLeft -= size
    }
    if (bytes) this.#deps.output.add(bytes)
    else this.#deps.output.add(frame.buffer, frame.start, frame.end)
  }

  #other(frame: Frame): void {
    const { ledger } = this.#deps
    const { type, buffer, start, end } = frame
    const { head } = ledger
    // What is answered by a ReadyForQuery that is held back is over all the same.
    if (!isDue(type, this.#cuts.current?.heldReady ? undefined : head)) throw outOfTurn(frame)
    switch (type) {
      case backend.commandComplete:
        return this.#complete(frame, head, buffer.toString('utf8', start + headerBytes, end - 1))
      case backend.emptyQuery:
        return this.#complete(frame, head, '')
      case backend.portalSuspended:
        return this.#complete(frame, head, 'SUSPENDED')
      case backend.functionResult:
        return this.#complete(frame, head, 'FUNCTION')
      case backend.error:
        return this.#error(head, buffer.subarray(start, end))
      case backend.readyForQuery:
        return this.#ready(frame)
      case backend.parseComplete:
      case backend.bindComplete:
      case backend.closeComplete:
        this.#pass(frame)
        return this.#answered(head)
      case backend.rowDescription:
      case backend.noData:
        if (this.#masks.described(frame)) this.#pass(frame)
        if (head?.kind === 'describe') ledger.shift()
        return
      case backend.parameterStatus:
        return this.#parameterStatus(frame)
      case backend.notice:
        return this.#aside(frame, this.#fields(ledger.charged, buffer.subarray(start, end)))
      case backend.notification:
        return this.#aside(frame, undefined)
      case backend.copyInResponse:
        return this.#copyBegins(frame)
      case backend.copyBothResponse:
        throw new ServerViolation('the server began to replicate')
      case backend.parameterDescription:
        // What a client asks for it sends by; where it has not said so itself, that is how its values are read.
        if (head?.kind === 'describe' && head.prepared)
          head.prepared.types = parameterTypesOf(buffer, start + headerBytes, end)
        return this.#pass(frame)
      case backend.copyOutResponse:
        this.#masks.copyBegins(frame)
        return this.#pass(frame)
      case backend.copyDone:
        return this.#pass(frame)
      default:
        // The start-up's messages too: a client that is asked for its password once more might give it.
        throw outOfTurn(frame)
    }
  }

  #answered(head: Expected | undefined): void {
    if (!head) return
    this.#deps.requests.statements.confirm(head)
    this.#deps.ledger.shift()
  }

  #pass(frame: Frame): void {
    const run = this.#deps.ledger.running
    const cut = this.#cuts.current
    // What the server had done before it came to the command that is cut is confirmed: the client counts on it.
    if (cut && (cut.ended || (run && cut.run === run))) {
      cut.swallowed = true
      this.#dropRest = true
      return
    }
    if (run) run.bytesOut += bytesOf(frame)
    this.#deps.output.add(frame.buffer, frame.start, frame.end)
  }

  #copyBegins(frame: Frame): void {
    const { ledger, requests } = this.#deps
    this.#pass(frame)
    if (!requests.copyBegan(ledger.running))
      throw new ServerViolation('the server asked for data where nothing was to be copied in')
    // A server that waits for data hears of no cancel.
    const cut = this.#cuts.current
    if (cut?.run) requests.cutCopy(cut.run, cut.refusal)
  }

  #complete(frame: Frame, head: Expected | undefined, tag: string): void {
    const { ledger, requests } = this.#deps
    const run = ledger.running
    if (run) {
      run.tag = tag
      requests.noteNames(run.command, true)
    }
    this.#masks.done(run)
    if (head?.kind === 'query') this.#cuts.moveOn(head)
    if (frame.type === backend.functionResult) this.#aside(frame, undefined)
    else this.#pass(frame)
    if (this.#cuts.current?.run === run) this.#cuts.ended('completed')
    if (head?.kind === 'execute') {
      ledger.shift()
      if (run) ledger.finish(run, 'ok')
    } else if (head?.kind === 'query' && run) {
      // The last one ends with ReadyForQuery: a text that the gate read as one statement may complete more than once.
      if (head.at < head.runs.length - 1) {
        ledger.finish(run, 'ok')
        head.at++
      }
    }
  }

  #error(head: Expected | undefined, bytes: Buffer): void {
    const { ledger, requests, output, scrub } = this.#deps
    const { sqlstate, isFatal } = scrub.error(bytes)
    this.saidGoodbye ||= isFatal
    if (head?.kind === 'poison') {
      if (head.refusal) output.add(refusalMessage(head.refusal, 'ERROR'))
      if (head.simple) return
      if (this.#cuts.current?.told) this.#cuts.current = undefined
      ledger.shift()
      return this.#batchFailed()
    }
    const run = ledger.charged
    const cutting = this.#cuts.current
    if (run && !cutting) {
      // An error's text is the statement's to choose: over a cap the refusal takes its place.
      const { meter } = run.command
      if (meter.bytesLeft < bytes.length) run.by ??= meter.refill(0, bytes.length)
      meter.bytesLeft -= bytes.length
      run.bytesOut += bytes.length
    }
    // It failed before its Execute was reached.
    if (run && (head?.kind === 'parse' || head?.kind === 'bind')) run.executed = false
    if (run) this.#failed(run, sqlstate)
    // Its commit has failed, whatever the command itself has said.
    if (cutting && head?.kind === 'sync') cutting.ended = 'failed'
    if (cutting && cutting.run === run) this.#cuts.ended('failed')
    else if (!cutting) {
      const by = run?.by
      output.add(by ? refusalMessage(by, 'ERROR') : this.#fields(run, bytes))
    }
    requests.endCopy()
    if (head?.kind === 'query') {
      head.failed = true
      for (const later of head.runs.slice(head.at + 1)) ledger.finish(later, 'skipped')
    } else if (head && head.kind !== 'function' && head.kind !== 'sync') {
      this.#batchFailed()
    }
  }

  /** An error or a notice of this command, as the client may have it. */
  #fields(run: Running | undefined, bytes: Buffer): Buffer {
    const content = run?.command.mask?.content
    const told = content ? withoutFinds(bytes, content.detect) : bytes
    return this.#deps.scrub.fields(this.#masks.quotes(run) ? withoutQuotes(told) : told)
  }

  #failed(run: Running, sqlstate: string): void {
    const cancelled = sqlstate === '57014' && this.#deps.cancelAsked()
    this.#deps.ledger.finish(run, cancelled ? 'cancelled' : 'error', sqlstate)
  }

  /** The server skips to Sync; so does everything that waits, and everything still to come. */
  #batchFailed(): void {
    const { ledger, requests } = this.#deps
    ledger.skipToSync()
    if (!ledger.hasSync) requests.skipToSync()
    requests.rebuildNames()
  }

  #parameterStatus({ buffer, start, end }: Frame): void {
    const [name = '', value = ''] = buffer.toString('utf8', start + headerBytes, end - 1).split('\0')
    this.#deps.setting(name, value)
    this.#deps.output.add(this.#deps.scrub.setting(name, value) ?? buffer.subarray(start, end))
  }

  #ready(frame: Frame): void {
    const { head } = this.#deps.ledger
    if (head?.kind === 'poison' && !head.simple) throw outOfTurn(frame)
    // Before it is held back: what no server says is noticed at once.
    statusOf(frame)
    if (!this.#cuts.holds(frame)) this.#finishBatch(frame)
  }

  #finishBatch(ready: Frame): void {
    const { ledger, requests, output } = this.#deps
    const status = statusOf(ready)
    this.status = status
    ledger.closeBatch()
    // A client that fetches in pieces comes back to its portal in later batches of the transaction.
    if (status === 'I') {
      requests.endTransaction()
      this.#masks.settled()
    }
    if (!this.#cuts.settle(status)) return
    // As it came, so that it leaves with what came before it in one piece.
    output.add(ready.buffer, ready.start, ready.end)
    this.#deps.ready()
  }
}
