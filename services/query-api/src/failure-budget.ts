/** How often something may happen before it has to wait. Holds a bounded number of names, and in this process alone. */
import { placeOf } from '@portcullis/identity'
import type { Clock } from '@portcullis/kernel'

const namesMax = 10_000

export interface Budgets {
  /** 0 where it may be now. */
  waitMs(name: string): number
  spend(name: string): void
}

/** A token bucket for each name; the longest idle are forgotten where there are too many. */
export function createBudgets(perMinute: number, clock: Pick<Clock, 'monotonicMs'>): Budgets {
  const buckets = new Map<string, { left: number; atMs: number }>()
  const current = (name: string): number => {
    const bucket = buckets.get(name)
    if (!bucket) return perMinute
    return Math.min(perMinute, bucket.left + ((clock.monotonicMs() - bucket.atMs) * perMinute) / 60_000)
  }
  return {
    waitMs: (name) => {
      const left = current(name)
      return left >= 1 ? 0 : ((1 - left) * 60_000) / perMinute
    },
    spend(name) {
      const left = current(name) - 1
      buckets.delete(name)
      buckets.set(name, { left, atMs: clock.monotonicMs() })
      const [oldest] = buckets.keys()
      if (buckets.size > namesMax && oldest !== undefined) buckets.delete(oldest)
    },
  }
}

/** Of failures, by address: of IPv6 for each /64, since whoever has one address of it has all. */
export function createFailureBudget(perMinute: number, clock: Pick<Clock, 'monotonicMs'>): Budgets {
  const budgets = createBudgets(perMinute, clock)
  return {
    waitMs: (address) => budgets.waitMs(placeOf(address, 'address')),
    spend: (address) => budgets.spend(placeOf(address, 'address')),
  }
}
