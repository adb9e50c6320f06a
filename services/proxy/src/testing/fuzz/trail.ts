/**
 * A recorder in memory with the contract of the real one (packages/kernel/src/recorder.ts), and what the fuzzer asks of
 * it: was this text recorded before that byte, has each command exactly one outcome. The real recorder runs in the
 * differential mode; this one can fail and be slow at will.
 */
import type { Analysis, CommandResult, Decision, Intent, Recorder, Road, Session } from '@portcullis/kernel'
import { Requests } from '../../protocols/postgres/requests.ts'
import type { ReadText } from '../../protocols/postgres/read-text.ts'

/** Texts, and the statements of the message: 0 where that cannot be told. */
type Source = Pick<Entry, 'sources' | 'among'>

export interface Entry {
  readonly number: number
  readonly analysis: Analysis
  allowed: boolean
  /**
   * The bytes that this analysis was made of, a character a byte: one text, or each that has had such a statement where a
   * name or the catalogue has added to it; none for what the gate made itself.
   */
  readonly sources: readonly string[]
  /** How many statements its message had; 0 where that cannot be told. */
  readonly among: number
  /** The commit that covers it has returned. */
  committed: boolean
  /** Types of the messages that it stands for and that have been written to the server. */
  readonly forwarded: Set<number>
  result: CommandResult | undefined
}

/** One message of the client's that the gate has let through. */
export interface Granted {
  readonly entries: readonly Entry[]
  /** It goes on with a command of before. */
  readonly adopts: boolean
  /** It only asks about one. */
  readonly describes: boolean
}

export class Trail implements Recorder {
  readonly id = 'fuzz'
  readonly entries: Entry[] = []
  /** What was let through and has not been seen on the server's side, in order. */
  readonly granted: Granted[] = []
  /** How many are committed; these are the first of `entries`. */
  committed = 0
  sessionsClosed = 0
  available = true
  readonly #durability: 'process' | 'disk'
  readonly #fault: (what: string) => void
  /** What was read: an analysis belongs to exactly the bytes it was made of. */
  readonly #sources = new WeakMap<Analysis, Source>()
  /** The same by its text: what a name or the catalogue has added to makes it another object. */
  readonly #byText = new Map<string, Source>()
  #committing = 0
  /** Decided again since the last commit. */
  #again: Entry[] = []

  constructor(durability: 'process' | 'disk', fault: (what: string) => void) {
    this.#durability = durability
    this.#fault = fault
  }

  /** The same reading, watched; texts of over 1000 bytes take so many turns of the event loop where `turns` is not 0. */
  watch(readText: ReadText, turns: number): ReadText {
    return {
      ...readText,
      analyze: (bytes, start, end) => {
        const text = bytes.toString('latin1', start, end)
        const found = readText.analyze(bytes, start, end)
        const note = <T extends readonly Analysis[]>(analyses: T): T => {
          const source: Source = { sources: [text], among: analyses.length }
          for (const analysis of analyses) {
            this.#sources.set(analysis, source)
            const others = this.#byText.get(analysis.text)?.sources ?? []
            this.#byText.set(analysis.text, { sources: [...new Set([...others, text])], among: 0 })
          }
          return analyses
        }
        if (found instanceof Promise) return found.then(note)
        note(found)
        return turns > 0 && end - start > 1000 ? after(turns).then(() => found) : found
      },
    }
  }

  session(): void {}

  intent({ number, analysis, decision }: Intent): void {
    const source = this.#sources.get(analysis) ?? this.#byText.get(analysis.text)
    if (number !== this.entries.length + 1) this.#fault(`command ${number} is recorded out of order`)
    this.entries.push({
      number,
      analysis,
      allowed: mayPass(decision),
      ...(source ?? { sources: [], among: 0 }),
      committed: false,
      forwarded: new Set(),
      result: undefined,
    })
  }

  redecided(_sessionId: string, number: number, decision: Decision): void {
    const entry = this.entries[number - 1]
    if (!entry) return this.#fault(`another decision about command ${number}, which was never recorded`)
    // The server fell into error while it waited for a person.
    if (entry.result) return
    entry.allowed = mayPass(decision)
    entry.committed = false
    this.#again.push(entry)
  }

  progress(): void {}

  outcome(_sessionId: string, number: number, _at: number, result: CommandResult): void {
    const entry = this.entries[number - 1]
    if (!entry) return this.#fault(`an outcome of command ${number}, which was never recorded`)
    if (entry.result) return this.#fault(`a second outcome of command ${number}`)
    entry.result = result
  }

  sessionClosed(): void {
    this.sessionsClosed++
  }

  commit(): undefined | Promise<void> {
    if (!this.available) throw new Error('the disk is full')
    const until = this.entries.length
    const again = this.#again
    this.#again = []
    if (this.#durability === 'process') return this.#commitTo(until, again)
    return after(1 + (this.#committing++ % 3)).then(() => {
      if (!this.available) throw new Error('the disk is full')
      this.#commitTo(until, again)
    })
  }

  /** The same session; what it lets through is noted, in its order. */
  follow(session: Session): Session {
    return { ...session, pass: (road) => session.pass(this.#followed(road)) }
  }

  #followed(road: Road): Road {
    return {
      next: () => road.next(),
      allowed: (unit, commands) => {
        const skips = road instanceof Requests && road.skips
        road.allowed(unit, commands)
        const entries = commands.map(({ number }) => this.entries[number - 1] as Entry)
        // It only prepares what is held when it is bound.
        if (unit.defers) for (const entry of entries) entry.allowed = true
        // The server fell into error while it waited: it was dropped at once.
        if (unit.adopts ? !skips : entries.every(({ result }) => result === undefined))
          this.granted.push({
            entries,
            adopts: unit.adopts !== undefined,
            describes: unit.describes === true,
          })
      },
      refused: (unit, refusal) => road.refused(unit, refusal),
      send: () => road.send(),
      waiting: (unit, reason, waitMs) => road.waiting?.(unit, reason, waitMs),
      holding: (unit, hold) => road.holding?.(unit, hold),
    }
  }

  #commitTo(until: number, again: readonly Entry[]): undefined {
    for (const entry of again) entry.committed = true
    while (this.committed < until) (this.entries[this.committed++] as Entry).committed = true
    return undefined
  }
}

function mayPass({ action }: Decision): boolean {
  return action === 'allow' || action === 'throttle'
}

/** Resolves after so many turns of the event loop. */
export async function after(turns: number): Promise<void> {
  for (let turn = 0; turn < turns; turn++) await new Promise<void>((resolve) => setImmediate(resolve))
}
