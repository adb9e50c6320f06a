import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { draw, fullBucket } from './tokens.ts'
import { bucketAt, bucketsPerWindow, charge, freesInMs, slide, total, type Window } from './window.ts'

test('a window never forgets a use younger than itself, and forgets all older than a 60th more', () => {
  const uses = fc.array(fc.record({ gapMs: fc.nat(2000), amount: fc.integer({ min: 1, max: 9 }) }))
  fc.assert(
    fc.property(uses, (steps) => {
      const windowMs = 6000
      let nowMs = 1_000_000
      let window: Window = []
      const all: { atMs: number; amount: number }[] = []
      for (const { gapMs, amount } of steps) {
        nowMs += gapMs
        const bucket = bucketAt(nowMs, windowMs)
        window = slide(window, bucket)
        charge(window, bucket, amount)
        all.push({ atMs: nowMs, amount })
        const since = (ageMs: number) =>
          all.filter((use) => use.atMs > nowMs - ageMs).reduce((sum, use) => sum + use.amount, 0)
        assert.ok(total(window) >= since(windowMs))
        assert.ok(total(window) <= since(windowMs * (1 + 1 / bucketsPerWindow) + 1))
        assert.ok(window.length <= bucketsPerWindow + 1)
      }
    }),
  )
})

test('freesInMs is when the oldest bucket is gone, not before', () => {
  const windowMs = 60_000
  const window: Window = []
  charge(window, bucketAt(100_000, windowMs), 5)
  const waitMs = freesInMs(window, 100_000, windowMs)
  assert.equal(total(slide(window, bucketAt(100_000 + waitMs - 1, windowMs))), 5)
  assert.equal(total(slide(window, bucketAt(100_000 + waitMs, windowMs))), 0)
})

test('tokens: any span lets through at most rate x span and one second more, and waits are exact', () => {
  const gaps = fc.array(fc.nat(400), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(fc.double({ min: 0.1, max: 200, noNaN: true }), gaps, (rate, steps) => {
      const startMs = 5000
      let nowMs = startMs
      const bucket = fullBucket(rate, nowMs)
      let taken = 0
      for (const gapMs of steps) {
        nowMs += gapMs
        const got = draw(bucket, rate, nowMs)
        taken += got.taken
        assert.equal(got.taken === 0, got.waitMs > 0)
        assert.ok(taken <= (rate * (nowMs - startMs)) / 1000 + Math.max(1, rate) + 1e-6)
        if (got.waitMs > 0) {
          assert.equal(draw({ ...bucket }, rate, nowMs + got.waitMs).taken > 0, true)
        }
      }
    }),
  )
})

test('tokens: who waits as long as told gets one, although fractions do not add up', () => {
  const bucket = fullBucket(0.1, 5000)
  assert.equal(draw(bucket, 0.1, 5000).taken, 1)
  const { waitMs } = draw(bucket, 0.1, 5146)
  assert.equal(draw(bucket, 0.1, 5146 + waitMs).taken, 1)
})

test('tokens: readings that come out of order (clocks differ, locks are waited for) earn no time twice', () => {
  const draws = fc.array(fc.tuple(fc.nat(100), fc.nat(600)), { minLength: 1, maxLength: 200 })
  fc.assert(
    fc.property(fc.double({ min: 0.1, max: 200, noNaN: true }), draws, (rate, steps) => {
      const startMs = 5000
      let nowMs = startMs
      const bucket = fullBucket(rate, nowMs)
      let taken = 0
      for (const [gapMs, staleMs] of steps) {
        nowMs += gapMs
        taken += draw(bucket, rate, nowMs - staleMs).taken
        assert.ok(taken <= (rate * (nowMs - startMs)) / 1000 + Math.max(1, rate) + 1e-6)
      }
    }),
  )
})

test('a clock that is set back earns nothing and takes nothing away', () => {
  const bucket = fullBucket(1, 10_000)
  assert.equal(draw(bucket, 1, 10_000).taken, 1)
  assert.equal(draw(bucket, 1, 5000).taken, 0)
  assert.equal(draw(bucket, 1, 6000).taken, 1)
})
