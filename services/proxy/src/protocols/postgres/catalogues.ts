/**
 * The catalogues of the targets that sessions of this worker are on, one for each target, database and role. Read when the
 * first session comes, again when one gets old or a session has defined something. Until there is one the text alone
 * decides; where rules mask, which without one means everything, a session that opens waits for it, and not for long. From the moment on that a session may define something until that has been read,
 * what is known only adds to what the text says.
 *
 * It refuses to read one target more often than a tenth of the time, whatever its sessions define.
 */
import type { Clock, Started, TargetAccess } from '@portcullis/kernel'
import type { Catalogue, ChangedTables, SqlAnalyzer } from '@portcullis/sql'
import { type Loaded, loadCatalogue } from './catalogue-load.ts'

export interface Catalogues {
  /** A session's place; undefined where the target's catalogue is not to be read. */
  join(access: TargetAccess): CatalogueSeat | undefined
  /**
   * Resolves once sessions of this target are judged by a catalogue, after `waitMsMax` at the latest, and at once where the
   * last reading failed. Never rejects.
   */
  known(access: TargetAccess): Promise<void>
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
  /**
   * Some of these tables may be others than `known` has: defined anew since, by anybody, or under way to be. What others
   * define in a transaction that nobody can say names of counts from its end on.
   */
  isRedefined(tables: Iterable<string>): boolean
  /** A statement is forwarded that may define something: these tables, and whatever else. */
  defines(changed: ChangedTables): void
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
const waitMsMax = 3000

export function createCatalogues(deps: CataloguesDeps): Started<Catalogues> {
  const entries = new Map<string, Entry>()

  function entryOf(access: TargetAccess): Entry {
    // A new set of hosts may be another database altogether.
    const key = JSON.stringify([access.name, access.hosts, access.database, access.credentials.user])
    const entry = entries.get(key) ?? new Entry(deps)
    // The one that was joined last stands last.
    entries.delete(key)
    entries.set(key, entry)
    for (const [other, { sessions }] of entries)
      if (entries.size > entriesMax && sessions === 0) entries.delete(other)
    return entry
  }

  return {
    value: {
      join(access) {
        if (access.catalogueRefreshMs === undefined) return undefined
        return entryOf(access).join(access, access.catalogueRefreshMs)
      },
      async known(access) {
        if (access.catalogueRefreshMs === undefined) return
        const entry = entryOf(access)
        const seat = entry.join(access, access.catalogueRefreshMs)
        await entry.usable()
        seat.leave()
      },
    },
    async stop() {
      await Promise.all([...entries.values()].map((entry) => entry.stop()))
    },
  }
}

/** Of more than these nobody keeps the names. */
const changesMax = 1000

class Changes {
  isAll = false
  readonly names = new Set<string>()

  add(changed: ChangedTables): this {
    if (changed === 'all' || this.names.size > changesMax) this.isAll = true
    else for (const name of changed) this.names.add(name)
    return this
  }
}

class Entry {
  sessions = 0
  known: Known | undefined
  readonly #deps: CataloguesDeps
  /** Counts what was defined; `#read` is what it was when the last reading began. */
  #defined = 0
  #read = 0
  /** Of sessions that may have defined something in a transaction that is still open. */
  readonly #defining = new Map<CatalogueSeat, Changes>()
  /** What was defined since the last reading, with `#defined` after it. */
  #since: { readonly defined: number; readonly changes: Changes }[] = []
  /** The credentials of the session that came last: secrets are read anew for each. */
  #access: TargetAccess | undefined
  #refreshMs = 0
  #timer: NodeJS.Timeout | undefined
  #loading: Promise<void> | undefined
  #restMs = firstRetryMs
  #endedMs = Number.NEGATIVE_INFINITY
  #hasFailed = false
  /** Told when a reading has ended. */
  readonly #waiting = new Set<() => void>()
  readonly #stop = new AbortController()

  constructor(deps: CataloguesDeps) {
    this.#deps = deps
  }

  get outdated(): boolean {
    return this.#defining.size > 0 || this.#read < this.#defined
  }

  join(access: TargetAccess, refreshMs: number): CatalogueSeat {
    this.#access = access
    this.#refreshMs = refreshMs
    // Nobody was there to keep it young.
    if (this.sessions === 0 && this.#deps.clock.monotonicMs() - this.#endedMs > refreshMs)
      this.#changed(new Changes().add('all'))
    this.sessions++
    this.#schedule()
    const entry = this
    const seat: CatalogueSeat = {
      get known() {
        return entry.known
      },
      get outdated() {
        return entry.outdated
      },
      isRedefined: (tables) => entry.#isRedefined(seat, [...tables]),
      defines(changed) {
        const changes = entry.#defining.get(seat) ?? new Changes()
        entry.#defining.set(seat, changes.add(changed))
      },
      settled() {
        const changes = entry.#defining.get(seat)
        if (changes === undefined) return
        entry.#defining.delete(seat)
        entry.#changed(changes)
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

  /** While somebody has a seat. */
  usable(): Promise<void> {
    const isOfUse = this.known !== undefined && !this.#since.some(({ changes }) => changes.isAll)
    if (isOfUse || this.#hasFailed || this.#stop.signal.aborted) return Promise.resolve()
    return new Promise((resolve) => {
      const done = () => {
        clearTimeout(late)
        this.#waiting.delete(done)
        resolve()
      }
      const late = setTimeout(done, waitMsMax)
      this.#waiting.add(done)
    })
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    clearTimeout(this.#timer)
    this.#tell()
    await this.#loading
  }

  #tell(): void {
    for (const done of this.#waiting) done()
  }

  #changed(changes: Changes): void {
    this.#defined++
    this.#since.push({ defined: this.#defined, changes })
    if (this.#since.length > changesMax)
      this.#since = [{ defined: this.#defined, changes: new Changes().add('all') }]
  }

  #isRedefined(seat: CatalogueSeat, tables: readonly string[]): boolean {
    const isOf = ({ isAll, names }: Changes) => isAll || tables.some((table) => names.has(table))
    if (this.#since.some(({ changes }) => isOf(changes))) return true
    for (const [by, changes] of this.#defining)
      if (by === seat ? isOf(changes) : tables.some((table) => changes.names.has(table))) return true
    return false
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
      this.#hasFailed = false
      this.#since = this.#since.filter((one) => one.defined > defined)
      this.#restMs = Math.max(10 * (clock.monotonicMs() - beganMs), 200)
    } catch (error) {
      this.#hasFailed = true
      if (!this.#stop.signal.aborted)
        log.warn({ err: error, target: access.name, database: access.database }, 'catalogue not read')
      this.#restMs = Math.min(Math.max(2 * this.#restMs, firstRetryMs), this.#refreshMs)
    }
    this.#endedMs = clock.monotonicMs()
    this.#tell()
  }
}
