import assert from 'node:assert/strict'
import { test } from 'node:test'
import { growthOfLastHalf } from './growth.ts'

const noise = [3, -2, 1, 0, -1, 2, -3, 1, 2, -2, 0, 1, -1, 3, -2, 0, 2, -1, 1, -3]

test('a steady figure with noise does not grow', () => {
  assert.ok(Math.abs(growthOfLastHalf(noise.map((one) => 100 + one))) <= 3)
})

test('a leak of two a sample shows through the noise', () => {
  const growth = growthOfLastHalf(noise.map((one, at) => 100 + 2 * at + one))
  assert.ok(growth > 14 && growth < 22, String(growth))
})

test('caches that fill in the first half are no leak', () => {
  assert.equal(growthOfLastHalf([10, 60, 90, 100, 100, 100, 100, 100]), 0)
})

test('one odd sample at the end is no leak', () => {
  assert.equal(growthOfLastHalf([5, 5, 5, 5, 5, 5, 5, 5, 5, 50]), 0)
})

test('what shrinks grows by less than nothing', () => {
  assert.equal(growthOfLastHalf([8, 7, 6, 5, 4, 3, 2, 1]), -3)
})
