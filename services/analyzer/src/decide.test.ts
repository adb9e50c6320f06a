import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Departure, Severity } from '@portcullis/kernel'
import { act, berlin, randomFrom, read, secondUs } from '../../../load-tests/simulator/index.ts'
import { decide, emptyMemory, type Judged, type Memory } from './decide.ts'
import { type AnalyzerSettings, dayUs, defaultSettings, hourUs, minuteUs } from './settings.ts'
import { mondayUs, recorder } from './test-support.ts'

test('one feature alone never goes beyond a throttle', () => {
  for (const feature of ['command-rate', 'data-volume', 'volume-total', 'privileged-use', 'region']) {
    for (const severity of ['error', 'critical'] as const)
      assert.equal(after([[feature, severity]])?.action, 'throttle', feature)
    assert.equal(after([[feature, 'warning']]), undefined, feature)
    assert.equal(after([[feature, 'info']]), undefined, feature)
  }
})

test('two independent features block; what follows from the other does not count twice', () => {
  const block = (...features: [string, Severity][]) => after(features)?.action === 'block'
  assert.ok(block(['command-rate', 'error'], ['region', 'error']))
  assert.ok(block(['data-volume', 'warning'], ['privileged-use', 'warning']))
  assert.ok(!block(['command-rate', 'error'], ['volume-total', 'error']))
  assert.ok(!block(['data-volume', 'error'], ['volume-total', 'error']))
  assert.ok(!block(['command-rate', 'error'], ['region', 'info']))
})

test('pressure blocks on top of too much, never alone, and never one who only came from elsewhere', () => {
  assert.equal(after([['pressure', 'error']]), undefined)
  assert.equal(
    after([
      ['region', 'error'],
      ['pressure', 'error'],
    ])?.action,
    'throttle',
  )
  assert.equal(
    after([
      ['command-rate', 'error'],
      ['pressure', 'error'],
    ])?.reason,
    'sustained_pressure',
  )
  const memory = emptyMemory()
  const throttle = step(memory, 0, [['command-rate', 'error']]).verdict
  assert.equal(throttle?.action, 'throttle')
  assert.equal(throttle?.ratePerMinute, 35)
  // The evidence has faded, the throttle was long enough to see the pushing.
  const longer = { ...defaultSettings, throttleMs: 40 * 60_000 }
  const late = emptyMemory()
  step(late, 0, [['command-rate', 'error']], longer)
  assert.equal(step(late, 30 * minuteUs, [['pressure', 'error']], longer).verdict?.action, 'block')
})

test('evidence of the first feature fades: rate after a quarter of an hour, origin after an hour', () => {
  const later = (feature: string, waitUs: number) => {
    const memory = emptyMemory()
    step(memory, 0, [[feature, 'warning']])
    return step(memory, waitUs, [['data-volume', 'warning']]).verdict?.action
  }
  assert.equal(later('command-rate', 14 * minuteUs), 'block')
  assert.equal(later('command-rate', 16 * minuteUs), undefined)
  assert.equal(later('region', 50 * minuteUs), 'block')
  assert.equal(later('region', hourUs + minuteUs), undefined)
})

test('one incident is one finding and one verdict, extended under its own id when half its time is over', () => {
  const memory = emptyMemory()
  const first = step(memory, 0, [['command-rate', 'error']])
  const soon = step(memory, minuteUs, [['command-rate', 'error']])
  assert.deepEqual(soon, { findings: [], verdict: undefined })
  const extended = step(memory, 6 * minuteUs, [['command-rate', 'error']])
  assert.deepEqual(extended.findings, [])
  assert.equal(extended.verdict?.verdictId, first.verdict?.verdictId)
  assert.equal(extended.verdict?.until, mondayUs + 16 * minuteUs)
})

