import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@portcullis/kernel'
import { syncFile } from './durability.ts'
import { RecorderError } from './error.ts'
import type { Draft } from './fold.ts'
import { allow, analysisOf, intentOf, noTotals, ok, sessionRecord } from './sample.fixture.ts'
import { openTail } from './tail.ts'
import { createRecorder, type RecorderOptions } from './writer.ts'

const at = 1_700_000_000_100_000
const steps = 1000
const analyses = Array.from({ length: 40 }, (_, i) => analysisOf(`select ${i} ${'x'.repeat(i * 40)}`))

for (const seed of [1, 2, 3]) {
  test(`deny, a disk that fills and empties at random (seed ${seed}): recorded is exactly what was acknowledged`, async (t) => {
    const dir = mountTmpfs(t)
    if (!dir) return
    const run = await storm(t, dir, seed, { onUnavailable: 'deny' })
    assert.ok(run.refused > 0 && run.acknowledged.size > 100, `${run.refused} ${run.acknowledged.size}`)
    checkWhole(run.drafts)
    assert.deepEqual(finishedOf(run.drafts), run.acknowledged)
  })
}

test('allow-and-count on such a disk: what is not recorded is what was counted', async (t) => {
  const dir = mountTmpfs(t)
  if (!dir) return
  const run = await storm(t, dir, 4, { onUnavailable: 'allow-and-count' })
  assert.ok(run.unrecorded > 0)
  checkWhole(run.drafts)
  assert.equal(
    finishedOf(run.drafts).size + run.unrecorded,
    run.acknowledged.size + run.sessionsLost(run.drafts),
  )
})

test('disk, with syncs that fail at random: recorded is what was acknowledged, and refusals whose sync failed', async (t) => {
  const dir = tempDir(t)
  const next = random(5)
  let failed = 0
  const run = await storm(t, dir, 6, { onUnavailable: 'deny', durability: 'disk' }, async (fd) => {
    if (next() < 0.03 && failed++ >= 0) throw Object.assign(new Error('EIO'), { code: 'EIO' })
    await syncFile(fd)
  })
  assert.ok(failed > 0 && run.refused > 0 && run.acknowledged.size > 100)
  checkWhole(run.drafts)
  // A refused command is an event as soon as it is written; it ran nowhere, so nothing wrong is said of it.
  assert.deepEqual(finishedOf(run.drafts).difference(run.refusedUnsynced), run.acknowledged)
})

