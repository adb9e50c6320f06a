import assert from 'node:assert/strict'
import { createHook } from 'node:async_hooks'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, describe, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type BusBed,
  type BusTools,
  createBusTools,
  readAll,
  textOf,
  until,
} from '@portcullis/testkit/bus-bed'
import { busContract } from '@portcullis/testkit/bus-contract'
import { startKafka, type TestKafka } from '@portcullis/testkit/kafka'
import { startGroupConsumer } from './group-consumer.ts'
import { createClient } from './client.ts'
import { quietIdleConnections } from './quiet.ts'

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

/** Segments that close soon, since the cleaner leaves the open one alone. */
const fastCleaning = {
  'segment.ms': '500',
  'min.cleanable.dirty.ratio': '0.01',
  'delete.retention.ms': '200',
  'min.compaction.lag.ms': '0',
}

// One broker for the file: it takes seconds to start.
let started: ReturnType<typeof startKafka> | undefined
function broker(): ReturnType<typeof startKafka> {
  started ??= startKafka()
  return started
}
after(async () => {
  const kafka = await started
  if (kafka && 'stop' in kafka) await kafka.stop()
})

describe('Kafka bus: what only Kafka can suffer', () => {
  let kafka: TestKafka | undefined
  let missing: string | undefined
  before(async () => {
    const made = await broker()
    if ('missing' in made) missing = made.missing
    else kafka = made
    assert.ok(kafka || !process.env.CI, missing)
  })

  // First in the file, before any bus was opened: the guard changes kafkajs for the whole process.
  test('guard: an idle connection does not wake; without the guard it does, hundreds of times a second', async (t) => {
    if (!kafka) return t.skip(missing)
    const admin = createClient(`kafka://${kafka.brokers}`, { logger }).admin()
    await admin.connect()
    t.after(() => admin.disconnect())
    await admin.listTopics()
    const without = await timersASecond()
    quietIdleConnections(logger)
    quietIdleConnections(logger)
    await admin.listTopics()
    const guarded = await timersASecond()
    t.diagnostic(`timers a second: ${without} without, ${guarded} with`)
    assert.ok(without > 100, `${without} without the guard: it is not needed any more`)
    assert.ok(guarded < 30, `${guarded} with the guard`)
  })

  test('guard: a consumer whose connections fell silent is made anew', async (t) => {
    if (!kafka) return t.skip(missing)
    const { tools } = bed(t, kafka)
    const topic = await tools.topic({ partitions: 1 })
    const bus = await tools.open()
    const road = await silentRoad(t, kafka.brokers)
    const seen = { guarded: [] as string[], bare: [] as string[] }
    const consume = (who: 'guarded' | 'bare', stallMs: number) => {
      const consumer = startGroupConsumer({
        // The broker's metadata names the broker itself: only a socket factory keeps kafkajs on the road.
        kafka: road.client(),
        groupId: `${topic}-${who}`,
        topics: [topic],
        limits: { recordsMax: 100, bytesMax: 1_000_000 },
        logger,
        sessionTimeoutMs: tools.sessionTimeoutMs,
        stallMs,
        commits: false,
        resumeAt: async () => 0,
        onBatch: (records) => void seen[who].push(...records.map(textOf)),
      })
      t.after(() => consumer.stop())
    }
    consume('guarded', 1_000)
    consume('bare', 3_600_000)
    await bus.publish([{ topic, key: 'k', value: Buffer.from('before') }])
    await until('both have it', () => seen.guarded.length === 1 && seen.bare.length === 1)
    road.silence()
    await bus.publish([{ topic, key: 'k', value: Buffer.from('after') }])
    // The silent member's session has to run out before the new one gets its partition.
    await until(
      'the guarded one has it',
      () => seen.guarded.includes('after'),
      tools.sessionTimeoutMs + 6_000,
    )
    assert.deepEqual(
      seen.bare,
      ['before'],
      'without the watchdog it still waits: the guard is not needed any more',
    )
  })

  test('broker killed -9 and restarted under load: nothing acknowledged is lost, keys keep their order', async (t) => {
    if (!kafka) return t.skip(missing)
    if (!kafka.canKill) return t.skip('PORTCULLIS_KAFKA is not ours to kill')
    const { tools } = bed(t, kafka)
    const topic = await tools.topic()
    const bus = await tools.open({ publishTimeoutMs: 60_000 })
    const handled: string[] = []
    const tailed: string[] = []
    const health: boolean[] = []
    const consumer = await (await tools.open()).consume({
      group: topic,
      topics: [topic],
      onBatch: async (records) => void handled.push(...records.map(textOf)),
    })
    const tail = await (await tools.open()).tail({
      topics: [topic],
      from: 'earliest',
      onBatch: (records) => void tailed.push(...records.map(textOf)),
      onHealth: (healthy) => void health.push(healthy),
    })
    const acknowledged: string[] = []
    let isOver = false
    const writers = [0, 1, 2, 3].map(async (writer) => {
      for (let at = 0; !isOver; at++) {
        const text = `${writer}:${at}`
        await bus.publish([{ topic, key: `key-${writer}`, value: Buffer.from(text) }])
        acknowledged.push(text)
      }
    })
    await until('it runs', () => handled.length > 200 && tailed.length > 200)
    await kafka.kill9()
    const killedAt = acknowledged.length
    await sleep(1_000)
    await kafka.restart()
    const restartedMs = performance.now()
    await until('it goes on', () => acknowledged.length > killedAt + 200, 40_000)
    isOver = true
    await Promise.all(writers)
    const missingIn = (texts: readonly string[]) => {
      const got = new Set(texts)
      return acknowledged.filter((text) => !got.has(text))
    }
    await until('the consumer has all', () => missingIn(handled).length === 0, 40_000)
    await until('the tail has all', () => missingIn(tailed).length === 0, 40_000)
    t.diagnostic(`all there ${Math.round(performance.now() - restartedMs)} ms after the restart`)
    await Promise.all([consumer.stop(), tail.stop()])
    const all = (await readAll(bus, topic)).map(textOf)
    assert.deepEqual(missingIn(all), [])
    for (const texts of [all, handled, tailed]) {
      for (let writer = 0; writer < 4; writer++) {
        const numbers = texts
          .filter((text) => text.startsWith(`${writer}:`))
          .map((text) => Number(text.split(':')[1]))
        const first = [...new Set(numbers)]
        assert.deepEqual(
          first,
          [...first.keys()],
          'records first come in the order in which they were published',
        )
      }
    }
    assert.deepEqual(health.slice(0, 3), [true, false, true], 'a tail says when it cannot read')
    t.diagnostic(`${acknowledged.length} acknowledged, ${all.length - new Set(all).size} doubled in the log`)
  })
})

