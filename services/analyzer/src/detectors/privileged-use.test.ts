import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent } from '@portcullis/kernel'
import {
  act,
  berlin,
  minuteUs,
  privileged,
  randomFrom,
  read,
} from '../../../../load-tests/simulator/index.ts'
import { mondayUs, recorder } from '../test-support.ts'
import { privilegedUse } from './privileged-use.ts'

const detector = privilegedUse()

test('the first use of a power by an identity that never used any is told, and what it was', () => {
  const [departure] = detector.inspect(
    after(500, () => 'read'),
    grant('app_admin', 500),
  )
  assert.equal(departure?.severity, 'warning')
  assert.match(departure?.explanation ?? '', /first GRANT role app_admin/)
})

test('what it has done before is not told; the same on another object is', () => {
  const state = after(500, (i) => (i === 3 ? 'app_test' : 'read'))
  assert.deepEqual(detector.inspect(state, grant('app_test', 500)), [])
  assert.equal(detector.inspect(state, grant('app_admin', 500)).length, 1)
})

test('an administrator who does something new every day is not told of one more', () => {
  const state = after(500, (i) => (i % 20 === 0 ? `role_${i}` : 'read'))
  assert.deepEqual(detector.inspect(state, grant('another', 500)), [])
})

test('an attempt that the gate refused is judged and stays new', () => {
  const state = after(500, () => 'read')
  const attempt: CommandEvent = { ...grant('app_admin', 500), outcome: 'refused' }
  assert.equal(detector.inspect(state, attempt).length, 1)
  detector.evolve(state, attempt)
  assert.equal(detector.inspect(state, grant('app_admin', 501)).length, 1)
})

/** So many commands, each a read or a grant to the named role. */
function after(commands: number, what: (i: number) => string) {
  const state = detector.initial()
  for (let i = 0; i < commands; i++) detector.evolve(state, what(i) === 'read' ? plain(i) : grant(what(i), i))
  return state
}

function grant(role: string, i: number): CommandEvent {
  return event(privileged(`grant x to ${role}`, 'GRANT', 'role', role), i)
}

function plain(i: number): CommandEvent {
  return event(read('select 1', 't', 1, 10), i)
}

function event(statement: ReturnType<typeof read>, i: number): CommandEvent {
  const one = act(randomFrom(1), mondayUs + i * minuteUs, 1, statement, berlin)
  return recorder(`at-${i}`).record({ subject: 'job', groups: [] }, one)
}
