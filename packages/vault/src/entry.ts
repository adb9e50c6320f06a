/**
 * What the vault keeps of one secret of a source: the copy in force, and older ones that were lent and are still in use.
 *
 *   read ── fresh for cacheMs ──┬─ read anew in the background before that, while it is used
 *                               └─ the source is away: the last good copy serves for staleMs more, then an error
 *   lent ── renewed at 2/3 of its life ──┬─ for at least half of that life: goes on
 *                                        └─ else another is taken for whoever comes next; this one is kept for those
 *                                           who hold it, and given back when the last lets go
 *
 * Refuses to keep what the source has taken back: "there is none" and "you may not" end a copy at once.
 */
import type { Clock } from '@portcullis/kernel'
import { VaultError } from './errors.ts'
import type { Reference } from './reference.ts'
import type { Document, Lease, Source } from './source.ts'

export interface EntryDeps {
  readonly source: Source
  readonly reference: Reference
  readonly clock: Clock
  readonly cacheMs: number
  readonly staleMs: number
  readonly log: VaultLog
}

export interface VaultLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
}

export interface Copy {
  readonly document: Document
  readonly readMs: number
  /** Infinite where nothing is lent. */
  endsMs: number
  holders: number
  /** Given back, or about to be. */
  isOver: boolean
  timer: NodeJS.Timeout | undefined
}

const retryMsMin = 500
const retryMsMax = 15_000
/** A copy that nobody asked for in so many lives is not kept fresh any longer. */
const idleLives = 10
/** What targets refuse has the source asked no more often than this. */
const forcedMs = { read: 1000, lent: 10_000 }
/** A lease is not asked for more often. */
const keepMsMin = 1000
const waitMsMax = 2_147_483_647

export class Entry {
  readonly #deps: EntryDeps
  #current: Copy | undefined
  /** Every lease that is not given back. */
  readonly #lent = new Set<Copy>()
  #reading: Promise<Copy> | undefined
  #failure: VaultError | undefined
  #failures = 0
  #retryAtMs = 0
  #usedMs = 0
  #timer: NodeJS.Timeout | undefined
  #isStopped = false

  constructor(deps: EntryDeps) {
    this.#deps = deps
  }

