/**
 * Budgets of a host: caps over a sliding window, commands a second, open sessions and throttles, held by all proxy
 * processes together. A process takes leases from the shared ledger and spends them without asking; what it does not
 * spend while the lease's time bucket lasts it gives back, and what it takes to its grave counts as spent. So a cap is
 * never exceeded by what is leased, and at most the outstanding leases go unused for one window.
 *
 * Times and errors: the window counts a lease when it is taken, to a 60th of the window (window.ts). A command that
 * holds a lease for longer than the window and spends it then is the one way past the cap; leases are at most an eighth
 * of what is left, or the smallest chunk. Where the ledger cannot be used (disk full), nothing is granted.
 */
import type { Budgets, Caps, Clock, SessionBudget, Started } from '@portcullis/kernel'
import { thisProcess } from '../recorder/life.ts'
import { type Ledger, openLedger, type WindowEntry } from './ledger.ts'
import { draw, fullBucket } from './tokens.ts'
import { bucketAt, bucketMs, bucketsPerWindow, charge, freesInMs, slide, total } from './window.ts'

export interface BudgetOptions {
  readonly dir: string
  /** The fraction of each stated cap that is this host's, above 0 and at most 1. A cap on sessions gives at least one. */
  readonly share: number
  readonly clock: Clock
  /** Called where the ledger failed and nothing was granted. */
  readonly onFailure?: (error: unknown) => void
}

type Kind = 'rows' | 'bytes'

/** What this process holds of one target and identity, for all its sessions. */
interface Held {
  readonly windowMs: number
  sessions: number
  readonly leases: Record<Kind, { bucket: number; amount: number }>
  readonly commands: { left: number; untilMs: number }
}

const chunkMin: Record<Kind, number> = { rows: 64, bytes: 64 << 10 }
/** Tokens are spent soon after they are taken, or they are lost. */
const tokensHeldMsMax = 250
const purgeEveryMs = 600_000
const waitOnFailureMs = 1000

