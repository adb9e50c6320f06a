/**
 * Which text a prepared statement's or portal's name stands for. The client's view runs ahead of the server's: a Parse
 * may fail (the name may be taken by another text), so names count as confirmed only when the server says so, and after
 * an error the view is made anew from what is confirmed and what is still on its way. What a later batch binds must be
 * confirmed first (`settled`). It refuses to know names beyond ASCII: they are other bytes in another client encoding.
 */
import type { Analysis, Command, Unit } from '@portcullis/kernel'
import { analysisBytes } from '@portcullis/sql'
import type { Expected, Ledger, Prepared, Running } from './ledger.ts'
import type { Shape } from './result-masks.ts'
import type { Sight } from './session-catalogue.ts'

const namesMax = 10_000
const analysesBytesMax = 16_777_216

export interface Portal {
  readonly prepared: Prepared | undefined
  /** The command that was opened for it, until it is executed. */
  readonly run: Running | undefined
  /** How many rows it would change or return. */
  readonly estimate?: Unit['estimate']
  /** What its names stood for when it was planned. */
  readonly sight: Sight | undefined
  /** What it returns; absent where nobody has asked the server. */
  shape?: Shape
}

export class Statements {
  #confirmed = new Map<string, Prepared>()
  #prepared = new Map<string, Prepared>()
  #portals = new Map<string, Portal>()
  /** Commands opened in this batch by Parse and not yet bound. */
  readonly #opened = new Map<Prepared, Running>()
  /** All commands opened in this batch by Parse or Bind. */
  readonly #ofBatch = new Set<Running>()
  /** Parsed in this batch: should that fail, the server skips what names it. */
  readonly #parsedInBatch = new Set<Prepared>()
  /** Forwarded and not answered. */
  readonly #unconfirmed = new Set<Prepared>()
  #waiting: (() => void)[] = []
  #preparedBytes = 0

  /** The server keeps what a client prepares; the gate must, too, and so within bounds. */
  hasRoomFor({ name, analyses }: Prepared): boolean {
    if (name === '') return true
    return this.#prepared.size < namesMax && this.#preparedBytes + bytesOf(analyses) <= analysesBytesMax
  }

  hasRoomForPortal(name: string): boolean {
    return name === '' || this.#portals.size < namesMax
  }

  prepared(name: string): Prepared | undefined {
    return this.#prepared.get(name)
  }

