/**
 * Which text a prepared statement's or portal's name stands for. The client's view runs ahead of the server's: a Parse
 * may fail (the name may be taken by another text), so names count as confirmed only when the server says so, and after
 * an error the view is made anew from what is confirmed and what is still on its way.
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
  /** Commands opened in this batch by Parse or Bind and not yet executed. */
  readonly #opened = new Map<Prepared, Running>()

  prepared(name: string): Prepared | undefined {
    return this.#prepared.get(name)
  }

  portal(name: string): Portal | undefined {
    return this.#portals.get(name)
  }

  opened(prepared: Prepared): Running | undefined {
    const run = this.#opened.get(prepared)
    return run?.done || run?.executed ? undefined : run
  }

  open(prepared: Prepared, run: Running): void {
    this.#opened.set(prepared, run)
  }

  /** At Sync: the commands that were only prepared. */
  closeBatch(): readonly Running[] {
    if (this.#opened.size === 0) return []
    const left = [...this.#opened.values()].filter((run) => !run.executed && !run.done)
    this.#opened.clear()
    return left
  }

  prepare(prepared: Prepared): void {
    this.#prepared.set(prepared.name, prepared)
  }

  bind(name: string, portal: Portal): void {
    this.#portals.set(name, portal)
  }

  forget(name: string): void {
    this.#prepared.delete(name)
  }

  /** The server has said that it did what this entry asked for. */
  confirm(entry: Expected): void {
    if (entry.kind === 'parse') this.#confirmed.set(entry.prepared.name, entry.prepared)
    else if (entry.kind === 'close' && entry.statement !== undefined) this.#confirmed.delete(entry.statement)
  }

  /** DEALLOCATE or DISCARD by SQL: a name that is forgotten is unknown from then on, never another statement's. */
  deallocate(name: string | undefined): void {
    for (const map of [this.#confirmed, this.#prepared]) {
      if (name === undefined) map.clear()
      else map.delete(name)
    }
  }

  /** After an error. */
  rebuild(ledger: Ledger): void {
    this.#prepared = new Map(this.#confirmed)
    this.endTransaction(ledger)
    for (const entry of ledger.pending()) {
      if (entry.kind === 'parse') this.#prepared.set(entry.prepared.name, entry.prepared)
      else if (entry.kind === 'close' && entry.statement !== undefined) this.#prepared.delete(entry.statement)
    }
  }

  /** Portals do not outlive their transaction; those still on their way belong to the next. */
  endTransaction(ledger: Ledger): void {
    if (this.#portals.size === 0) return
    this.#portals = new Map()
    for (const entry of ledger.pending()) {
      if (entry.kind === 'bind')
        this.#portals.set(entry.portal, { prepared: entry.prepared, run: entry.runs[0] })
    }
  }
}