busContract('Kafka bus', async () => {
  const kafka = await broker()
  if ('missing' in kafka) return kafka
  return bedOf(kafka)
})

function bedOf(kafka: TestKafka): BusBed {
  return {
    url: `kafka://${kafka.brokers}`,
    options: { kafka: { topicConfig: fastCleaning } },
    // A broker that is not ours has Kafka's own lower limit for sessions, and cleans every few minutes.
    ...(kafka.canKill
      ? {}
      : { sessionTimeoutMs: 6_500, cleansTooSeldom: 'PORTCULLIS_KAFKA cleans too seldom' }),
    stop: async () => {},
  }
}

function bed(t: TestContext, kafka: TestKafka): { tools: BusTools } {
  const tools = createBusTools({ ...bedOf(kafka), options: {} })
  t.after(() => tools.stop())
  return { tools }
}

async function timersASecond(): Promise<number> {
  let timers = 0
  const hook = createHook({
    init(_id, type) {
      if (type === 'Timeout') timers++
    },
  }).enable()
  await sleep(1_000)
  hook.disable()
  return timers
}

/** Connections to the broker that can be made to fall silent, as a firewall does that forgets them: no byte, no end. */
async function silentRoad(t: TestContext, brokers: string) {
  const [host = '', port = ''] = brokers.split(':')
  const carried = new Set<Socket>()
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(Number(port), host)
    for (const socket of [near, far]) {
      carried.add(socket)
      sockets.add(socket)
      socket.on('error', () => socket.destroy())
    }
    near.pipe(far).pipe(near)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  const address = server.address()
  assert.ok(address && typeof address === 'object')
  return {
    client: () =>
      createClient(`kafka://${brokers}`, { logger }, ({ onConnect }) =>
        connect(address.port, '127.0.0.1', onConnect),
      ),
    silence() {
      for (const socket of carried) {
        socket.unpipe()
        socket.pause()
      }
      carried.clear()
    },
  }
}
