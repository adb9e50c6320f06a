import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCommitter } from './committer.ts'

test('only the latest offset of each partition is written, one write at a time, and flush waits for all of it', async () => {
  const written: [string, number][][] = []
  let running = 0
  const committer = createCommitter<string>(20, async (offsets) => {
    assert.equal(++running, 1)
    await new Promise((resolve) => setTimeout(resolve, 5))
    written.push([...offsets])
    running--
  })
  for (let next = 1; next <= 100; next++) committer.add(next % 2 ? 'a' : 'b', next)
  await committer.flush()
  assert.deepEqual(written, [
    [
      ['a', 99],
      ['b', 100],
    ],
  ])
  committer.add('a', 101)
  assert.equal(written.length, 1)
  await committer.flush()
  await committer.flush()
  assert.deepEqual(written[1], [['a', 101]])
})
