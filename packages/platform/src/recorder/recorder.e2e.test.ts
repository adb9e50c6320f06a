import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Bus, type Received, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '../codec.ts'
import { connectBus } from '../connect.ts'
import { type LinkedEvent, verifyChain } from './chain.ts'
import { RecorderError } from './error.ts'
import { quiet } from './quiet.fixture.ts'
import { allow, analysisOf, intentOf, ok, sessionRecord } from './sample.fixture.ts'
import { createShipper } from './shipper.ts'
import { createRecorder } from './writer.ts'

const codecs = createCodecs()
const small = String(32 << 10)

test('kill -9 of writers under load: every commit that returned is there, every event once, every chain whole', async (t) => {
  const { dir, bus } = await bed(t)
  const shipper = createShipper({ dir: join(dir, 'record'), bus, codecs, clock: systemClock, log: quiet })
  t.after(() => shipper.stop())
  await liveAndDie(t, dir, 20)
  await allGone(join(dir, 'record'))
  const records = await readBack(bus)
  checkTrail(records, noted(dir), 20)
  const ids = records.map(eventId)
  assert.equal(new Set(ids).size, ids.length, 'an event came twice though no agent died')
})

test('kill -9 of the agent at any instant: nothing is lost, and what comes twice is the same bytes', async (t) => {
  const { dir, bus, url } = await bed(t)
  let writing = true
  const agents = (async () => {
    for (let kills = 0; writing || kills < 4; kills++) {
      const agent = spawn(process.execPath, [
        join(import.meta.dirname, 'agent.fixture.ts'),
        join(dir, 'record'),
        url,
      ])
      t.after(() => agent.kill('SIGKILL'))
      agent.stderr.pipe(process.stderr)
      await once(agent.stdout, 'data')
      await sleep(Math.random() * 120)
      agent.kill('SIGKILL')
      await once(agent, 'exit')
    }
  })()
  await liveAndDie(t, dir, 4)
  writing = false
  await agents
  const last = createShipper({ dir: join(dir, 'record'), bus, codecs, clock: systemClock, log: quiet })
  t.after(() => last.stop())
  await allGone(join(dir, 'record'))
  const records = await readBack(bus)
  const byId = new Map<string, Received>()
  for (const record of records) {
    const seen = byId.get(eventId(record))
    if (seen) assert.deepEqual(seen.value, record.value)
    else byId.set(eventId(record), record)
  }
  checkTrail(Array.from(byId.values()), noted(dir), 4)
})

test('the bus away: recording goes on to its limit, then denies, and all is shipped once the bus is back', async (t) => {
  const { dir, bus } = await bed(t)
  let isAway = true
  let failures = 0
  const flaky: Bus = {
    ...bus,
    async publish(records) {
      // Away, and then gone again in the middle of a batch: a part of it is on the bus already.
      if (isAway) throw new Error('away')
      if (failures++ < 3) {
        await bus.publish(records.slice(0, records.length / 2))
        throw new Error('away in the middle')
      }
      await bus.publish(records)
    },
  }
  const record = join(dir, 'record')
  const log = { ...quiet, warn() {} }
  const shipper = createShipper({ dir: record, bus: flaky, codecs, clock: systemClock, log })
  t.after(() => shipper.stop())
  const recorder = createRecorder({
    dir: record,
    durability: 'process',
    bytesMax: 100_000,
    onUnavailable: 'deny',
    proxy: { name: 'p', version: '0' },
    clock: systemClock,
  })
  recorder.value.session(sessionRecord('s1'), 'opened', allow, '')
  recorder.value.commit()
  const committed: string[] = []
  const commitOne = (number: number) => {
    recorder.value.intent(intentOf('s1', number, analysisOf('select 1')))
    recorder.value.commit()
    committed.push(`s1.${number}`)
    recorder.value.outcome('s1', number, 1_700_000_000_100_000, ok)
  }
  let number = 0
  assert.throws(
    () => {
      for (;;) commitOne(++number)
    },
    (error) => error instanceof RecorderError && /wait for the bus/.test(error.message),
  )
  await sleep(300)
  assert.equal(recorder.value.available, false)
  assert.ok(shipper.value.stats().failedPublishes > 0)
  assert.ok(shipper.value.stats().lagSeconds > 0)
  isAway = false
  while (!recorder.value.available) await sleep(10)
  commitOne(number + 1)
  await recorder.stop()
  await allGone(record)
  const events = new Map((await readBack(bus)).map((one) => [eventId(one), decode(one)]))
  assert.deepEqual(verifyChain(events.values(), codecs), [])
  const finished = Array.from(events.values(), (one) => (one.kind === 'command' ? one.event.commandId : ''))
  assert.deepEqual(new Set(finished.filter((id) => id !== '')), new Set(committed))
})