test('a verdict lives for a day at most, and the next of its kind holds twice as long', () => {
  const memory = emptyMemory()
  let last = step(memory, 0, [['command-rate', 'error']]).verdict
  const id = last?.verdictId
  for (let at = 0; at < 23 * hourUs; at += 5 * minuteUs)
    last = step(memory, at, [['command-rate', 'error']]).verdict ?? last
  assert.equal(last?.verdictId, id)
  assert.ok((last?.until ?? 0) <= mondayUs + dayUs)
  const again = emptyMemory()
  step(again, 0, [['command-rate', 'error']])
  const second = step(again, 40 * minuteUs, [['command-rate', 'error']]).verdict
  assert.notEqual(second?.verdictId, id)
  assert.equal(second?.until, mondayUs + 60 * minuteUs)
})

test('a departure learned of too late is a finding and no verdict', () => {
  const { findings, verdict } = step(
    emptyMemory(),
    0,
    [['command-rate', 'error']],
    defaultSettings,
    11 * minuteUs,
  )
  assert.equal(findings.length, 1)
  assert.equal(verdict, undefined)
})

test('where verdicts name the running copy, too much is laid to the busiest, the rest to who did it', () => {
  const settings = { ...defaultSettings, subject: 'instance' as const }
  const about = (feature: string) =>
    step(emptyMemory(), 0, [[feature, 'error']], settings).verdict?.subject.instance
  assert.equal(about('command-rate'), 'job#busiest')
  assert.equal(about('region'), 'job#1')
  // A throttle of one copy is none of another.
  const memory = emptyMemory()
  const first = step(memory, 0, [['command-rate', 'error']], settings).verdict
  const second = step(memory, 16 * minuteUs, [['region', 'error']], settings).verdict
  assert.ok(first && second && first.verdictId !== second.verdictId)
})

test('a finding about many commands names the latest of them, the one that completed it last', () => {
  const [rate] = step(emptyMemory(), 0, [['command-rate', 'error']]).findings
  assert.deepEqual(rate?.commandIds.slice(0, 2), ['a.1', 'a.2'])
})

test('the subject and cancelling are as configured; ids depend on the cause alone', () => {
  const settings = { ...defaultSettings, subject: 'instance' as const, cancelRunning: true }
  const cause: [string, Severity][] = [
    ['command-rate', 'error'],
    ['region', 'error'],
  ]
  const one = step(emptyMemory(), 0, cause, settings).verdict
  assert.deepEqual(one?.subject, {
    kind: 'instance',
    issuer: 'https://issuer.example',
    id: 'job',
    instance: 'job#1',
  })
  assert.equal(one?.cancelRunning, true)
  assert.equal(one?.verdictId, step(emptyMemory(), 0, cause).verdict?.verdictId)
  assert.notEqual(one?.verdictId, step(emptyMemory(), 1, cause).verdict?.verdictId)
})

function after(departures: readonly (readonly [string, Severity])[]) {
  return step(emptyMemory(), 0, departures).verdict
}

function step(
  memory: Memory,
  atUs: number,
  departures: readonly (readonly [string, Severity])[],
  settings: AnalyzerSettings = defaultSettings,
  behindUs = 0,
) {
  const statement = read('select 1', 't', 1, 10)
  const one = act(randomFrom(1), mondayUs + atUs, 1, statement, berlin)
  const event = recorder(`step-${atUs}`).record({ subject: 'job', groups: [] }, one, { durationUs: secondUs })
  const judged = departures.map(
    ([feature, severity]): Judged => ({ detector: feature, departure: departure(feature, severity) }),
  )
  return decide(memory, judged, {
    settings,
    event,
    nowUs: event.startedAt + behindUs,
    usualPerMinute: 35,
    busiestInstance: 'job#busiest',
    latestCommandIds: ['a.1', 'a.2'],
  })
}

function departure(feature: string, severity: Severity): Departure {
  return {
    feature,
    severity,
    score: 9,
    observed: 1,
    expected: 0,
    unit: '',
    explanation: feature,
    commandIds: [],
    windowStart: 0,
    windowEnd: 0,
  }
}
