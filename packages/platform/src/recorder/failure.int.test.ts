import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@portcullis/kernel'
import { syncFile } from './durability.ts'
import { RecorderError } from './error.ts'
import type { Draft } from './fold.ts'
import { openPosition } from './position.ts'
import { allow, analysisOf, intentOf, noTotals, ok, sessionRecord } from './sample.fixture.ts'
import { listSegments, segmentPath } from './segment-file.ts'
import { openTail, type UnreadTail } from './tail.ts'
import { createRecorder, type LocalRecorder, type RecorderOptions } from './writer.ts'

const at = 1_700_000_000_100_000
const isUnavailable = (error: unknown) => error instanceof RecorderError && error.code === 'unavailable'

test('a full disk: denied, nothing half written, what came of earlier commands is kept, and it recovers by itself', async (t) => {
  const dir = mountTmpfs(t)
  if (!dir) return
  const filler = join(dir, 'filler')
  writeFileSync(filler, Buffer.alloc(700 << 10))
  const { value: recorder } = start(t, join(dir, 'r'))
  open(recorder)
  const done: number[] = []
  let number = 0
  for (;;) {
    number++
    recorder.intent(intentOf('s1', number, analysisOf(`select ${'x'.repeat(2000)} ${number}`)))
    try {
      recorder.commit()
    } catch (error) {
      assert.ok(isUnavailable(error), String(error))
      assert.match(String(error), /ENOSPC/)
      break
    }
    done.push(number)
  }
  assert.equal(recorder.available, false)
  assert.ok(done.length > 10)
  for (const finished of done) recorder.outcome('s1', finished, at, ok)
  await sleep(250)
  assert.equal(recorder.available, false)
  assert.ok(recorder.stats().failures > 0)
  assert.equal(recorder.stats().unrecorded, 0)
  rmSync(filler)
  while (!recorder.available) await sleep(10)
  recorder.intent(intentOf('s1', number + 1, analysisOf('select 1')))
  recorder.commit()
  recorder.outcome('s1', number + 1, at, ok)
  await sleep(5)
  const finished = commands(readAll(recorder.dir))
  assert.deepEqual(
    finished.map((id) => Number(id.slice(3))),
    [...done, number + 1],
  )
})

test('allow-and-count on a full disk: nothing throws, the unrecorded are counted, sessions are recorded later', async (t) => {
  const dir = mountTmpfs(t)
  if (!dir) return
  const filler = join(dir, 'filler')
  const { value: recorder } = start(t, join(dir, 'r'), { onUnavailable: 'allow-and-count' })
  fill(filler)
  recorder.session({ ...sessionRecord('s1'), client: 'x'.repeat(9000) }, 'opened', allow, '')
  assert.equal(recorder.commit(), undefined)
  for (let number = 1; number <= 3; number++) {
    recorder.intent(intentOf('s1', number, analysisOf(`select ${'x'.repeat(9000)}`)))
    assert.equal(recorder.commit(), undefined)
    recorder.outcome('s1', number, at, ok)
  }
  assert.equal(recorder.available, true)
  assert.equal(recorder.stats().unrecorded, 3)
  rmSync(filler)
  recorder.intent(intentOf('s1', 4, analysisOf('select 4')))
  recorder.commit()
  recorder.outcome('s1', 4, at, ok)
  recorder.sessionClosed('s1', at, allow, 'bye', noTotals)
  await sleep(5)
  const drafts = readAll(recorder.dir)
  assert.deepEqual(commands(drafts), ['s1.4'])
  assert.deepEqual(
    drafts.map(({ kind, event }) => `${kind} ${event.phase}`),
    ['session opened', 'command finished', 'session closed'],
  )
})

test('a backlog over its limit is denied, and let through again once it was shipped', async (t) => {
  const dir = tempDir(t)
  const { value: recorder } = start(t, dir, { bytesMax: 200_000, segmentBytes: 20_000 })
  open(recorder)
  let number = 0
  const commitOne = () => {
    recorder.intent(intentOf('s1', ++number, analysisOf(`select ${'x'.repeat(1000)} ${number}`)))
    recorder.commit()
    recorder.outcome('s1', number, at, ok)
  }
  assert.throws(() => {
    for (;;) commitOne()
  }, isUnavailable)
  assert.ok(recorder.stats().backlogBytes > 200_000)
  assert.ok(recorder.stats().backlogBytes < 220_000, String(recorder.stats().backlogBytes))
  assert.throws(commitOne, isUnavailable)
  await sleep(150)
  assert.equal(recorder.available, false)
  // As the agent does once the bus has it all.
  const tail = openTail(recorder.dir, undefined, fail)
  const { at: shipped } = drain(tail)
  const position = openPosition(recorder.dir)
  position.write({ ...shipped, prevHash: Buffer.alloc(32) })
  position.close()
  while (!recorder.available) await sleep(10)
  commitOne()
})

test('disk: commits at the same time share one sync, and none resolves before a sync that began after it', async (t) => {
  let begun = 0
  let ended = 0
  const { value: recorder } = start(t, tempDir(t), { durability: 'disk' }, async (fd) => {
    begun++
    await syncFile(fd)
    ended++
  })
  open(recorder)
  await recorder.commit()
  const syncs = ended
  const lanes = Array.from({ length: 32 }, async (_, lane) => {
    for (let i = 0; i < 10; i++) {
      recorder.intent(intentOf('s1', lane * 100 + i + 1, analysisOf('select 1')))
      const begunBefore = begun
      await recorder.commit()
      assert.ok(ended > begunBefore, 'resolved on a sync that had begun before')
    }
  })
  await Promise.all(lanes)
  assert.ok(ended - syncs >= 10, `${ended - syncs}`)
  assert.ok(ended - syncs <= 25, `${ended - syncs} syncs for 320 commits`)
})

