/**
 * Does a figure grow? Judged by the last half of the samples, each taken in forced idle, by the median of the slopes
 * between all pairs (Theil 1950, Sen 1968): one odd sample does not make a trend, and a step early on is no leak.
 */

/** How much a figure grows over the last half of its samples, in its own unit; 0 of fewer than four samples. */
export function growthOfLastHalf(samples: readonly number[]): number {
  const half = samples.slice(Math.floor(samples.length / 2))
  if (samples.length < 4) return 0
  const slopes = half.flatMap((value, at) =>
    half.slice(at + 1).map((later, distance) => (later - value) / (distance + 1)),
  )
  slopes.sort((a, b) => a - b)
  const middle = slopes.length >> 1
  const upper = slopes[middle] ?? 0
  const slope = slopes.length % 2 === 1 ? upper : ((slopes[middle - 1] ?? 0) + upper) / 2
  return slope * (half.length - 1)
}
