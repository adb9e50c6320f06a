/**
 * The verdicts in force, and the live sessions they are about. Expiry is this process's own clock: a verdict carries an
 * absolute end and is simply not found afterwards.
 */
import {
  type Clock,
  keysOfVerdict,
  strictest,
  type Verdict,
  verdictKeys,
  type VerdictTarget,
} from '@portcullis/kernel'

/** A session as the table sees it. */
export interface Watcher extends VerdictTarget {
  /** A verdict about this session has come, changed or gone. */
  changed(): void
}

export interface VerdictTable {
  /** All verdicts that stand, in place of those before; tells the live sessions that are concerned. */
  replace(verdicts: readonly Verdict[]): void
  /** The strictest that holds now. */
  find(keys: readonly string[], target: string): Verdict | undefined
  /** Joins a live session; returns how it leaves. */
  watch(watcher: Watcher): () => void
}

export function createVerdictTable(clock: Clock): VerdictTable {
  let byKey = new Map<string, readonly Verdict[]>()
  const watchers = new Map<string, Set<Watcher>>()

  return {
    replace(verdicts) {
      const before = byKey
      const filed = verdicts.flatMap((verdict) => keysOfVerdict(verdict).map((key) => ({ key, verdict })))
      byKey = new Map(
        [...Map.groupBy(filed, ({ key }) => key)].map(([key, all]) => [
          key,
          all.map(({ verdict }) => verdict),
        ]),
      )
      const concerned = new Set<Watcher>()
      for (const key of new Set([...before.keys(), ...byKey.keys()])) {
        if (same(before.get(key), byKey.get(key))) continue
        for (const watcher of watchers.get(key) ?? []) concerned.add(watcher)
      }
      for (const watcher of concerned) watcher.changed()
    },
    find(keys, target) {
      if (byKey.size === 0) return undefined
      const nowUs = clock.nowUs()
      let found: Verdict | undefined
      for (const key of keys) {
        for (const verdict of byKey.get(key) ?? []) {
          if (verdict.until <= nowUs || (verdict.target !== '' && verdict.target !== target)) continue
          found = strictest(found, verdict)
        }
      }
      return found
    },
    watch(watcher) {
      const keys = verdictKeys(watcher)
      for (const key of keys) {
        const set = watchers.get(key) ?? new Set()
        watchers.set(key, set.add(watcher))
      }
      return () => {
        for (const key of keys) {
          const set = watchers.get(key)
          set?.delete(watcher)
          if (set?.size === 0) watchers.delete(key)
        }
      }
    },
  }
}

function same(a: readonly Verdict[] = [], b: readonly Verdict[] = []): boolean {
  if (a.length !== b.length) return false
  const print = (verdicts: readonly Verdict[]) =>
    verdicts
      .map(({ verdictId, action, until }) => `${verdictId} ${action} ${until}`)
      .sort()
      .join()
  return print(a) === print(b)
}
