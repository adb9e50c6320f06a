import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent } from '@portcullis/kernel'
import { act, berlin, minuteUs, randomFrom, read } from '../../../../load-tests/simulator/index.ts'
import { mondayUs, recorder } from '../test-support.ts'
import { dataVolume } from './data-volume.ts'

const detector = dataVolume()
const mebibyte = 1 << 20

test('log-normal sizes, as results have, raise next to nothing in a month', () => {
  let departures = 0
  const state = detector.initial()
  for (const one of sized(20_000, (random) => random.logNormal(20_000, 1.5))) {
    departures += detector.inspect(state, one).length
    detector.evolve(state, one)
  }
  assert.ok(departures <= 1, `${departures} departures`)
})

test('a result of many times the largest is told, by rows too, and graver the larger it is', () => {
  const state = lived()
  assert.deepEqual(judged(state, 0.9 * mebibyte), [])
  assert.deepEqual(judged(state, 2 * mebibyte), ['data-volume warning'])
  assert.ok(judged(state, 64 * mebibyte).includes('data-volume error'))
  const [rows] = detector.inspect(state, { ...result(1000), rowsOut: 2_000_000 })
  assert.equal(rows?.unit, 'rows')
})

test('an hour of many ordinary results is told by its total', () => {
  const state = lived()
  const before = [...Array(60)].flatMap(() => {
    const departures = judged(state, 0.9 * mebibyte)
    detector.evolve(state, result(0.9 * mebibyte))
    return departures
  })
  assert.ok(before.every((one) => one.startsWith('volume-total')))
  assert.ok(before.length > 0)
})

test('progress counts what it adds, and the end adds only the rest', () => {
  const state = detector.initial()
  const whole = result(3000)
  for (const [phase, bytesOut] of [
    ['started', 0],
    ['progress', 1000],
    ['progress', 2500],
    ['finished', 3000],
  ] as const)
    detector.evolve(state, { ...whole, phase, bytesOut, outcome: phase === 'finished' ? 'ok' : null })
  assert.equal(state.hourBytes, 3000)
  assert.equal(state.bytes.weight, 1)
})

test('one huge result does not make the next one ordinary', () => {
  const state = lived()
  for (let i = 0; i < 5; i++) {
    assert.ok(judged(state, 64 * mebibyte).length > 0)
    detector.evolve(state, result(64 * mebibyte))
  }
})

function lived() {
  const state = detector.initial()
  for (const one of sized(3_000, (random) => random.logNormal(2_000, 1))) detector.evolve(state, one)
  return state
}

function judged(state: ReturnType<typeof lived>, bytes: number): string[] {
  return detector.inspect(state, result(bytes)).map(({ feature, severity }) => `${feature} ${severity}`)
}

function* sized(
  count: number,
  size: (random: ReturnType<typeof randomFrom>) => number,
): Generator<CommandEvent> {
  const random = randomFrom(4)
  for (let i = 0; i < count; i++) yield event(i, Math.round(size(random)))
}

/** After the three thousand minutes of `lived`. */
function result(bytes: number): CommandEvent {
  return event(3_100, Math.round(bytes))
}

function event(minute: number, bytesOut: number): CommandEvent {
  const one = act(randomFrom(1), mondayUs + minute * minuteUs, 1, read('select 1', 't', 10, 10), berlin)
  const source = recorder(`at-${minute}-${bytesOut}`)
  return source.record({ subject: 'job', groups: [] }, one, { bytesOut })
}
