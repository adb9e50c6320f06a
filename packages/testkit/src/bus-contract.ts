/**
 * What every bus must do (packages/kernel/src/bus.ts), as one suite that runs over each implementation unchanged. What
 * only one of them can suffer (a broker's death, a writer's death) is tested beside it.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Bus, Received, Topic } from '@portcullis/kernel'
import { type BusBed, type BusTools, createBusTools, readAll, textOf, until } from './bus-bed.ts'
import { measure } from './bus-measure.ts'
import { publishTo, range, record } from './bus-records.ts'

export type { BusBed } from './bus-bed.ts'

/** `setUp` returns why the real part is missing here; under CI that fails, elsewhere the suite is skipped. */
export function busContract(name: string, setUp: () => Promise<BusBed | { readonly missing: string }>): void {
  describe(name, () => {
    let bed: BusBed | undefined
    let missing: string | undefined

    before(async () => {
      const made = await setUp()
      if ('missing' in made) {
        missing = made.missing
        assert.ok(!process.env.CI, `${name}: ${missing}`)
        return
      }
      bed = made
    })
    after(async () => {
      await bed?.stop()
    })
    const check = (title: string, body: (tools: BusTools) => Promise<void>) =>
      test(title, async (t) => {
        if (!bed) return t.skip(missing)
        if (isCleaning.has(body) && bed.cleansTooSeldom) return t.skip(bed.cleansTooSeldom)
        const tools = createBusTools(bed)
        try {
          await body(tools)
        } finally {
          await tools.stop()
        }
      })

    check('a key keeps its order and its partition, whoever publishes beside it', keyedOrder)
    check('members of a group share the partitions; who joins and leaves takes over without a gap', sharing)
    check('a member that was killed is replaced, and what it had in hand comes again', killedMember)
    check('a handler slower than the session timeout keeps its partition', slowHandler)
    check('a consumer that starts again goes on where it was committed', resume)
    check('startAt decides over what was committed; undefined leaves it to that', startAt)
    check('a handler that throws gets the same batch again, and nothing behind it', throwing)
    check('tail: earliest is everything, latest what comes after, caught up when it is', tailing)
    check('batches are bounded in records and bytes, and large records pass', bounds)
    check('what can never be delivered is refused by name', refusals)
    check('stop drains what was accepted', drains)
    check('ensureTopics keeps what is there', ensureTwice)
    check('compaction keeps the latest of each key, and drops what a tombstone closed', compaction)
    check('retention drops what is too old', retention)
    test('throughput and latency, printed', async (t) => {
      if (!bed) return t.skip(missing)
      const tools = createBusTools(bed)
      try {
        t.diagnostic(await measure(tools))
      } finally {
        await tools.stop()
      }
    })
  })
}

const isCleaning = new Set([compaction, retention])

async function keyedOrder({ topic, open }: BusTools): Promise<void> {
  const name = await topic()
  const keys = Array.from({ length: 20 }, (_, at) => `key-${at}`)
  const buses = await Promise.all([open(), open(), open()])
  const publishing = buses.map(async (bus, writer) => {
    const mine = keys.filter((_, at) => at % buses.length === writer)
    for (let round = 0; round < 10; round++) {
      // Not awaited one by one: order must hold for calls that overlap.
      const calls = [0, 1, 2].map((part) =>
        bus.publish(mine.map((key) => record(name, key, `${round * 3 + part}`))),
      )
      await Promise.all(calls)
    }
  })
  await Promise.all(publishing)
  const all = await readAll(buses[0] as Bus, name)
  assert.equal(all.length, 600)
  for (const key of keys) {
    const mine = all.filter((one) => one.key === key)
    assert.deepEqual(
      mine.map(textOf),
      Array.from({ length: 30 }, (_, at) => String(at)),
      key,
    )
    assert.equal(new Set(mine.map(({ partition }) => partition)).size, 1)
  }
  assert.ok(new Set(all.map(({ partition }) => partition)).size > 1, 'one partition took all keys')
  const ends = await (buses[0] as Bus).endOffsets(name)
  assert.deepEqual([...ends.keys()].sort(), [0, 1, 2, 3])
  assert.equal(
    [...ends.values()].reduce((sum, end) => sum + end, 0),
    600,
  )
  for (const [partition, end] of ends) {
    const offsets = all.filter((one) => one.partition === partition).map(({ offset }) => offset)
    assert.deepEqual(
      offsets,
      Array.from({ length: end }, (_, at) => at),
      `partition ${partition}`,
    )
  }
  for (const { publishedMs } of all) assert.ok(Math.abs(Date.now() - publishedMs) < 120_000)
}

