import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { getPriority } from 'node:os'
import { test } from 'node:test'
import { createSqlAnalyzer } from './analyzer.ts'
import { cpuMsOf, ownThread } from './own-thread.ts'

const skip = process.platform !== 'linux'

test('the CPU of a thread is its own', { skip }, () => {
  const thread = ownThread()
  const sinceMs = cpuMsOf(thread) ?? Number.NaN
  const untilMs = performance.now() + 60_000
  while ((cpuMsOf(thread) ?? 0) < sinceMs + 50) assert.ok(performance.now() < untilMs, 'it does not grow')
  assert.equal(cpuMsOf(2 ** 30), undefined)
})

test('the thread for long texts goes behind the one that serves sessions, and no other does', {
  skip,
}, async () => {
  const before = nicenesses()
  const analyzer = await createSqlAnalyzer({ cacheEntries: 10, cacheBytesMax: 1 << 20 })
  try {
    await analyzer.warm()
    const nicer = [...nicenesses()].filter(([thread, nice]) => nice > (before.get(thread) ?? getPriority()))
    assert.equal(nicer.length, 1)
    assert.ok(nicer.every(([thread]) => !before.has(thread)))
  } finally {
    await analyzer.close()
  }
})

/** By thread of this process. */
function nicenesses(): ReadonlyMap<string, number> {
  // Behind the name, which may hold anything, `nice` is the 17th field: proc_pid_stat(5).
  const niceness = (thread: string) =>
    Number(readFileSync(`/proc/self/task/${thread}/stat`, 'latin1').split(') ').at(-1)?.split(' ')[16])
  return new Map(readdirSync('/proc/self/task').map((thread) => [thread, niceness(thread)]))
}
