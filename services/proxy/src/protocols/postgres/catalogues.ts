/**
 * The catalogues of the targets that sessions of this worker are on, one for each target, database and role. Read when the
 * first session comes, again when one gets old or a session has defined something, and never while a session waits: until
 * there is one the text alone decides. From the moment on that a session may define something until that has been read,
 * what is known only adds to what the text says.
 *
 * It refuses to read one target more often than a tenth of the time, whatever its sessions define.
 */
import type { Clock, Started, TargetAccess } from '@portcullis/kernel'
import type { Catalogue, SqlAnalyzer } from '@portcullis/sql'
import { type Loaded, loadCatalogue } from './catalogue-load.ts'

export interface Catalogues {
  /** A session's place; undefined where the target's catalogue is not to be read. */
  join(access: TargetAccess): CatalogueSeat | undefined
}

export interface Known {
  readonly catalogue: Catalogue
  /** Where a session that sets nothing looks for names. */
  readonly path: readonly string[]
}

export interface CatalogueSeat {
  readonly known: Known | undefined
  /** Something may have been defined that `known` does not have. */
  readonly outdated: boolean
  /** A statement is forwarded that may define something. */
  defines(): void
  /** No transaction of this session is open: what it has defined can be seen from outside. */
  settled(): void
  leave(): void
}

export interface CataloguesDeps {
  readonly analyzer: Pick<SqlAnalyzer, 'catalogue'>
  readonly clock: Clock
  readonly log: { warn(fields: object, message: string): void }
  readonly load?: typeof loadCatalogue
}

/** Catalogues of targets that nobody is on any more are kept while there are no more than these. */
const entriesMax = 32
const loadMsMax = 20_000
const firstRetryMs = 1000

export function createCatalogues(deps: CataloguesDeps): Started<Catalogues> {
  const entries = new Map<string, Entry>()
  return {
    value: {
      join(access) {
        if (access.catalogueRefreshMs === undefined) return undefined
        // A new set of hosts may be another database altogether.
        const key = JSON.stringify([access.name, access.hosts, access.database, access.credentials.user])
        const entry = entries.get(key) ?? new Entry(deps)
        // The one that was joined last stands last.
        entries.delete(key)
        entries.set(key, entry)
        for (const [other, { sessions }] of entries)
          if (entries.size > entriesMax && sessions === 0) entries.delete(other)
        return entry.join(access, access.catalogueRefreshMs)
      },
    },
    async stop() {
      await Promise.all([...entries.values()].map((entry) => entry.stop()))
    },
  }
}

class Entry {
  sessions = 0
  known: Known | undefined
  readonly #deps: CataloguesDeps
  /** Counts what was defined; `#read` is what it was when the last reading began. */
  #defined = 0
  #read = 0
  /** Sessions that may have defined something in a transaction that is still open. */
  #defining = 0
  /** The credentials of the session that came last: secrets are read anew for each. */
  #access: TargetAccess | undefined
  #refreshMs = 0
  #timer: NodeJS.Timeout | undefined
  #loading: Promise<void> | undefined
  #restMs = firstRetryMs
  #endedMs = Number.NEGATIVE_INFINITY
  readonly #stop = new AbortController()

  constructor(deps: CataloguesDeps) {
    this.#deps = deps
  }

  get outdated(): boolean {
    return this.#defining > 0 || this.#read < this.#defined
  }

  join(access: TargetAccess, refreshMs: number): CatalogueSeat {
    this.#access = access
    this.#refreshMs = refreshMs
    // Nobody was there to keep it young.
    if (this.sessions === 0 && this.#deps.clock.monotonicMs() - this.#endedMs > refreshMs) this.#defined++
    this.sessions++
    this.#schedule()
    const entry = this
    let isDefining = false
    const seat: CatalogueSeat = {
      get known() {
        return entry.known
      },
      get outdated() {
        return entry.outdated
      },
      defines() {
        if (!isDefining) entry.#defining++
        isDefining = true
      },
      settled() {
        if (!isDefining) return
        isDefining = false
        entry.#defining--
        entry.#defined++
        entry.#schedule()
      },
      leave() {
        seat.settled()
        entry.sessions--
        if (entry.sessions === 0) clearTimeout(entry.#timer)
      },
    }
    return seat
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#timer)
    await this.#loading
  }

  /** When it may be read next: at once where it never was, soon where something was defined, else when it is old. */
  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.sessions === 0 || this.#loading || this.#stop.signal.aborted) return
    const isWanted = this.known === undefined || this.#read < this.#defined
    const sinceMs = this.#deps.clock.monotonicMs() - this.#endedMs
    const waitMs = (isWanted ? this.#restMs : Math.max(this.#refreshMs, this.#restMs)) - sinceMs
    this.#timer = setTimeout(
      () => {
        this.#loading = this.#load().finally(() => {
          this.#loading = undefined
          this.#schedule()
        })
      },
      Math.max(waitMs, 0),
    ).unref()
  }

  async #load(): Promise<void> {
    const { analyzer, clock, log, load = loadCatalogue } = this.#deps
    const access = this.#access as TargetAccess
    const beganMs = clock.monotonicMs()
    const defined = this.#defined
    try {
      const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(loadMsMax)])
      const { data, path }: Loaded = await load(access, signal)
      const catalogue = analyzer.catalogue(data, this.known?.catalogue)
      await catalogue.warm()
      this.known = { catalogue, path }
      this.#read = defined
      this.#restMs = Math.max(10 * (clock.monotonicMs() - beganMs), 200)
    } catch (error) {
      if (!this.#stop.signal.aborted)
        log.warn({ err: error, target: access.name, database: access.database }, 'catalogue not read')
      this.#restMs = Math.min(Math.max(2 * this.#restMs, firstRetryMs), this.#refreshMs)
    }
    this.#endedMs = clock.monotonicMs()
  }
}
