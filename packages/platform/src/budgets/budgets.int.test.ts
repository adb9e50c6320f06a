import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Clock } from '@portcullis/kernel'
import { createBudgets } from './index.ts'

const hammer = join(import.meta.dirname, 'hammer.fixture.ts')

test('four processes on one budget, two of them killed -9: no cap is exceeded, all of it is used', async (t) => {
  const dir = tempDir(t)
  const caps = { windowMs: 3_600_000, rowsPerWindow: 20_000, commandsPerSecond: 100, sessions: 4 }
  const runMs = 800
  const startedMs = performance.now()
  const run = (name: string, ms: number) => {
    const child = spawn(process.execPath, [
      hammer,
      join(dir, 'ledger'),
      join(dir, name),
      `${ms}`,
      JSON.stringify(caps),
    ])
    t.after(() => child.kill('SIGKILL'))
    return child
  }
  const killed = [run('a', 60_000), run('b', 60_000)]
  const others = [run('c', runMs), run('d', runMs)]
  while (!['a', 'b', 'c', 'd'].every((name) => isOpen(join(dir, name)))) await sleep(10)
  await sleep(100)
  for (const child of killed) child.kill('SIGKILL')
  await Promise.all([...killed, ...others].map(exit))
  // The dead held two of the four sessions; their places come free, and their leases stay spent.
  const late = [run('e', 300), run('f', 300)]
  await Promise.all(late.map(exit))
  const elapsedS = (performance.now() - startedMs) / 1000

  const lines = ['a', 'b', 'c', 'd', 'e', 'f'].flatMap((name) =>
    readFileSync(join(dir, name), 'utf8').split('\n'),
  )
  const count = (word: string) => lines.filter((line) => line === word).length
  const rows = lines
    .filter((line) => line.startsWith('rows '))
    .reduce((sum, line) => sum + Number(line.slice(5)), 0)
  assert.deepEqual(
    lines.filter((line) => line.startsWith('failure')),
    [],
  )
  assert.deepEqual(
    [...others, ...late].map(({ exitCode }) => exitCode),
    [0, 0, 0, 0],
  )
  assert.equal(count('session'), 6)
  assert.ok(rows <= caps.rowsPerWindow, `${rows} rows`)
  // Unspent: at most what the two dead held (an eighth of what was left each, or one chunk).
  assert.ok(rows > caps.rowsPerWindow * 0.7, `${rows} rows`)
  assert.ok(count('command') <= caps.commandsPerSecond * (elapsedS + 1), `${count('command')} commands`)
  assert.ok(count('command') > caps.commandsPerSecond, `${count('command')} commands`)
  assert.ok(count('throttled') <= 10 * (elapsedS + 1), `${count('throttled')} throttled`)
  assert.ok(count('throttled') >= 10, `${count('throttled')} throttled`)
})

test('windows slide by the clock, survive a restart, and report when they free', async (t) => {
  const dir = tempDir(t)
  const clock = fakeClock(1_700_000_000_000)
  const caps = { windowMs: 60_000, bytesPerWindow: 1_000_000 }
  const first = createBudgets({ dir, share: 0.5, clock })
  const budget = first.value.open('orders', 'ci|job', caps)
  assert.ok(budget)
  assert.equal(budget.leaseRows(10), Number.POSITIVE_INFINITY)
  let leased = 0
  for (;;) {
    const bytes = budget.leaseBytes(100_000)
    if (bytes === 0) break
    leased += bytes
    clock.advanceMs(1000)
  }
  assert.equal(leased, 500_000)
  budget.close()
  await first.stop()

  const second = createBudgets({ dir, share: 0.5, clock })
  t.after(() => second.stop())
  const again = second.value.open('orders', 'ci|job', caps)
  assert.equal(again?.leaseBytes(1), 0)
  clock.advanceMs((again?.windowFreesInMs() ?? 0) - 1)
  assert.equal(again?.leaseBytes(1), 0)
  clock.advanceMs(2)
  assert.equal(again?.leaseBytes(1), 1)
  const other = second.value.open('orders', 'ci|another', caps)
  assert.equal(other?.leaseBytes(1000), 1000)
})

