/**
 * Upper tails of the negative binomial distribution, in logarithms so that a runaway's probability of 1e-3000 is still
 * a number. It knows nothing of commands or baselines.
 *
 * A count whose Poisson rate is itself uncertain (Gamma distributed with shape r and mean m) is negative binomial with
 * size r and mean m: the posterior predictive of the Gamma-Poisson model. Then
 *   P(X >= n) = I_x(n, r) with x = m / (r + m)              (DLMF 8.17.24)
 * and, with the continued fraction of the incomplete beta (DLMF 8.17.22),
 *   I_x(n, r) = pmf(n) * fraction(n, r, x).
 */
import { AnalyzerError } from '../errors.ts'

/**
 * ln P(X >= n) for a count of mean `mean` (> 0) and size `shape` (> 0; the larger, the nearer to Poisson).
 * Relative error of the logarithm below 1e-9 for n up to 1e6 and shape up to 1e7.
 */
export function negativeBinomialLnTail(n: number, mean: number, shape: number): number {
  if (!(mean > 0) || !(shape > 0) || !Number.isFinite(mean + shape))
    throw new AnalyzerError('numeric', `negative binomial of mean ${mean} and shape ${shape}`)
  if (n <= 0) return 0
  const x = mean / (shape + mean)
  if (x < (n + 1) / (n + shape + 2)) return lnPmf(n, mean, shape) + Math.log(betaFraction(n, shape, x))
  // Below the mean the fraction converges for the lower tail, P(X < n) = I_(1-x)(r, n).
  const lnLower =
    lnPmf(n, mean, shape) + Math.log((n / shape) * betaFraction(shape, n, shape / (shape + mean)))
  return lnLower >= 0 ? Number.NEGATIVE_INFINITY : Math.log(-Math.expm1(lnLower))
}

/** ln of the Gamma function for z > 0: Stirling's series (DLMF 5.11.1) above 12, the recurrence below. */
export function lnGamma(z: number): number {
  let shifted = z
  let product = 1
  for (; shifted < stirlingFrom; shifted++) product *= shifted
  const stirling = (shifted - 0.5) * Math.log(shifted) - shifted + halfLnTwoPi + correction(shifted)
  return stirling - Math.log(product)
}

const stirlingFrom = 12
const halfLnTwoPi = 0.5 * Math.log(2 * Math.PI)

function correction(z: number): number {
  const q = 1 / (z * z)
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - q / 1188) * q) * q) * q) / z
}

function lnPmf(n: number, mean: number, shape: number): number {
  const lnChosen =
    shape < stirlingFrom
      ? lnGamma(n + shape) - lnGamma(shape) + n * Math.log(mean / (shape + mean))
      : // The large terms of the two ln Gammas cancel on paper, so that they need not cancel in the machine.
        (shape + n - 0.5) * Math.log1p(n / shape) -
        n +
        correction(shape + n) -
        correction(shape) +
        n * (Math.log(mean) - Math.log1p(mean / shape))
  return lnChosen - lnGamma(n + 1) - shape * Math.log1p(mean / shape)
}

/** The continued fraction of I_x(a, b), by the modified Lentz method. Converges fast for x < (a + 1) / (a + b + 2). */
function betaFraction(a: number, b: number, x: number): number {
  const tiny = 1e-300
  const away = (value: number) => (Math.abs(value) < tiny ? tiny : value)
  let c = 1
  let d = 1 / away(1 - ((a + b) * x) / (a + 1))
  let fraction = d
  for (let m = 1; m <= 100_000; m++) {
    const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m))
    d = 1 / away(1 + even * d)
    c = away(1 + even / c)
    fraction *= d * c
    const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1))
    d = 1 / away(1 + odd * d)
    c = away(1 + odd / c)
    const step = d * c
    fraction *= step
    if (Math.abs(step - 1) < 1e-15) return fraction
  }
  throw new AnalyzerError('numeric', `incomplete beta did not converge for a ${a}, b ${b}, x ${x}`)
}
