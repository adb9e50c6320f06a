/**
 * The catalogues of the targets that sessions of this worker are on, one for each target, database and role. Read when the
 * first session comes, again when one gets old or a session has defined something, here or in another worker. Only who
 * would be shown less without it waits for it, and not for long: until there is one the text alone decides. From the moment
 * on that a session may define something until that has been read, what is known only adds to what the text says.
 *
 * It refuses to read one target more often than a tenth of the time, whatever its sessions define.
 */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock, Started, TargetAccess } from '@portcullis/kernel'
import type { Catalogue, ChangedTables, SqlAnalyzer } from '@portcullis/sql'
import type { Defined } from '../../defined.ts'
import { type Loaded, loadCatalogue } from './catalogue-load.ts'

export interface Catalogues {
  /** A session's place; undefined where the target's catalogue is not to be read. */
  join(access: TargetAccess): CatalogueSeat | undefined
  /** A session of another worker defines something. */
  heard(defined: Defined): void
  /** Other workers may have had something to tell, or may not have heard what was told: all is read soon. */
  missed(): void
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
  /** Ends when what is read now is there, or has taken long; undefined: it would not tell more of these tables. */
  coming(tables: () => readonly string[]): Promise<void> | undefined
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
  /** Tells the other workers. Where none is given there are none. */
  tell?(defined: Defined): void
}

/** Catalogues of targets that nobody is on any more are kept while there are no more than these. */
const entriesMax = 32
const loadMsMax = 20_000
/** From when a reading begins: of one that takes longer nobody waits for the rest. */
const waitMsMax = 2000
const firstRetryMs = 1000
/** How often others are told of what has no names: calls of functions that nobody vouches for come by the thousand. */
const tellEveryMs = 10