  /** The copy that serves now, without a word to the source. */
  get serving(): Copy | undefined {
    const copy = this.#current
    return copy && (this.#isFresh(copy) || (this.#isAway && this.#mayServe(copy))) ? copy : undefined
  }

  /** Rejects with VaultError. */
  async get(): Promise<Copy> {
    if (this.#isStopped)
      throw new VaultError('unavailable', `${nameOf(this.#deps.reference)}: the gate is stopping`)
    this.#usedMs = this.#deps.clock.monotonicMs()
    const serving = this.serving
    if (serving) {
      // A source that is away is asked again behind the back of whoever can be served.
      if (!this.#isFresh(serving)) void this.#readLater()
      return serving
    }
    if (this.#failure && this.#usedMs < this.#retryAtMs) throw this.#failure
    try {
      return await this.#read()
    } catch (error) {
      const last = this.serving
      if (last) return last
      throw error
    }
  }

  /** As `get`, and keeps what is lent until `release`. */
  async hold(): Promise<Copy> {
    for (;;) {
      const copy = await this.get()
      if (copy.isOver) continue
      copy.holders++
      return copy
    }
  }

  release(copy: Copy): void {
    copy.holders--
    if (copy.holders === 0 && copy !== this.#current) this.#giveBack(copy)
  }

  /** A target refused what `copy` holds: another copy than that, where there is one. Rejects with VaultError. */
  async other(copy: Copy): Promise<Copy | undefined> {
    const current = this.#current
    if (current && current !== copy) return current
    const restMs = copy.document.lease ? forcedMs.lent : forcedMs.read
    const nowMs = this.#deps.clock.monotonicMs()
    if (this.#isStopped || nowMs - copy.readMs < restMs || nowMs < this.#retryAtMs) return undefined
    return this.#read()
  }

  /** Gives back all that is lent. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopped = true
    clearTimeout(this.#timer)
    await Promise.all([...this.#lent].map((copy) => this.#giveBack(copy)))
  }

  get #isAway(): boolean {
    return this.#failure !== undefined && !isFinal(this.#failure)
  }

  #isFresh(copy: Copy): boolean {
    const nowMs = this.#deps.clock.monotonicMs()
    return copy.document.lease ? nowMs < copy.endsMs : nowMs - copy.readMs < this.#deps.cacheMs
  }

  #mayServe(copy: Copy): boolean {
    const { clock, cacheMs, staleMs } = this.#deps
    return !copy.document.lease && clock.monotonicMs() - copy.readMs < cacheMs + staleMs
  }

  #read(): Promise<Copy> {
    this.#reading ??= this.#readOnce().finally(() => {
      this.#reading = undefined
    })
    return this.#reading
  }

  async #readLater(): Promise<void> {
    if (this.#isStopped || this.#deps.clock.monotonicMs() < this.#retryAtMs) return
    await this.#read().catch(() => undefined)
  }

  async #readOnce(): Promise<Copy> {
    const { source, reference, clock, log } = this.#deps
    try {
      const document = await source.read(reference)
      if (this.#failure) log.info({ secret: nameOf(reference) }, 'the secret can be read again')
      this.#failure = undefined
      this.#failures = 0
      this.#retryAtMs = 0
      return this.#put(document)
    } catch (error) {
      const failure = this.#explained(asVaultError(error))
      this.#failed(failure)
      throw failure
    } finally {
      if (!this.#current?.document.lease) this.#schedule(clock.monotonicMs())
    }
  }

  #put(document: Document): Copy {
    const { lease } = document
    const readMs = this.#deps.clock.monotonicMs()
    const copy: Copy = {
      document,
      readMs,
      endsMs: lease ? readMs + lease.durationMs : Number.POSITIVE_INFINITY,
      holders: 0,
      isOver: false,
      timer: undefined,
    }
    const before = this.#current
    this.#current = copy
    if (before) this.#supersede(before)
    if (lease) {
      this.#lent.add(copy)
      this.#keepLater(copy, lease)
      if (this.#isStopped) void this.#giveBack(copy)
    }
    return copy
  }

  #failed(failure: VaultError): void {
    const { clock, log, reference } = this.#deps
    const isNews = this.#failure?.code !== failure.code
    this.#failure = failure
    this.#retryAtMs =
      clock.monotonicMs() + Math.min(retryMsMin * 2 ** Math.min(this.#failures++, 10), retryMsMax)
    const withdrawn = this.#current
    if (isFinal(failure) && withdrawn && !withdrawn.document.lease) this.#current = undefined
    if (isNews)
      log.warn(
        { secret: nameOf(reference), why: failure.message, serves: this.serving !== undefined },
        failedWords,
      )
  }

  /** When a copy without a lease is read anew: before it gets old, and as long as it is used. */
  #schedule(nowMs: number): void {
    clearTimeout(this.#timer)
    const { cacheMs, staleMs } = this.#deps
    const copy = this.#current
    if (this.#isStopped || !copy || nowMs - this.#usedMs > Math.max(idleLives * cacheMs, staleMs)) return
    const dueMs = this.#failure ? this.#retryAtMs : copy.readMs + cacheMs * 0.8
    this.#timer = setTimeout(
      () => void this.#readLater(),
      Math.min(Math.max(dueMs - nowMs, 1), waitMsMax),
    ).unref()
  }

  #supersede(copy: Copy): void {
    if (copy.document.lease && copy.holders === 0) void this.#giveBack(copy)
  }

  /** At 2/3 of the time that is left, and at last when there is none. */
  #keepLater(copy: Copy, lease: Lease): void {
    clearTimeout(copy.timer)
    if (copy.isOver || this.#isStopped) return
    const leftMs = copy.endsMs - this.#deps.clock.monotonicMs()
    const waitMs = Math.max((leftMs * 2) / 3, Math.min(leftMs, keepMsMin), 1)
    copy.timer = setTimeout(() => void this.#keep(copy, lease), Math.min(waitMs, waitMsMax)).unref()
  }

  /** Renews one lease. Never rejects. */
  async #keep(copy: Copy, lease: Lease): Promise<void> {
    const { source, clock } = this.#deps
    const isIdle = copy.holders === 0 && clock.monotonicMs() - this.#usedMs > lease.durationMs
    if (isIdle) {
      if (this.#current === copy) this.#current = undefined
      return void this.#giveBack(copy)
    }
    if (clock.monotonicMs() >= copy.endsMs) return this.#lost(copy)
    try {
      const leftMs = lease.renewable && source.renew ? await source.renew(lease) : 0
      if (leftMs > 0) copy.endsMs = clock.monotonicMs() + leftMs
      // What was lent to a login ends with it.
      if (leftMs < lease.durationMs / 2 || source.login?.() !== lease.login) await this.#replace(copy)
    } catch (error) {
      if (isFinal(asVaultError(error))) await this.#replace(copy)
    }
    this.#keepLater(copy, lease)
  }

  /** Takes another for whoever comes next. */
  async #replace(copy: Copy): Promise<void> {
    if (this.#current === copy && !this.#isStopped) await this.#read().catch(() => undefined)
  }

  #lost(copy: Copy): void {
    const { log, reference } = this.#deps
    if (this.#current === copy) this.#current = undefined
    this.#lent.delete(copy)
    copy.isOver = true
    if (copy.holders > 0)
      log.warn({ secret: nameOf(reference), sessions: copy.holders }, 'a lease ended under open sessions')
  }

  async #giveBack(copy: Copy): Promise<void> {
    const { source, log, reference } = this.#deps
    const { lease } = copy.document
    if (!lease || copy.isOver) return
    copy.isOver = true
    clearTimeout(copy.timer)
    this.#lent.delete(copy)
    try {
      await source.revoke?.(lease)
    } catch (error) {
      const why = asVaultError(error).message
      log.warn({ secret: nameOf(reference), why }, 'a lease could not be given back: it ends by itself')
    }
  }

  #kept(): string {
    const copy = this.#current
    const { clock, cacheMs, staleMs } = this.#deps
    if (!copy || copy.document.lease) return ''
    const leftSec = Math.round((copy.readMs + cacheMs + staleMs - clock.monotonicMs()) / 1000)
    return leftSec > 0
      ? `; the last good value serves for ${leftSec} s more (secrets.staleSec)`
      : '; the last good value is too old (secrets.staleSec)'
  }

  #explained(failure: VaultError): VaultError {
    const { reference } = this.#deps
    const about = failure.message.includes(nameOf(reference))
      ? failure.message
      : `${nameOf(reference)}: ${failure.message}`
    if (isFinal(failure)) return new VaultError(failure.code, about)
    return new VaultError(failure.code, `${about}${this.#kept()}`)
  }
}

const failedWords = 'a secret cannot be read'

function nameOf({ kind, path }: Reference): string {
  return `${kind}:${path}`
}

/** An answer, and not the want of one. */
function isFinal({ code }: VaultError): boolean {
  return code === 'not_found' || code === 'denied' || code === 'reference' || code === 'unsealable'
}

/** What comes from elsewhere may quote what it was about. */
function asVaultError(error: unknown): VaultError {
  return error instanceof VaultError
    ? error
    : new VaultError('malformed', 'the source failed in an unforeseen way')
}
