import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent } from '@portcullis/kernel'
import { act, allowed, berlin, randomFrom, read, secondUs } from '../../../../load-tests/simulator/index.ts'
import { mondayUs, recorder } from '../test-support.ts'
import { pressure } from './pressure.ts'

test('one client that always waits for a slow throttle is pressing, though it runs few commands', () => {
  // Two commands a minute, each held for 30 s.
  assert.ok(pressed(3, 30, { delayUs: 30 * secondUs }))
})

test('many short delays are pressing, a few are not', () => {
  assert.ok(pressed(120, 0.3, { delayUs: 200_000 }))
  assert.ok(!pressed(4, 9, { delayUs: 200_000 }))
})

test('trying again and again against a refusal is pressing', () => {
  assert.ok(pressed(12, 3, {}, 'refused'))
})

test('what a cap held back, or what was only observed, is not', () => {
  assert.ok(!pressed(12, 3, { reason: 'cap_commands', delayUs: 3 * secondUs }))
  assert.ok(!pressed(12, 3, { enforced: false, delayUs: 3 * secondUs }))
  assert.ok(!pressed(12, 3, {}))
})

/** Whether any of so many commands, so many seconds apart, completes sustained pressure. */
function pressed(
  commands: number,
  everySec: number,
  decision: Partial<CommandEvent['decision']>,
  outcome: CommandEvent['outcome'] = 'ok',
): boolean {
  const detector = pressure()
  const source = recorder('pressure')
  const random = randomFrom(1)
  let state = detector.initial()
  let found = false
  for (let i = 0; i < commands; i++) {
    const one = act(random, mondayUs + i * everySec * secondUs, 1, read('select 1', 't', 1, 1), berlin)
    const held = { ...allowed, action: 'throttle', reason: 'verdict_throttle', ...decision }
    const event = source.record({ subject: 'job', groups: [] }, one, { decision: held, outcome })
    found ||= detector.inspect(state, event).length > 0
    state = detector.evolve(state, event)
  }
  return found
}