  /** Resolves once the server's answer tells what the name stands for; undefined where that is known. */
  settled(name: string): Promise<void> | undefined {
    const prepared = this.#prepared.get(name)
    if (!prepared || this.#parsedInBatch.has(prepared) || !this.#unconfirmed.has(prepared)) return undefined
    return new Promise((resolve) => this.#waiting.push(resolve))
  }

  portal(name: string): Portal | undefined {
    return this.#portals.get(name)
  }

  /**
   * The command that its Parse opened, for the first that binds it: each further Bind plans anew. Not where its names have
   * come to stand for something else since: `analysis` is what it comes to now.
   */
  takeOpened(prepared: Prepared, analysis: Analysis | undefined): Running | undefined {
    const run = this.#opened.get(prepared)
    this.#opened.delete(prepared)
    return run?.done || run?.command.analysis !== analysis ? undefined : run
  }

  /** The same without taking it: it may be described meanwhile. */
  peekOpened(prepared: Prepared | undefined): Running | undefined {
    const run = prepared && this.#opened.get(prepared)
    return run?.done ? undefined : run
  }

  opened(run: Running, prepared?: Prepared): void {
    this.#ofBatch.add(run)
    if (prepared) this.#opened.set(prepared, run)
  }

  /** The command that its Bind opened, for the first Execute in the same batch: at Sync it ends as only prepared. */
  openedFor(portal: Portal | undefined): Running | undefined {
    const run = portal?.run
    return run && this.#ofBatch.has(run) && !run.executed && !run.done ? run : undefined
  }

  /** At Sync: the commands that were only prepared. */
  closeBatch(): readonly Running[] {
    this.#parsedInBatch.clear()
    this.#opened.clear()
    if (this.#ofBatch.size === 0) return []
    const left = [...this.#ofBatch].filter((run) => !run.executed && !run.done)
    this.#ofBatch.clear()
    return left
  }

  prepare(prepared: Prepared): void {
    this.#put(prepared)
    this.#parsedInBatch.add(prepared)
    this.#unconfirmed.add(prepared)
  }

  /** PREPARE by SQL: done, and so confirmed. Where there is no room the name stays unknown. */
  preparedBySql(prepared: Prepared): void {
    if (!isAscii(prepared.name) || !this.hasRoomFor(prepared)) return
    this.#put(prepared)
    this.#confirmed.set(prepared.name, prepared)
  }

  bind(name: string, portal: Portal): void {
    if (isAscii(name)) this.#portals.set(name, portal)
  }

  forget(name: string): void {
    const gone = this.#prepared.get(name)
    if (!gone) return
    this.#prepared.delete(name)
    this.#preparedBytes -= bytesOf(gone.analyses)
  }

  /** A cursor may take over the name of any of them. */
  forgetPortals(): void {
    this.#portals.clear()
  }

  /** The server has said that it did what this entry asked for. */
  confirm(entry: Expected): void {
    if (entry.kind === 'parse') {
      if (isAscii(entry.prepared.name)) this.#confirmed.set(entry.prepared.name, entry.prepared)
      this.#unconfirmed.delete(entry.prepared)
      this.#wake()
    } else if (entry.kind === 'close' && entry.statement !== undefined)
      this.#confirmed.delete(entry.statement)
  }

  /**
   * DEALLOCATE or DISCARD by SQL: a name that is forgotten is unknown from then on, never another statement's. Called
   * when it is forwarded, and again when the server has done it: a Parse before it may be confirmed in between.
   */
  deallocate(name: string | undefined, isDone: boolean): void {
    const names = name === undefined ? [...this.#prepared.keys()] : [name]
    for (const one of names) {
      // Once it is done, what was parsed under the name since stays.
      if (!isDone || this.#prepared.get(one) === this.#confirmed.get(one)) this.forget(one)
    }
    if (isDone && name === undefined) this.#confirmed.clear()
    else if (isDone && name !== undefined) this.#confirmed.delete(name)
  }

  /** After an error. `noteAgain`: what is still on its way may change names by SQL. */
  rebuild(ledger: Ledger, noteAgain: (command: Command) => void): void {
    this.#prepared = new Map()
    this.#preparedBytes = 0
    for (const prepared of this.#confirmed.values()) this.#put(prepared)
    this.#unconfirmed.clear()
    this.endTransaction(ledger)
    for (const entry of ledger.pending()) {
      if (entry.kind === 'parse') {
        this.#put(entry.prepared)
        this.#unconfirmed.add(entry.prepared)
      } else if (entry.kind === 'close' && entry.statement !== undefined) this.forget(entry.statement)
      else if (entry.kind === 'query' || entry.kind === 'execute')
        for (const run of entry.runs) if (!run.done) noteAgain(run.command)
    }
    this.#wake()
  }

  /** Portals do not outlive their transaction; those still on their way belong to the next. */
  endTransaction(ledger: Ledger): void {
    if (this.#portals.size === 0) return
    this.#portals = new Map()
    for (const entry of ledger.pending()) {
      if (entry.kind === 'bind')
        this.bind(entry.portal, { prepared: entry.prepared, run: entry.runs[0], sight: entry.sight })
    }
  }

  #put(prepared: Prepared): void {
    if (!isAscii(prepared.name)) return
    this.forget(prepared.name)
    this.#prepared.set(prepared.name, prepared)
    this.#preparedBytes += bytesOf(prepared.analyses)
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

function bytesOf(analyses: Prepared['analyses']): number {
  return analyses.reduce((sum, analysis) => sum + analysisBytes(analysis), 0)
}

/** Of a name as `nameOf` reads it, a character a byte. */
export function isAscii(name: string): boolean {
  for (let at = 0; at < name.length; at++) if (name.charCodeAt(at) >= 0x80) return false
  return true
}