test('after a loss of power the bus may have more than the disk: the sequence goes on behind what the bus has', async (t) => {
  const { dir, bus } = await bed(t)
  const record = join(dir, 'record')
  const before = createShipper({ dir: record, bus, codecs, clock: systemClock, log: quiet })
  const recorder = createRecorder({
    dir: record,
    durability: 'process',
    bytesMax: 1 << 30,
    onUnavailable: 'deny',
    proxy: { name: 'p', version: '0' },
    clock: systemClock,
  })
  recorder.value.session(sessionRecord('s1'), 'opened', allow, '')
  for (let number = 1; number <= 20; number++) {
    recorder.value.intent(intentOf('s1', number, analysisOf('select 1')))
    recorder.value.commit()
    recorder.value.outcome('s1', number, 1_700_000_000_100_000, ok)
    await new Promise(setImmediate)
  }
  await before.value.drained()
  await before.stop()
  // What the disk kept: another boot, and a segment that lacks its end.
  const segment = join(recorder.value.dir, 'seg-00000001.log')
  truncateSync(segment, statSync(segment).size - 300)
  const cardPath = join(recorder.value.dir, 'recorder.json')
  const card = JSON.parse(readFileSync(cardPath, 'utf8'))
  writeFileSync(cardPath, JSON.stringify({ ...card, life: { ...card.life, bootId: 'another' } }))
  const after = createShipper({ dir: record, bus, codecs, clock: systemClock, log: { ...quiet, error() {} } })
  t.after(() => after.stop())
  await allGone(record)
  assert.deepEqual(
    readdirSync(record).filter((name) => name.startsWith('.damaged-')),
    [`.damaged-${recorder.value.id}`],
  )
  const events = (await readBack(bus)).map(decode)
  assert.deepEqual(verifyChain(events, codecs), [])
  assert.equal(events.filter(({ kind, event }) => kind === 'session' && event.phase === 'closed').length, 1)
  const ids = new Set(events.flatMap((one) => (one.kind === 'command' ? [one.event.commandId] : [])))
  assert.equal(ids.size, 20)
})

test('a second agent on the same directory is refused with a reason', async (t) => {
  const { dir, bus } = await bed(t)
  const options = { dir: join(dir, 'record'), bus, codecs, clock: systemClock, log: quiet }
  const first = createShipper(options)
  assert.throws(
    () => createShipper(options),
    (error) => error instanceof RecorderError && error.code === 'locked',
  )
  await first.stop()
  await createShipper(options).stop()
})

/** Runs writers, four at a time, each killed -9 at a random instant among its first few hundred commits. */
async function liveAndDie(t: TestContext, dir: string, lives: number): Promise<void> {
  let next = 0
  const lane = async () => {
    while (next < lives) {
      const notes = join(dir, `notes-${next++}`)
      const writer = spawn(process.execPath, [
        join(import.meta.dirname, 'load.fixture.ts'),
        join(dir, 'record'),
        notes,
        small,
      ])
      t.after(() => writer.kill('SIGKILL'))
      writer.stderr.pipe(process.stderr)
      const enough = 500 + Math.random() * 8000
      while (bytesOf(notes) < enough) await sleep(1)
      await kill(writer)
    }
  }
  await Promise.all([lane(), lane(), lane(), lane()])
}

function checkTrail(records: readonly Received[], committed: readonly string[], lives: number): void {
  const events = records.map(decode)
  assert.deepEqual(verifyChain(events, codecs), [])
  const finished = new Map<string, string | null>()
  const sessions = { opened: 0, closed: 0, refused: 0 }
  for (const { kind, event } of events) {
    if (kind === 'session') sessions[event.phase]++
    else if (event.phase === 'finished') finished.set(event.commandId, event.outcome)
  }
  const lost = committed.filter((id) => !finished.has(id))
  assert.deepEqual(lost, [])
  assert.ok(committed.length > lives * 10)
  assert.ok(finished.size >= committed.length)
  assert.deepEqual(sessions, { opened: 2 * lives, closed: 2 * lives, refused: 0 })
  const ninths = committed.filter((id) => Number(id.slice(id.lastIndexOf('.') + 1)) % 9 === 0)
  assert.ok(ninths.every((id) => finished.get(id) === 'unknown'))
  const others = committed.length - ninths.length
  const known = committed.filter((id) => finished.get(id) === 'ok').length
  // The outcomes of a writer's last turn may die with it.
  assert.ok(known >= others - lives * 20, `${known} of ${others}`)
}

async function bed(t: TestContext): Promise<{ dir: string; bus: Bus; url: string }> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-record-'))
  const url = `lmdb:${join(dir, 'bus')}`
  const bus = await connectBus(url, { logger: quiet })
  t.after(async () => {
    await bus.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  await bus.value.ensureTopics([
    { topic: topics.sessions, partitions: 2, cleanup: 'delete', retentionMs: -1 },
    { topic: topics.commands, partitions: 2, cleanup: 'delete', retentionMs: -1 },
  ])
  return { dir, bus: bus.value, url }
}

async function readBack(bus: Bus): Promise<Received[]> {
  const records: Received[] = []
  const caughtUp = Promise.withResolvers<void>()
  const tail = await bus.tail({
    topics: [topics.sessions, topics.commands],
    from: 'earliest',
    onBatch(batch) {
      records.push(...batch)
    },
    onCaughtUp: caughtUp.resolve,
  })
  await caughtUp.promise
  await tail.stop()
  return records
}

function decode({ topic, value }: Received): LinkedEvent {
  assert.ok(value)
  return topic === topics.sessions
    ? { kind: 'session', event: codecs.session.decode(value) }
    : { kind: 'command', event: codecs.command.decode(value) }
}

function eventId(record: Received): string {
  return decode(record).event.eventId
}

function noted(dir: string): string[] {
  return readdirSync(dir)
    .filter((name) => name.startsWith('notes-'))
    .flatMap((name) => {
      // A note that was cut short was not taken in whole.
      const text = readFileSync(join(dir, name), 'utf8')
      return text.slice(0, text.lastIndexOf('\n')).split('\n')
    })
}

async function allGone(recordDir: string): Promise<void> {
  const deadlineMs = performance.now() + 60_000
  while (readdirSync(recordDir).some((name) => !name.startsWith('.'))) {
    assert.ok(performance.now() < deadlineMs, `left: ${readdirSync(recordDir).join(' ')}`)
    await sleep(20)
  }
}

function bytesOf(file: string): number {
  return existsSync(file) ? statSync(file).size : 0
}

async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL')
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
}
