/**
 * Detect to enforce, over the whole road: from the proxy's receipt of the command that tips a verdict to the first
 * refusal in the hands of a client on another, already open session that another proxy process serves. Everything real:
 * drivers, gate with two workers, bus, analyzer, PostgreSQL. Two independent features tip it (a result far too large,
 * then too many commands), so the verdict is a block that follows from one command of one of the sessions.
 *
 *   node load-tests/detect.ts [--kafka] [--identities N]
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { type Bus, type CommandEvent, identityKey, topics, type VerdictEvent } from '@portcullis/kernel'
import { type Codecs, createCodecs, linkHash } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import { startKafka } from '@portcullis/testkit/kafka'
import pg from 'pg'
import { type Parts, startParts } from './demo/parts.ts'
import { report } from './report.ts'
import { historyOf, hourUs, minuteUs, simulatedRecorder, steadyAgent } from './simulator/index.ts'
import { topicSpecs } from './topic-specs.ts'

const { values: args } = parseArgs({
  options: { kafka: { type: 'boolean', default: false }, identities: { type: 'string', default: '60' } },
})
const subjects = Array.from({ length: Number(args.identities) }, (_, i) => `agent/detect-${i}`)
const sessions = 5
/** 300 commands within more than a day: what the analyzer wants to have seen. */
const historyHours = 25
const historyPerMinute = 0.2
const partitions = 8
process.exitCode = await main()
process.exit()

