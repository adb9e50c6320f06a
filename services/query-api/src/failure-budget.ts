/** How often an address may fail before it has to wait. Holds a bounded number of addresses, and in this process alone. */
import type { Clock } from '@portcullis/kernel'

const addressesMax = 10_000

/** A token bucket of failures for each address; the longest idle are forgotten where there are too many. */
export function createFailureBudget(perMinute: number, clock: Pick<Clock, 'monotonicMs'>) {
  const buckets = new Map<string, { left: number; atMs: number }>()
  const current = (address: string): number => {
    const bucket = buckets.get(address)
    if (!bucket) return perMinute
    return Math.min(perMinute, bucket.left + ((clock.monotonicMs() - bucket.atMs) * perMinute) / 60_000)
  }
  return {
    waitMs: (address: string): number => {
      const left = current(address)
      return left >= 1 ? 0 : ((1 - left) * 60_000) / perMinute
    },
    spend(address: string): void {
      const left = current(address) - 1
      buckets.delete(address)
      buckets.set(address, { left, atMs: clock.monotonicMs() })
      const [oldest] = buckets.keys()
      if (buckets.size > addressesMax && oldest !== undefined) buckets.delete(oldest)
    },
  }
}