async function sharing({ topic, open }: BusTools): Promise<void> {
  const name = await topic()
  const bus = await open()
  const a = collector()
  const b = collector()
  const first = await (await open()).consume({ group: name, topics: [name], ...a.handlers })
  await publishTo(bus, name, 0, 40)
  await until('the only member has all', () => a.texts.size === 40)
  assert.deepEqual([...a.partitions()].sort(), [0, 1, 2, 3])

  const second = await (await open()).consume({ group: name, topics: [name], ...b.handlers })
  await until('half is given up', () => a.revoked.size === 2)
  await publishTo(bus, name, 40, 80)
  await until('both have their share', () => a.texts.size + b.texts.size >= 80 && b.texts.size > 0)
  assert.deepEqual([...b.partitions()].sort(), [...a.revoked].sort())

  await first.stop()
  assert.deepEqual([...a.revoked].sort(), [0, 1, 2, 3], 'stop revokes the rest')
  const handledByFirst = a.records.length
  await publishTo(bus, name, 80, 120)
  await until('the one that is left has the rest', () => new Set([...a.texts, ...b.texts]).size === 120)
  assert.equal(a.records.length, handledByFirst, 'nothing is handed out after stop')
  await second.stop()
}

async function killedMember({ topic, open, member, sessionTimeoutMs }: BusTools): Promise<void> {
  const name = await topic()
  const bus = await open()
  const victim = member('consume', name, name)
  await publishTo(bus, name, 0, 20)
  await until('the child consumes', () => victim.lines.length >= 20)
  const mine = collector()
  const consumer = await (await open()).consume({ group: name, topics: [name], ...mine.handlers })
  await until('both have a share', async () => {
    await publishTo(bus, name, 20, 40)
    await sleep(100)
    return mine.texts.size > 0 && mine.partitions().size === 2
  })
  await victim.kill('SIGKILL')
  const killedAtMs = performance.now()
  await publishTo(bus, name, 1000, 1040)
  const wanted = Array.from({ length: 40 }, (_, at) => String(1000 + at))
  await until('the survivor has everything', () => wanted.every((text) => mine.texts.has(text)))
  const takeoverMs = performance.now() - killedAtMs
  assert.ok(takeoverMs < sessionTimeoutMs + 7_000, `took ${takeoverMs} ms`)
  await consumer.stop()
}

async function slowHandler({ topic, open, sessionTimeoutMs }: BusTools): Promise<void> {
  const name = await topic({ partitions: 1 })
  const bus = await open()
  await publishTo(bus, name, 0, 1)
  const seen: string[] = []
  const handler = (who: string) => async () => {
    seen.push(who)
    await sleep(sessionTimeoutMs * 1.5)
  }
  const first = await (await open()).consume({ group: name, topics: [name], onBatch: handler('first') })
  await until('the first has it', () => seen.length === 1)
  const second = await (await open()).consume({ group: name, topics: [name], onBatch: handler('second') })
  await sleep(sessionTimeoutMs * 1.7)
  assert.deepEqual(seen, ['first'])
  await first.stop()
  await second.stop()
}

async function resume({ topic, open }: BusTools): Promise<void> {
  const name = await topic()
  const bus = await open()
  await publishTo(bus, name, 0, 30)
  const before = collector()
  const first = await bus.consume({ group: name, topics: [name], ...before.handlers })
  await until('all is handled', () => before.texts.size === 30)
  await first.stop()
  await publishTo(bus, name, 30, 60)
  const later = collector()
  const second = await (await open()).consume({ group: name, topics: [name], ...later.handlers })
  await until('the rest is handled', () => later.texts.size === 30)
  assert.ok([...later.texts].every((text) => Number(text) >= 30))
  await second.stop()
}

async function startAt({ topic, open }: BusTools): Promise<void> {
  const name = await topic({ partitions: 2 })
  const bus = await open()
  await publishTo(bus, name, 0, 60)
  const ends = await bus.endOffsets(name)
  const total = [...ends.values()].reduce((sum, end) => sum + end, 0)
  const all = collector()
  const first = await bus.consume({ group: name, topics: [name], ...all.handlers })
  await until('all is committed', () => all.records.length === total)
  await first.stop()

  const asked: number[] = []
  const again = collector()
  const second = await (await open()).consume({
    group: name,
    topics: [name],
    async startAt({ partition }) {
      asked.push(partition)
      await sleep(50)
      return partition === 0 ? 3 : undefined
    },
    ...again.handlers,
  })
  await until('partition 0 comes again from 3', () => again.records.length >= (ends.get(0) ?? 0) - 3)
  await sleep(200)
  assert.deepEqual(asked.sort(), [0, 1])
  assert.deepEqual(
    again.records.map(({ partition, offset }) => [partition, offset]),
    Array.from({ length: (ends.get(0) ?? 0) - 3 }, (_, at) => [0, at + 3]),
  )
  await second.stop()
}

