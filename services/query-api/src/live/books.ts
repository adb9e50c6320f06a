/**
 * What holds now, folded from the compacted topics: the analyzer's verdicts and the latest baseline of each identity.
 * Baselines are kept as bytes and read when asked for; beyond a budget the longest unchanged are let go, and the answer
 * then says so by their absence.
 */
import { type BaselineEvent, type Received, topics, type VerdictEvent } from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'

export interface Books {
  onBatch(records: readonly Received[]): void
  /** The analyzer's verdicts that are neither lifted nor long over, by id. */
  readonly verdicts: ReadonlyMap<string, VerdictEvent>
  baseline(identity: string): BaselineEvent | undefined
  hasBaseline(identity: string): boolean
}

export interface BooksOptions {
  readonly codecs: Pick<Codecs, 'verdict' | 'baseline'>
  readonly nowUs: () => number
  readonly onUnreadable: (record: Received, error: unknown) => void
  /** For all baselines together; default 256 MiB. */
  readonly baselineBytesMax?: number
}

export function createBooks(options: BooksOptions): Books {
  const { codecs, nowUs, onUnreadable, baselineBytesMax = 268_435_456 } = options
  const verdicts = new Map<string, VerdictEvent>()
  const baselines = new Map<string, { bytes: Uint8Array; at: number; key: string }>()
  let baselineBytes = 0
  let prunedAtUs = nowUs()

  function takeVerdict({ key, value }: Received): void {
    const verdict = value && codecs.verdict.decode(value)
    if (verdict?.state === 'active' && verdict.until > nowUs() - keptAfterEndUs)
      verdicts.set(verdict.verdictId, verdict)
    else verdicts.delete(verdict?.verdictId ?? key)
  }

  function takeBaseline({ key, value }: Received): void {
    if (value === null) {
      for (const [identity, kept] of baselines) if (kept.key === key) drop(identity)
      return
    }
    const { identity, at } = codecs.baseline.decode(value)
    // The analyzer's marks of how far it got stand beside the snapshots, under no identity.
    if (identity === '') return
    const kept = baselines.get(identity)
    // After a change of partitions an old snapshot of the same identity stays under another key.
    if (kept && kept.key !== key && kept.at > at) return
    drop(identity)
    baselines.set(identity, { bytes: Uint8Array.from(value), at, key })
    baselineBytes += value.length
    while (baselineBytes > baselineBytesMax) {
      const [oldest] = baselines.keys()
      if (oldest === undefined) break
      drop(oldest)
    }
  }

  function drop(identity: string): void {
    baselineBytes -= baselines.get(identity)?.bytes.length ?? 0
    baselines.delete(identity)
  }

  function prune(): void {
    if (nowUs() - prunedAtUs < pruneEveryUs) return
    prunedAtUs = nowUs()
    for (const [id, { until }] of verdicts) if (until < prunedAtUs - keptAfterEndUs) verdicts.delete(id)
  }

  return {
    verdicts,
    onBatch(records) {
      for (const record of records) {
        try {
          if (record.topic === topics.verdicts) takeVerdict(record)
          else takeBaseline(record)
        } catch (error) {
          onUnreadable(record, error)
        }
      }
      prune()
    },
    hasBaseline: (identity) => baselines.has(identity),
    baseline(identity) {
      const kept = baselines.get(identity)
      return kept && codecs.baseline.decode(kept.bytes)
    },
  }
}

const pruneEveryUs = 60_000_000
/** Someone may still want to lift, or to see, what has just ended. */
const keptAfterEndUs = 3_600_000_000
