/**
 * Killed at any point, whoever takes over ends in the same state and has published the same findings and verdicts. The
 * bus of this test is an array that dies in the middle of a publish; analyzer.int.test.ts does the same to processes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  type Bus,
  type BusRecord,
  type ConsumeOptions,
  type Received,
  systemClock,
  topics,
} from '@portcullis/kernel'
import { createLog, createMetrics } from '@portcullis/platform/service'
import {
  act,
  attack,
  berlin,
  chattyModel,
  cronJob,
  dayUs,
  historyOf,
  hourUs,
  minuteUs,
  randomFrom,
  read,
} from '../../../load-tests/simulator/index.ts'
import { startAnalyzer } from './analyzer.ts'
import { forgetUs } from './pipeline.ts'
import { defaultSettings } from './settings.ts'
import { loadPartitions } from './snapshots.ts'
import { codecs, foldAll, foldOf, mondayUs, received, recorder } from './test-support.ts'

const log = createLog({ service: 'analyzer', level: 'silent' })
const commands = stream()
/** A second passes at each look at the clock: checkpoints come as event time says. */
let ticks = 0
const uninterrupted = await live([])

test('the stream raises verdicts, forgets an identity and writes several checkpoints', async () => {
  assert.ok(uninterrupted.outputs.length >= 4, uninterrupted.outputs.join('\n'))
  assert.ok(uninterrupted.checkpoints >= 10)
  assert.equal(uninterrupted.identities, 2)
})

test('killed at random points, every successor ends where an uninterrupted run ends', async () => {
  const lives = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 1, maxLength: 8 })
  await fc.assert(
    fc.asyncProperty(lives, async (published) => {
      const killed = await live(published)
      assert.equal(killed.state, uninterrupted.state)
      assert.deepEqual(killed.outputs, uninterrupted.outputs)
    }),
    { numRuns: 12 },
  )
})

test('a publish that fails and is tried again loses no output and folds nothing twice', async () => {
  const flaky = await live([], 0.3)
  assert.equal(flaky.state, uninterrupted.state)
  assert.deepEqual(flaky.outputs, uninterrupted.outputs)
})

test('an older snapshot written over a newer one is noticed, and the partition is folded anew', async () => {
  const bus = memoryBus(commands)
  await runToEnd(bus)
  const [identity] = bus.latest().keys()
  const versions = bus.published.filter(({ key, topic }) => topic === topics.baselines && key === identity)
  assert.ok(versions.length >= 2)
  bus.published.push(versions[0] ?? assert.fail())
  const loaded = (await loadPartitions(bus, codecs.baseline, foldOf(), [0])).get(0)
  assert.match(loaded?.problem ?? '', /not those that the last mark counted/)
  assert.equal(loaded?.partition.nextOffset, 0)
  await runToEnd(bus)
  assert.equal(await stateOf(bus), uninterrupted.state)
})

/** A life for each number: the process dies in the middle of its publish with that number. Then one that survives. */
async function live(lives: readonly number[], failing = 0) {
  const bus = memoryBus(commands, failing)
  for (const publishes of lives) {
    bus.dieAfter(publishes)
    await runToEnd(bus)
  }
  bus.dieAfter(Number.POSITIVE_INFINITY)
  await runToEnd(bus)
  const outputs = bus.published
    .filter(({ topic }) => topic === topics.findings || topic === topics.verdicts)
    .map(({ topic, key, value }) => `${topic} ${key} ${Buffer.from(value ?? []).toString('base64')}`)
  const marks = bus.published.filter(({ key }) => key === '0/').length
  // At-least-once: the same output may come again with the same bytes; its first coming is in order.
  return {
    state: await stateOf(bus),
    outputs: [...new Set(outputs)],
    checkpoints: marks,
    identities: bus.latest().size - 1,
  }
}

async function stateOf(bus: Bus): Promise<string> {
  const loaded = (await loadPartitions(bus, codecs.baseline, foldOf(), [0])).get(0)
  assert.equal(loaded?.problem, undefined)
  const held = [...(loaded?.partition.identities ?? [])].map(([key, { baseline, nextOffset }]) => ({
    key,
    baseline,
    nextOffset,
  }))
  return JSON.stringify(held.sort((a, b) => (a.key < b.key ? -1 : 1)))
}

