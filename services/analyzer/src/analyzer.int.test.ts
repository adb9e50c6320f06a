/**
 * Two analyzer processes on the embedded bus, one of them killed with SIGKILL in the middle of the stream: what stands
 * on the bus in the end is what one process that was never interrupted gives.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, type CommandEvent, identityKey, type TopicSpec, topics } from '@portcullis/kernel'
import { connectBus } from '@portcullis/platform/connect'
import { createLog } from '@portcullis/platform/service'
import {
  attack,
  berlin,
  cronJob,
  dayUs,
  historyOf,
  hourUs,
  minuteUs,
  poller,
  read,
} from '../../../load-tests/simulator/index.ts'
import { loadPartitions } from './snapshots.ts'
import { codecs, foldOf, recorder } from './test-support.ts'

const partitions = 4

test('a successor of a killed process gives the verdicts and the state of an uninterrupted run', {
  timeout: 90_000,
}, async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-analyzer-'))
  const children: ChildProcess[] = []
  t.after(async () => {
    for (const child of children) child.kill('SIGKILL')
    await rm(dir, { recursive: true, force: true })
  })
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, {
    logger: createLog({ service: 'test', level: 'error' }),
  })
  t.after(() => bus.stop())
  await bus.value.ensureTopics(specs)
  const configFile = join(dir, 'portcullis.yaml')
  await writeFile(configFile, configuration(dir))

  const events = stream()
  const expected = uninterrupted(events)
  assert.ok(expected.verdicts.size >= 4)
  const seen = await following(bus.value)
  t.after(() => seen.stop())

  const first = await analyzer(configFile, children)
  await analyzer(configFile, children)
  const third = Math.floor(events.length / 3)
  await publish(bus.value, events.slice(0, third))
  const rest = publish(bus.value, events.slice(third, 2 * third))
  await delay(150)
  first.kill('SIGKILL')
  await rest
  const successor = await analyzer(configFile, children)
  await publish(bus.value, events.slice(2 * third))

  await until(() => [...expected.verdicts.keys()].every((id) => seen.verdicts.has(id)), 40_000)
  await until(() => [...expected.findings.keys()].every((id) => seen.findings.has(id)), 5_000)
  for (const child of [children[1], successor]) {
    child?.kill('SIGTERM')
    if (child) assert.deepEqual(await once(child, 'exit'), [0, null])
  }
  assert.deepEqual(seen.verdicts, expected.verdicts)
  assert.deepEqual(seen.findings, expected.findings)
  assert.deepEqual(await statesOn(bus.value), expected.states)
})

const specs: readonly TopicSpec[] = [
  { topic: topics.commands, partitions, cleanup: 'delete', retentionMs: -1 },
  { topic: topics.findings, partitions, cleanup: 'delete', retentionMs: -1 },
  { topic: topics.verdicts, partitions: 1, cleanup: 'compact', retentionMs: -1 },
  { topic: topics.baselines, partitions, cleanup: 'compact', retentionMs: -1 },
]

function configuration(dir: string): string {
  return `
dataDir: ${dir}
bus: lmdb:${join(dir, 'bus')}
audit: embedded:${join(dir, 'audit')}
identity: { issuers: [{ issuer: 'https://issuer.example', audience: [gate] }] }
targets: [{ name: shop, protocol: postgres, address: '127.0.0.1:5432', credentials: { user: shop }, groups: ['*'] }]
proxy: { recorder: { onUnavailable: deny } }
analyzer: { health: '127.0.0.1:0' }
`
}

async function analyzer(configFile: string, children: ChildProcess[]): Promise<ChildProcess> {
  const main = join(import.meta.dirname, 'main.ts')
  const child = spawn(process.execPath, [main, '--config', configFile], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  let said = ''
  child.stdout?.on('data', (chunk) => {
    said += chunk
  })
  await until(() => said.includes('"ready"'), 20_000).catch((cause) =>
    assert.fail(`not ready: ${said} ${cause}`),
  )
  return child
}

/** Eight identities with two days of history; then four of them are hijacked, one after the other. */
function stream(): CommandEvent[] {
  const fromUs = Math.floor((Date.now() * 1000) / dayUs) * dayUs - 4 * dayUs
  const agents = Array.from({ length: 8 }, (_, i) => ({
    ...(i % 2 ? poller(i) : cronJob(i)),
    subject: `agent-${i}`,
  }))
  const events = [...historyOf(agents, recorder('history'), fromUs, fromUs + 2 * dayUs)]
  const fold = foldOf()
  for (const [index, agent] of agents.slice(0, 4).entries()) {
    const baseline = fold.initial()
    for (const event of events) if (event.identity.subject === agent.subject) fold.fold(baseline, event)
    const at = fromUs + 2 * dayUs + hourUs + index * 10 * minuteUs
    const statement = read('select * from customers', 'customers', 30, 10_000)
    const hijack = { agent, statement, origin: berlin, session: 1, fromUs: at, perMinute: 600, seed: index }
    attack(hijack, recorder(`attacker-${index}`), at + 5 * minuteUs, (event) => {
      events.push(event)
      const outcome = fold.fold(baseline, event)
      return outcome.kind === 'ok' ? outcome.verdict : undefined
    })
  }
  return events
}

