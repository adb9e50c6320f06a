import assert from 'node:assert/strict'
import { test } from 'node:test'
import { lnGamma, negativeBinomialLnTail } from './negative-binomial.ts'

/** n, mean, shape, ln P(X >= n): mpmath 1.3 with 60 digits, pmf(n) * hyp2f1(1, n + r, n + 1, x). */
const tails: readonly (readonly [number, number, number, number])[] = [
  [1, 0.5, 0.5, -1.2279471773],
  [5, 2, 0.1, -2.182081692505],
  [40, 10, 3, -6.507451078878],
  [120, 30, 1e6, -79.38063138808],
  [150, 30, 5000, -123.2081075995],
  [600, 0.5, 0.0175, -27.6778005651],
  [3, 30, 2, -0.02176530648605],
  [64, 1.9, 0.62, -19.50842040898],
  [2000, 100, 4, -67.16406072857],
  [100000, 20000, 50, -123.5953223608],
  [1, 1e-6, 1e-3, -13.81601084951],
  [500, 480, 1e6, -1.680192331402],
  [25, 30, 1e6, -0.1710800133896],
  [7, 0.001, 100, -56.67479300698],
  [100, 99.5, 0.9, -1.018873081116],
  [30, 30, 12, -0.7330010194242],
  [30, 30, 11.999, -0.7330054603309],
  [1000, 10, 1000, -3243.476021055],
]

const gammas: readonly (readonly [number, number])[] = [
  [0.0175, 4.035702882063],
  [0.5, 0.5723649429247],
  [1, 0],
  [2.5, 0.2846828704729],
  [11.999, 17.49986522765],
  [12, 17.50230784587],
  [30, 71.25703896717],
  [1234.5, 7550.550901078],
  [1e6, 12815504.56914761],
]

const near = (actual: number, wanted: number, relative: number) =>
  assert.ok(
    Math.abs(actual - wanted) <= relative * Math.max(1e-2, Math.abs(wanted)),
    `${actual} is not ${wanted}`,
  )

test('ln Gamma agrees with 60-digit reference values', () => {
  for (const [z, wanted] of gammas) near(lnGamma(z), wanted, 1e-12)
})

test('the log tail agrees with 60-digit reference values', () => {
  for (const [n, mean, shape, wanted] of tails) near(negativeBinomialLnTail(n, mean, shape), wanted, 1e-9)
})

test('the tail is certain at zero, falls with n, and rises with the mean', () => {
  assert.equal(negativeBinomialLnTail(0, 3, 2), 0)
  for (const shape of [0.02, 0.9, 7, 300, 1e7]) {
    let last = 0
    for (const n of [1, 2, 5, 20, 100, 1000]) {
      const tail = negativeBinomialLnTail(n, 4, shape)
      assert.ok(tail < last, `shape ${shape}: ${tail} at ${n} is not below ${last}`)
      assert.ok(negativeBinomialLnTail(n, 5, shape) > tail)
      last = tail
    }
  }
})

test('a domain error is an error, not a NaN', () => {
  assert.throws(() => negativeBinomialLnTail(3, 0, 1), { code: 'numeric' })
  assert.throws(() => negativeBinomialLnTail(3, 1, Number.NaN), { code: 'numeric' })
})
