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
 * A cut falls between rows: what came before is forwarded, the rest is swallowed up to ReadyForQuery.
 */
import { type Meter, type Refusal, SessionEnded } from '@portcullis/kernel'
import { refusalMessage } from './deny.ts'
import { type Frame, type FrameRules, Frames } from './frames.ts'
import type { Expected, Ledger, Running } from './ledger.ts'
import type { Output } from './output.ts'
import type { Requests } from './requests.ts'
import type { Scrub } from './scrub.ts'
import { backend, headerBytes, type TransactionStatus } from './wire.ts'

export interface AnswersDeps {
  readonly ledger: Ledger
  readonly requests: Requests
  readonly output: Output
  readonly scrub: Scrub
  /** For what the server sends of its own accord. */
  readonly unasked: Meter
  /** The client asked to cancel what runs. */
  readonly cancelAsked: () => boolean
  /** Sends a CancelRequest; calls back once it has arrived, where the session still goes on. */
  readonly cancelUpstream: (arrived: () => void) => void
  readonly setting: (name: string, value: string) => void
  /** A batch is over. */
  readonly ready: () => void
}

/** The server said what cannot be read; the session ends. */
export class ServerViolation extends Error {}

interface Cut {
  readonly refusal: Refusal
  /** None where it is a commit or a description that takes long. */
  run: Running | undefined
  /** Something of what it returned was withheld. */
  swallowed: boolean
  /** The CancelRequest has arrived. */
  arrived: boolean
  /** How the server ended the command, once it has. */
  ended: 'failed' | 'completed' | undefined
  /** ReadyForQuery of a cut that has not been settled yet. */
  heldReady: Frame | undefined
  told: boolean
}

const readWhole: ReadonlySet<number> = new Set([
  backend.commandComplete,
  backend.error,
  backend.notice,
  backend.parameterStatus,
  backend.readyForQuery,
])
/** What each answer belongs to. Anywhere else the gate has lost count, and would judge and charge the wrong command. */
const answers: Readonly<Record<number, readonly Expected['kind'][]>> = {
  [backend.parseComplete]: ['parse'],
  [backend.bindComplete]: ['bind'],
  [backend.closeComplete]: ['close'],
  [backend.parameterDescription]: ['describe'],
  [backend.noData]: ['describe'],
  [backend.rowDescription]: ['describe', 'query'],
  [backend.commandComplete]: ['query', 'execute'],
  [backend.emptyQuery]: ['query', 'execute'],
  [backend.portalSuspended]: ['execute'],
  [backend.functionResult]: ['function'],
  [backend.copyInResponse]: ['query', 'execute'],
  [backend.copyOutResponse]: ['query', 'execute'],
  [backend.copyDone]: ['query', 'execute'],
  [backend.readyForQuery]: ['sync', 'query', 'function', 'poison'],
}
const statuses: ReadonlySet<number | undefined> = new Set(Buffer.from('ITE'))
const inspectedBytesMax = 16_777_216
/** Of a row that a client has the beginning of and does not read. */
const heldBytesMax = 1_048_576

export class Answers {
  status: TransactionStatus
  readonly #deps: AnswersDeps
  readonly #frames = new Frames(rules)
  #cut: Cut | undefined
  /** CancelRequests on their way. */
  #cancels = 0
  /** The rest of the streamed message is swallowed. */
  #dropRest = false
  /** The server has said why it ends the connection. */
  saidGoodbye = false

  constructor(deps: AnswersDeps, status: TransactionStatus) {
    this.#deps = deps
    this.status = status
  }

  /** Something of the gate's own may be put between. */
  get atBoundary(): boolean {
    return this.#frames.atBoundary && !this.#cut
  }

  /** The client has got only part of a message. */
  get midMessage(): boolean {
    return !this.#frames.atBoundary && !this.#dropRest
  }

  /** The client gets no more of what the server sends than the rest of a row, and not much: no need to wait for it. */
  get swallows(): boolean {
    return this.#cut !== undefined && (this.#dropRest || this.#frames.restBytes <= heldBytesMax)
  }