/** A gate's calls in random order; where it is `tmpfs`, something else fills the disk and empties it now and then. */
async function storm(
  t: TestContext,
  dir: string,
  seed: number,
  options: Pick<RecorderOptions, 'onUnavailable'> & Partial<RecorderOptions>,
  sync?: (fd: number) => Promise<void>,
) {
  const next = random(seed)
  const pick = <T>(of: readonly T[]): T | undefined => of[Math.floor(next() * of.length)]
  const recorder = createRecorder(
    {
      dir: join(dir, 'r'),
      durability: 'process',
      bytesMax: 64 << 20,
      proxy: { name: 'p', version: '0' },
      clock: systemClock,
      segmentBytes: 8000,
      ...options,
    },
    sync,
  )
  t.after(() => recorder.stop())
  const { value } = recorder
  const filler = join(dir, 'filler')
  const open = new Map<string, { last: number; running: number[] }>()
  const acknowledged = new Set<string>()
  const refusedUnsynced = new Set<string>()
  let sessions = 0
  let refused = 0

  const commit = async (): Promise<boolean> => {
    try {
      await value.commit()
      return true
    } catch (error) {
      assert.ok(error instanceof RecorderError && error.code === 'unavailable', String(error))
      refused++
      return false
    }
  }
  const openSession = async () => {
    const sessionId = `s${++sessions}`
    value.session(sessionRecord(sessionId), 'opened', allow, '')
    if (await commit()) open.set(sessionId, { last: 0, running: [] })
  }
  const runCommands = async () => {
    const [sessionId, session] = pick(Array.from(open)) ?? []
    if (!sessionId || !session) return
    const numbers = Array.from({ length: 1 + Math.floor(next() * 3) }, () => ++session.last)
    for (const number of numbers) value.intent(intentOf(sessionId, number, pick(analyses) ?? analysisOf('')))
    const isRefused = next() < 0.1
    if (isRefused) for (const number of numbers) value.outcome(sessionId, number, at, ok)
    if (!(await commit())) {
      if (isRefused) for (const number of numbers) refusedUnsynced.add(`${sessionId}.${number}`)
      return
    }
    for (const number of numbers) acknowledged.add(`${sessionId}.${number}`)
    if (!isRefused) session.running.push(...numbers)
  }
  const finishOne = () => {
    const [sessionId, session] = pick(Array.from(open)) ?? []
    const number = session?.running.shift()
    if (!sessionId || number === undefined) return
    if (next() < 0.2) value.progress(sessionId, number, at, ok)
    value.outcome(sessionId, number, at, ok)
  }
  const closeSession = () => {
    const sessionId = pick(Array.from(open.keys()))
    if (!sessionId) return
    open.delete(sessionId)
    value.sessionClosed(sessionId, at, allow, '', noTotals)
  }

  for (let step = 0; step < steps; step++) {
    const dice = next()
    if (dice < 0.05) await openSession()
    else if (dice < 0.5) await runCommands()
    else if (dice < 0.9) finishOne()
    else if (dice < 0.92) closeSession()
    else if (dice < 0.93 && !sync) fill(filler)
    else if (dice < 0.95) rmSync(filler, { force: true })
    else await new Promise(setImmediate)
  }
  rmSync(filler, { force: true })
  while (!value.stats().available) await sleep(20)
  for (const sessionId of open.keys()) value.sessionClosed(sessionId, at, allow, '', noTotals)
  await recorder.stop()
  return {
    drafts: readAll(value.dir),
    acknowledged,
    refusedUnsynced,
    refused,
    unrecorded: value.stats().unrecorded,
    /** Sessions that were opened and closed without room for either; they are counted too. */
    sessionsLost: (drafts: readonly Draft[]) =>
      sessions - drafts.filter(({ kind, event }) => kind === 'session' && event.phase === 'opened').length,
  }
}

function checkWhole(drafts: readonly Draft[]): void {
  assert.deepEqual(
    drafts.map(({ event }) => event.link.seq),
    drafts.map((_, i) => i + 1),
  )
  const phases = drafts.flatMap((draft) => (draft.kind === 'session' ? [draft.event.phase] : []))
  const count = (phase: string) => phases.filter((one) => one === phase).length
  assert.equal(count('opened'), count('closed'))
  // No command finishes twice, and each keeps its own text.
  const finished = drafts.flatMap((draft) =>
    draft.kind === 'command' && draft.event.phase === 'finished' ? [draft.event.commandId] : [],
  )
  assert.equal(new Set(finished).size, finished.length)
}

function finishedOf(drafts: readonly Draft[]): Set<string> {
  return new Set(
    drafts.flatMap((draft) =>
      draft.kind === 'command' && draft.event.phase === 'finished' ? [draft.event.commandId] : [],
    ),
  )
}

function readAll(dir: string): Draft[] {
  const drafts: Draft[] = []
  const tail = openTail(dir, undefined, (unread) => assert.fail(JSON.stringify(unread)))
  for (;;) {
    const batch = tail.next(100)
    drafts.push(...batch.drafts)
    if (batch.state === 'more') continue
    tail.close()
    assert.equal(batch.state, 'ended')
    return drafts
  }
}

/** Mulberry32: the same numbers for the same seed. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}

function fill(path: string): void {
  assert.throws(() => {
    for (;;) appendFileSync(path, Buffer.alloc(16 << 10))
  }, /ENOSPC/)
}

function tempDir(t: TestContext): string {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-storm-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

/** A file system of its own, or undefined where this user may not mount; in CI that is a failure. */
function mountTmpfs(t: TestContext): string | undefined {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-storm-'))
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', dir], { stdio: 'pipe' })
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
