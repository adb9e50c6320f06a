import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import {
  type Bus,
  type ControlChange,
  type Started,
  systemClock,
  topics,
  verdictAggregate,
} from '@portcullis/kernel'
import { createCodecs } from '../codec.ts'
import { connectBus } from '../connect.ts'
import { createLog } from '../service/index.ts'
import { ControlError, type ControlLog, startControlLog } from './index.ts'

const codecs = createCodecs()
const logger = createLog({ service: 'test', level: 'silent' })
const dir = mkdtempSync(join(tmpdir(), 'portcullis-control-'))
// The same on Kafka with PORTCULLIS_KAFKA=host:port; its topic may hold what earlier runs left.
const kafka = process.env.PORTCULLIS_KAFKA
const url = kafka ? `kafka://${kafka}` : `lmdb:${dir}`
const run = randomUUID().slice(0, 8)
const actor = { issuer: 'https://idp.example', subject: 'sam', roles: ['responder'] }
let bus: Started<Bus>
const writers: Started<ControlLog>[] = []

before(async () => {
  bus = await connectBus(url, { logger })
  await bus.value.ensureTopics([{ topic: topics.control, partitions: 1, cleanup: 'delete', retentionMs: -1 }])
  for (let index = 0; index < 2; index++) writers.push(await startWriter(bus.value))
})
after(async () => {
  for (const writer of writers) await writer.stop()
  await bus.stop()
  rmSync(dir, { recursive: true, force: true })
})

function startWriter(on: Bus, writeTimeoutMs = 10_000): Promise<Started<ControlLog>> {
  return startControlLog({ bus: on, codecs, clock: systemClock, ids: randomUUID, writeTimeoutMs })
}

const idOf = (name: string) => `${name}-${run}`

function issued(name: string): ControlChange {
  const verdictId = idOf(name)
  const issuedAt = systemClock.nowUs()
  return {
    type: 'verdict.issued',
    verdict: {
      verdictId,
      action: 'block',
      subject: { kind: 'identity', issuer: 'https://idp.example', id: 'agent-7', instance: '' },
      target: '',
      issuedAt,
      until: issuedAt + 60_000_000,
      ratePerMinute: 0,
      cancelRunning: false,
      reason: 'by_hand',
      explanation: '',
    },
  }
}

function two(): [ControlLog, ControlLog] {
  const [a, b] = writers
  assert.ok(a && b)
  return [a.value, b.value]
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!condition()) {
    assert.ok(Date.now() < deadline, 'did not happen within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

test('a write answers once the fold of its own log holds it', async () => {
  const [a] = two()
  await a.whenCaughtUp
  const written = await a.write(issued('w1'), actor)
  assert.equal(a.state().verdicts.get(idOf('w1'))?.issuedBy, 'https://idp.example|sam')
  assert.equal(written.version, 1)
  assert.equal(written.aggregateId, `verdict/${idOf('w1')}`)
})

test('of two writers that saw the same version one wins, the other is told, and both hold the same state', async () => {
  const [a, b] = two()
  for (let round = 0; round < 20; round++) {
    const verdictId = `race${round}`
    const results = await Promise.allSettled(
      [a, b].map((writer) => writer.write(issued(verdictId), actor, { expectedVersion: 0 })),
    )
    const lost = results.filter((result) => result.status === 'rejected')
    assert.equal(lost.length, 1)
    const error: unknown = lost[0]?.reason
    assert.ok(error instanceof ControlError)
    assert.equal(error.code, 'conflict')
    assert.match(error.message, /is at version 1, the writer saw 0: read it again/)
  }
  await until(() => a.state().nextOffset === b.state().nextOffset)
  assert.deepEqual(a.state(), b.state())
})

test('one that starts later folds the same state', async () => {
  const [a] = two()
  const late = await startWriter(bus.value)
  await late.value.whenCaughtUp
  await until(() => late.value.state().nextOffset === a.state().nextOffset)
  assert.deepEqual(late.value.state(), a.state())
  await late.stop()
})

test('what the fold would refuse is refused before it is written', async () => {
  const [a] = two()
  const change = issued('bad')
  assert.ok(change.type === 'verdict.issued')
  const before = await bus.value.endOffsets(topics.control)
  await assert.rejects(
    a.write({ ...change, verdict: { ...change.verdict, action: 'throttle' } }, actor),
    (error) =>
      error instanceof ControlError && error.rejection === 'invalid' && /ratePerMinute/.test(error.message),
  )
  assert.deepEqual(await bus.value.endOffsets(topics.control), before)
})

test('an event that nobody can read is skipped and reported, and writes go on', async () => {
  const [a] = two()
  const unreadable: number[] = []
  const reader = await startControlLog({
    bus: bus.value,
    codecs,
    clock: systemClock,
    ids: randomUUID,
    onUnreadable: ({ offset }) => unreadable.push(offset),
  })
  await bus.value.publish([{ topic: topics.control, key: 'x', value: Buffer.from('not avro') }])
  await a.write(issued('after-garbage'), actor)
  await until(() => reader.value.state().versions.has(verdictAggregate(idOf('after-garbage'))))
  assert.ok(unreadable.length >= 1)
  await reader.stop()
})

test('where the event does not come back in time the answer says that it may still take effect', async () => {
  // The real bus, but publishing is slower than the writer is patient.
  const slow: Bus = {
    ...bus.value,
    publish: async (records) => {
      await new Promise((resolve) => setTimeout(resolve, 300))
      return bus.value.publish(records)
    },
    tail: (options) => bus.value.tail(options),
  }
  const writer = await startWriter(slow, 50)
  await assert.rejects(
    writer.value.write(issued('late'), actor),
    (error) =>
      error instanceof ControlError &&
      error.code === 'timeout' &&
      /may still take effect/.test(error.message),
  )
  await until(() => writer.value.state().verdicts.has(idOf('late')))
  await writer.stop()
})

test('a stop answers a write that still waits', async () => {
  const never: Bus = {
    ...bus.value,
    publish: () => new Promise(() => {}),
    tail: (options) => bus.value.tail(options),
  }
  const writer = await startWriter(never)
  const write = writer.value.write(issued('never'), actor)
  const refused = assert.rejects(write, (error) => error instanceof ControlError && error.code === 'stopped')
  await writer.stop()
  await refused
})
