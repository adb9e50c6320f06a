/**
 * Stops a command between two of its rows: what came before is forwarded, the rest is swallowed up to the ReadyForQuery,
 * and the client hears the refusal as the command's own error. The server is told by a CancelRequest, which may come too
 * late or hit what is next; so nothing new starts before it has arrived, and a command that was done by then is made to
 * fail all the same. It decides on no command and sends nothing to either side by itself.
 */
import type { Refusal } from '@portcullis/kernel'
import { refusalMessage } from './deny.ts'
import type { Frame } from './frames.ts'
import type { Expected, Ledger, Running } from './ledger.ts'
import type { Output } from './output.ts'
import type { Requests } from './requests.ts'
import type { TransactionStatus } from './wire.ts'

export interface CutsDeps {
  readonly ledger: Ledger
  readonly requests: Requests
  /** For the client. */
  readonly output: Output
  /** Sends a CancelRequest; calls back once it has arrived, where the session still goes on. */
  readonly cancelUpstream: (arrived: () => void) => void
}

export interface Cut {
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
  /** The client knows. */
  told: boolean
}

export class Cuts {
  /** The one that is being settled. */
  current: Cut | undefined
  readonly #deps: CutsDeps
  readonly #finishBatch: (ready: Frame) => void
  /** CancelRequests on their way. */
  #cancels = 0

  /** `finishBatch` takes a ReadyForQuery that was held back, when the client may have it. */
  constructor(deps: CutsDeps, finishBatch: (ready: Frame) => void) {
    this.#deps = deps
    this.#finishBatch = finishBatch
  }

  start(run: Running | undefined, refusal: Refusal): void {
    if (run) run.by = refusal
    this.#deps.requests.cutting = true
    const cut: Cut = {
      refusal,
      run,
      swallowed: false,
      arrived: false,
      ended: undefined,
      heldReady: undefined,
      told: false,
    }
    this.current = cut
    this.#cancels++
    this.#deps.cancelUpstream(() => this.#arrived(cut))
  }

  /**
   * Of several statements in one Query the server holds back what became of the first ones: where this one was done
   * before the cut, it is the next that is cut.
   */
  moveOn(head: Extract<Expected, { kind: 'query' }>): void {
    const cut = this.current
    const run = head.runs[head.at]
    const next = head.runs[head.at + 1]
    if (!cut || !run || cut.run !== run || !next || cut.swallowed) return
    run.by = undefined
    next.by = cut.refusal
    cut.run = next
  }

  /** The server has answered the command that is cut. */
  ended(how: 'failed' | 'completed'): void {
    const cut = this.current
    if (!cut || cut.ended) return
    cut.ended = how
    if (cut.arrived) this.#settleExtended(cut)
  }

  /** Keeps this ReadyForQuery until the CancelRequest has arrived; false where the client may have it now. */
  holds(ready: Frame): boolean {
    const cut = this.current
    // What was pipelined behind it is answered next: then nothing can be held back.
    if (!cut || cut.arrived || this.#deps.ledger.owesBeyondReady) return false
    cut.heldReady = { ...ready, buffer: Buffer.from(ready.buffer) }
    cut.ended ??= 'completed'
    return true
  }

  /** Where something was forwarded since, which the gate was reading when the cut came, its answers come now. */
  releaseHeld(): void {
    const held = this.current?.heldReady
    if (held && this.#deps.ledger.owesBeyondReady) this.#finishBatch(held)
  }

  /**
   * At the ReadyForQuery. False where the client must wait for another: the server had finished before the cancel came,
   * and the transaction is now made to fail as the cut statement's error would have made it.
   */
  settle(status: TransactionStatus): boolean {
    const { ledger, requests } = this.#deps
    const cut = this.current
    this.current = undefined
    if (cut && !cut.told) {
      // Behind what was pipelined that would come too late, or be skipped.
      if (status === 'T' && cut.arrived && ledger.idle) {
        requests.poison(true, cut.refusal, true)
        return false
      }
      this.#tell(cut)
    }
    requests.cutting = this.#cancels > 0
    return true
  }

  #arrived(cut: Cut): void {
    cut.arrived = true
    this.#cancels--
    if (this.current !== cut) this.#deps.requests.cutting = this.current !== undefined || this.#cancels > 0
    else if (cut.heldReady) this.#finishBatch(cut.heldReady)
    else if (cut.ended) this.#settleExtended(cut)
  }

  /** Without a Sync on its way the client must hear of the cut now, and the server must be in error until Sync comes. */
  #settleExtended(cut: Cut): void {
    const { ledger, requests } = this.#deps
    const { head } = ledger
    if (ledger.running === cut.run && (head?.kind === 'query' || head?.kind === 'function')) return
    if (ledger.hasSync) return
    this.#tell(cut)
    // What was forwarded behind it is answered to nobody: after an error the client waits for its Sync. Where that has
    // failed meanwhile, the server skips already.
    cut.told = cut.ended === 'completed' && !requests.skips
    if (cut.told) requests.poison(false, cut.refusal, false)
    else this.current = undefined
    requests.cutting = this.#cancels > 0
  }

  #tell({ refusal, ended }: Cut): void {
    const detail = ended === 'completed' ? 'completed_at_server=true' : ''
    this.#deps.output.add(refusalMessage(refusal, 'ERROR', detail))
  }
}
