/** How often an address may fail before it has to wait. Holds a bounded number of addresses, and in this process alone. */
import { isIP } from 'node:net'
import { canonicalAddress } from '@portcullis/identity'
import type { Clock } from '@portcullis/kernel'

const addressesMax = 10_000

/** A token bucket of failures for each address; the longest idle are forgotten where there are too many. */
export function createFailureBudget(perMinute: number, clock: Pick<Clock, 'monotonicMs'>) {
  const buckets = new Map<string, { left: number; atMs: number }>()
  const current = (key: string): number => {
    const bucket = buckets.get(key)
    if (!bucket) return perMinute
    return Math.min(perMinute, bucket.left + ((clock.monotonicMs() - bucket.atMs) * perMinute) / 60_000)
  }
  return {
    waitMs: (address: string): number => {
      const left = current(holderOf(address))
      return left >= 1 ? 0 : ((1 - left) * 60_000) / perMinute
    },
    spend(address: string): void {
      const key = holderOf(address)
      const left = current(key) - 1
      buckets.delete(key)
      buckets.set(key, { left, atMs: clock.monotonicMs() })
      const [oldest] = buckets.keys()
      if (buckets.size > addressesMax && oldest !== undefined) buckets.delete(oldest)
    },
  }
}

/** Whoever has one address of IPv6 has its whole /64, to begin anew from each time. */
function holderOf(address: string): string {
  const canonical = canonicalAddress(address)
  if (isIP(canonical) !== 6) return canonical
  const [head = '', tail] = canonical.split('::')
  const [left, right] = [head, tail ?? ''].map((part) => part.split(':').filter(Boolean))
  const zeros = tail === undefined ? 0 : 8 - (left?.length ?? 0) - (right?.length ?? 0)
  return [...(left ?? []), ...Array<string>(zeros).fill('0'), ...(right ?? [])].slice(0, 4).join(':')
}
