/**
 * Budgets of a host: caps over a sliding window, commands a second, open sessions and throttles, held by all proxy
 * processes together through one ledger. What a process leases counts from then on; what it gives back no longer does;
 * what it takes to its grave counts as spent. So a cap is never exceeded by what is leased.
 *
 * Times and errors: the window counts a lease when it is taken, to a 60th of the window (window.ts). Whoever holds a
 * lease for longer than the window and spends it then is the one way past the cap. Rows are leased an eighth of what is
 * left at a time, so that a few processes do not lock the others out of a small cap; bytes as wanted, since one row may
 * need them all. Where the ledger cannot be used (disk full), nothing is granted.
 */
import type { Budgets, Caps, Clock, SessionBudget, Started } from '@portcullis/kernel'
import { thisProcess } from '../recorder/life.ts'
import { type Ledger, openLedger, type WindowEntry } from './ledger.ts'
import { draw, fullBucket } from './tokens.ts'
import {
  bucketAt,
  bucketMs,
  bucketsPerWindow,
  charge,
  freesInMs,
  slide,
  total,
  type Window,
} from './window.ts'

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
  sessions: number
  /** Leased and not given back, by time bucket, the oldest first. */
  readonly leases: Record<Kind, Window>
  readonly commands: { left: number; untilMs: number }
}

const rowsMin = 64
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
    const own = hold(windowScope)
    own.sessions++
    let closed = false
    return {
      takeCommands(count) {
        const rate = caps.commandsPerSecond
        return rate === undefined ? 0 : take(`command\0${scope}`, own.commands, rate * share, count)
      },
      takeThrottled(verdictId, ratePerMinute, count) {
        const tokens = throttles.get(verdictId) ?? { left: 0, untilMs: 0 }
        throttles.set(verdictId, tokens)
        return take(`verdict\0${verdictId}`, tokens, (ratePerMinute * share) / 60, count)
      },
      takeCounted(name, mostPerHour, count) {
        return tryOr(waitOnFailureMs, () =>
          ledger.window(`counted\0${scope}\0${name}`, (entry) => {
            const bucket = slideBoth(entry, hourMs)
            if (total(entry.rows) + count > mostPerHour * share)
              // What is more than there may ever be never may; an hour is as good as any.
              return freesInMs(entry.rows, nowMs(), hourMs) || hourMs
            charge(entry.rows, bucket, count)
            return 0
          }),
        )
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
        if (own.sessions === 0) held.delete(windowScope)
      },
    }

    function lease(kind: Kind, cap: number | undefined, wanted: number): number {
      if (cap === undefined) return Number.POSITIVE_INFINITY
      if (!(wanted > 0)) return 0
      return tryOr(0, () =>
        ledger.window(windowScope, (entry) => {
          const bucket = slideBoth(entry, windowMs)
          const left = Math.max(0, Math.floor(cap * share) - total(entry[kind]))
          const fair = kind === 'rows' ? Math.max(rowsMin, Math.floor(left / 8)) : left
          const granted = Math.min(Math.floor(wanted), left, fair)
          charge(entry[kind], bucket, granted)
          own.leases[kind] = slide(own.leases[kind], bucket)
          charge(own.leases[kind], bucket, granted)
          return granted
        }),
      )
    }

    function giveBack(kind: Kind, cap: number | undefined, unused: number): void {
      if (cap === undefined || !(unused > 0)) return
      tryOr(undefined, () =>
        ledger.window(windowScope, (entry) => {
          slideBoth(entry, windowMs)
          let rest = unused
          // The oldest first: what stays charged then was charged no earlier than it was spent, but for idle leases.
          for (const lease of own.leases[kind]) {
            const amount = Math.min(rest, lease[1])
            charge(entry[kind], lease[0], -amount)
            lease[1] -= amount
            rest -= amount
          }
        }),
      )
    }
  }

  function slideBoth(entry: WindowEntry, windowMs: number): number {
    const bucket = bucketAt(nowMs(), windowMs)
    entry.rows = slide(entry.rows, bucket)
    entry.bytes = slide(entry.bytes, bucket)
    entry.overMs = (bucket + bucketsPerWindow + 2) * bucketMs(windowMs)
    return bucket
  }

  function take(
    key: string,
    tokens: { left: number; untilMs: number },
    ratePerSecond: number,
    count: number,
  ): number {
    const now = nowMs()
    const left = now < tokens.untilMs ? tokens.left : 0
    if (left >= count) {
      tokens.left = left - count
      return 0
    }
    return tryOr(waitOnFailureMs, () => {
      const { taken, waitMs } = ledger.tokens(
        key,
        () => fullBucket(ratePerSecond, now),
        (bucket) => draw(bucket, ratePerSecond, now, count - left),
      )
      if (taken === 0) return waitMs
      tokens.left = left + taken - count
      tokens.untilMs = now + tokensHeldMsMax
      return 0
    })
  }

  function hold(windowScope: string): Held {
    const found = held.get(windowScope)
    if (found) return found
    const own: Held = {
      sessions: 0,
      leases: { rows: [], bytes: [] },
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

const hourMs = 3_600_000

function kindsOf(caps: Caps): Kind[] {
  const kinds: Kind[] = []
  if (caps.rowsPerWindow !== undefined) kinds.push('rows')
  if (caps.bytesPerWindow !== undefined) kinds.push('bytes')
  return kinds
}