async function runToEnd(bus: ReturnType<typeof memoryBus>): Promise<void> {
  const analyzer = await startAnalyzer({
    bus,
    codecs,
    clock: { nowUs: systemClock.nowUs, monotonicMs: () => ticks++ * 1000 },
    log,
    metrics: createMetrics('analyzer'),
    settings: defaultSettings,
    checkpointRecords: 500,
    checkpointMs: 4 * 3_600_000,
  })
  await bus.ended()
  await analyzer.stop()
}

/** One partition of commands, and what was published. Once dead, nothing is published until the next life. */
function memoryBus(input: readonly Received[], failing = 0) {
  const random = randomFrom(3)
  const published: BusRecord[] = []
  let left = Number.POSITIVE_INFINITY
  let run: Promise<void> = Promise.resolve()
  let consumer: ConsumeOptions | undefined
  const latest = () => {
    const kept = new Map<string, Uint8Array>()
    for (const { topic, key, value } of published) {
      if (topic !== topics.baselines) continue
      if (value === null) kept.delete(key)
      else kept.set(key, value)
    }
    return kept
  }
  async function serve(options: ConsumeOptions): Promise<void> {
    let offset = (await options.startAt?.({ topic: topics.commands, partition: 0 })) ?? 0
    while (offset < input.length && left >= 0) {
      const size = random.whole(1, 120)
      try {
        await options.onBatch(input.slice(offset, offset + size))
        offset += size
      } catch {
        // As the bus does: the batch comes again, unless the process is dead.
      }
    }
  }
  return {
    published,
    latest,
    dieAfter(publishes: number) {
      left = publishes
    },
    ended: () => run,
    async ensureTopics() {},
    async publish(records: readonly BusRecord[]) {
      left--
      if (left < 0) {
        published.push(...(left === -1 ? records.slice(0, random.whole(0, records.length)) : []))
        throw new Error('killed')
      }
      if (random.next() < failing) throw new Error('unavailable')
      published.push(...records)
    },
    async consume(options: ConsumeOptions) {
      consumer = options
      run = serve(options)
      return {
        value: undefined,
        async stop() {
          if (left >= 0) await consumer?.onRevoked?.([{ topic: topics.commands, partition: 0 }])
        },
      }
    },
    async tail({ onBatch, onCaughtUp }: Parameters<Bus['tail']>[0]) {
      const records = published.map((record, offset) => ({ ...record, partition: 0, offset, publishedMs: 0 }))
      await onBatch(records.filter(({ topic }) => topic === topics.baselines))
      onCaughtUp?.()
      return { value: undefined, stop: async () => {} }
    },
    endOffsets: async () => new Map<number, number>(),
  }
}

/** One agent that goes quiet for ever, two of two days, then a hijack that is throttled and blocked, then much later a sign of life. */
function stream(): Received[] {
  const [cron, copilot, gone] = [cronJob(1), chattyModel(2), { ...cronJob(3), subject: 'job/gone' }]
  const events = [...historyOf([gone], recorder('gone'), mondayUs - dayUs, mondayUs - 20 * hourUs)]
  events.push(...historyOf([cron, copilot], recorder('history'), mondayUs, mondayUs + 2 * dayUs))
  const fold = foldOf()
  const baseline = fold.initial()
  foldAll(
    fold,
    baseline,
    events.filter(({ identity }) => identity.subject === cron.subject),
  )
  const fromUs = mondayUs + 2 * dayUs + 10 * hourUs
  const statement = read('select * from customers', 'customers', 30, 10_000)
  const hijack = { agent: cron, statement, origin: berlin, session: 1, fromUs, perMinute: 600, seed: 3 }
  attack(hijack, recorder('attacker'), fromUs + 5 * minuteUs, (event) => {
    events.push(event)
    const outcome = fold.fold(baseline, event)
    return outcome.kind === 'ok' ? outcome.verdict : undefined
  })
  const muchLater = mondayUs + forgetUs + 12 * hourUs
  for (const agent of [cron, copilot])
    events.push(
      recorder(`later-${agent.subject}`).record(
        agent,
        act(randomFrom(1), mondayUs + 3 * dayUs, 1, statement, berlin),
      ),
    )
  events.push(recorder('much-later').record(copilot, act(randomFrom(1), muchLater, 1, statement, berlin)))
  return received(events)
}