async function throwing({ topic, open }: BusTools): Promise<void> {
  const name = await topic({ partitions: 1 })
  const bus = await open({ batchRecordsMax: 5 })
  await publishTo(bus, name, 0, 20)
  const handed: number[] = []
  let failures = 3
  const consumer = await bus.consume({
    group: name,
    topics: [name],
    async onBatch(records) {
      handed.push(...records.map(({ offset }) => offset))
      if (records[0]?.offset === 5 && failures-- > 0) throw new Error('cannot take it yet')
    },
  })
  await until('all came', () => handed.at(-1) === 19)
  await consumer.stop()
  const five = [5, 6, 7, 8, 9]
  assert.deepEqual(handed, [0, 1, 2, 3, 4, ...five, ...five, ...five, ...five, ...range(10, 20)])
}

async function tailing({ topic, open }: BusTools): Promise<void> {
  const name = await topic()
  const bus = await open()
  await publishTo(bus, name, 0, 50)
  const early = collector()
  let caughtUpAt = -1
  const health: boolean[] = []
  let failures = 1
  const first = await (await open()).tail({
    topics: [name],
    from: 'earliest',
    async onBatch(records) {
      if (failures-- > 0) throw new Error('a throw stops nothing')
      await early.handlers.onBatch(records)
    },
    onCaughtUp: () => {
      caughtUpAt = early.records.length
    },
    onHealth: (healthy) => void health.push(healthy),
  })
  await until('caught up', () => caughtUpAt >= 0)
  assert.equal(caughtUpAt, 50)
  assert.equal(health[0], true)

  const late = collector()
  const second = await (await open()).tail({ topics: [name], from: 'latest', onBatch: late.handlers.onBatch })
  await publishTo(bus, name, 50, 60)
  await until('both tails have what is new', () => early.texts.size === 60 && late.texts.size === 10)
  assert.ok([...late.texts].every((text) => Number(text) >= 50))
  await Promise.all([first.stop(), second.stop()])
  await publishTo(bus, name, 60, 61)
  await sleep(200)
  assert.equal(late.texts.size, 10)

  const nothing = await topic()
  const empty = Promise.withResolvers<void>()
  const third = await bus.tail({
    topics: [nothing],
    from: 'earliest',
    onBatch() {},
    onCaughtUp: empty.resolve,
  })
  await empty.promise
  await third.stop()
}

async function bounds({ topic, open }: BusTools): Promise<void> {
  const name = await topic({ partitions: 1 })
  const bus = await open({ batchRecordsMax: 7, batchBytesMax: 100_000 })
  await publishTo(bus, name, 0, 30)
  const large = Buffer.alloc(900_000, 'x')
  large.write('start')
  await bus.publish([large, Buffer.from('after'), large].map((value) => ({ topic: name, key: 'k', value })))
  const batches: Received[][] = []
  const tail = await bus.tail({
    topics: [name],
    from: 'earliest',
    onBatch: (records) => void batches.push([...records]),
  })
  await until('all came', () => batches.flat().length === 33)
  await tail.stop()
  for (const batch of batches) {
    const bytes = batch.reduce((sum, { value }) => sum + (value?.length ?? 0), 0)
    assert.ok(batch.length <= 7)
    assert.ok(bytes <= 100_000 || batch.length === 1, `${batch.length} records of ${bytes} bytes`)
  }
  assert.deepEqual(batches.flat()[30]?.value && Buffer.from(batches.flat()[30]?.value ?? ''), large)
}

