/** The whole topology without a broker: records in, outcomes out, under event time alone. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CommandEvent, identityKey, type Received, topics } from '@portcullis/kernel'
import {
  act,
  chattyModel,
  cloudEast,
  cronJob,
  dayUs,
  elsewhere,
  hourUs,
  historyOf,
  minuteUs,
  poller,
  randomFrom,
  read,
} from '../../../load-tests/simulator/index.ts'
import { createPipeline, emptyPartition, forgetUs, type Partition, type Step } from './pipeline.ts'
import { codecs, foldOf, mondayUs, received, recorder } from './test-support.ts'

const pipeline = createPipeline({ fold: foldOf(), decode: (bytes) => codecs.command.decode(bytes) })
const agents = [cronJob(1), chattyModel(2), poller(3)]
const stream = eventful()
const encoded = new Map(received(stream).map((record, index) => [stream[index], record.value]))
const whole = run(records(stream))

test('the stream of these tests raises findings and verdicts of several kinds', () => {
  assert.ok(new Set(whole.outputs.map((output) => output.split(' ')[0])).size >= 4, whole.outputs.join('\n'))
})

test('a replay gives the same state, findings and verdicts bit for bit', () => {
  const again = run(records(stream))
  assert.equal(again.state, whole.state)
  assert.deepEqual(again.outputs, whole.outputs)
})

test('duplicates change nothing, wherever the shipper sends again', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.nat(stream.length - 1), fc.integer({ min: 1, max: 400 })), { maxLength: 6 }),
      (resends) => {
        const sent: CommandEvent[] = [...stream]
        for (const [at, count] of resends.toSorted(([a], [b]) => b - a))
          sent.splice(at, 0, ...stream.slice(Math.max(0, at - count), at))
        const { state, outputs } = run(records(sent))
        assert.deepEqual(outputs, whole.outputs)
        assert.equal(withoutOffsets(state), withoutOffsets(whole.state))
      },
    ),
    { numRuns: 6 },
  )
})

test("what another identity does between an identity's commands changes nothing for it", () => {
  fc.assert(
    fc.property(fc.integer(), (seed) => {
      const { outputs, state } = run(records(interleaved(stream, seed)))
      assert.deepEqual(outputs.toSorted(), whole.outputs.toSorted())
      assert.equal(withoutOffsets(state), withoutOffsets(whole.state))
    }),
    { numRuns: 4 },
  )
})

test('what cannot be folded is a dead letter with its reason, and stops nothing', () => {
  const [first, second] = received(stream.slice(0, 2))
  assert.ok(first && second)
  const [ahead] = received([
    { ...(stream[0] ?? assert.fail()), startedAt: first.publishedMs * 1000 + hourUs },
  ])
  const wrong: [Received, string][] = [
    [{ ...first, value: Buffer.from('nonsense') }, 'undecodable'],
    [{ ...first, key: 'someone|else' }, 'wrong_key'],
    [{ ...(ahead ?? first), publishedMs: first.publishedMs }, 'clock_ahead'],
  ]
  for (const [record, reason] of wrong) {
    const partition = emptyPartition(0)
    const step = pipeline.handle(partition, record)
    assert.equal(step.kind === 'dead-letter' && step.reason, reason)
    assert.equal(partition.identities.size, 0)
    assert.equal(pipeline.handle(partition, second).kind, 'ok')
  }
  assert.deepEqual(pipeline.handle(emptyPartition(0), { ...first, value: null }), {
    kind: 'drop',
    reason: 'tombstone',
  })
})

test("another recorder's word for a finished command is a duplicate", () => {
  const partition = emptyPartition(0)
  const [event] = stream
  assert.ok(event)
  const retold = {
    ...event,
    eventId: 'other.1',
    link: { ...event.link, recorder: 'other', seq: 1 },
    outcome: 'unknown' as const,
  }
  const [told, again] = received([event, retold]).map((record) => pipeline.handle(partition, record))
  assert.equal(told?.kind, 'ok')
  assert.deepEqual(again, { kind: 'drop', reason: 'duplicate' })
})

test('an identity idle for longer than any memory is forgotten', () => {
  const partition = emptyPartition(0)
  const old = stream.find(({ identity }) => identity.subject === agents[0]?.subject) ?? assert.fail()
  const random = randomFrom(1)
  const late = recorder('late').record(
    agents[2] ?? assert.fail(),
    act(random, old.startedAt + forgetUs + hourUs, 9, read('select 1', 't', 1, 1), cloudEast),
  )
  for (const record of received([old, late])) pipeline.handle(partition, record)
  assert.deepEqual([...partition.identities.keys()], [identityKey(late.identity)])
  assert.deepEqual([...partition.forgotten.keys()], [identityKey(old.identity)])
})

/** Two days of three agents; then one is hijacked from elsewhere and spikes, and one fetches too much. */
function eventful(): CommandEvent[] {
  const events = [...historyOf(agents, recorder('history'), mondayUs, mondayUs + 2 * dayUs)]
  const [cron, copilot, wall] = agents
  assert.ok(cron && copilot && wall)
  const random = randomFrom(7)
  const attacker = recorder('attacker')
  const at = mondayUs + 2 * dayUs + 10 * hourUs
  const statement = read('select * from customers', 'customers', 30, 10_000)
  for (let i = 0; i < 300; i++)
    events.push(attacker.record(cron, act(random, at + i * 100_000, 1, statement, cloudEast)))
  events.push(
    attacker.record(copilot, act(random, at + minuteUs, 2, { ...statement, bytes: 2 ** 30 }, elsewhere)),
  )
  for (let i = 0; i < 200; i++)
    events.push(
      attacker.record(
        wall,
        act(random, at + 2 * minuteUs + i * 50_000, 3, { ...statement, privileged: true }, elsewhere),
      ),
    )
  return events
}

