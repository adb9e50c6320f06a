/**
 * Values seen before, and how often a new one comes. The chance that the next observation is new is estimated as
 * Laplace's rule does with Jeffreys' half: (new so far + 1/2) / (observations + 1). An identity that often shows new
 * values therefore raises no eyebrow by one more. Bounded: beyond `valuesMax` the value not seen for longest goes.
 */
import { dayUs } from '../settings.ts'

export interface FirstSeen {
  observations: number
  news: number
  /** [value, day last seen], the latest seen last. */
  values: [string, number][]
}

const valuesMax = 64

export function emptyFirstSeen(): FirstSeen {
  return { observations: 0, news: 0, values: [] }
}

/** Whether `value` was not seen within `days` before `at`. */
export function isNew(seen: FirstSeen, value: string, at: number, days: number): boolean {
  const found = seen.values.find(([known]) => known === value)
  return found === undefined || Math.floor(at / dayUs) - found[1] > days
}

/** -log10 of the chance that an observation is new, two decimals. */
export function noveltyScore(seen: FirstSeen): number {
  const score = -Math.log10((seen.news + 0.5) / (seen.observations + 1))
  return Math.round(Math.min(300, Math.max(0, score)) * 100) / 100
}

/** Counts one observation of these values. Changes `seen`. */
export function observe(seen: FirstSeen, values: readonly string[], at: number, days: number): void {
  seen.observations++
  if (values.some((value) => isNew(seen, value, at, days))) seen.news++
  remember(seen, values, at)
}

/** Notes that they were seen, without counting an observation. Changes `seen`. */
export function remember(seen: FirstSeen, values: readonly string[], at: number): void {
  const day = Math.floor(at / dayUs)
  for (const value of values) {
    const index = seen.values.findIndex(([known]) => known === value)
    const [before] = index >= 0 ? seen.values.splice(index, 1) : []
    seen.values.push([value, Math.max(day, before?.[1] ?? day)])
    if (seen.values.length > valuesMax) seen.values.shift()
  }
}
