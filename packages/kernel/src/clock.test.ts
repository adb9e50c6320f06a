import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createClock } from './clock.ts'

test('the clock has the finer resolution of the two, and follows a wall clock that was set or a machine that slept', () => {
  let wallMs = 1_700_000_000_000
  let sinceMs = 5
  const clock = createClock(
    () => Math.floor(wallMs),
    () => sinceMs,
  )
  const pass = (ms: number) => {
    wallMs += ms
    sinceMs += ms
  }
  pass(1.25)
  assert.equal(clock.nowUs(), 1_700_000_000_001_250)
  pass(10_000)
  assert.equal(clock.nowUs(), 1_700_000_010_001_250)
  // Asleep for an hour: the monotonic clock stood still.
  wallMs += 3_600_000
  pass(100)
  assert.equal(Math.round(clock.nowUs() / 1000), 1_700_003_610_101)
  wallMs -= 7_200_000
  pass(100)
  assert.equal(Math.round(clock.nowUs() / 1000), 1_699_996_410_201)
})
