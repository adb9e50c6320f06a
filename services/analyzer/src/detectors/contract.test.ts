/** What every detector must hold to; a new one is judged here without an edited test. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CommandEvent, Detector } from '@portcullis/kernel'
import {
  act,
  berlin,
  chattyModel,
  dayUs,
  historyOf,
  hourUs,
  privileged,
  randomFrom,
  read,
} from '../../../../load-tests/simulator/index.ts'
import { defaultSettings } from '../settings.ts'
import { mondayUs, recorder } from '../test-support.ts'
import { createDetectors } from './index.ts'

const agent = chattyModel(5)
const history = [...historyOf([agent], recorder('history'), mondayUs, mondayUs + 8 * dayUs)]
const probes = hostile(mondayUs + 9 * dayUs)

for (const detector of createDetectors(defaultSettings).all) {
  const learned = () => evolved(detector, detector.initial(), history)

  test(`${detector.name}: inspect only reads`, () => {
    const state = frozen(learned())
    for (const probe of probes) detector.inspect(state, probe)
  })

  test(`${detector.name}: its state is plain JSON, and a restored one judges and learns the same`, () => {
    let kept = learned()
    let restored = JSON.parse(JSON.stringify(kept)) as unknown
    assert.deepEqual(restored, kept)
    for (const probe of probes) {
      assert.deepEqual(detector.inspect(restored, probe), detector.inspect(kept, probe))
      kept = detector.evolve(kept, probe)
      restored = detector.evolve(restored, probe)
    }
    assert.equal(JSON.stringify(restored), JSON.stringify(kept))
  })

  test(`${detector.name}: it judges nothing of an identity without history`, () => {
    assert.deepEqual(detector.inspect(detector.initial(), probes[0] ?? assert.fail()), [])
  })

  test(`${detector.name}: its state stays small whatever comes`, () => {
    const random = randomFrom(9)
    const names = recorder('names')
    let state = detector.initial()
    for (let i = 0; i < 20_000; i++) {
      const statement = privileged(`grant ${i}`, 'GRANT', 'role', `role_${i}`.repeat(20))
      const from = { ...berlin, country: `C${i}`, asn: i + 1 }
      const one = act(
        random,
        mondayUs + i * 61_000_000,
        i,
        { ...statement, rows: i, bytes: 2 ** (i % 40) },
        from,
      )
      const decision = {
        ...probes[0]?.decision,
        action: 'throttle',
        reason: 'verdict_throttle',
        delayUs: i * 1000,
      }
      const started = i % 3 === 0 ? { phase: 'started' as const, outcome: null } : {}
      state = detector.evolve(state, names.record(agent, one, { ...decisionOf(decision), ...started }))
    }
    const size = JSON.stringify(state).length
    assert.ok(size < 16_384, `${size} bytes`)
  })

  test(`${detector.name}: refused commands raise no baseline`, () => {
    const refused = probes.map((probe) => ({
      ...probe,
      outcome: 'refused' as const,
      rowsOut: 0,
      bytesOut: 0,
      startedAt: probe.startedAt - hourUs,
    }))
    const attempted = evolved(detector, learned(), refused)
    // With the rate, the attempts are over by now; what a detector remembers of pushing is not of normality.
    const shape = (state: unknown) =>
      probes.map((probe) => detector.inspect(state, probe).map(({ feature }) => feature))
    assert.deepEqual(shape(attempted), shape(learned()))
  })
}

/** A hundred commands within ten seconds, from elsewhere, privileged, with large results, each held back. */
function hostile(at: number): CommandEvent[] {
  const random = randomFrom(1)
  const attacker = recorder('attacker')
  const statement = { ...read('select * from payroll', 'payroll', 5_000_000, 900_000_000), privileged: true }
  const from = { address: '203.0.113.9', country: 'BR', region: '', asn: 64511, asOrg: 'Example' }
  return Array.from({ length: 100 }, (_, i) => {
    const one = act(random, at + i * 100_000, 1, statement, from)
    const decision = { action: 'throttle', reason: 'verdict_throttle', delayUs: 9_000_000 }
    return attacker.record(agent, one, decisionOf(decision))
  })
}

function decisionOf(over: object): Pick<CommandEvent, 'decision'> {
  const decision = {
    id: '',
    action: 'allow',
    reason: '',
    rule: '',
    verdictId: '',
    approvalId: '',
    policyVersion: '',
    enforced: true,
    delayUs: 0,
  }
  return { decision: { ...decision, ...over } }
}

function evolved<S>(detector: Detector<S>, state: S, events: readonly CommandEvent[]): S {
  return events.reduce((prior, event) => detector.evolve(prior, event), state)
}

function frozen<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) frozen(inner)
    Object.freeze(value)
  }
  return value
}
