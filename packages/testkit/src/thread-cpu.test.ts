import assert from 'node:assert/strict'
import { test } from 'node:test'
import { threadCpuUs } from './thread-cpu.ts'

test('a thread that is busy sees its CPU time grow in steps far below a tick', () => {
  const untilUs = threadCpuUs() + 200_000
  const stepsUs: number[] = []
  for (let last = threadCpuUs(); last < untilUs; ) {
    const now = threadCpuUs()
    stepsUs.push(now - last)
    last = now
  }
  const inLongUs = stepsUs.filter((step) => step >= 900).reduce((sum, step) => sum + step, 0)
  assert.ok(inLongUs < 50_000, `${inLongUs} of 200,000 us passed in steps of 900 us or more`)
})
