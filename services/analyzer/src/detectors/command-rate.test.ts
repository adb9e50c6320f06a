import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent } from '@portcullis/kernel'
import {
  act,
  berlin,
  dayUs,
  minuteUs,
  randomFrom,
  read,
  secondUs,
} from '../../../../load-tests/simulator/index.ts'
import { defaultSettings } from '../settings.ts'
import { mondayUs, recorder } from '../test-support.ts'
import { commandRate, usualPerMinute } from './command-rate.ts'

const detector = commandRate(defaultSettings)
const statement = read('select 1', 't', 1, 10)
const fromUs = mondayUs + dayUs

test('the 95th percentile of a steady identity is its rate, and the throttle stands there', () => {
  assert.ok(Math.abs(usualPerMinute(steady(30), fromUs) - 30) <= 30 * 0.05)
})

test('a command counts when it starts, once; its end and its progress count no more', () => {
  const spike = at(fromUs, 121, 50)
  const whole = counted(spike)
  const phases = spike.flatMap((event) => [
    { ...event, phase: 'started' as const, outcome: null, durationUs: 0 },
    { ...event, phase: 'progress' as const, outcome: null, durationUs: 0 },
    event,
  ])
  assert.equal(counted(phases), whole)
  // Judged at the start already: what runs for an hour is a command now.
  assert.equal(counted(phases.filter(({ phase }) => phase === 'started')), whole)
})

test('what was only prepared is no command', () => {
  assert.equal(counted(at(fromUs, 500, 20).map((event) => ({ ...event, stage: 'prepare' as const }))), 0)
})

test('nine times the usual in one instant is a burst and passes; ten times is not waited out', () => {
  // Within one slice: only the second threshold applies.
  const later = fromUs + 5 * minuteUs
  assert.equal(firstDeparture(at(later, 270, 10)), -1)
  const first = firstDeparture(at(later, 400, 10))
  assert.ok(first > 270 && first < 330, `the ${first}th`)
})

test('commands of an hour ago teach and are not judged', () => {
  const state = steady(30)
  const newest = at(fromUs + dayUs, 1, 1)
  for (const event of newest) detector.evolve(state, event)
  const before = state.activeMinutes
  for (const event of at(fromUs + dayUs - 3600 * secondUs, 300, 100)) {
    assert.deepEqual(detector.inspect(state, event), [])
    detector.evolve(state, event)
  }
  for (const event of at(fromUs + dayUs - 1800 * secondUs, 1, 1)) detector.evolve(state, event)
  assert.ok(state.activeMinutes > before)
})

test('a departing minute teaches no more than the level at which it began to depart', () => {
  const state = steady(30)
  const before = state.ordinary.sum
  for (const event of at(fromUs, 5_000, 10)) detector.evolve(state, event)
  for (const event of at(fromUs + 5 * minuteUs, 3, 60_000)) detector.evolve(state, event)
  assert.ok(state.ordinary.sum - before < 30 + 3 * 4 * 32, `${state.ordinary.sum - before} learned`)
})

function steady(perMinute: number) {
  let state = detector.initial()
  const count = (dayUs / minuteUs) * perMinute
  for (const event of at(mondayUs, count, minuteUs / 1000 / perMinute)) state = detector.evolve(state, event)
  return state
}

function at(startUs: number, count: number, everyMs: number): CommandEvent[] {
  const random = randomFrom(2)
  const source = recorder(`at-${startUs}`)
  return Array.from({ length: count }, (_, i) =>
    source.record(
      { subject: 'job', groups: [] },
      act(random, startUs + i * everyMs * 1000, 1, statement, berlin),
    ),
  )
}

/** The observed count of the last departure, 0 where there was none. */
function counted(events: readonly CommandEvent[]): number {
  const state = steady(5)
  let observed = 0
  for (const event of events) {
    observed = detector.inspect(state, event)[0]?.observed ?? observed
    detector.evolve(state, event)
  }
  return observed
}

function firstDeparture(events: readonly CommandEvent[]): number {
  const state = steady(30)
  return events.findIndex((event) => {
    const departed = detector.inspect(state, event).length > 0
    detector.evolve(state, event)
    return departed
  })
}