function uninterrupted(events: readonly CommandEvent[]) {
  const fold = foldOf()
  const verdicts = new Map<string, unknown>()
  const findings = new Map<string, unknown>()
  const states = new Map<string, unknown>()
  for (const [key, own] of Map.groupBy(events, ({ identity }) => identityKey(identity))) {
    const baseline = fold.initial()
    for (const event of own) {
      const outcome = fold.fold(baseline, codecs.command.decode(codecs.command.encode(event)))
      assert.equal(outcome.kind, 'ok')
      if (outcome.kind !== 'ok') continue
      for (const finding of outcome.findings) findings.set(finding.findingId, finding)
      if (outcome.verdict) verdicts.set(outcome.verdict.verdictId, outcome.verdict)
    }
    states.set(key, baseline)
  }
  return { verdicts, findings, states: sorted(states) }
}

async function publish(bus: Bus, events: readonly CommandEvent[]): Promise<void> {
  for (let from = 0; from < events.length; from += 500)
    await bus.publish(
      events.slice(from, from + 500).map((event) => ({
        topic: topics.commands,
        key: identityKey(event.identity),
        value: codecs.command.encode(event),
      })),
    )
}

async function following(bus: Bus) {
  const verdicts = new Map<string, unknown>()
  const findings = new Map<string, unknown>()
  const tail = await bus.tail({
    topics: [topics.verdicts, topics.findings],
    from: 'earliest',
    onBatch(records) {
      for (const { topic, value } of records) {
        if (topic === topics.verdicts && value) {
          const verdict = codecs.verdict.decode(value)
          verdicts.set(verdict.verdictId, verdict)
        } else if (value) {
          const finding = codecs.finding.decode(value)
          findings.set(finding.findingId, finding)
        }
      }
    },
  })
  return { verdicts, findings, stop: () => tail.stop() }
}

async function statesOn(bus: Bus): Promise<Map<string, unknown>> {
  const numbers = Array.from({ length: partitions }, (_, partition) => partition)
  const states = new Map<string, unknown>()
  for (const { partition, problem } of (
    await loadPartitions(bus, codecs.baseline, foldOf(), numbers)
  ).values()) {
    assert.equal(problem, undefined)
    for (const [key, { baseline }] of partition.identities) states.set(key, baseline)
  }
  return sorted(states)
}

function sorted(states: ReadonlyMap<string, unknown>): Map<string, unknown> {
  return new Map([...states].sort(([a], [b]) => (a < b ? -1 : 1)))
}

async function until(done: () => boolean, timeoutMs: number): Promise<void> {
  for (const end = Date.now() + timeoutMs; !done(); ) {
    assert.ok(Date.now() < end, 'not in time')
    await delay(50)
  }
}
