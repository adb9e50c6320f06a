/** Random numbers from a seed, so that a simulated month is the same month on every machine. Not for secrets. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number
  /** Whole number in [from, to]. */
  whole(from: number, to: number): number
  exponential(mean: number): number
  /** exp of a normal with this median and sigma. */
  logNormal(median: number, sigma: number): number
  pick<T>(values: readonly [T, ...T[]]): T
}

/** mulberry32 (Tommy Ettinger, public domain). */
export function randomFrom(seed: number): Random {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
  const normal = () => Math.sqrt(-2 * Math.log(1 - next())) * Math.cos(2 * Math.PI * next())
  return {
    next,
    whole: (from, to) => from + Math.floor(next() * (to - from + 1)),
    exponential: (mean) => -Math.log(1 - next()) * mean,
    logNormal: (median, sigma) => median * Math.exp(sigma * normal()),
    pick: (values) => values[Math.floor(next() * values.length)] ?? values[0],
  }
}
