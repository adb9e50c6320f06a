/**
 * A token bucket that many processes draw from: it holds at most one second's worth (at least one token), so any span of
 * T seconds lets through at most rate x T and one second's worth more. Who needs several at once gets them where there is
 * one, and leaves a debt that is earned back before anybody gets the next. Pure; refuses clocks.
 */
export interface Tokens {
  tokens: number
  atMs: number
}

export interface Draw {
  /** Whole tokens taken; 0 where there is none. */
  readonly taken: number
  /** Until one is there, where none was. */
  readonly waitMs: number
}

/** By less than this clocks of processes differ, and readings grow old while they wait for a lock. */
const setBackMs = 2000
/** Of sums of fractions: who waited exactly as long as told must not find that a billionth is missing. */
const rounding = 1e-9

/** Changes `bucket`. Takes an eighth of what is there and at least `count`, so that others find some too. */
export function draw(bucket: Tokens, ratePerSecond: number, nowMs: number, count = 1): Draw {
  if (!(ratePerSecond > 0)) return { taken: 0, waitMs: 60_000 }
  const capacity = Math.max(1, ratePerSecond)
  // Whoever read its clock a little before another one drew must not earn the same time again; only a clock that was
  // set back starts anew, and keeps what has been earned.
  const elapsedMs = nowMs - bucket.atMs
  if (elapsedMs > 0) bucket.tokens = Math.min(capacity, bucket.tokens + (elapsedMs / 1000) * ratePerSecond)
  if (elapsedMs > 0 || elapsedMs < -setBackMs) bucket.atMs = nowMs
  if (bucket.tokens < 1 - rounding)
    return { taken: 0, waitMs: Math.max(1, Math.ceil(((1 - bucket.tokens) / ratePerSecond) * 1000)) }
  const taken = Math.max(count, Math.floor(bucket.tokens / 8))
  bucket.tokens -= taken
  return { taken, waitMs: 0 }
}

export function fullBucket(ratePerSecond: number, nowMs: number): Tokens {
  return { tokens: Math.max(1, ratePerSecond), atMs: nowMs }
}
