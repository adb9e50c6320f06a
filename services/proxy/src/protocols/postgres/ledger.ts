/**
 * What the server still owes: one entry for each message that was forwarded, in order, so that every answer finds the
 * command it belongs to. Pure bookkeeping: no sockets, no bytes.
 *
 * The server answers in the order of the requests. After an error in the extended protocol it skips to Sync, so every
 * entry up to the next `sync` is owed nothing more.
 */
import type { Command, CommandResult, MaskedValues, Refusal, Session } from '@portcullis/kernel'
import type { MaskedColumn } from '@portcullis/masking'
import type { StatementAnalysis } from '@portcullis/sql'
import { sqlstateOf } from './deny.ts'
import type { ResultMasks, Shape } from './result-masks.ts'
import type { Sight } from './session-catalogue.ts'

/** A prepared statement as the gate knows it. */
export interface Prepared {
  readonly name: string
  readonly analyses: readonly StatementAnalysis[]
  /** OIDs of its parameters' types as far as the client or the server has told them. */
  types: readonly number[]
  /** SHA-256 over its text and the types of its parameters, where people are to approve what is bound to it. */
  textDigest?: Buffer
}

/** A command on its way, counted in place. */
export interface Running {
  readonly command: Command
  rowsIn: number
  rowsOut: number
  bytesIn: number
  bytesOut: number
  tag: string
  /** Execute (or a simple Query) was forwarded; before that it is only prepared. */
  executed: boolean
  /** Set where the gate stopped it. */
  by: Refusal | undefined
  done: boolean
  /** What its result is, where it is masked: as the server has described it. */
  shape: Shape | undefined
  /** What is done to the result that comes now, once that is known. */
  masks: { readonly result: ResultMasks } | undefined
  /** The columns of all its results that were masked. */
  masked: readonly MaskedColumn[]
}

export type Expected =
  | { readonly kind: 'query'; readonly runs: readonly Running[]; at: number; failed: boolean }
  | { readonly kind: 'function'; readonly runs: readonly Running[] }
  | { readonly kind: 'parse'; readonly prepared: Prepared; readonly runs: readonly Running[] }
  | {
      readonly kind: 'bind'
      readonly portal: string
      readonly prepared: Prepared | undefined
      readonly runs: readonly Running[]
      readonly sight: Sight | undefined
    }
  | {
      readonly kind: 'describe'
      readonly prepared?: Prepared | undefined
      readonly shape?: Shape | undefined
    }
  /** Of the gate's own, before this command is executed: nobody else gets the answer. */
  | {
      readonly kind: 'describe'
      readonly prepared?: undefined
      readonly shape: Shape
      readonly runs: readonly [Running]
    }
  | { readonly kind: 'close'; readonly statement: string | undefined }
  | { readonly kind: 'execute'; readonly runs: readonly [Running] }
  | { readonly kind: 'sync'; readonly opened: readonly Running[] }
  /** A message of the gate's own that must fail; `refusal` is shown in its place, or nothing. */
  | { readonly kind: 'poison'; readonly simple: boolean; readonly refusal: Refusal | undefined }

export function createRunning(command: Command, executed: boolean): Running {
  return {
    command,
    rowsIn: 0,
    rowsOut: 0,
    bytesIn: 0,
    bytesOut: 0,
    tag: '',
    executed,
    by: undefined,
    done: false,
    shape: undefined,
    masks: undefined,
    masked: [],
  }
}

export class Ledger {
  readonly #session: Pick<Session, 'finish'>
  #entries: Expected[] = []
  #head = 0

  constructor(session: Pick<Session, 'finish'>) {
    this.#session = session
  }

  get idle(): boolean {
    return this.head === undefined
  }

  get size(): number {
    return this.#entries.length - this.#head
  }

  /** What the next answer belongs to. */
  get head(): Expected | undefined {
    return this.#entries[this.#head]
  }

  /** The command whose rows come now. */
  get running(): Running | undefined {
    const { head } = this
    if (head?.kind === 'query') return head.runs[Math.min(head.at, head.runs.length - 1)]
    return head?.kind === 'execute' || head?.kind === 'function' ? head.runs[0] : undefined
  }

  /** The command that runs, or that is being planned. */
  get charged(): Running | undefined {
    const { running, head } = this
    return running ?? (head && 'runs' in head ? head.runs[0] : undefined)
  }

  /**
   * What the server is at, as far as can be told: what it plans, executes or comes to next in this batch. In the extended
   * protocol that is not the head: the server keeps its answers to Parse and Bind until Sync, so they are still owed
   * while it executes.
   */
  get underWay(): Running | undefined {
    for (const entry of this.pending()) {
      if ('runs' in entry) return entry.runs[Math.min('at' in entry ? entry.at : 0, entry.runs.length - 1)]
      if (entry.kind === 'sync') return undefined
    }
    return undefined
  }

