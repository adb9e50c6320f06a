import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { test } from 'node:test'
import { type Decision, systemClock } from '@portcullis/kernel'
import { createCodecs } from '../codec.ts'
import { firstHash, linkDraft, verifyChain } from './chain.ts'
import { analysisOf, allow, intentOf, noTotals, ok, sessionRecord } from './sample.fixture.ts'
import type { Draft } from './fold.ts'
import { openTail, type UnreadTail } from './tail.ts'
import { createRecorder, type RecorderOptions } from './writer.ts'

const fail = (unread: UnreadTail) => assert.fail(JSON.stringify(unread))
const analysis = analysisOf('select 1')

test('what was recorded comes back as events, in order, chained', async (t) => {
  const { recorder } = start(t)
  const masked = [{ column: 'public.users.email', values: 12 }]
  recorder.value.session(sessionRecord('s1'), 'opened', allow, '')
  recorder.value.commit()
  for (let number = 1; number <= 100; number++) {
    recorder.value.intent(intentOf('s1', number, analysis))
    assert.equal(recorder.value.commit(), undefined)
    recorder.value.outcome(
      's1',
      number,
      1_700_000_000_000_500 + number,
      number === 7 ? { ...ok, masked } : ok,
    )
  }
  recorder.value.sessionClosed('s1', 1_700_000_000_009_000, allow, 'bye', { ...noTotals, commands: 100 })
  await recorder.stop()

  const drafts = readAll(recorder.value.dir)
  assert.equal(drafts.length, 102)
  assert.deepEqual(
    drafts.map(({ event }) => event.link.seq),
    Array.from({ length: 102 }, (_, i) => i + 1),
  )
  const first = drafts[1]
  assert.ok(first?.kind === 'command')
  assert.equal(first.event.commandId, 's1.1')
  assert.equal(first.event.text, 'select 1')
  assert.equal(first.event.durationUs, 500)
  assert.equal(first.event.outcome, 'ok')
  assert.deepEqual(first.event.objects, analysis.objects)
  for (const [at, draft] of drafts.entries())
    if (draft.kind === 'command') assert.deepEqual(draft.event.masked, at === 7 ? masked : [])
  const codecs = createCodecs()
  let prevHash = firstHash
  const linked = drafts.map((draft) => {
    const { value, hash } = linkDraft(draft, prevHash, codecs)
    prevHash = hash
    return draft.kind === 'session'
      ? { kind: draft.kind, event: codecs.session.decode(value) }
      : { kind: draft.kind, event: codecs.command.decode(value) }
  })
  assert.deepEqual(verifyChain(linked, codecs), [])
  assert.equal(verifyChain(linked.toSpliced(50, 1), codecs)[0]?.fault, 'missing before')
})

/** It used to be dropped: a cut, or a refusal at Execute, stood in the trail as allowed, and its decision id nowhere. */
test('a command that something else ended than let it pass tells what ended it', async (t) => {
  const { recorder } = start(t)
  recorder.value.session(sessionRecord('s1'), 'opened', allow, '')
  recorder.value.intent({
    ...intentOf('s1', 1, analysisOf('select 1')),
    decision: { ...allow, id: 'd1', delayUs: 70 },
  })
  recorder.value.commit()
  const cut: Decision = {
    ...allow,
    id: 'd2',
    action: 'cap',
    reason: 'cap_rows_statement',
    rule: 'rowsPerStatement',
  }
  recorder.value.outcome('s1', 1, 1_700_000_000_000_500, { ...ok, outcome: 'cut' }, cut)
  await recorder.stop()
  const [, draft] = readAll(recorder.value.dir)
  assert.ok(draft?.kind === 'command')
  assert.equal(draft.event.outcome, 'cut')
  assert.deepEqual(draft.event.decision, { ...cut, delayUs: 70 })
})

test('a command that waited for another decision is one command, with the latest, also where it died before it ended', async (t) => {
  const { recorder } = start(t)
  recorder.value.session(sessionRecord('s1'), 'opened', allow, '')
  const held: Decision = { ...allow, id: 'd1', action: 'hold', reason: 'policy_hold', approvalId: 'a1' }
  const letIn: Decision = { ...allow, id: 'd2', approvalId: 'a1', delayUs: 70 }
  recorder.value.intent({ ...intentOf('s1', 1, analysis), decision: held })
  recorder.value.progress('s1', 1, 1_700_000_000_000_100, { rowsIn: 0, rowsOut: 0, bytesIn: 0, bytesOut: 0 })
  recorder.value.commit()
  recorder.value.redecided('s1', 1, letIn)
  recorder.value.commit()
  const [, waits, ...others] = readAll(recorder.value.dir)
  assert.ok(waits?.kind === 'command')
  assert.deepEqual([waits.event.phase, waits.event.decision], ['started', held])
  assert.equal(others.length, 0)
  const tail = openTail(recorder.value.dir, undefined, fail)
  drain(tail)
  const [open] = tail.fold.open()
  assert.deepEqual([open?.running.length, open?.running[0]?.intent.decision], [1, letIn])
  assert.equal(open?.totals.commands, 1)
  tail.close()
  recorder.value.outcome('s1', 1, 1_700_000_000_000_500, ok)
  await recorder.stop()
  const ended = readAll(recorder.value.dir)[2]
  assert.ok(ended?.kind === 'command')
  assert.deepEqual([ended.event.phase, ended.event.decision], ['finished', letIn])
})

test('segments roll, and the last one alone tells what is open', async (t) => {
  const { recorder } = start(t, { segmentBytes: 2048 })
  recorder.value.session(sessionRecord('s1'), 'opened', allow, '')
  for (let number = 1; number <= 500; number++) {
    recorder.value.intent(intentOf('s1', number, analysisOf(`select ${number % 7}`)))
    recorder.value.commit()
    if (number % 10 !== 0) recorder.value.outcome('s1', number, 1_700_000_000_001_000, ok)
  }
  await sleep(5)
  const tail = openTail(recorder.value.dir, undefined, fail)
  const drafts = drain(tail)
  assert.ok(tail.segment() > 5)
  assert.equal(drafts.length, 451)
  assert.equal(tail.fold.open()[0]?.running.length, 50)
  const last = openTail(recorder.value.dir, { segment: tail.segment(), offset: 0 }, fail)
  drain(last)
  assert.deepEqual(last.fold.open(), tail.fold.open())
  assert.equal(last.fold.seqNext(), tail.fold.seqNext())
  await recorder.stop()
  const rest = drain(tail)
  assert.equal(rest.length, 51)
  assert.ok(tail.fold.ended())
  tail.close()
  last.close()
})

function start(t: { after(fn: () => void): void }, options: Partial<RecorderOptions> = {}) {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-recorder-'))
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  const recorder = createRecorder({
    dir,
    durability: 'process',
    bytesMax: 64 << 20,
    onUnavailable: 'deny',
    proxy: { name: 'p', version: '0' },
    clock: systemClock,
    ...options,
  })
  return { dir, recorder }
}

function readAll(dir: string): Draft[] {
  const tail = openTail(dir, undefined, fail)
  const drafts = drain(tail)
  tail.close()
  return drafts
}

function drain(tail: ReturnType<typeof openTail>): Draft[] {
  const drafts: Draft[] = []
  for (;;) {
    const batch = tail.next(10)
    drafts.push(...batch.drafts)
    if (batch.state !== 'more') return drafts
  }
}
