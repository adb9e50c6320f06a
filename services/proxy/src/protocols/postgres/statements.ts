/**
 * Which text a prepared statement's or portal's name stands for. The client's view runs ahead of the server's: a Parse
 * may fail (the name may be taken by another text), so names count as confirmed only when the server says so, and after
 * an error the view is made anew from what is confirmed and what is still on its way. What a later batch binds must be
 * confirmed first (`settled`). It refuses to know names beyond ASCII: they are other bytes in another client encoding.
 */
import type { Expected, Ledger, Prepared, Running } from './ledger.ts'

export interface Portal {
  readonly prepared: Prepared | undefined
  /** The command that was opened for it, until it is executed. */
  readonly run: Running | undefined
}

export class Statements {
  #confirmed = new Map<string, Prepared>()
  #prepared = new Map<string, Prepared>()
  #portals = new Map<string, Portal>()
  /** Commands opened in this batch by Parse and not yet bound. */
  readonly #opened = new Map<Prepared, Running>()
  /** All commands opened in this batch by Parse or Bind. */
  #ofBatch: Running[] = []
  /** Parsed in this batch: should that fail, the server skips what names it. */
  readonly #parsedInBatch = new Set<Prepared>()
  /** Forwarded and not answered. */
  readonly #unconfirmed = new Set<Prepared>()
  #waiting: (() => void)[] = []

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

  /** The command that its Parse opened, for the first that binds it: each further Bind plans anew. */
  takeOpened(prepared: Prepared): Running | undefined {
    const run = this.#opened.get(prepared)
    this.#opened.delete(prepared)
    return run?.done ? undefined : run
  }

  opened(run: Running, prepared?: Prepared): void {
    this.#ofBatch.push(run)
    if (prepared) this.#opened.set(prepared, run)
  }

  /** At Sync: the commands that were only prepared. */
  closeBatch(): readonly Running[] {
    this.#parsedInBatch.clear()
    this.#opened.clear()
    if (this.#ofBatch.length === 0) return []
    const left = this.#ofBatch.filter((run) => !run.executed && !run.done)
    this.#ofBatch = []
    return left
  }

  prepare(prepared: Prepared): void {
    this.#set(this.#prepared, prepared)
    this.#parsedInBatch.add(prepared)
    this.#unconfirmed.add(prepared)
  }

  bind(name: string, portal: Portal): void {
    if (isAscii(name)) this.#portals.set(name, portal)
  }

  forget(name: string): void {
    this.#prepared.delete(name)
  }

  /** A cursor may take over the name of any of them. */
  forgetPortals(): void {
    this.#portals.clear()
  }

  /** The server has said that it did what this entry asked for. */
  confirm(entry: Expected): void {
    if (entry.kind === 'parse') {
      this.#set(this.#confirmed, entry.prepared)
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
    const map = isDone ? this.#confirmed : this.#prepared
    if (name === undefined) map.clear()
    else map.delete(name)
  }

  /** After an error. */
  rebuild(ledger: Ledger): void {
    this.#prepared = new Map(this.#confirmed)
    this.#unconfirmed.clear()
    this.endTransaction(ledger)
    for (const entry of ledger.pending()) {
      if (entry.kind === 'parse') {
        this.#set(this.#prepared, entry.prepared)
        this.#unconfirmed.add(entry.prepared)
      } else if (entry.kind === 'close' && entry.statement !== undefined)
        this.#prepared.delete(entry.statement)
    }
    this.#wake()
  }

  /** Portals do not outlive their transaction; those still on their way belong to the next. */
  endTransaction(ledger: Ledger): void {
    if (this.#portals.size === 0) return
    this.#portals = new Map()
    for (const entry of ledger.pending()) {
      if (entry.kind === 'bind') this.bind(entry.portal, { prepared: entry.prepared, run: entry.runs[0] })
    }
  }

  #set(map: Map<string, Prepared>, prepared: Prepared): void {
    if (isAscii(prepared.name)) map.set(prepared.name, prepared)
  }

  #wake(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const resolve of waiting) resolve()
  }
}

/** Of a name as `nameOf` reads it, a character a byte. */
function isAscii(name: string): boolean {
  for (let at = 0; at < name.length; at++) if (name.charCodeAt(at) >= 0x80) return false
  return true
}
