import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { cpuOf, median, quantile } from './figures.ts'

test('medians and quantiles', () => {
  assert.equal(median([5, 1, 3]), 3)
  assert.equal(
    quantile(
      Array.from({ length: 1000 }, (_, at) => at),
      0.999,
    ),
    999,
  )
  assert.ok(Number.isNaN(median([])))
})

test('CPU goes to the process that took it, by kind', { skip: process.platform !== 'linux' }, async () => {
  const parts = { own: [process.pid], parent: [process.ppid] }
  const { value, cpu } = await cpuOf(parts, async () => {
    const before = process.threadCpuUsage()
    for (let spent = 0; spent < 200_000; ) {
      const now = process.threadCpuUsage(before)
      spent = now.user + now.system
    }
    await sleep(1)
    return 'done'
  })
  assert.equal(value, 'done')
  assert.ok((cpu.own ?? 0) >= 0.2, String(cpu.own))
  assert.ok((cpu.parent ?? 0) < (cpu.own ?? 0))
})
