import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { isAlive, thisProcess } from './life.ts'
import { openPosition, type Position, readPosition } from './position.ts'

test('a process lives while it is the same one: not after its end, not under a number that came again, not after a boot', async (t) => {
  const self = thisProcess()
  assert.equal(isAlive(self), true)
  assert.equal(isAlive({ ...self, bootId: 'another' }), false)
  if (self.startTicks === '') return t.skip('no /proc: only the process id can be told')
  assert.equal(isAlive({ ...self, startTicks: '1' }), false)
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'])
  t.after(() => child.kill('SIGKILL'))
  await once(child, 'spawn')
  const life = { ...self, pid: child.pid ?? 0, startTicks: startTicks(child.pid ?? 0) }
  assert.equal(isAlive(life), true)
  child.kill('SIGKILL')
  await once(child, 'exit')
  assert.equal(isAlive(life), false)
})

test('a position survives a death in the middle of its writing at any byte', (t) => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-position-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const file = openPosition(dir)
  assert.equal(file.read(), undefined)
  file.write(position(1))
  file.write(position(2))
  const before = readFileSync(join(dir, 'shipped'))
  file.write(position(3))
  file.close()
  const after = readFileSync(join(dir, 'shipped'))
  assert.deepEqual(readPosition(dir), position(3))
  for (let written = 0; written < 512; written++) {
    const torn = Buffer.from(before)
    after.copy(torn, 512, 512, 512 + written)
    writeFileSync(join(dir, 'shipped'), torn)
    const read = readPosition(dir)
    assert.ok(read?.offset === position(2).offset || read?.offset === position(3).offset)
    const reopened = openPosition(dir)
    reopened.write(position(4))
    reopened.close()
    assert.deepEqual(readPosition(dir), position(4))
  }
})

function position(n: number): Position {
  return { segment: n, offset: n * 1000, seqNext: n * 10, prevHash: Buffer.alloc(32, n) }
}

function startTicks(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
}
