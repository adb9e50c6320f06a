import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type ControlEvent, type Received, type Topic, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { heldCommand } from '../approvals/test-bed.ts'
import { createControlView, createProject, type Outcome } from './rows.ts'
import { sampleCommand, sampleSession } from './sample-events.ts'
import { commandVersion } from './tables.ts'

const codecs = createCodecs()

function record(topic: Topic, value: Uint8Array | null, offset = 0): Received {
  return { topic, partition: 3, offset, key: 'k', value, publishedMs: 1 }
}

/** Table name -> column -> value. */
function tablesOf(outcome: Outcome): Record<string, Record<string, unknown>> {
  assert.equal(outcome.kind, 'rows', JSON.stringify(outcome))
  if (outcome.kind !== 'rows') return {}
  return Object.fromEntries(
    outcome.writes.map(({ table, row }) => [
      table.name,
      Object.fromEntries(table.columns.map((column) => [column.name, column.of(row)])),
    ]),
  )
}

test('a finished command is one row, an earlier phase is also kept for the chain', () => {
  const project = createProject(codecs, createControlView())
  const finished = tablesOf(project(record(topics.commands, codecs.command.encode(sampleCommand(codecs)))))
  assert.deepEqual(Object.keys(finished), ['commands_log'])
  const started = sampleCommand(codecs, { phase: 'started' })
  const both = tablesOf(project(record(topics.commands, codecs.command.encode(started))))
  assert.deepEqual(Object.keys(both), ['commands_log', 'command_phases_log'])
  const row = finished.commands_log
  assert.equal(row?.identity, 'https://idp.example|agent-1')
  assert.equal(row?.outcome, 'error')
  assert.equal(row?.schema_fingerprint, codecs.command.fingerprint)
  assert.equal(row?.bus_partition, 3)
  assert.deepEqual(row?.delegation, [['https://idp.example', 'ann', 'person']])
  assert.equal(both.commands_log?.outcome, '')
})

test('of the phases of a command the later has the higher version, and a known outcome beats an unknown one', () => {
  const base = sampleCommand(codecs)
  const versions = [
    commandVersion({ ...base, phase: 'started', outcome: null, durationUs: 9e15 }),
    commandVersion({ ...base, phase: 'progress', outcome: null, durationUs: 10 }),
    commandVersion({ ...base, phase: 'progress', outcome: null, durationUs: 20 }),
    commandVersion({ ...base, outcome: 'unknown', durationUs: 9e15 }),
    commandVersion({ ...base, outcome: 'ok', durationUs: 0 }),
  ]
  assert.deepEqual(
    versions,
    [...versions].sort((a, b) => a - b),
  )
  assert.equal(new Set(versions).size, versions.length)
  assert.ok(versions.every(Number.isSafeInteger))
})

test('a fold of the control log from its start does not keep what was over long ago', () => {
  const control = createControlView()
  const dayUs = 86_400e6
  const request = heldCommand({ deadline: 10e6 })
  const actor = { issuer: 'https://idp.example', subject: 'ann', roles: [] }
  const answer = {
    digest: request.digest,
    answer: 'approve',
    reason: '',
    groups: ['dba'],
    delegation: [],
    via: 'api',
  }
  const decided = (offset: number, at: number, id: string, type: string, more: object) =>
    control.decide(offset, {
      ...{ eventId: `e${offset}`, aggregateId: `approval/${id}`, type, at, actor, expectedVersion: -1 },
      payload: JSON.stringify({ approvalId: id, ...more }),
    })
  decided(0, 1e6, 'a', 'approval.requested', { request })
  decided(1, 1e6, 'b', 'approval.requested', { request })
  const late = decided(2, 11e6, 'a', 'approval.answered', answer)
  assert.equal(late.kind === 'decided' && late.rejection, 'too_late', 'it is remembered for a while')
  decided(3, 3 * dayUs, 'c', 'approval.requested', { request: { ...request, deadline: 4 * dayUs } })
  const later = decided(4, 3 * dayUs, 'b', 'approval.answered', answer)
  assert.equal(later.kind === 'decided' && later.rejection, 'not_found')
})

test('a refused login without an identity is a row too', () => {
  const project = createProject(codecs, createControlView())
  const { sessions_log: row } = tablesOf(
    project(record(topics.sessions, codecs.session.encode(sampleSession(codecs, 'refused')))),
  )
  assert.equal(row?.has_identity, false)
  assert.equal(row?.identity, '')
  assert.equal(row?.token_expires_at, null)
})

test('what cannot be read is a dead letter with its reason, and a tombstone is nothing', () => {
  const project = createProject(codecs, createControlView())
  const encoded = codecs.command.encode(sampleCommand(codecs))
  for (const [topic, value] of [
    [topics.commands, Buffer.from('not avro')],
    [topics.commands, encoded.subarray(0, -3)],
    [topics.commands, Buffer.concat([encoded, Buffer.from([0])])],
    [topics.sessions, encoded],
    [topics.baselines, encoded],
  ] as const) {
    const outcome = project(record(topic, value))
    assert.equal(outcome.kind, 'dead')
    if (outcome.kind === 'dead') assert.ok(outcome.letter.reason.length > 10)
  }
  assert.equal(project(record(topics.verdicts, null)).kind, 'skip')
})

const verdict = {
  verdictId: 'v9',
  action: 'block',
  subject: { kind: 'identity', issuer: 'https://idp.example', id: 'agent-1', instance: '' },
  target: '',
  issuedAt: 1_000_000,
  until: 2_000_000,
  ratePerMinute: 0,
  cancelRunning: false,
  reason: 'by_hand',
  explanation: 'why',
}
function control(eventId: string, type: string, payload: object, expectedVersion = -1): Buffer {
  const actor = { issuer: 'https://idp.example', subject: 'sam', roles: ['responder'] }
  const event: ControlEvent = {
    eventId,
    aggregateId: 'verdict/v9',
    type,
    at: 1_500_000,
    actor,
    expectedVersion,
    payload: JSON.stringify(payload),
  }
  return codecs.control.encode(event)
}

test('a verdict by hand becomes a verdict only where the fold accepted it, and its lifting names who', () => {
  const project = createProject(codecs, createControlView())
  const issued = tablesOf(project(record(topics.control, control('c0', 'verdict.issued', { verdict }), 0)))
  assert.equal(issued.control_events_log?.accepted, true)
  assert.equal(issued.verdicts_log?.issued_by, 'https://idp.example|sam')
  const stale = control('c1', 'verdict.lifted', { verdictId: 'v9', reason: 'no' }, 0)
  const refused = tablesOf(project(record(topics.control, stale, 1)))
  assert.deepEqual(Object.keys(refused), ['control_events_log'])
  assert.equal(refused.control_events_log?.rejection, 'conflict')
  const lift = record(topics.control, control('c2', 'verdict.lifted', { verdictId: 'v9', reason: 'fine' }), 2)
  const lifted = tablesOf(project(lift))
  assert.equal(lifted.verdict_lifts_log?.lifted_by, 'https://idp.example|sam')
  assert.deepEqual(tablesOf(project(lift)), lifted, 'a batch that comes again says the same')
  const unknown = tablesOf(project(record(topics.control, control('c3', 'policy.set', {}), 3)))
  assert.equal(unknown.control_events_log?.rejection, 'unknown_type')
  assert.equal(project(record(topics.control, control('c0', 'verdict.issued', { verdict }), 4)).kind, 'skip')
})
