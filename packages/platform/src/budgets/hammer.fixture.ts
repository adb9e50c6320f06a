/**
 * A proxy process as far as budgets go: opens sessions and spends without pause until it is told to stop or killed. Writes
 * one line a grant to its own file, synchronously, so that what it spent is known after kill -9.
 * node hammer.fixture.ts DIR OUT RUN_MS CAPS_JSON
 */
import { openSync, writeSync } from 'node:fs'
import { systemClock } from '@portcullis/kernel'
import { createBudgets } from './index.ts'

const [dir = '', out = '', runMs = '0', capsJson = '{}'] = process.argv.slice(2)
const fd = openSync(out, 'a')
const budgets = createBudgets({
  dir,
  share: 1,
  clock: systemClock,
  onFailure: (error) => writeSync(fd, `failure ${error}\n`),
})
const budget = budgets.value.open('orders', 'ci|job', JSON.parse(capsJson))
const untilMs = performance.now() + Number(runMs)
writeSync(fd, budget ? 'session\n' : 'no-session\n')

async function spend(): Promise<void> {
  while (budget && performance.now() < untilMs) {
    for (let i = 0; i < 20; i++) {
      const rows = budget.leaseRows(70)
      // Written before it is spent: a kill in between counts as spent, never the other way round.
      if (rows > 0) writeSync(fd, `rows ${rows - 1}\n`)
      if (rows > 0) budget.returnRows(1)
      if (budget.takeCommands(1) === 0) writeSync(fd, 'command\n')
      if (budget.takeThrottled('v1', 600, 1) === 0) writeSync(fd, 'throttled\n')
    }
    await new Promise(setImmediate)
  }
}

await spend()
budget?.close()
await budgets.stop()