  /** Something was forwarded behind what the next ReadyForQuery answers. */
  get owesBeyondReady(): boolean {
    const end = this.#find(isAnsweredByReady)
    return end >= 0 && end < this.#entries.length - 1
  }

  get hasSync(): boolean {
    return this.#find((entry) => entry.kind === 'sync') >= 0
  }

  push(entry: Expected): void {
    if (this.#head > 1024 && this.#head * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#head)
      this.#head = 0
    }
    this.#entries.push(entry)
  }

  shift(): void {
    if (this.head) this.#head++
    if (this.#head === this.#entries.length) {
      this.#entries = []
      this.#head = 0
    }
  }

  /** Entries that are still owed an answer, oldest first. */
  *pending(): Generator<Expected> {
    for (let at = this.#head; at < this.#entries.length; at++) yield this.#entries[at] as Expected
  }

  /** After an error: everything up to the next Sync was skipped by the server. */
  skipToSync(): void {
    for (let { head } = this; head && head.kind !== 'sync'; { head } = this) {
      if ('runs' in head) for (const run of head.runs) this.finish(run, 'skipped')
      this.#head++
    }
  }

  /** At ReadyForQuery: up to and with the Sync or the query that it answers. */
  closeBatch(): void {
    for (let { head } = this; head; { head } = this) {
      this.shift()
      if (head.kind === 'sync') {
        for (const run of head.opened) this.finish(run, 'ok')
        return
      }
      if (head.kind === 'query' || head.kind === 'function') {
        const failed = head.kind === 'query' && head.failed
        head.runs.forEach((run, index) => {
          const reached = head.kind === 'function' || index === head.at
          this.finish(run, failed || !reached ? 'skipped' : 'ok')
        })
        return
      }
      if (head.kind === 'poison' && head.simple) return
      if ('runs' in head) for (const run of head.runs) this.finish(run, 'skipped')
    }
  }

  finish(run: Running, outcome: CommandResult['outcome'], sqlstate = ''): void {
    if (run.done) return
    run.done = true
    const { rowsIn, rowsOut, bytesIn, bytesOut, tag } = run
    const masked = countMasked(run.masked)
    this.#session.finish(
      run.command,
      {
        outcome: run.by && outcome !== 'skipped' ? 'cut' : outcome,
        stage: run.executed ? 'run' : 'prepare',
        // What the client sees.
        errorCode: run.by ? sqlstateOf(run.by.reason) : sqlstate,
        tag,
        rowsIn,
        rowsOut,
        rowsAffected: affectedRows(tag),
        bytesIn,
        bytesOut,
        ...(masked.length > 0 && { masked }),
      },
      run.by,
    )
  }

  /** The connection is over: whatever is still owed an answer gets none. */
  abandon(headOutcome: CommandResult['outcome'], by: Refusal | undefined): void {
    const { underWay } = this
    if (underWay) {
      underWay.by ??= by
      this.finish(underWay, headOutcome)
    }
    for (const entry of this.pending()) {
      const runs = 'runs' in entry ? entry.runs : entry.kind === 'sync' ? entry.opened : []
      for (const run of runs) this.finish(run, 'unknown')
    }
    this.#entries = []
    this.#head = 0
  }

  #find(matches: (entry: Expected) => boolean): number {
    for (let at = this.#head; at < this.#entries.length; at++)
      if (matches(this.#entries[at] as Expected)) return at
    return -1
  }
}

function isAnsweredByReady(entry: Expected): boolean {
  const { kind } = entry
  return kind === 'sync' || kind === 'query' || kind === 'function' || (kind === 'poison' && entry.simple)
}

function countMasked(columns: readonly MaskedColumn[]): readonly MaskedValues[] {
  const counts = new Map<string, number>()
  const count = (column: string, values: number) => counts.set(column, (counts.get(column) ?? 0) + values)
  for (const { mask, values, finds } of columns) {
    if (finds) for (const [kind, times] of finds) count(`${mask.column}:${kind}`, times)
    else count(mask.column, values)
  }
  return Array.from(counts, ([column, values]) => ({ column, values }))
}

/** `UPDATE 3` -> 3, `INSERT 0 5` -> 5; a SELECT's or FETCH's count is of rows returned, not changed. */
function affectedRows(tag: string): number {
  const match = /^(INSERT|UPDATE|DELETE|MERGE|COPY)\b.* (\d+)$/.exec(tag)
  return match ? Number(match[2]) : 0
}
