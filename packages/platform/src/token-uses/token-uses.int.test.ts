import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { type Clock, systemClock } from '@portcullis/kernel'
import { openTokenUses } from './index.ts'

const run = promisify(execFile)
const at = (address: string) => ({ place: address, address })

function opened(t: TestContext, clock: Clock = systemClock) {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-token-uses-'))
  const both = [openTokenUses({ dir, clock }), openTokenUses({ dir, clock })] as const
  t.after(async () => {
    for (const one of both) await one.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  return { dir, one: both[0].value, other: both[1].value }
}

const end = () => systemClock.nowUs() + 60_000_000

test('what one process noted the other knows, the first use first', (t) => {
  const { one, other } = opened(t)
  assert.deepEqual(one.note('t', at('a'), end()), [at('a')])
  assert.deepEqual(one.note('t', at('a'), end()), [at('a')])
  assert.deepEqual(other.note('t', at('b'), end()), [at('a'), at('b')])
  assert.deepEqual(other.note('t', at('a'), end()), [at('a'), at('b')])
  assert.deepEqual(other.note('another', at('b'), end()), [at('b')])
  // Of a place the address that was seen first.
  assert.deepEqual(one.note('net', { place: 'n', address: 'x' }, end()), [{ place: 'n', address: 'x' }])
  assert.deepEqual(other.note('net', { place: 'n', address: 'y' }, end()), [{ place: 'n', address: 'x' }])
})

test('of one token only so many places are kept, and the first always', (t) => {
  const { one } = opened(t)
  for (let i = 0; i < 100; i++) one.note('t', at(`place-${i}`), end())
  const known = one.note('t', at('last'), end())
  assert.equal(known.length, 8)
  assert.deepEqual(known[0], at('place-0'))
})

test('processes that use the same tokens at once agree on where each was first', async (t) => {
  const { dir } = opened(t)
  const processes = ['a', 'b', 'c'].map(async (place) => {
    const script = join(import.meta.dirname, 'user.fixture.ts')
    const { stdout } = await run(process.execPath, [script, dir, place, '300'])
    return JSON.parse(stdout) as string[]
  })
  const [first, ...others] = await Promise.all(processes)
  for (const other of others) assert.deepEqual(other, first)
  assert.equal(first?.length, 300)
})

test('a token is forgotten when nobody can use it any more, and not before', async (t) => {
  let nowUs = systemClock.nowUs()
  const clock = { ...systemClock, nowUs: () => nowUs }
  t.mock.timers.enable({ apis: ['setInterval'] })
  const { other, one } = opened(t, clock)
  one.note('short', at('a'), nowUs + 1_000_000)
  one.note('long', at('a'), nowUs + 60_000_000)
  nowUs += 2_000_000
  t.mock.timers.tick(5000)
  await sleep(1)
  assert.deepEqual(other.note('short', at('b'), nowUs + 1_000_000), [at('b')])
  assert.deepEqual(other.note('long', at('b'), nowUs), [at('a'), at('b')])
})