function run(records: readonly Received[]): { state: string; outputs: string[]; partition: Partition } {
  const partition = emptyPartition(0)
  const outputs: string[] = []
  for (const record of records) outputs.push(...outputsOf(pipeline.handle(partition, record)))
  const state = [...partition.identities].sort(([a], [b]) => (a < b ? -1 : 1))
  return { state: JSON.stringify(state), outputs, partition }
}

function outputsOf(step: Step): string[] {
  assert.notEqual(step.kind, 'dead-letter')
  if (step.kind !== 'ok') return []
  const { findings, verdict } = step
  const told = findings.map((finding) => `${finding.feature} ${JSON.stringify(finding)}`)
  return verdict ? [...told, `${verdict.action} ${JSON.stringify(verdict)}`] : told
}

/** Offsets differ where records were added or moved; all else must not. */
function withoutOffsets(state: string): string {
  return state.replaceAll(/"nextOffset":\d+/g, '')
}

/** As `received`, with each event encoded once. */
function records(events: readonly CommandEvent[]): Received[] {
  return events.map((event, offset) => ({
    topic: topics.commands,
    partition: 0,
    offset,
    key: identityKey(event.identity),
    value: encoded.get(event) ?? assert.fail('an event that is not of the stream'),
    publishedMs: Math.ceil((event.startedAt + event.durationUs) / 1000),
  }))
}

/** Another order of the same events in which each identity's own order is kept. */
function interleaved(events: readonly CommandEvent[], seed: number): CommandEvent[] {
  const random = randomFrom(seed)
  const lanes = [...Map.groupBy(events, ({ identity }) => identity.subject).values()].map((lane) => ({
    lane,
    at: 0,
  }))
  const mixed: CommandEvent[] = []
  while (mixed.length < events.length) {
    const open = lanes.filter(({ lane, at }) => at < lane.length)
    const lane = open[random.whole(0, open.length - 1)] ?? assert.fail()
    for (let left = random.whole(1, 50); left > 0 && lane.at < lane.lane.length; left--)
      mixed.push(lane.lane[lane.at++] ?? assert.fail())
  }
  return mixed
}