test('disk: after a failed sync those who waited are refused, and all goes on in a new segment', async (t) => {
  let isFailing = false
  const { value: recorder } = start(t, tempDir(t), { durability: 'disk' }, async (fd) => {
    if (isFailing) throw Object.assign(new Error('EIO: i/o error, fdatasync'), { code: 'EIO' })
    await syncFile(fd)
  })
  open(recorder)
  await recorder.commit()
  recorder.intent(intentOf('s1', 1, analysisOf('select 1')))
  await recorder.commit()
  isFailing = true
  recorder.intent(intentOf('s1', 2, analysisOf('select 2')))
  await assert.rejects(async () => recorder.commit(), isUnavailable)
  assert.equal(recorder.available, false)
  isFailing = false
  while (!recorder.available) await sleep(10)
  recorder.intent(intentOf('s1', 3, analysisOf('select 1')))
  await recorder.commit()
  for (const number of [1, 2, 3]) recorder.outcome('s1', number, at, ok)
  await sleep(5)
  assert.equal(listSegments(recorder.dir).length, 2)
  assert.deepEqual(commands(readAll(recorder.dir)), ['s1.1', 's1.3'])
})

test('a torn end and a damaged middle are told apart, and both are reported', async (t) => {
  const { value: recorder } = start(t, tempDir(t), { segmentBytes: 3000 })
  open(recorder)
  for (let number = 1; number <= 60; number++) {
    recorder.intent(intentOf('s1', number, analysisOf('select 1')))
    recorder.commit()
    recorder.outcome('s1', number, at, ok)
    await sleep(5)
  }
  const [first = 0, second = 0] = listSegments(recorder.dir)
  truncateSync(segmentPath(recorder.dir, first), 2000)
  appendFileSync(segmentPath(recorder.dir, first), Buffer.from([200, 1, 0, 0, 1, 2, 3, 4, 5]))
  damage(segmentPath(recorder.dir, second), 2000)
  const unread: UnreadTail[] = []
  const tail = openTail(recorder.dir, undefined, (one) => unread.push(one))
  const { drafts } = drain(tail)
  tail.close()
  assert.deepEqual(
    unread.map(({ segment }) => segment),
    [first, second],
  )
  assert.equal(unread[1]?.kind, 'damaged')
  // The gap shows in the sequence; what follows is read.
  const seqs = drafts.map(({ event }) => event.link.seq)
  assert.ok(seqs.some((seq, i) => i > 0 && seq !== (seqs[i - 1] ?? 0) + 1))
  assert.equal(seqs.at(-1), 61)
})

function damage(path: string, where: number): void {
  execFileSync(process.execPath, [
    '-e',
    `const fs=require('fs');const fd=fs.openSync(process.argv[1],'r+');fs.writeSync(fd,Buffer.from([255,254,253]),0,3,${where})`,
    path,
  ])
}

function start(
  t: TestContext,
  dir: string,
  options: Partial<RecorderOptions> = {},
  sync?: (fd: number) => Promise<void>,
) {
  const recorder = createRecorder(
    {
      dir,
      durability: 'process',
      bytesMax: 64 << 20,
      onUnavailable: 'deny',
      proxy: { name: 'p', version: '0' },
      clock: systemClock,
      ...options,
    },
    sync,
  )
  t.after(() => recorder.stop())
  return recorder
}

function open(recorder: LocalRecorder): void {
  recorder.session(sessionRecord('s1'), 'opened', allow, '')
  recorder.commit()
}

function readAll(dir: string): readonly Draft[] {
  const tail = openTail(dir, undefined, fail)
  const { drafts } = drain(tail)
  tail.close()
  return drafts
}

function drain(tail: ReturnType<typeof openTail>) {
  const drafts: Draft[] = []
  for (;;) {
    const batch = tail.next(10)
    drafts.push(...batch.drafts)
    if (batch.state !== 'more') return { drafts, at: batch.at }
  }
}

function commands(drafts: readonly Draft[]): string[] {
  return drafts.flatMap((draft) => (draft.kind === 'command' ? [draft.event.commandId] : []))
}

function fail(unread: UnreadTail): void {
  assert.fail(JSON.stringify(unread))
}

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-failure-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A file system of one MiB, or undefined where this user may not mount; in CI that is a failure. */
function mountTmpfs(t: TestContext): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-full-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', dir], { stdio: 'pipe' })
  } catch (error) {
    rmSync(dir, { recursive: true, force: true })
    assert.ok(!process.env.CI, `a tmpfs cannot be mounted: ${error}`)
    t.skip('a small file system cannot be mounted: not root')
    return undefined
  }
  t.after(() => {
    execFileSync('umount', ['-l', dir])
    rmSync(dir, { recursive: true, force: true })
  })
  return dir
}

function fill(path: string): void {
  assert.throws(() => {
    for (;;) appendFileSync(path, Buffer.alloc(4096))
  }, /ENOSPC/)
}
