/** How often an address may fail before it has to wait. Holds a bounded number of addresses, and in this process alone. */
import { placeOf } from '@portcullis/identity'
import type { Clock } from '@portcullis/kernel'

const addressesMax = 10_000

/**
 * A token bucket of failures for each address, of IPv6 for each /64, since whoever has one address of it has all; the longest
 * idle are forgotten where there are too many.
 */
export function createFailureBudget(perMinute: number, clock: Pick<Clock, 'monotonicMs'>) {
  const buckets = new Map<string, { left: number; atMs: number }>()
  const current = (key: string): number => {
    const bucket = buckets.get(key)
    if (!bucket) return perMinute
    return Math.min(perMinute, bucket.left + ((clock.monotonicMs() - bucket.atMs) * perMinute) / 60_000)
  }
  return {
    waitMs: (address: string): number => {
      const left = current(placeOf(address, 'address'))
      return left >= 1 ? 0 : ((1 - left) * 60_000) / perMinute
    },
    spend(address: string): void {
      const key = placeOf(address, 'address')
      const left = current(key) - 1
      buckets.delete(key)
      buckets.set(key, { left, atMs: clock.monotonicMs() })
      const [oldest] = buckets.keys()
      if (buckets.size > addressesMax && oldest !== undefined) buckets.delete(oldest)
    },
  }
}