async function refusals({ topic, open }: BusTools): Promise<void> {
  const name = await topic()
  const bus = await open()
  const hasCode = (code: string) => (error: unknown) =>
    error instanceof Error && 'code' in error && error.code === code
  await assert.rejects(bus.publish([record(name, '', 'no key')]), hasCode('invalid_record'))
  const huge = { topic: name, key: 'k', value: Buffer.alloc(5 * 1024 * 1024) }
  await assert.rejects(bus.publish([record(name, 'k', 'fine'), huge]), hasCode('invalid_record'))
  assert.equal((await readAll(bus, name)).length, 0, 'nothing of a refused call is written')
  const absent = 'portcullis.absent.v1' as Topic
  await assert.rejects(bus.publish([record(absent, 'k', 'v')]), hasCode('unknown_topic'))
  await assert.rejects(
    bus.consume({ group: 'g', topics: [absent], async onBatch() {} }),
    hasCode('unknown_topic'),
  )
  await assert.rejects(bus.tail({ topics: [absent], from: 'latest', onBatch() {} }), hasCode('unknown_topic'))
  await assert.rejects(bus.endOffsets(absent), hasCode('unknown_topic'))
  await bus.publish([])
}

async function drains({ topic, open, openStarted }: BusTools): Promise<void> {
  const name = await topic()
  const leaving = await openStarted()
  const calls = range(0, 50).map((at) => leaving.value.publish([record(name, 'k', String(at))]))
  await leaving.stop()
  await Promise.all(calls)
  await assert.rejects(leaving.value.publish([record(name, 'k', 'late')]), /stopped/)
  assert.equal((await readAll(await open(), name)).length, 50)
}

async function ensureTwice({ topic, open }: BusTools): Promise<void> {
  const name = await topic({ partitions: 3 })
  const bus = await open()
  await publishTo(bus, name, 0, 10)
  const spec = { topic: name, cleanup: 'delete', retentionMs: -1 } as const
  await bus.ensureTopics([{ ...spec, partitions: 3 }])
  await bus.ensureTopics([{ ...spec, partitions: 5 }])
  assert.equal((await bus.endOffsets(name)).size, 3, 'other partitions would break the order of keys')
  assert.equal((await readAll(bus, name)).length, 10)
  await assert.rejects(bus.ensureTopics([{ ...spec, partitions: 1 }]), /must have one partition/)
}

async function compaction({ topic, open }: BusTools): Promise<void> {
  const name = await topic({ partitions: 1, cleanup: 'compact' })
  const bus = await open()
  for (const text of ['1', '2', '3']) await bus.publish([record(name, 'kept', text)])
  await bus.publish([record(name, 'closed', 'x')])
  await bus.publish([{ topic: name, key: 'closed', value: null }])
  const tombstone = (await readAll(bus, name)).find(({ key, value }) => key === 'closed' && value === null)
  assert.ok(tombstone, 'a tombstone reaches readers')
  await until(
    'only the latest is left',
    async () => {
      await bus.publish([record(name, 'filler', 'x')])
      await sleep(300)
      const left = await readAll(bus, name)
      const kept = left.filter(({ key }) => key === 'kept').map(textOf)
      return kept.length === 1 && kept[0] === '3' && !left.some(({ key }) => key === 'closed')
    },
    40_000,
  )
  await bus.publish([record(name, 'closed', 'again')])
  assert.equal((await readAll(bus, name)).filter(({ key }) => key === 'closed').length, 1)
  const mine = collector()
  const consumer = await bus.consume({ group: name, topics: [name], ...mine.handlers })
  await until('a consumer passes over the holes', () => mine.texts.has('again'))
  await consumer.stop()
}

async function retention({ topic, open }: BusTools): Promise<void> {
  const name = await topic({ partitions: 1, retentionMs: 1_000 })
  const bus = await open()
  await publishTo(bus, name, 0, 20)
  assert.equal((await readAll(bus, name)).length, 20)
  await until(
    'the old ones are gone',
    async () => {
      await bus.publish([record(name, 'k', 'young')])
      await sleep(300)
      return (await readAll(bus, name)).every((one) => textOf(one) === 'young')
    },
    40_000,
  )
  const left = await readAll(bus, name)
  assert.ok(
    left.every(({ offset }) => offset >= 20),
    'offsets go on',
  )
  const mine = collector()
  const consumer = await bus.consume({ group: name, topics: [name], ...mine.handlers })
  await bus.publish([record(name, 'k', 'last')])
  await until('a new group starts at what is kept', () => mine.texts.has('last'))
  await consumer.stop()
}

function collector() {
  const records: Received[] = []
  const texts = new Set<string>()
  const revoked = new Set<number>()
  return {
    records,
    texts,
    revoked,
    partitions: () => new Set(records.map(({ partition }) => partition)),
    handlers: {
      async onBatch(batch: readonly Received[]) {
        records.push(...batch)
        for (const one of batch) texts.add(textOf(one))
      },
      async onRevoked(partitions: readonly { readonly partition: number }[]) {
        for (const { partition } of partitions) revoked.add(partition)
      },
    },
  }
}
