import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { test } from 'node:test'
import { fate, thisProcess } from './alive.ts'

const mine = thisProcess()
const seesProcesses = mine.scope !== ''

test('this process is alive, and a later one with its pid would not be it', (t) => {
  if (!seesProcesses) return t.skip('no /proc here: leases decide')
  assert.equal(fate(mine, mine), 'alive')
  assert.equal(fate({ ...mine, startedAt: '1' }, mine), 'dead')
})

test('a process that was killed is dead at once, and again once its parent took note', async (t) => {
  if (!seesProcesses) return t.skip('no /proc here: leases decide')
  const child = spawn('sleep', ['60'])
  await once(child, 'spawn')
  assert.ok(child.pid)
  const stat = thisProcess()
  const other = { pid: child.pid, startedAt: '', scope: stat.scope }
  assert.equal(fate(other, mine), 'dead', 'its start is not what was recorded')
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
  assert.equal(fate(other, mine), 'dead')
})

test('what cannot be seen from here is unknown, never dead', () => {
  assert.equal(fate({ ...mine, pid: 999_999_999, scope: 'another machine' }, mine), 'unknown')
  assert.equal(fate({ ...mine, pid: 999_999_999, scope: '' }, { ...mine, scope: '' }), 'unknown')
})
