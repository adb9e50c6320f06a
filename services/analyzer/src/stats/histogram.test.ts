import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { addTo, emptyHistogram, fade, quantile, relativeError } from './histogram.ts'

test('upper quantiles are within the relative error of the exact ones', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 1, max: 1_000_000 }), { minLength: 1, maxLength: 300 }),
      fc.constantFrom(0.9, 0.95, 0.99, 1),
      (values, q) => {
        const histogram = emptyHistogram()
        for (const value of values) addTo(histogram, value)
        const sorted = values.toSorted((a, b) => a - b)
        const exact = sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? 0
        const estimate = quantile(histogram, q)
        // Merged low buckets may only raise what lies in them.
        const lowestKept = 128 / 300
        if (q >= 1 - lowestKept / 2) assert.ok(Math.abs(estimate - exact) <= relativeError * exact * 1.0001)
      },
    ),
    { numRuns: 200 },
  )
})

test('it stays small and survives JSON bit for bit', () => {
  const histogram = emptyHistogram()
  for (let i = 0; i < 10_000; i++) addTo(histogram, (i * 7919) % 100_003 ** 1.5)
  assert.ok(histogram.buckets.length <= 128)
  const restored = JSON.parse(JSON.stringify(histogram)) as typeof histogram
  fade(histogram, 2 ** -0.3)
  fade(restored, 2 ** -0.3)
  addTo(histogram, 12.5)
  addTo(restored, 12.5)
  assert.deepEqual(restored, histogram)
})

test('what faded no longer decides a quantile', () => {
  const histogram = emptyHistogram()
  for (let i = 0; i < 100; i++) addTo(histogram, 1000)
  for (let i = 0; i < 12; i++) fade(histogram, 0.5)
  for (let i = 0; i < 100; i++) addTo(histogram, 10)
  assert.ok(quantile(histogram, 0.95) < 11)
  assert.equal(quantile(emptyHistogram(), 0.95), 0)
})
