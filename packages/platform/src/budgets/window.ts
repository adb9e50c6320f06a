/**
 * A sliding window as 60 time buckets. The bucket that is being filled and the 60 before it count, so a use is forgotten
 * between one window and one window and a 60th after it: the sum is never too low, and at most a 60th of the window's
 * traffic too high. Pure; refuses clocks.
 */
export const bucketsPerWindow = 60

/** Bucket index and amount, ascending by index. */
export type Window = [index: number, amount: number][]

export function bucketAt(nowMs: number, windowMs: number): number {
  return Math.floor(nowMs / bucketMs(windowMs))
}

export function bucketMs(windowMs: number): number {
  return Math.max(1, windowMs / bucketsPerWindow)
}

/** Forgets what has left the window. */
export function slide(window: Window, bucket: number): Window {
  return window.filter(([index]) => index >= bucket - bucketsPerWindow)
}

export function total(window: Window): number {
  let sum = 0
  for (const [, amount] of window) sum += amount
  return sum
}

/** Adds to a bucket; a negative amount gives back, at most what stands there. */
export function charge(window: Window, bucket: number, amount: number): void {
  const found = window.find(([index]) => index === bucket)
  if (found) found[1] = Math.max(0, found[1] + amount)
  else if (amount > 0) {
    window.push([bucket, amount])
    // A process whose clock is read a moment later may have been first.
    window.sort(([a], [b]) => a - b)
  }
}

/** Milliseconds until the oldest bucket leaves. */
export function freesInMs(window: Window, nowMs: number, windowMs: number): number {
  const oldest = window.find(([, amount]) => amount > 0)
  if (!oldest) return 0
  return Math.max(1, Math.ceil((oldest[0] + bucketsPerWindow + 1) * bucketMs(windowMs) - nowMs))
}
