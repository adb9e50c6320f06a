import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent } from '@portcullis/kernel'
import { act, berlin, elsewhere, randomFrom, read } from '../../../../load-tests/simulator/index.ts'
import { defaultSettings } from '../settings.ts'
import { foldAll, foldOf, mondayUs, recorder } from '../test-support.ts'
import { tokenReplay } from './token-replay.ts'

const detector = tokenReplay()
const records = recorder('replay')
const at = mondayUs

/** The first command of a session, but for `token` undefined: a later one. */
function event(token: string | undefined, address: string, others?: string[], place = address): CommandEvent {
  const one = act(randomFrom(1), at, 1, read('select 1', 't', 1, 10), { ...berlin, address })
  const attributes = {
    ...(token && { 'token.id': JSON.stringify(token), 'token.place': JSON.stringify(place) }),
    ...(others && { 'token.others': JSON.stringify(others) }),
  }
  return { ...records.record({ subject: 'job', groups: [] }, one), attributes }
}

function used(...events: CommandEvent[]) {
  return events.reduce((prior, one) => detector.evolve(prior, one), detector.initial())
}

test('the second address is told with the first, in words and as a warning', () => {
  const [found, ...more] = detector.inspect(used(event('t', '10.0.0.1')), event('t', '10.9.9.9'))
  assert.equal(found?.explanation, 'one token used from 10.0.0.1 and 10.9.9.9 within its life')
  assert.equal(found?.severity, 'warning')
  assert.equal(found?.observed, 2)
  assert.deepEqual(more, [])
})

test('the same place, another token, or a command that is not the first is nothing', () => {
  const state = used(event('t', '2001:db8::1', undefined, '2001:db8:0:0::/64'))
  for (const one of [
    event('t', '2001:db8::2', undefined, '2001:db8:0:0::/64'),
    event('other', '10.9.9.9'),
    event(undefined, '10.9.9.9'),
  ])
    assert.deepEqual(detector.inspect(state, one), [])
})

test('what a door refused is told as well, and is not one more place that got in', () => {
  const [found] = detector.inspect(used(event('t', '10.0.0.1')), event('t', '10.0.0.1', ['10.9.9.9']))
  assert.match(found?.explanation ?? '', /from 10\.9\.9\.9 and 10\.0\.0\.1/)
  assert.equal(found?.observed, 1)
})

test('attributes of another version are as good as absent', () => {
  const broken = { ...event('t', '10.0.0.1'), attributes: { 'token.id': 'not json', 'token.place': '7' } }
  assert.deepEqual(detector.inspect(used(event('t', '10.9.9.9')), broken), [])
  assert.deepEqual(used(broken), detector.initial())
})

test('of very many tokens the latest are known, and the state stays small', () => {
  const many = Array.from({ length: 500 }, (_, i) =>
    event(`${i}`.padStart(32, 'x'), `2001:db8:${i}::${'ffff:'.repeat(3)}1`),
  )
  const state = used(...many)
  assert.ok(JSON.stringify(state).length < 10_000)
  assert.equal(detector.inspect(state, event('499'.padStart(32, 'x'), '10.0.0.1')).length, 1)
})

test('from the first commands of an identity on it is a finding, and where configured a verdict on the token', () => {
  for (const killReplayed of [false, true]) {
    const fold = foldOf({ ...defaultSettings, killReplayed })
    const baseline = fold.initial()
    const { findings, verdicts } = foldAll(fold, baseline, [
      event('t', '10.0.0.1'),
      event('t', '10.0.0.1', ['10.9.9.9']),
      event(undefined, '10.0.0.1'),
      event('t', elsewhere.address),
    ])
    // The refused one was told already: the same incident.
    assert.deepEqual(
      findings.map(({ detector: by, severity }) => [by, severity]),
      [['token-replay', 'warning']],
    )
    const [verdict, ...more] = verdicts
    assert.deepEqual(more, [])
    assert.equal(verdict?.action, killReplayed ? 'kill' : undefined)
    assert.equal(verdict?.subject.kind, killReplayed ? 'token' : undefined)
  }
})