export function createCatalogues(deps: CataloguesDeps): Started<Catalogues> {
  const entries = new Map<string, Entry>()

  function hear(defined: Defined, from?: Entry): void {
    const places = new Set(defined.places)
    for (const entry of entries.values())
      if (entry !== from && entry.places.some((place) => places.has(place))) entry.heard(defined)
  }

  return {
    value: {
      heard: (defined) => hear(defined),
      missed() {
        for (const entry of entries.values()) entry.missed()
      },
      join(access) {
        if (access.catalogueRefreshMs === undefined) return undefined
        // A new set of hosts may be another database altogether.
        const key = JSON.stringify([access.name, access.hosts, access.database, access.credentials.user])
        const entry = entries.get(key) ?? new Entry(deps, access, hear)
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

/** Of more than these nobody keeps the names. */
const changesMax = 1000

class Changes {
  isAll = false
  readonly names = new Set<string>()

  get told(): ChangedTables {
    return this.isAll ? 'all' : Array.from(this.names)
  }

  add(changed: ChangedTables): this {
    if (changed === 'all' || this.names.size > changesMax) this.isAll = true
    else for (const name of changed) this.names.add(name)
    return this
  }
}

/** What is read now: it will have what was defined before. */
interface Coming {
  readonly defined: number
  readonly over: Promise<void>
}

class Entry {
  readonly places: readonly string[]
  sessions = 0
  known: Known | undefined
  readonly #deps: CataloguesDeps
  /** Other roles and names of the same database in this worker. */
  readonly #tellHere: (defined: Defined, from: Entry) => void
  /** Counts what was defined; `#read` is what it was when the last reading began. */
  #defined = 0
  #read = 0
  /** Of sessions that may have defined something in a transaction that is still open. */
  readonly #defining = new Map<string, Changes>()
  /** The same of sessions that have no seat here. */
  readonly #elsewhere = new Map<string, Changes>()
  /** What was defined since the last reading, with `#defined` after it. */
  #since: { readonly defined: number; readonly changes: Changes }[] = []
  /** The credentials of the session that came last: secrets are read anew for each. */
  #access: TargetAccess | undefined
  #refreshMs = 0
  #timer: NodeJS.Timeout | undefined
  #loading: Promise<void> | undefined
  /** Absent where nothing is read, where that has taken long, and where it has failed before. */
  #coming: Coming | undefined
  #restMs = firstRetryMs
  #hasFailed = false
  /** Others may have defined something that was not told. */
  #isSuspect = false
  #resting: NodeJS.Timeout | undefined
  #untold: Defined | undefined
  #endedMs = Number.NEGATIVE_INFINITY
  readonly #stop = new AbortController()

  constructor(
    deps: CataloguesDeps,
    { hosts, database }: TargetAccess,
    tellHere: (defined: Defined, from: Entry) => void,
  ) {
    this.#deps = deps
    this.#tellHere = tellHere
    this.places = hosts.map(({ host, port }) => `${host}:${port}/${database}`)
  }

  get outdated(): boolean {
    return this.#defining.size > 0 || this.#elsewhere.size > 0 || this.#read < this.#defined
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
    const by = randomUUID()
    const seat: CatalogueSeat = {
      get known() {
        return entry.known
      },
      get outdated() {
        return entry.outdated
      },
      isRedefined: (tables) => entry.#isRedefined(by, [...tables]),
      coming: (tables) => entry.#coming && entry.#comingFor(by, tables(), entry.#coming),
      defines(changed) {
        const changes = entry.#defining.get(by) ?? new Changes()
        entry.#defining.set(by, changes.add(changed))
        // What has no names counts for others from its end on.
        if (changed !== 'all' && changed.length > 0) entry.#tell(by, changed, true)
      },
      settled() {
        const changes = entry.#defining.get(by)
        if (changes === undefined) return
        entry.#defining.delete(by)
        entry.#changed(changes)
        entry.#tell(by, changes.told, false, changes.names.size === 0)
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

  heard({ by, changed, isOpen }: Defined): void {
    const changes = (this.#elsewhere.get(by) ?? new Changes()).add(changed)
    this.#elsewhere.set(by, changes)
    if (!isOpen) this.#over(by, changes)
    this.#schedule()
  }

  missed(): void {
    // Whoever lives says so again.
    for (const [by, changes] of this.#elsewhere) this.#over(by, changes)
    for (const [by, { names }] of this.#defining) if (names.size > 0) this.#tell(by, Array.from(names), true)
    this.#isSuspect = true
    this.#schedule()
  }

  #over(by: string, changes: Changes): void {
    this.#elsewhere.delete(by)
    this.#changed(changes)
  }

  #tell(by: string, changed: ChangedTables, isOpen: boolean, isNameless = false): void {
    const defined: Defined = { kind: 'defined', by, places: this.places, changed, isOpen }
    this.#tellHere(defined, this)
    if (changed === 'all' && isNameless) this.#tellSeldom(defined)
    else this.#deps.tell?.(defined)
  }

  /** One stands for all that are to be told in the same time. */
  #tellSeldom(defined: Defined): void {
    if (this.#resting) {
      this.#untold = defined
      return
    }
    this.#deps.tell?.(defined)
    this.#resting = setTimeout(() => {
      const untold = this.#untold
      this.#resting = undefined
      this.#untold = undefined
      if (untold) this.#tellSeldom(untold)
    }, tellEveryMs).unref()
  }

  #changed(changes: Changes): void {
    this.#defined++
    this.#since.push({ defined: this.#defined, changes })
    if (this.#since.length > changesMax)
      this.#since = [{ defined: this.#defined, changes: new Changes().add('all') }]
  }

  #comingFor(by: string, tables: readonly string[], { defined, over }: Coming): Promise<void> | undefined {
    const isLost = this.known === undefined || this.#isRedefined(by, tables)
    return isLost && !this.#isRedefined(by, tables, defined) ? over : undefined
  }

  #isRedefined(by: string, tables: readonly string[], after = 0): boolean {
    const isOf = ({ isAll, names }: Changes) => isAll || tables.some((table) => names.has(table))
    if (this.#since.some(({ defined, changes }) => defined > after && isOf(changes))) return true
    for (const open of [this.#defining, this.#elsewhere])
      for (const [other, changes] of open)
        if (other === by ? isOf(changes) : tables.some((table) => changes.names.has(table))) return true
    return false
  }

  /** When it may be read next: at once where it never was, soon where something was defined, else when it is old. */
  #schedule(): void {
    clearTimeout(this.#timer)
    if (this.sessions === 0 || this.#loading || this.#stop.signal.aborted) return
    const isWanted = this.known === undefined || this.#isSuspect || this.#read < this.#defined
    const sinceMs = this.#deps.clock.monotonicMs() - this.#endedMs
    const waitMs = (isWanted ? this.#restMs : Math.max(this.#refreshMs, this.#restMs)) - sinceMs
    if (waitMs <= 0) this.#begin()
    else this.#timer = setTimeout(() => this.#begin(), waitMs).unref()
  }

  #begin(): void {
    const defined = this.#defined
    const loading = this.#load(defined).finally(() => {
      this.#loading = undefined
      this.#coming = undefined
      this.#schedule()
    })
    this.#loading = loading
    const long = sleep(waitMsMax, undefined, { ref: false }).then(() => {
      if (this.#loading === loading) this.#coming = undefined
    })
    if (!this.#hasFailed) this.#coming = { defined, over: Promise.race([loading, long]) }
  }

  async #load(defined: number): Promise<void> {
    const { analyzer, clock, log, load = loadCatalogue } = this.#deps
    const access = this.#access as TargetAccess
    const beganMs = clock.monotonicMs()
    const wasSuspect = this.#isSuspect
    this.#isSuspect = false
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
      this.#isSuspect ||= wasSuspect
      if (!this.#stop.signal.aborted)
        log.warn({ err: error, target: access.name, database: access.database }, 'catalogue not read')
      this.#restMs = Math.min(Math.max(2 * this.#restMs, firstRetryMs), this.#refreshMs)
    }
    this.#endedMs = clock.monotonicMs()
  }
}