  /** Reads a chunk; what the client gets of it stands in the output afterwards. */
  feed(chunk: Buffer): void {
    this.#frames.feed(chunk)
    for (let frame = this.#frames.next(); frame; frame = this.#frames.next()) {
      if (frame.type === 0) {
        if (!this.#dropRest) this.#deps.output.add(frame.buffer, frame.start, frame.end)
        continue
      }
      this.#dropRest = false
      if (this.#cut?.heldReady) this.#release(this.#cut.heldReady)
      if (frame.type === backend.dataRow || frame.type === backend.copyData) this.#row(frame)
      else this.#other(frame)
    }
  }

  /** Stops what the server is at work on, between rows. False where that is nothing or is being stopped already. */
  cut(refusal: Refusal): boolean {
    const { ledger, requests } = this.#deps
    const { head, underWay: run } = ledger
    if (!head || head.kind === 'poison' || run?.done || run?.by || this.#cut) return false
    if (run && requests.copyIn === run) requests.cutCopy(run, refusal)
    else this.#startCut(run, refusal)
    return true
  }

  /** The client has not been told of this cut yet. */
  isCutting(refusal: Refusal): boolean {
    const { underWay: run } = this.#deps.ledger
    return this.#cut?.refusal === refusal || (run?.by === refusal && !run.done)
  }

  #row(frame: Frame): void {
    const run = this.#deps.ledger.running
    if (!run) throw outOfTurn(frame)
    if (!this.#mayPass(run, 1, bytesOf(frame))) {
      this.#dropRest = true
      return
    }
    run.rowsOut++
    run.bytesOut += bytesOf(frame)
    this.#deps.output.add(frame.buffer, frame.start, frame.end)
  }

  /** Counts against the command's caps; where these do not allow it the command is cut from here on. */
  #mayPass(run: Running, rows: number, bytes: number): boolean {
    const { meter } = run.command
    if (!this.#cut && (meter.rowsLeft < rows || meter.bytesLeft < bytes)) {
      const refusal = meter.refill(rows, bytes)
      if (refusal) this.#startCut(run, refusal)
    }
    if (this.#cut) {
      this.#cut.swallowed = true
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
    const isOwn = !this.#cut || frame.type !== backend.notification
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
    const { ledger, requests, output } = this.#deps
    const { type, buffer, start, end } = frame
    const head = ledger.head
    const belongsTo = answers[type]
    // What is answered by a ReadyForQuery that is held back is over all the same.
    const owed = this.#cut?.heldReady ? undefined : head
    if (belongsTo && !(owed && belongsTo.includes(owed.kind))) throw outOfTurn(frame)
    const pass = () => {
      const run = ledger.running
      // What the server had done before it came to the command that is cut is confirmed: the client counts on it.
      if (this.#cut && (this.#cut.ended || (run && this.#cut.run === run))) {
        this.#cut.swallowed = true
        this.#dropRest = true
        return
      }
      if (run) run.bytesOut += bytesOf(frame)
      output.add(buffer, start, end)
    }
    switch (type) {
      case backend.commandComplete:
        return this.#complete(head, buffer.toString('utf8', start + headerBytes, end - 1), pass)
      case backend.emptyQuery:
        return this.#complete(head, '', pass)
      case backend.portalSuspended:
        return this.#complete(head, 'SUSPENDED', pass)
      case backend.functionResult:
        return this.#complete(head, 'FUNCTION', () => this.#aside(frame, undefined))
      case backend.error:
        return this.#error(head, buffer.subarray(start, end))
      case backend.readyForQuery:
        return this.#ready(frame)
      case backend.parseComplete:
      case backend.bindComplete:
      case backend.closeComplete:
        pass()
        return this.#answered(head)
      case backend.rowDescription:
      case backend.noData:
        pass()
        if (head?.kind === 'describe') ledger.shift()
        return
      case backend.parameterStatus:
        return this.#parameterStatus(frame)
      case backend.notice:
        return this.#aside(frame, this.#deps.scrub.fields(buffer.subarray(start, end)))
      case backend.notification:
        return this.#aside(frame, undefined)
      case backend.copyInResponse:
        pass()
        if (requests.copyBegan(ledger.running)) {
          // A server that waits for data hears of no cancel.
          if (this.#cut?.run) requests.cutCopy(this.#cut.run, this.#cut.refusal)
          return
        }
        throw new ServerViolation('the server asked for data where nothing was to be copied in')
      case backend.copyBothResponse:
        throw new ServerViolation('the server began to replicate')
      case backend.parameterDescription:
      case backend.copyOutResponse:
      case backend.copyDone:
        return pass()
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

  #complete(head: Expected | undefined, tag: string, pass: () => void): void {
    const { ledger, requests } = this.#deps
    const run = ledger.running
    if (run) {
      run.tag = tag
      requests.noteNames(run.command, true)
    }
    if (head?.kind === 'query') this.#moveCut(head)
    pass()
    if (this.#cut?.run === run) this.#cutEnded('completed')
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

  /**
   * Of several statements in one Query the server holds back what became of the first ones: where this one was done
   * before the cut, it is the next that is cut.
   */
  #moveCut(head: Extract<Expected, { kind: 'query' }>): void {
    const cut = this.#cut
    const run = head.runs[head.at]
    const next = head.runs[head.at + 1]
    if (!cut || !run || cut.run !== run || !next || cut.swallowed) return
    run.by = undefined
    next.by = cut.refusal
    cut.run = next
  }

  #error(head: Expected | undefined, bytes: Buffer): void {
    const { ledger, requests, output, scrub } = this.#deps
    const { sqlstate, isFatal } = scrub.error(bytes)
    this.saidGoodbye ||= isFatal
    if (head?.kind === 'poison') {
      if (head.refusal) output.add(refusalMessage(head.refusal, 'ERROR'))
      if (head.simple) return
      if (this.#cut?.told) this.#cut = undefined
      ledger.shift()
      return this.#batchFailed()
    }
    const run = ledger.charged
    const cutting = this.#cut
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
    if (cutting && cutting.run === run) this.#cutEnded('failed')
    else if (!cutting) {
      const by = run?.by
      output.add(by ? refusalMessage(by, 'ERROR') : scrub.fields(bytes))
    }
    requests.copyIn = undefined
    if (head?.kind === 'query') {
      head.failed = true
      for (const later of head.runs.slice(head.at + 1)) ledger.finish(later, 'skipped')
    } else if (head && head.kind !== 'function' && head.kind !== 'sync') {
      this.#batchFailed()
    }
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
    const { buffer, start, end } = frame
    const { head } = this.#deps.ledger
    if (head?.kind === 'poison' && !head.simple) throw outOfTurn(frame)
    if (end - start !== headerBytes + 1 || !statuses.has(buffer[start + headerBytes]))
      throw new ServerViolation('ReadyForQuery without a transaction status')
    const cut = this.#cut
    // What was pipelined behind it is answered next: then nothing can be held back.
    if (cut && !cut.arrived && !this.#owesMore()) {
      cut.heldReady = { ...frame, buffer: Buffer.from(frame.buffer) }
      cut.ended ??= 'completed'
      return
    }
    this.#finishBatch(frame)
  }

  /** Where something was forwarded since, which the gate was reading when the cut came, its answers come now. */
  #release(held: Frame): void {
    if (this.#owesMore()) this.#finishBatch(held)
  }

  #finishBatch({ buffer, start, end }: Frame): void {
    const { ledger, requests, output } = this.#deps
    const status = String.fromCharCode(buffer[start + headerBytes] as number) as TransactionStatus
    this.status = status
    this.#closeEntries()
    // A client that fetches in pieces comes back to its portal in later batches of the transaction.
    if (status === 'I') requests.endTransaction()
    const cut = this.#cut
    this.#cut = undefined
    if (cut && !cut.told && status === 'T' && cut.arrived && ledger.idle) {
      // The server had finished before the cancel came: make the transaction fail as the cut statement's error would.
      // Behind what was pipelined that would come too late, or be skipped.
      requests.poison(true, cut.refusal, true)
      return
    }
    if (cut && !cut.told)
      output.add(
        refusalMessage(cut.refusal, 'ERROR', cut.ended === 'completed' ? 'completed_at_server=true' : ''),
      )
    // As it came, so that it leaves with what came before it in one piece.
    output.add(buffer, start, end)
    requests.cutting = this.#cancels > 0
    this.#deps.ready()
  }

  /** Beyond the Sync or the query that the next ReadyForQuery answers. */
  #owesMore(): boolean {
    let isBeyond = false
    for (const entry of this.#deps.ledger.pending()) {
      if (isBeyond) return true
      isBeyond =
        ['sync', 'query', 'function'].includes(entry.kind) || (entry.kind === 'poison' && entry.simple)
    }
    return false
  }

  /** Up to and with the Sync or the query that this ReadyForQuery answers. */
  #closeEntries(): void {
    const { ledger } = this.#deps
    for (let { head } = ledger; head; { head } = ledger) {
      ledger.shift()
      if (head.kind === 'sync') {
        for (const run of head.opened) ledger.finish(run, 'ok')
        return
      }
      if (head.kind === 'query' || head.kind === 'function') {
        const failed = head.kind === 'query' && head.failed
        head.runs.forEach((run, index) => {
          const reached = head.kind === 'function' || index === head.at
          ledger.finish(run, failed || !reached ? 'skipped' : 'ok')
        })
        return
      }
      if (head.kind === 'poison' && head.simple) return
      if ('runs' in head) for (const run of head.runs) ledger.finish(run, 'skipped')
    }
  }

  #startCut(run: Running | undefined, refusal: Refusal): void {
    const { requests, cancelUpstream } = this.#deps
    if (run) run.by = refusal
    requests.cutting = true
    const cut: Cut = {
      refusal,
      run,
      swallowed: false,
      arrived: false,
      ended: undefined,
      heldReady: undefined,
      told: false,
    }
    this.#cut = cut
    this.#cancels++
    cancelUpstream(() => this.#cancelArrived(cut))
  }

  #cancelArrived(cut: Cut): void {
    const { requests } = this.#deps
    cut.arrived = true
    this.#cancels--
    if (this.#cut !== cut) requests.cutting = this.#cut !== undefined || this.#cancels > 0
    else if (cut.heldReady) this.#finishBatch(cut.heldReady)
    else if (cut.ended) this.#settleExtended(cut)
  }

  #cutEnded(how: 'failed' | 'completed'): void {
    const cut = this.#cut
    if (!cut || cut.ended) return
    cut.ended = how
    if (cut.arrived) this.#settleExtended(cut)
  }

  /** Without a Sync on its way the client must hear of the cut now, and the server must be in error until Sync comes. */
  #settleExtended(cut: Cut): void {
    const { ledger, requests, output } = this.#deps
    const { head } = ledger
    if (ledger.running === cut.run && (head?.kind === 'query' || head?.kind === 'function')) return
    if (ledger.hasSync) return
    output.add(
      refusalMessage(cut.refusal, 'ERROR', cut.ended === 'completed' ? 'completed_at_server=true' : ''),
    )
    // What was forwarded behind it is answered to nobody: after an error the client waits for its Sync. Where that has
    // failed meanwhile, the server skips already.
    cut.told = cut.ended === 'completed' && !requests.skips
    if (cut.told) requests.poison(false, cut.refusal, false)
    else this.#cut = undefined
    requests.cutting = this.#cancels > 0
  }
}

function bytesOf({ start, end, rest }: Frame): number {
  return end - start + rest
}

function outOfTurn({ type }: Frame): ServerViolation {
  return new ServerViolation(`message type ${type} answers nothing that was asked`)
}

const rules: FrameRules = {
  handling(type, length) {
    if (!readWhole.has(type)) return 'stream'
    if (length > inspectedBytesMax) throw new ServerViolation(`message type ${type} has length ${length}`)
    return 'whole'
  },
  prefixReady: () => true,
}
