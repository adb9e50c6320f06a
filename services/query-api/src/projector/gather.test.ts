import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createGather } from './gather.ts'

function recorder(options: { waitMs: number; hurryAt: number; itemsMax: number; failFirst?: boolean }) {
  const writes: number[][] = []
  let running = 0
  let failNext = options.failFirst ?? false
  const gather = createGather<number>({
    waitMsMax: 60_000,
    ...options,
    async write(items) {
      assert.equal(++running, 1, 'one write at a time')
      await sleep(5)
      running--
      if (failNext) {
        failNext = false
        throw new Error('away')
      }
      writes.push([...items])
    },
  })
  return { gather, writes }
}

test('items of several callers become one write, and each caller is answered after it', async () => {
  const { gather, writes } = recorder({ waitMs: 20, hurryAt: 100, itemsMax: 1000 })
  await Promise.all([gather.add([1]), gather.add([2, 3])])
  assert.deepEqual(writes, [[1, 2, 3]])
})

test('a lone item waits no longer than its time, a backlog not at all', async () => {
  const { gather, writes } = recorder({ waitMs: 60_000, hurryAt: 3, itemsMax: 4 })
  await Promise.all([gather.add([1, 2]), gather.add([3, 4]), gather.add([5, 6, 7, 8, 9])])
  assert.deepEqual(writes, [
    [1, 2, 3, 4],
    [5, 6, 7, 8, 9],
  ])
})

test('a slow store is asked less often, but no item waits longer than the most', async () => {
  const startsMs: number[] = []
  const gather = createGather<number>({
    waitMs: 1,
    waitMsMax: 150,
    hurryAt: 100,
    itemsMax: 100,
    async write() {
      startsMs.push(performance.now())
      await sleep(30)
    },
  })
  await gather.add([1])
  const askedMs = performance.now()
  await gather.add([2])
  const waitedMs = Number(startsMs[1]) - askedMs
  assert.ok(waitedMs >= 55, `waited ${waitedMs} ms after a write of 30 ms`)
  assert.ok(waitedMs < 1000, `waited ${waitedMs} ms`)
})

test('a failed write is told to all of its callers, and the next one goes on', async () => {
  const { gather, writes } = recorder({ waitMs: 1, hurryAt: 100, itemsMax: 1000, failFirst: true })
  const answers = await Promise.allSettled([gather.add([1]), gather.add([2])])
  assert.deepEqual(
    answers.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  await gather.add([1, 2])
  assert.deepEqual(writes, [[1, 2]])
})

test('close writes what waits, at once', async () => {
  const { gather, writes } = recorder({ waitMs: 60_000, hurryAt: 100, itemsMax: 1000 })
  const added = gather.add([1])
  await gather.close()
  await added
  assert.deepEqual(writes, [[1]])
})
