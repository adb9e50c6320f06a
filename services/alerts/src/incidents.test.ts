import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Alert } from '@portcullis/kernel'
import {
  findingFreshUs,
  findingQuietUs,
  holdUs,
  initialIncidents,
  onFinding,
  onLifted,
  onTick,
  onVerdict,
} from './incidents.ts'
import { findingOf, verdictOf } from './test-events.ts'

const nowUs = 2_000_000
const none = () => false
const shown = (alerts: readonly Alert[]) => alerts.map(({ action, title }) => `${action}: ${title}`)

test('a verdict is told once; the same again, as after a restart, is not', () => {
  const state = initialIncidents()
  assert.deepEqual(shown(onVerdict(state, verdictOf('v1'), none, nowUs)), [
    'trigger: agent-7 blocked at shop',
  ])
  assert.deepEqual(onVerdict(state, verdictOf('v1'), none, nowUs), [])
})

test('throttle, then block: one incident, told again because it got worse, and only then', () => {
  const state = initialIncidents()
  const [first] = onVerdict(state, verdictOf('t', { action: 'throttle', ratePerMinute: 5 }), none, nowUs)
  const [worse] = onVerdict(state, verdictOf('b'), none, nowUs)
  assert.equal(first?.dedupKey, worse?.dedupKey)
  assert.deepEqual([first?.severity, worse?.severity], ['warning', 'critical'])
  assert.deepEqual(
    onVerdict(state, verdictOf('t2', { action: 'throttle', ratePerMinute: 2 }), none, nowUs),
    [],
  )
})

test('it is resolved when all its verdicts are lifted, not before', () => {
  const state = initialIncidents()
  onVerdict(state, verdictOf('t', { action: 'throttle', ratePerMinute: 5 }), none, nowUs)
  onVerdict(state, verdictOf('b'), none, nowUs)
  assert.deepEqual(onLifted(state, 't', nowUs), [])
  assert.deepEqual(
    onLifted(state, 'b', nowUs).map(({ action }) => action),
    ['resolve'],
  )
  assert.equal(state.open.size, 0)
  assert.deepEqual(onLifted(state, 'b', nowUs), [])
})

test('it is resolved when its time is over, by our own clock', () => {
  const state = initialIncidents()
  onVerdict(state, verdictOf('v1'), none, nowUs)
  assert.deepEqual(onTick(state, 599_999_999), [])
  assert.deepEqual(
    onTick(state, 600_000_000).map(({ action }) => action),
    ['resolve'],
  )
})

test('what is over, was lifted, or comes as lifted is not told', () => {
  const state = initialIncidents()
  assert.deepEqual(onVerdict(state, verdictOf('old', { until: nowUs }), none, nowUs), [])
  assert.deepEqual(
    onVerdict(state, verdictOf('x'), (id) => id === 'x', nowUs),
    [],
  )
  assert.deepEqual(onVerdict(state, verdictOf('y', { state: 'lifted' }), none, nowUs), [])
  assert.equal(state.open.size, 0)
})

test('subjects and targets are incidents of their own', () => {
  const state = initialIncidents()
  const keys = [
    verdictOf('1'),
    verdictOf('2', { target: 'other' }),
    verdictOf('3', { subject: { kind: 'session', issuer: '', id: 's1', instance: '' } }),
    verdictOf('4', {
      subject: { kind: 'instance', issuer: 'https://idp.example', id: 'agent-7', instance: 'j' },
    }),
  ].flatMap((verdict) => onVerdict(state, verdict, none, nowUs).map(({ dedupKey }) => dedupKey))
  assert.equal(new Set(keys).size, 4)
  for (const key of keys) assert.ok(key.length <= 255)
})

test('a finding waits for its verdict and then is its evidence: one message, whichever comes first', () => {
  for (const findingFirst of [true, false]) {
    const state = initialIncidents()
    const steps = [
      () => onFinding(state, findingOf('f1'), nowUs),
      () => onVerdict(state, verdictOf('v1', { findings: ['f1'] }), none, nowUs),
    ]
    const alerts = (findingFirst ? steps : steps.reverse()).flatMap((step) => step())
    alerts.push(...onTick(state, nowUs + holdUs))
    assert.deepEqual(shown(alerts), ['trigger: agent-7 blocked at shop'])
    if (findingFirst) assert.deepEqual(alerts[0]?.findings, [findingOf('f1')])
    assert.equal(state.open.size, 1)
  }
})

test('a finding that no verdict comes for is told after a while, once, and is over when it stays quiet', () => {
  const state = initialIncidents()
  assert.deepEqual(onFinding(state, findingOf('f1'), nowUs), [])
  assert.deepEqual(onTick(state, nowUs + holdUs - 1), [])
  const told = onTick(state, nowUs + holdUs)
  assert.deepEqual(shown(told), ['trigger: agent-7: unusual command-rate at shop'])
  assert.deepEqual(onFinding(state, findingOf('f2', { at: nowUs }), nowUs + holdUs), [])
  const over = onTick(state, nowUs + holdUs + findingQuietUs)
  assert.deepEqual(
    over.map(({ action, dedupKey }) => [action, dedupKey]),
    [['resolve', told[0]?.dedupKey]],
  )
})

test('a finding told on its own gives way to the verdict that follows late', () => {
  const state = initialIncidents()
  onFinding(state, findingOf('f1'), nowUs)
  const [alone] = onTick(state, nowUs + holdUs)
  const alerts = onVerdict(state, verdictOf('v1', { findings: ['f1'] }), none, nowUs + holdUs + 1)
  assert.deepEqual(
    alerts.map(({ action }) => action),
    ['resolve', 'trigger'],
  )
  assert.equal(alerts[0]?.dedupKey, alone?.dedupKey)
})

test('mere information, repetitions and history are not told', () => {
  const state = initialIncidents()
  onFinding(state, findingOf('f1', { severity: 'info' }), nowUs)
  onFinding(state, findingOf('f2'), nowUs + findingFreshUs)
  assert.deepEqual(onTick(state, nowUs + findingFreshUs + holdUs), [])
})

test('ten thousand findings and verdicts about one identity are one message', () => {
  const state = initialIncidents()
  const alerts: Alert[] = []
  for (let index = 0; index < 10_000; index++) {
    alerts.push(...onFinding(state, findingOf(`f${index}`), nowUs))
    const verdict = verdictOf(`v${index}`, { findings: [`f${index}`] })
    if (index % 10 === 0) alerts.push(...onVerdict(state, verdict, none, nowUs))
  }
  assert.equal(alerts.length, 1)
  assert.ok((state.open.values().next().value?.findings.length ?? 0) <= 5)
})
