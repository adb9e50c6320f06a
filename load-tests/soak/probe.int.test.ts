import assert from 'node:assert/strict'
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { test } from 'node:test'
import { inspectable, openInspector, probe } from './probe.ts'

test('sees what a process leaks: heap, listeners, descriptors, handles', async (t) => {
  const child = fork(join(import.meta.dirname, 'leaky.fixture.ts'), [], {
    env: { ...process.env, ...inspectable },
    stdio: ['ignore', 'inherit', 'pipe', 'ipc'],
  })
  t.after(() => child.disconnect())
  let log = ''
  child.stderr?.on('data', (chunk) => {
    log += chunk
  })
  await once(child, 'message')
  const pid = child.pid ?? 0
  const inspector = await openInspector(pid, () => log)
  // The first look compiles what it evaluates.
  await probe(pid, inspector)
  const before = await probe(pid, inspector)
  const still = await probe(pid, inspector)
  child.send('leak')
  await once(child, 'message')
  const after = await probe(pid, inspector)

  assert.equal(still.listeners, before.listeners)
  assert.equal(still.descriptors, before.descriptors)
  assert.ok(Math.abs(still.heapBytes - before.heapBytes) < 200_000, `${before.heapBytes} ${still.heapBytes}`)
  assert.equal(after.listeners - before.listeners, 100)
  assert.equal(after.descriptors - before.descriptors, 15)
  assert.equal(after.handles - before.handles, 5)
  assert.ok(after.heapBytes - before.heapBytes > 5_000_000, `${before.heapBytes} ${after.heapBytes}`)
  assert.ok(after.anonymousBytes > before.anonymousBytes)
})