export function createBudgets(options: BudgetOptions): Started<Budgets> {
  const { clock, share } = options
  if (!(share > 0 && share <= 1)) throw new RangeError(`share ${share}: must be above 0 and at most 1`)
  const ledger: Ledger = openLedger(options.dir, thisProcess())
  const held = new Map<string, Held>()
  const throttles = new Map<string, { left: number; untilMs: number }>()
  const purging = setInterval(() => tryOr(undefined, purge), purgeEveryMs).unref()
  tryOr(undefined, purge)

  return {
    value: { open },
    async stop() {
      clearInterval(purging)
      for (const [scope, own] of held) tryOr(undefined, () => giveBackAll(scope, own))
      ledger.close()
    },
  }

  function open(target: string, identityKey: string, caps: Caps): SessionBudget | undefined {
    const scope = `${target}\0${identityKey}`
    const { sessions } = caps
    const max = sessions === undefined ? undefined : Math.max(1, Math.floor(sessions * share))
    if (max !== undefined && !tryOr(false, () => ledger.openSession(scope, max))) return undefined
    const { windowMs } = caps
    // Windows of different length have different buckets; where a changed policy brings a new one, both are kept.
    const windowScope = `${scope}\0${windowMs}`
    const own = hold(windowScope, windowMs)
    own.sessions++
    let closed = false
    return {
      takeCommand() {
        const rate = caps.commandsPerSecond
        return rate === undefined ? 0 : take(`command\0${scope}`, own.commands, rate * share)
      },
      takeThrottled(verdictId, ratePerMinute) {
        const tokens = throttles.get(verdictId) ?? { left: 0, untilMs: 0 }
        throttles.set(verdictId, tokens)
        return take(`verdict\0${verdictId}`, tokens, (ratePerMinute * share) / 60)
      },
      leaseRows: (wanted) => lease('rows', caps.rowsPerWindow, wanted),
      leaseBytes: (wanted) => lease('bytes', caps.bytesPerWindow, wanted),
      returnRows: (unused) => giveBack('rows', caps.rowsPerWindow, unused),
      returnBytes: (unused) => giveBack('bytes', caps.bytesPerWindow, unused),
      windowFreesInMs() {
        const kinds = kindsOf(caps)
        return tryOr(waitOnFailureMs, () =>
          ledger.window(windowScope, (entry) => {
            slideBoth(entry, windowMs)
            const waits = kinds.map((kind) => freesInMs(entry[kind], nowMs(), windowMs))
            return waits.length > 0 ? Math.max(...waits) : 0
          }),
        )
      },
      close() {
        if (closed) return
        closed = true
        own.sessions--
        if (max !== undefined) tryOr(undefined, () => ledger.closeSession(scope))
        if (own.sessions > 0) return
        held.delete(windowScope)
        tryOr(undefined, () => giveBackAll(windowScope, own))
      },
    }

    function lease(kind: Kind, cap: number | undefined, wanted: number): number {
      if (cap === undefined) return Number.POSITIVE_INFINITY
      if (!(wanted > 0)) return 0
      const pool = own.leases[kind]
      const bucket = bucketAt(nowMs(), windowMs)
      if (pool.amount < wanted || pool.bucket !== bucket)
        tryOr(undefined, () => leaseMore(windowScope, kind, Math.floor(cap * share), own))
      if (pool.bucket !== bucket) return 0
      const granted = Math.min(wanted, pool.amount)
      pool.amount -= granted
      return granted
    }

    function giveBack(kind: Kind, cap: number | undefined, unused: number): void {
      if (cap === undefined || !(unused > 0) || closed) return
      const pool = own.leases[kind]
      // Into the pool of the bucket it is spent from next; what belongs to an older bucket stays spent till that leaves.
      if (pool.bucket === bucketAt(nowMs(), windowMs)) pool.amount += unused
    }
  }

  function leaseMore(windowScope: string, kind: Kind, cap: number, own: Held): void {
    const pool = own.leases[kind]
    ledger.window(windowScope, (entry) => {
      const bucket = slideBoth(entry, own.windowMs)
      if (pool.amount > 0) charge(entry[kind], pool.bucket, -pool.amount)
      const left = Math.max(0, cap - total(entry[kind]))
      const amount = Math.min(left, Math.max(chunkMin[kind], Math.floor(left / 8)))
      if (amount > 0) charge(entry[kind], bucket, amount)
      pool.bucket = bucket
      pool.amount = amount
    })
  }

  function slideBoth(entry: WindowEntry, windowMs: number): number {
    const bucket = bucketAt(nowMs(), windowMs)
    entry.rows = slide(entry.rows, bucket)
    entry.bytes = slide(entry.bytes, bucket)
    entry.overMs = (bucket + bucketsPerWindow + 2) * bucketMs(windowMs)
    return bucket
  }

  function giveBackAll(windowScope: string, own: Held): void {
    const kinds = (['rows', 'bytes'] as const).filter((kind) => own.leases[kind].amount > 0)
    if (kinds.length === 0) return
    ledger.window(windowScope, (entry) => {
      slideBoth(entry, own.windowMs)
      for (const kind of kinds) {
        charge(entry[kind], own.leases[kind].bucket, -own.leases[kind].amount)
        own.leases[kind].amount = 0
      }
    })
  }

  function take(key: string, tokens: { left: number; untilMs: number }, ratePerSecond: number): number {
    const now = nowMs()
    if (tokens.left > 0 && now < tokens.untilMs) {
      tokens.left--
      return 0
    }
    return tryOr(waitOnFailureMs, () => {
      const { taken, waitMs } = ledger.tokens(
        key,
        () => fullBucket(ratePerSecond, now),
        (bucket) => draw(bucket, ratePerSecond, now),
      )
      tokens.left = Math.max(0, taken - 1)
      tokens.untilMs = now + tokensHeldMsMax
      return taken > 0 ? 0 : waitMs
    })
  }

  function hold(windowScope: string, windowMs: number): Held {
    const found = held.get(windowScope)
    if (found) return found
    const own: Held = {
      windowMs,
      sessions: 0,
      leases: { rows: { bucket: 0, amount: 0 }, bytes: { bucket: 0, amount: 0 } },
      commands: { left: 0, untilMs: 0 },
    }
    held.set(windowScope, own)
    return own
  }

  function purge(): void {
    ledger.purge(nowMs())
    const now = nowMs()
    for (const [verdictId, tokens] of throttles)
      if (tokens.untilMs + purgeEveryMs < now) throttles.delete(verdictId)
  }

  function nowMs(): number {
    return clock.nowUs() / 1000
  }

  function tryOr<T>(otherwise: T, step: () => T): T {
    try {
      return step()
    } catch (error) {
      options.onFailure?.(error)
      return otherwise
    }
  }
}

function kindsOf(caps: Caps): Kind[] {
  const kinds: Kind[] = []
  if (caps.rowsPerWindow !== undefined) kinds.push('rows')
  if (caps.bytesPerWindow !== undefined) kinds.push('bytes')
  return kinds
}
