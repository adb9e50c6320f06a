/**
 * A quantile sketch in plain JSON: the logarithmic buckets of DDSketch (Masson, Rim, Lee, PVLDB 12, 2019), with weights
 * that fade. It is our own because a baseline's state must be plain JSON that replays bit for bit, must forget, and
 * must stay small; @datadog/sketches-js keeps dense bins behind a protobuf and cannot fade.
 *
 * Values are counted in buckets (gamma^(i-1), gamma^i]; a quantile is off by at most `relativeError` of its value. The
 * lowest buckets are merged once there are more than `bucketsMax`: upper quantiles, the only ones asked for, stay exact.
 */
export interface Histogram {
  /** Total weight, zeros included. */
  weight: number
  /** Weight of values <= 0. */
  zeros: number
  /** [bucket index, weight], ascending by index. */
  buckets: [number, number][]
}

export const relativeError = 0.05
const bucketsMax = 128
const gamma = (1 + relativeError) / (1 - relativeError)
const lnGammaOf = Math.log(gamma)

export function emptyHistogram(): Histogram {
  return { weight: 0, zeros: 0, buckets: [] }
}

/** Changes `histogram`. */
export function addTo(histogram: Histogram, value: number): void {
  histogram.weight++
  if (!(value > 0)) {
    histogram.zeros++
    return
  }
  const index = Math.ceil(Math.log(value) / lnGammaOf)
  const { buckets } = histogram
  const at = firstNotBelow(buckets, index)
  const found = buckets[at]
  if (found?.[0] === index) found[1]++
  else buckets.splice(at, 0, [index, 1])
  const [lowest, next] = buckets
  if (buckets.length > bucketsMax && lowest && next) {
    next[1] += lowest[1]
    buckets.shift()
  }
}

/** Multiplies every weight by `factor` in (0, 1]; buckets that have all but faded go. Changes `histogram`. */
export function fade(histogram: Histogram, factor: number): void {
  histogram.zeros = rounded(histogram.zeros * factor)
  for (const bucket of histogram.buckets) bucket[1] = rounded(bucket[1] * factor)
  histogram.buckets = histogram.buckets.filter(([, weight]) => weight > 0)
  histogram.weight = histogram.buckets.reduce((sum, [, weight]) => sum + weight, histogram.zeros)
}

/** The value below which the share `q` of the weight lies; 0 where nothing was counted. */
export function quantile(histogram: Histogram, q: number): number {
  const rank = q * histogram.weight
  let below = histogram.zeros
  if (histogram.weight === 0 || below > rank) return 0
  for (const [index, weight] of histogram.buckets) {
    below += weight
    if (below >= rank) return middle(index)
  }
  const highest = histogram.buckets.at(-1)
  return highest ? middle(highest[0]) : 0
}

/** Three decimals: what is kept stays short as JSON. */
function rounded(weight: number): number {
  return Math.round(weight * 1000) / 1000
}

/** The value whose relative distance to both ends of the bucket is the same. */
function middle(index: number): number {
  return (2 * gamma ** index) / (gamma + 1)
}

function firstNotBelow(buckets: readonly (readonly [number, number])[], index: number): number {
  let low = 0
  let high = buckets.length
  while (low < high) {
    const mid = (low + high) >> 1
    if ((buckets[mid]?.[0] ?? index) < index) low = mid + 1
    else high = mid
  }
  return low
}