async function main(): Promise<number> {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-detect-'))
  const stops: (() => Promise<void>)[] = [async () => rmSync(folder, { recursive: true, force: true })]
  try {
    const kafka = args.kafka ? await startKafka() : undefined
    if (kafka && 'missing' in kafka) throw new Error(kafka.missing)
    if (kafka) stops.push(() => kafka.stop())
    const busUrl = kafka ? `kafka://${kafka.brokers}` : `lmdb:${join(folder, 'bus')}`
    const bus = await connectBus(busUrl, { logger: createLog({ service: 'detect', level: 'error' }) })
    stops.push(() => bus.stop())
    // Before any service, so that none meets a topic that is just being made.
    await bus.value.ensureTopics(topicSpecs(partitions))
    const parts = await startParts(folder, () => undefined, busUrl)
    stops.push(() => parts.stop())
    const codecs = createCodecs()
    const learnSeconds = await publishHistory(bus.value, codecs, parts.value)
    const seen = await follow(bus.value, codecs)
    stops.push(() => seen.stop())
    const ways: Way[] = []
    let untold = 0
    for (const subject of subjects) {
      const way = await measure(parts.value, seen, subject)
      if (way === undefined) untold++
      else ways.push(way)
    }
    const at = (q: number, part: keyof Way = 'wholeMs') => {
      const sorted = ways.map((way) => way[part]).sort((a, b) => a - b)
      return sorted[Math.ceil(q * sorted.length) - 1] ?? Number.NaN
    }
    const slowest = ways.reduce<Way | undefined>((a, b) => (a && a.wholeMs >= b.wholeMs ? a : b), undefined)
    report(args.kafka ? 'detect-kafka' : 'detect', [
      { row: 'detect to enforce, p50', value: at(0.5), unit: 'ms' },
      { row: 'detect to enforce, p99', value: at(0.99), unit: 'ms', aim: { atMost: args.kafka ? 500 : 250 } },
      { row: 'detect to enforce, worst', value: at(1), unit: 'ms' },
      { row: 'of it, p50: from receipt to the bus', value: at(0.5, 'toBusMs'), unit: 'ms' },
      { row: 'of it, p50: judged, verdict on the bus', value: at(0.5, 'judgedMs'), unit: 'ms' },
      { row: 'of it, p50: from the bus to a refusal', value: at(0.5, 'enforcedMs'), unit: 'ms' },
      { row: 'the worst: from receipt to the bus', value: slowest?.toBusMs ?? Number.NaN, unit: 'ms' },
      { row: 'the worst: judged, verdict on the bus', value: slowest?.judgedMs ?? Number.NaN, unit: 'ms' },
      { row: 'the worst: from the bus to a refusal', value: slowest?.enforcedMs ?? Number.NaN, unit: 'ms' },
      { row: 'identities measured', value: ways.length, unit: 'identities' },
      { row: 'no session on another worker than the offending command', value: untold, unit: 'identities' },
      { row: 'history learned', value: learnSeconds.events / learnSeconds.seconds, unit: 'commands/s' },
    ])
    return ways.length > 0 ? 0 : 1
  } catch (error) {
    console.error(`detect: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    return 1
  } finally {
    for (const stop of stops.reverse()) await stop()
  }
}

async function publishHistory(bus: Bus, codecs: Codecs, { issuer, analyzer }: Parts) {
  const recorder = simulatedRecorder({
    name: `detect-${Date.now()}`,
    issuer: issuer.issuer,
    target: 'shop',
    database: 'shop',
    hash: (prevHash, event) => linkHash(prevHash, codecs.command, event),
  })
  const agents = subjects.map((subject, seed) => steadyAgent(seed, subject, historyPerMinute))
  const toUs = nowUs() - 5 * minuteUs
  const events = [...historyOf(agents, recorder, toUs - historyHours * hourUs, toUs)]
  const startMs = performance.now()
  for (let from = 0; from < events.length; from += 2_000)
    await bus.publish(
      events.slice(from, from + 2_000).map((event) => ({
        topic: topics.commands,
        key: identityKey(event.identity),
        value: codecs.command.encode(event),
      })),
    )
  await until('the history to be learned', 60_000, async () => {
    const metrics = await (await fetch(`http://${analyzer}/metrics`)).text()
    const line = metrics
      .split('\n')
      .find((one) => /^portcullis_analyzer_events_total\{.*outcome="folded"/.test(one))
    return Number(line?.split(' ').at(-1) ?? 0) >= events.length
  })
  return { events: events.length, seconds: (performance.now() - startMs) / 1000 }
}

async function follow(bus: Bus, codecs: Codecs) {
  const verdicts = new Map<string, VerdictEvent>()
  /** The recorder (one worker process) of a command by its id, and of a session by the text that it alone runs. */
  const recorders = new Map<string, string>()
  /** When a command or the block of a subject was seen on the bus. */
  const seenUs = new Map<string, number>()
  const tail = await bus.tail({
    topics: [topics.commands, topics.verdicts],
    from: 'latest',
    onBatch(records) {
      for (const { topic, value } of records) {
        if (value === null) continue
        if (topic === topics.verdicts) {
          const verdict = codecs.verdict.decode(value)
          if (verdict.action !== 'block') continue
          verdicts.set(verdict.subject.id, verdict)
          seenUs.set(verdict.subject.id, nowUs())
        } else note(codecs.command.decode(value))
      }
    },
  })
  const note = ({ commandId, text, link, identity }: CommandEvent) => {
    recorders.set(commandId, link.recorder)
    seenUs.set(commandId, nowUs())
    recorders.set(`${identity.subject} ${text}`, link.recorder)
  }
  return { verdicts, recorders, seenUs, stop: () => tail.stop() }
}

interface Way {
  readonly wholeMs: number
  readonly toBusMs: number
  readonly judgedMs: number
  readonly enforcedMs: number
}

/** Milliseconds from detection to the first refusal by another process; undefined where no witness was on another. */
async function measure(
  parts: Parts,
  seen: Awaited<ReturnType<typeof follow>>,
  subject: string,
): Promise<Way | undefined> {
  const token = await parts.issuer.sign({ sub: subject, groups: ['agents'] }, { ttlSec: 600 })
  const connect = async () => {
    const client = new pg.Client({
      ...parts.door,
      user: 'shop',
      password: token,
      database: 'postgres',
      ssl: false,
    })
    client.on('error', () => undefined)
    await client.connect()
    return client
  }
  const clients = await Promise.all(Array.from({ length: sessions }, connect))
  try {
    // The first evidence stands before the second comes: they take their way over the bus one after the other.
    await clients[0]?.query("select repeat('x', 4000) from generate_series(1, 1000)")
    await delay(300)
    const refusedUs = await Promise.all(clients.map((client, index) => firstRefusal(client, index)))
    await until(`the verdict on ${subject}`, 5_000, () => seen.verdicts.has(subject))
    const { causeCommandId = '', causeReceivedAt = Number.NaN } = seen.verdicts.get(subject) ?? {}
    await until('the offending command', 5_000, () => seen.recorders.has(causeCommandId))
    const cause = seen.recorders.get(causeCommandId)
    const elsewhere = refusedUs.filter(
      (_, index) => seen.recorders.get(`${subject} select ${index}`) !== cause,
    )
    if (elsewhere.length === 0) return undefined
    const onBusUs = seen.seenUs.get(causeCommandId) ?? Number.NaN
    const judgedUs = seen.seenUs.get(subject) ?? Number.NaN
    const enforcedUs = Math.min(...elsewhere)
    return {
      wholeMs: (enforcedUs - causeReceivedAt) / 1000,
      toBusMs: (onBusUs - causeReceivedAt) / 1000,
      judgedMs: (judgedUs - onBusUs) / 1000,
      enforcedMs: (enforcedUs - judgedUs) / 1000,
    }
  } finally {
    await Promise.all(clients.map((client) => client.end()))
  }
}

async function firstRefusal(client: pg.Client, index: number): Promise<number> {
  for (const untilMs = performance.now() + 10_000; performance.now() < untilMs; ) {
    try {
      await client.query(`select ${index}`)
      await delay(2)
    } catch {
      return nowUs()
    }
  }
  throw new Error('no refusal within 10 s')
}

function nowUs(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000)
}

async function until(what: string, timeoutMs: number, done: () => boolean | Promise<boolean>): Promise<void> {
  for (const endMs = performance.now() + timeoutMs; !(await done()); ) {
    if (performance.now() > endMs) throw new Error(`waited ${timeoutMs / 1000} s in vain for ${what}`)
    await delay(20)
  }
}
