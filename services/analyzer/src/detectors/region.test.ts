import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Origin } from '@portcullis/kernel'
import {
  act,
  berlin,
  cloudEast,
  cloudWest,
  elsewhere,
  randomFrom,
  read,
} from '../../../../load-tests/simulator/index.ts'
import { dayUs, hourUs } from '../settings.ts'
import { mondayUs, recorder } from '../test-support.ts'
import { region } from './region.ts'

const detector = region()
const unknown: Origin = { address: '10.0.0.7', country: '', region: '', asn: 0, asOrg: '' }

test('a country never seen is severe, a network alone is worth a record', () => {
  const state = lived(30, () => cloudEast)
  const [country] = detector.inspect(state, event(30, elsewhere))
  assert.equal(country?.severity, 'error')
  assert.match(country?.explanation ?? '', /country BR .*known: US/)
  const [network] = detector.inspect(state, event(30, cloudWest))
  assert.equal(network?.severity, 'info')
})

test('an identity that roams is not told of one more place', () => {
  const day = (hour: number) => Math.floor(hour / 24)
  const state = lived(30, (hour) => ({ ...cloudEast, country: `C${day(hour)}`, asn: 64_600 + day(hour) }))
  assert.deepEqual(detector.inspect(state, event(30, elsewhere)), [])
})

test('an unknown origin is neither judged nor a place', () => {
  const state = lived(30, () => unknown)
  assert.deepEqual(detector.inspect(state, event(30, unknown)), [])
  assert.equal(detector.inspect(state, event(30, berlin)).length, 1)
})

test('a country comes new again when it was not seen for 90 days', () => {
  const state = lived(30, (hour) => (hour < 5 ? elsewhere : cloudEast))
  const severity = (day: number) => detector.inspect(state, event(day, elsewhere))[0]?.severity
  // Its network is forgotten after 30.
  assert.equal(severity(80), 'info')
  assert.equal(severity(100), 'error')
})

test('one long session is one observation an hour, however many commands it runs', () => {
  const state = detector.initial()
  for (let i = 0; i < 5_000; i++) detector.evolve(state, event(0, cloudEast))
  assert.deepEqual(detector.inspect(state, event(0, elsewhere)), [])
})

/** One session an hour for so many days. */
function lived(days: number, from: (hour: number) => Origin) {
  const state = detector.initial()
  for (let hour = 0; hour < days * 24; hour++) detector.evolve(state, event(hour / 24, from(hour)))
  return state
}

function event(day: number, from: Origin) {
  const at = mondayUs + day * dayUs
  const session = Math.floor(at / hourUs)
  const one = act(randomFrom(1), at, session, read('select 1', 't', 1, 10), from)
  return recorder(`at-${day}`).record({ subject: 'job', groups: [] }, one)
}
