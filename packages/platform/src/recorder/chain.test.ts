import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent } from '@portcullis/kernel'
import { createCodecs } from '../codec.ts'
import { firstHash, type LinkedEvent, linkDraft, verifyChain } from './chain.ts'
import { createSegmentFold, type Draft } from './fold.ts'
import { formatVersion, type SegmentRecord } from './format.ts'
import { allow, analysisOf, noTotals, ok, sessionRecord } from './sample.fixture.ts'

const codecs = createCodecs()
const { id: _id, delayUs: _delayUs, ...kind } = allow
const at = 1_700_000_000_100_000

test('a chain that nobody touched verifies, in any order and among others', () => {
  const events = [...chained('r1'), ...chained('r2')].reverse()
  assert.deepEqual(verifyChain(events, codecs), [])
})

test('missing, doubled, altered and swapped events are each named with their place', () => {
  const events = chained('r1')
  const faults = (changed: LinkedEvent[]) =>
    verifyChain(changed, codecs).map(({ seq, fault }) => `${seq} ${fault}`)
  assert.deepEqual(faults(events.toSpliced(2, 1)), ['4 missing before'])
  assert.deepEqual(faults(events.toSpliced(0, 1)), ['2 missing before'])
  assert.deepEqual(faults([...events, ...events.slice(1, 2)]), ['2 doubled'])
  assert.deepEqual(faults(events.with(2, alter(events[2], { text: 'select 2' }))), ['3 altered'])
  assert.deepEqual(faults(events.with(2, alter(events[2], { outcome: 'error' }))), ['3 altered'])
  const other = chained('r1', 'select other')
  assert.deepEqual(faults(events.with(2, other[2] ?? assert.fail())), [
    '3 does not follow',
    '4 does not follow',
  ])
})

test('what retention removed before the first known event is no fault where the caller says so', () => {
  const events = chained('r1')
  assert.deepEqual(verifyChain(events.slice(2), codecs, { fromStart: false }), [])
})

test('events: started once, then progress, then the outcome; totals of what a dead session did', () => {
  const fold = createSegmentFold()
  const events = records('r1')
    .slice(0, 5)
    .concat(
      { type: 'progress', session: 1, number: 1, at, progress: ok },
      { type: 'progress', session: 1, number: 1, at: at + 10, progress: ok },
    )
    .flatMap((record) => fold.apply(record) ?? [])
  const phases = events.map(({ event }) => event.phase)
  assert.deepEqual(phases, ['opened', 'started', 'progress'])
  assert.deepEqual(fold.open()[0]?.totals, { ...noTotals, commands: 1 })
  assert.equal(fold.open()[0]?.running[0]?.started, true)
  fold.apply({ type: 'outcome', session: 1, number: 1, at, result: ok })
  assert.deepEqual(fold.open()[0]?.totals, { commands: 1, rowsOut: 1, bytesIn: 20, bytesOut: 40 })
})

function chained(recorder: string, text = 'select 1'): LinkedEvent[] {
  const fold = createSegmentFold()
  let prevHash = firstHash
  return records(recorder, text)
    .flatMap((record): Draft[] => [fold.apply(record)].filter((draft) => draft !== undefined))
    .map((draft) => {
      const { value, hash } = linkDraft(draft, prevHash, codecs)
      prevHash = hash
      return draft.kind === 'session'
        ? { kind: draft.kind, event: codecs.session.decode(value) }
        : { kind: draft.kind, event: codecs.command.decode(value) }
    })
}

function records(recorder: string, text = 'select 1'): SegmentRecord[] {
  const intent = (number: number): SegmentRecord => ({
    type: 'intent',
    session: 1,
    number,
    statement: 1,
    decision: 2,
    repeated: false,
    started: false,
    startedAt: at - 1000,
    delayUs: 0,
    decisionId: `d${number}`,
    attributes: '',
  })
  const outcome = (number: number): SegmentRecord => ({ type: 'outcome', session: 1, number, at, result: ok })
  return [
    {
      type: 'head',
      version: formatVersion,
      recorder,
      segment: 1,
      seqFirst: 1,
      proxy: { name: 'p', version: '0' },
    },
    {
      type: 'session',
      phase: 'opened',
      session: 1,
      record: sessionRecord('s1'),
      decision: allow,
      detail: '',
    },
    { type: 'statement', statement: 1, analysis: analysisOf(text) },
    { type: 'decision', decision: 2, kind },
    intent(1),
    intent(2),
    outcome(2),
    outcome(1),
    { type: 'sessionClosed', session: 1, at, decision: allow, detail: '', totals: noTotals },
  ]
}

function alter(linked: LinkedEvent | undefined, change: Partial<CommandEvent>): LinkedEvent {
  assert.ok(linked?.kind === 'command')
  return { kind: 'command', event: { ...linked.event, ...change } }
}
