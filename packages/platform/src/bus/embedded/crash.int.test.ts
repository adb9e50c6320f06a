import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Received, Topic } from '@portcullis/kernel'
import { createBusTools, readAll, textOf, until } from '@portcullis/testkit/bus-bed'

function bed(t: TestContext) {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bus-'))
  const tools = createBusTools({ url: `lmdb:${join(dir, 'bus')}`, options: {}, stop: async () => {} })
  t.after(async () => {
    await tools.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  return { dir: join(dir, 'bus'), ...tools }
}

test('writers killed -9 under load: nothing acknowledged is lost, no offset is missing, order holds', async (t) => {
  const { topic, open, member } = bed(t)
  const name = await topic()
  const bus = await open()
  const live: Received[] = []
  const tail = await bus.tail({
    topics: [name],
    from: 'earliest',
    onBatch: (records) => void live.push(...records),
  })
  const acknowledged: string[] = []
  for (let round = 0; round < 2; round++) {
    const writers = [0, 1, 2].map((at) => member('publish', name, `writer-${round}-${at}`))
    await until('all write', () => writers.every(({ lines }) => lines.length > 20))
    for (const writer of writers) {
      await sleep(Math.random() * 60)
      await writer.kill('SIGKILL')
    }
    // A last line that the kill cut short is not an acknowledgement.
    for (const { lines } of writers)
      acknowledged.push(...lines.filter((line) => /^writer-\d-\d:\d+$/.test(line)).slice(0, -1))
  }
  await bus.publish([{ topic: name, key: 'after', value: Buffer.from('after') }])
  const all = await readAll(bus, name)
  await until('the tail has it all', () => live.length === all.length)
  await tail.stop()

  const texts = new Set(all.map(textOf))
  assert.ok(acknowledged.length > 200, `${acknowledged.length} acknowledged`)
  assert.deepEqual(
    acknowledged.filter((text) => !texts.has(text)),
    [],
  )
  assert.equal(texts.size, all.length, 'nothing is doubled')
  for (const [partition, end] of await bus.endOffsets(name)) {
    const offsets = all.filter((one) => one.partition === partition).map(({ offset }) => offset)
    assert.deepEqual(offsets, [...Array(end).keys()])
  }
  for (const key of new Set(all.map((one) => one.key).filter((one) => one !== 'after'))) {
    const numbers = all.filter((one) => one.key === key).map((one) => Number(textOf(one).split(':')[1]))
    assert.deepEqual(numbers, [...numbers.keys()], key)
  }
})

test('a member that was stopped and comes back cannot move what its successor committed', async (t) => {
  const { topic, open, member, sessionTimeoutMs } = bed(t)
  const name = await topic({ partitions: 1 })
  const bus = await open()
  const frozen = member('consume', name, name)
  await bus.publish([{ topic: name, key: 'k', value: Buffer.from('0') }])
  await until('the child has it', () => frozen.lines.length === 1)
  const handled: string[] = []
  const consumer = await bus.consume({
    group: name,
    topics: [name],
    onBatch: async (records) => void handled.push(...records.map(textOf)),
  })
  process.kill(frozen.pid, 'SIGSTOP')
  const wanted = Array.from({ length: 20 }, (_, at) => String(at + 1))
  for (const text of wanted) await bus.publish([{ topic: name, key: 'k', value: Buffer.from(text) }])
  await until('the lease ran out', () => handled.includes('20'), sessionTimeoutMs * 4)
  process.kill(frozen.pid, 'SIGCONT')
  await sleep(500)
  await consumer.stop()
  await until('the child is a member again', async () => {
    await bus.publish([{ topic: name, key: 'k', value: Buffer.from('late') }])
    await sleep(50)
    return frozen.lines.includes('late')
  })
  // It may have been stopped before it could commit the first.
  assert.deepEqual(handled.filter((text) => text !== '0').slice(0, 20), wanted)
  assert.deepEqual(
    frozen.lines.filter((line) => line !== 'late'),
    ['0'],
    'it went on from what its successor committed',
  )
})

test('a process whose event loop is blocked while it publishes does not hold up the others', async (t) => {
  const { topic, open, member } = bed(t)
  const name = await topic()
  const bus = await open()
  const blocked = member('publish-blocked', name, 'blocked')
  await until('it publishes', () => blocked.lines.length > 0)
  const tookMs: number[] = []
  const before = blocked.lines.length
  for (let at = 0; at < 20; at++) {
    const startMs = performance.now()
    await bus.publish([{ topic: name, key: 'k', value: Buffer.from('x') }])
    tookMs.push(performance.now() - startMs)
    await sleep(30)
  }
  assert.ok(blocked.lines.length > before, 'it published meanwhile')
  const median = tookMs.sort((a, b) => a - b)[10] ?? 0
  t.diagnostic(`median ${median.toFixed(1)} ms beside an event loop that is blocked for 200 ms at a time`)
  assert.ok(median < 80, `median ${median} ms`)
})

test('a full disk: publish refuses by name after its time, and works again when there is room', async (t) => {
  const tool = spawnSync('prlimit', ['--version'])
  if (tool.error) {
    assert.ok(!process.env.CI, 'prlimit is missing')
    return t.skip('prlimit (util-linux) is missing')
  }
  const { topic, open, member } = bed(t)
  const name = await topic()
  const bus = await open()
  const writer = member('publish-regardless', name, 'w', {
    fileBytesMax: 2 * 1024 * 1024,
    publishTimeoutMs: 500,
  })
  await until('it is refused', () => writer.lines.includes('refused unavailable'))
  const fitted = writer.lines.filter((line) => line.startsWith('w:')).length
  assert.ok(fitted > 10, `${fitted} fitted`)
  spawnSync('prlimit', ['--pid', String(writer.pid), '--fsize=unlimited'])
  await until(
    'it works again',
    () => writer.lines.filter((line) => line.startsWith('w:')).length > fitted + 10,
  )
  await writer.kill('SIGKILL')
  const acknowledged = writer.lines.filter((line) => /^w:\d+$/.test(line)).slice(0, -1)
  const kept = new Set((await readAll(bus, name)).map((one) => textOf(one).trimEnd()))
  assert.deepEqual(
    acknowledged.filter((text) => !kept.has(text)),
    [],
  )
})

test('the folder is for its owner alone', async (t) => {
  const { dir, topic } = bed(t)
  const name: Topic = await topic()
  for (const path of [dir, join(dir, 'topics'), join(dir, 'groups'), join(dir, 'topics', name)])
    assert.equal(statSync(path).mode & 0o777, 0o700, path)
})

test('a position beyond the end is not waited for: all that is kept comes again', async (t) => {
  const { topic, open } = bed(t)
  const name = await topic({ partitions: 1 })
  const bus = await open()
  await bus.publish([1, 2, 3].map((at) => ({ topic: name, key: 'k', value: Buffer.from(String(at)) })))
  const handled: string[] = []
  const consumer = await bus.consume({
    group: name,
    topics: [name],
    startAt: async () => 1_000,
    onBatch: async (records) => void handled.push(...records.map(textOf)),
  })
  await until('everything came', () => handled.length === 3)
  await consumer.stop()
})

test('an idle bus uses next to no CPU', async (t) => {
  const { topic, open } = bed(t)
  const names = await Promise.all([topic(), topic(), topic()])
  const bus = await open()
  const tail = await bus.tail({ topics: names, from: 'latest', onBatch() {} })
  const consumer = await bus.consume({ group: 'g', topics: names, async onBatch() {} })
  await sleep(500)
  const before = process.cpuUsage()
  await sleep(1_000)
  const { user, system } = process.cpuUsage(before)
  const percent = (user + system) / 10_000
  t.diagnostic(`${percent.toFixed(1)} % of one core`)
  assert.ok(percent < 15, `${percent} %`)
  await Promise.all([tail.stop(), consumer.stop()])
})