test('what was returned can be leased again by anyone, also when its time bucket is over', async (t) => {
  const dir = tempDir(t)
  const clock = fakeClock(1_700_000_000_000)
  const caps = { windowMs: 60_000, rowsPerWindow: 50, bytesPerWindow: 5_000_000 }
  const one = createBudgets({ dir, share: 1, clock })
  const other = createBudgets({ dir, share: 1, clock })
  t.after(() => Promise.all([one.stop(), other.stop()]))
  const a = one.value.open('t', 'i', caps)
  const b = other.value.open('t', 'i', caps)
  assert.equal(a?.leaseRows(40), 40)
  assert.equal(b?.leaseRows(100), 10)
  a?.returnRows(30)
  assert.equal(b?.leaseRows(100), 30)
  assert.equal(a?.leaseRows(1), 0)
  clock.advanceMs(5000)
  b?.returnRows(15)
  a?.returnRows(10)
  assert.equal(a?.leaseRows(100), 25)
  // More than was leased cannot be given back.
  b?.returnRows(1000)
  assert.equal(b?.leaseRows(100), 25)
  a?.close()
  a?.close()
  // One row may need all that is left.
  assert.equal(b?.leaseBytes(4_999_999), 4_999_999)
})

test('rows are leased an eighth at a time, so that a few do not lock the others out', async (t) => {
  const budgets = createBudgets({ dir: tempDir(t), share: 1, clock: fakeClock(0) })
  t.after(() => budgets.stop())
  const caps = { windowMs: 60_000, rowsPerWindow: 8000 }
  const leases = Array.from({ length: 8 }, () => budgets.value.open('t', 'i', caps)?.leaseRows(8000))
  assert.ok(
    leases.every((rows) => (rows ?? 0) > 300),
    leases.join(' '),
  )
})

test('sessions: a cap of at least one a host, closed ones come free', async (t) => {
  const budgets = createBudgets({ dir: tempDir(t), share: 0.25, clock: fakeClock(0) })
  t.after(() => budgets.stop())
  const caps = { windowMs: 1000, sessions: 2 }
  const first = budgets.value.open('t', 'i', caps)
  assert.ok(first)
  assert.equal(budgets.value.open('t', 'i', caps), undefined)
  assert.ok(budgets.value.open('t', 'other', caps))
  first.close()
  assert.ok(budgets.value.open('t', 'i', caps))
})

test('commands a second pace by the clock', async (t) => {
  const clock = fakeClock(1_700_000_000_000)
  const budgets = createBudgets({ dir: tempDir(t), share: 1, clock })
  t.after(() => budgets.stop())
  const budget = budgets.value.open('t', 'i', { windowMs: 1000, commandsPerSecond: 5 })
  assert.ok(budget)
  let taken = 0
  for (let ms = 0; ms < 4000; ms += 50) {
    while (budget.takeCommands(1) === 0) taken++
    clock.advanceMs(50)
  }
  assert.ok(taken >= 20 && taken <= 25, `${taken}`)
  const waitMs = budget.takeThrottled('v', 60, 1)
  assert.equal(waitMs, 0)
  assert.equal(budget.takeThrottled('v', 60, 1), 1000)
  clock.advanceMs(1000)
  assert.equal(budget.takeThrottled('v', 60, 1), 0)
})

test('what is counted by the hour: together for one identity and target, not for others, and over a restart', async (t) => {
  const dir = tempDir(t)
  const clock = fakeClock(1_700_000_000_000)
  const caps = { windowMs: 60_000 }
  const first = createBudgets({ dir, share: 1, clock })
  const [one, two, other] = ['ann', 'ann', 'bob'].map((identity) => first.value.open('shop', identity, caps))
  assert.equal(one?.takeCounted('a', 3, 2), 0)
  assert.ok((two?.takeCounted('a', 3, 2) ?? 0) > 3_000_000)
  assert.equal(two?.takeCounted('a', 3, 1), 0)
  assert.ok((two?.takeCounted('b', 3, 4) ?? 0) > 0, 'more than there may ever be')
  assert.equal(two?.takeCounted('b', 3, 3), 0)
  assert.equal(other?.takeCounted('a', 3, 3), 0)
  await first.stop()
  const second = createBudgets({ dir, share: 1, clock })
  t.after(() => second.stop())
  const again = second.value.open('shop', 'ann', caps)
  const waitMs = again?.takeCounted('a', 3, 1) ?? 0
  assert.ok(waitMs > 0)
  clock.advanceMs(waitMs)
  assert.equal(again?.takeCounted('a', 3, 1), 0)
})

function isOpen(file: string): boolean {
  return existsSync(file) && statSync(file).size > 0
}

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-budgets-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

async function exit(child: ChildProcess): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}

function fakeClock(startMs: number): Clock & { advanceMs(ms: number): void } {
  let nowMs = startMs
  return {
    nowUs: () => nowMs * 1000,
    monotonicMs: () => nowMs,
    advanceMs(ms) {
      nowMs += ms
    },
  }
}
