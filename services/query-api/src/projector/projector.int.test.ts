/**
 * The projector against the real bus and the real engine: what an auditor can make of the rows, and what is left after
 * both were killed again and again.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Bus,
  type BusRecord,
  approvalAggregate,
  type CommandEvent,
  type ControlEvent,
  evolveControl,
  identityKey,
  initialControl,
  type RecordingEvent,
  type Started,
  systemClock,
  type Topic,
  topics,
  type VerdictEvent,
} from '@portcullis/kernel'
import {
  type AuditStore,
  type Engine,
  migrate,
  openAuditStore,
  startEngine,
} from '@portcullis/platform/audit'
import { type Codec, createCodecs, linkHash } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { approvalRow } from '../approvals/row.ts'
import { heldCommand, identityOf } from '../approvals/test-bed.ts'
import { approvalHistory } from '../routes/approvals.ts'
import { createTrail } from '../trail.ts'
import { commandOf, sessionOf } from './event-of-row.ts'
import { type Projector, startProjector } from './index.ts'
import { sampleCommand, sampleSession, sampleSignIn } from './sample-events.ts'

const codecs = createCodecs()
const log = { debug() {}, info() {}, warn() {}, error() {} }
const dir = mkdtempSync(join(tmpdir(), 'portcullis-projector-'))
const partitions = 4
let bus: Started<Bus>
let engine: Started<Engine>
let store: AuditStore

before(async () => {
  engine = await startEngine({ dir: join(dir, 'engine'), log })
  store = openAuditStore(engine.value.url, { ...engine.value, log })
  await migrate(store, { log })
  bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(
    Object.values(topics).map((topic) => ({
      topic,
      partitions: topic === topics.control ? 1 : partitions,
      cleanup: 'delete' as const,
      retentionMs: -1,
    })),
  )
})
after(async () => {
  await bus.stop()
  await store.close()
  await engine.stop()
  rmSync(dir, { recursive: true, force: true })
})

function record<E>(topic: Topic, key: string, codec: Codec<E>, event: E): BusRecord {
  return { topic, key, value: codec.encode(event) }
}

function start(): Promise<Started<Projector>> {
  return startProjector({
    bus: bus.value,
    store,
    codecs,
    log,
    clock: systemClock,
    batchRows: 20_000,
    batchMs: 50,
  })
}

async function until(what: string, timeoutMs: number, condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + timeoutMs
  while (!(await condition())) {
    assert.ok(performance.now() < deadline, `not within ${timeoutMs} ms: ${what}`)
    await sleep(50)
  }
}

/** Everything that stands on the bus was projected. */
async function caughtUp(): Promise<boolean> {
  const rows = await store.query<{ topic: Topic; partition: number; next: number }>(
    'SELECT topic, partition, max(next_offset) AS next FROM projector_progress GROUP BY topic, partition',
  )
  for (const topic of Object.values(topics)) {
    if (topic === topics.baselines) continue
    for (const [partition, end] of await bus.value.endOffsets(topic)) {
      const row = rows.find((one) => one.topic === topic && one.partition === partition)
      if ((row?.next ?? 0) < end) return false
    }
  }
  return true
}

async function one<T>(sql: string): Promise<T> {
  const [row] = await store.query<T>(sql)
  assert.ok(row, sql)
  return row
}

test('every topic reaches its table, and what cannot be read is a dead letter that blocks nothing', async () => {
  const command = sampleCommand(codecs, { session: 1, number: 1, seq: 2 })
  const opened = sampleSession(codecs, 'opened', 1)
  const closed = sampleSession(codecs, 'closed', 3)
  const key = identityKey(command.identity)
  const recording: RecordingEvent = {
    eventId: 's1.1',
    sessionId: 's1',
    chunk: 1,
    commandId: 's1.1',
    stream: 'output',
    at: command.startedAt,
    data: Buffer.from([0, 0xff, 10, 10]),
  }
  const verdict: VerdictEvent = {
    verdictId: 'v1',
    state: 'active',
    action: 'throttle',
    subject: {
      kind: 'identity',
      issuer: command.identity.issuer,
      id: command.identity.subject,
      instance: '',
    },
    target: '',
    issuedAt: command.startedAt,
    until: command.startedAt + 600_000_000,
    ratePerMinute: 12.5,
    cancelRunning: false,
    reason: 'command-rate',
    explanation: 'much',
    findings: ['f1'],
    causeCommandId: 's1.1',
    causeReceivedAt: command.startedAt,
    issuedBy: 'analyzer',
  }
  const lift: ControlEvent = {
    eventId: 'c1',
    aggregateId: 'verdict/v1',
    type: 'verdict.lifted',
    at: command.startedAt + 1,
    actor: { issuer: 'https://idp.example', subject: 'sam', roles: ['responder'] },
    expectedVersion: -1,
    payload: JSON.stringify({ verdictId: 'v1', reason: 'known job' }),
  }
  const badHash = { ...command, commandId: 's1.99', link: { ...command.link, hash: Buffer.from([1]) } }
  await bus.value.publish([
    record(topics.sessions, 's1', codecs.session, opened),
    record(topics.commands, key, codecs.command, command),
    { topic: topics.commands, key, value: Buffer.from('not avro') },
    record(topics.commands, key, codecs.command, badHash),
    record(topics.commands, key, codecs.command, sampleCommand(codecs, { number: 2, seq: 4 })),
    record(topics.sessions, 's1', codecs.session, closed),
    record(topics.recordings, 's1', codecs.recording, recording),
    record(topics.findings, key, codecs.finding, {
      findingId: 'f1',
      at: command.startedAt,
      identity: command.identity,
      sessionId: 's1',
      target: 'shop',
      detector: 'rate',
      feature: 'command-rate',
      severity: 'critical',
      score: 12.5,
      observed: 100,
      expected: 3.25,
      unit: 'commands/min',
      explanation: 'x',
      commandIds: ['s1.1'],
      windowStart: command.startedAt - 60_000_000,
      windowEnd: command.startedAt,
    }),
    record(topics.verdicts, 'v1', codecs.verdict, verdict),
    record(topics.control, lift.aggregateId, codecs.control, lift),
    record(topics.signIns, 'all', codecs.signin, sampleSignIn('refused')),
    record(topics.signIns, 'all', codecs.signin, sampleSignIn('claimed')),
  ])
  const projector = await start()
  await until('everything is projected', 10_000, caughtUp)
  assert.equal(projector.value.problem(), undefined)
  await projector.stop()

  assert.deepEqual(await one('SELECT count()::UInt32 AS n, max(phase) AS p FROM sessions'), {
    n: 1,
    p: 'closed',
  })
  assert.deepEqual(await one('SELECT count()::UInt32 AS n FROM commands'), { n: 2 })
  assert.deepEqual(await one('SELECT hex(data) AS d FROM recordings'), { d: '00FF0A0A' })
  assert.deepEqual(await one('SELECT severity AS s, expected AS e FROM findings'), { s: 'critical', e: 3.25 })
  assert.deepEqual(await one('SELECT kind, identity, reason, groups, request_id FROM sign_ins'), {
    kind: 'refused',
    identity: 'https://idp.example|ann',
    reason: 'replayed',
    groups: ['dev'],
    request_id: 'request-1',
  })
  assert.deepEqual(await one('SELECT state, lifted_by, rate_per_minute AS r FROM verdicts'), {
    state: 'lifted',
    lifted_by: 'https://idp.example|sam',
    r: 12.5,
  })
  assert.deepEqual(await one('SELECT type, accepted FROM control_events'), {
    type: 'verdict.lifted',
    accepted: true,
  })
  const dead = await store.query<{ reason: string; value: string }>(
    'SELECT reason, hex(value) AS value FROM dead_letters ORDER BY offset',
  )
  assert.equal(dead.length, 2)
  assert.match(String(dead[0]?.reason), /not Avro/)
  assert.equal(dead[0]?.value, Buffer.from('not avro').toString('hex').toUpperCase())
  assert.match(String(dead[1]?.reason), /hash: expected 32 bytes/)

  const again = await start()
  await sleep(300)
  await again.stop()
  assert.deepEqual(await one('SELECT count()::UInt32 AS n FROM commands'), { n: 2 })
})

test('what became of an approval stands in the trail as the API shows it of the fold', async () => {
  const proxy = { issuer: 'portcullis', subject: 'gate-1', roles: [] }
  const person = (subject: string) => ({ issuer: 'https://idp.example', subject, roles: ['approver'] })
  const quorum = [{ groups: ['dba', 'lead'], count: 2 }]
  const held = heldCommand({ quorum, values: ['7', "O'Neil"] })
  const { digest, deadline } = held
  const lapsed = heldCommand({ deadline: systemClock.nowUs() - 1 })
  const access = {
    ...{ kind: 'access', identity: identityOf('cy:agents'), target: 'orders', role: 'writer', quorum },
    ...{ excludesDelegators: true, deadline, digest, usableUs: 3600e6, reason: 'CHG-1' },
  }
  const answered = (approvalId: string, reason: string) => ({
    ...{ type: 'approval.answered', approvalId, digest, answer: 'approve', reason },
    ...{ groups: ['dba'], delegation: [], via: 'slack' },
  })
  const changes = [
    [proxy, { type: 'approval.requested', approvalId: 'a-1', request: held }],
    [proxy, { type: 'approval.requested', approvalId: 'a-2', request: lapsed }],
    [person('cy'), { type: 'approval.requested', approvalId: 'a-3', request: access }],
    [person('ann'), answered('a-1', 'yes')],
    [person('ann'), answered('a-1', 'twice')],
    [person('ben'), answered('a-1', 'me too')],
    [proxy, { type: 'approval.used', approvalId: 'a-1', digest, commandId: 's-1.4' }],
  ] as const
  const fold = initialControl()
  const events = changes.map(([actor, { type, ...payload }], offset): ControlEvent => {
    const aggregateId = approvalAggregate(payload.approvalId)
    const at = systemClock.nowUs()
    const event = { ...{ eventId: `ap-${offset}`, aggregateId, type, at, expectedVersion: -1 } }
    const whole = { ...event, actor: { ...actor, roles: [...actor.roles] }, payload: JSON.stringify(payload) }
    evolveControl(fold, { event: whole, offset })
    return whole
  })
  await bus.value.publish(
    events.map((event) => record(topics.control, event.aggregateId, codecs.control, event)),
  )
  // Projected twice, since each start folds the log from its beginning.
  for (const _ of ['once', 'again']) {
    const projector = await start()
    await until('approvals are projected', 10_000, caughtUp)
    await projector.stop()
  }
  const trail = createTrail({ store, nowUs: systemClock.nowUs })
  for (const [id, state] of [
    ['a-1', 'used'],
    ['a-2', 'expired'],
    ['a-3', 'pending'],
  ] as const) {
    const approval = fold.approvals.get(id)
    assert.ok(approval)
    const row = approvalRow(approval, systemClock.nowUs())
    assert.equal(row.state, state)
    assert.deepEqual(await trail.one(approvalHistory, id), row)
  }
  assert.deepEqual(await one('SELECT count()::UInt32 AS n FROM approvals'), { n: 3 })
  const where = [{ sql: 'state IN {state:Array(String)}', params: { state: ['expired'] } }]
  const request = { where, fromUs: undefined, toUs: undefined, after: undefined, limit: 10 }
  const expired = await trail.page(approvalHistory, request)
  assert.deepEqual(
    expired.map(({ row }) => row.approvalId),
    ['a-2'],
  )
})

test('an auditor makes the events again from the rows alone, and their hashes are right', async () => {
  const row = await one<Record<string, unknown>>(
    `SELECT * REPLACE (toUnixTimestamp64Micro(started_at) AS started_at)
     FROM commands WHERE command_id = 's1.1'`,
  )
  const command = commandOf(codecs, row)
  assert.deepEqual(command, sampleCommand(codecs, { session: 1, number: 1, seq: 2 }))
  assert.deepEqual(linkHash(command.link.prevHash, codecs.command, command), command.link.hash)
  assert.equal(row.schema_fingerprint, codecs.command.fingerprint)
  for (const [view, phase, seq] of [
    ['sessions', 'closed', 3],
    ['session_phases', 'opened', 1],
  ] as const) {
    const found = await one<Record<string, unknown>>(
      `SELECT * REPLACE (toUnixTimestamp64Micro(started_at) AS started_at,
        toUnixTimestamp64Micro(at) AS at, toUnixTimestamp64Micro(token_expires_at) AS token_expires_at) FROM ${view}`,
    )
    assert.deepEqual(sessionOf(codecs, found), sampleSession(codecs, phase, seq))
  }
  const chain = await store.query(
    "SELECT seq, kind, hash FROM record_chain WHERE recorder = 'r1' ORDER BY seq",
  )
  assert.deepEqual(
    chain,
    [
      [1, 'session', sampleSession(codecs, 'opened', 1)] as const,
      [2, 'command', command] as const,
      [3, 'session', sampleSession(codecs, 'closed', 3)] as const,
      [4, 'command', sampleCommand(codecs, { number: 2, seq: 4 })] as const,
    ].map(([seq, kind, { link }]) => ({ seq, kind, hash: Buffer.from(link.hash).toString('hex') })),
  )
})

test('a bus that was made anew is projected from its beginning', async () => {
  const beyond = { topic: topics.findings, partition: 0, next: 1_000_000 }
  await store.command(
    `INSERT INTO projector_progress (topic, partition, next_offset) VALUES ('${beyond.topic}', ${beyond.partition}, ${beyond.next})`,
  )
  const warned: object[] = []
  const projector = await startProjector({
    bus: bus.value,
    store,
    codecs,
    log: { ...log, error: (fields) => warned.push(fields) },
    clock: systemClock,
    batchRows: 100,
    batchMs: 10,
  })
  await until('it was noticed', 5000, async () => warned.length > 0)
  await projector.stop()
  assert.equal((warned[0] as { next?: number }).next, beyond.next)
  // What the bus of before had must not count once the new one has grown as long.
  const { next } = await one<{ next: number }>(
    `SELECT max(next_offset) AS next FROM projector_progress WHERE topic = '${beyond.topic}' AND partition = 0`,
  )
  assert.ok(next < beyond.next)
})

const commandCount = 20_000

test(`kill -9 of projector and engine while ${commandCount} commands flow: none lost, none doubled`, async () => {
  const children: ChildProcess[] = []
  const config = writeConfig()
  const startChild = () => {
    const child = spawn(process.execPath, [join(import.meta.dirname, 'main.ts'), '--config', config], {
      env: {
        PATH: process.env.PATH,
        PORTCULLIS_ENGINE_URL: engine.value.url,
        PORTCULLIS_ENGINE_PASSWORD: engine.value.password,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    children.push(child)
    // As its supervisor does: one that finds the engine gone in the middle of its start ends with 1.
    child.once('exit', (code) => {
      if (code !== null && !isOver) startChild()
    })
  }
  let isOver = false
  const kill = async (child: ChildProcess | undefined) => {
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const exited = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGKILL')
    await exited
  }
  const killEngine = async () => {
    const { port, password, pid } = engine.value
    process.kill(pid, 'SIGKILL')
    await engine.value.exited
    engine = await startEngine({ dir: join(dir, 'engine'), log, port, password })
  }
  try {
    startChild()
    const batches = commandCount / 200
    for (let batch = 0; batch < batches; batch++) {
      await bus.value.publish(batchOf(batch))
      await sleep(30 + Math.random() * 40)
      if ([20, 35, 50, 65, 80].includes(batch)) {
        await kill(children.at(-1))
        startChild()
      }
      if ([28, 58, 88].includes(batch)) await killEngine()
    }
    await until('everything is projected', 60_000, async () => {
      try {
        return await caughtUp()
      } catch {
        return false // the engine may still be coming up
      }
    })
  } finally {
    isOver = true
    await Promise.all(children.map(kill))
  }
  const where = "WHERE session_id LIKE 'k%'"
  const sums = await one(
    `SELECT count()::UInt32 AS n, uniqExact(command_id)::UInt32 AS ids, countIf(phase = 'finished')::UInt32 AS finished,
      countIf(outcome = 'unknown')::UInt32 AS unknown, sum(rows_out)::UInt32 AS rows FROM commands ${where}`,
  )
  assert.deepEqual(sums, {
    n: commandCount,
    ids: commandCount,
    finished: commandCount,
    unknown: 0,
    rows: commandCount * 3,
  })
  const days = await store.query(
    `SELECT toString(toDate(started_at)) AS day, count()::UInt32 AS n FROM commands ${where} GROUP BY day ORDER BY day`,
  )
  assert.deepEqual(days, [
    { day: '2026-11-20', n: commandCount / 2 },
    { day: '2026-11-21', n: commandCount / 2 },
  ])
  const phases = await one(`SELECT count()::UInt32 AS n FROM command_phases ${where}`)
  assert.deepEqual(phases, { n: commandCount / 50 }, 'superseded phases are kept, each once')
})

/** 200 commands of 20 identities over two days; every fiftieth had a phase before; some are sent twice. */
function batchOf(batch: number): BusRecord[] {
  const records: BusRecord[] = []
  for (let i = 0; i < 200; i++) {
    const n = batch * 200 + i
    const day = n % 2 === 0 ? 20 : 21
    const base = {
      session: 0,
      number: n,
      subject: `agent-${n % 20}`,
      seq: n + 1000,
      startedAt: Date.UTC(2026, 10, day, n % 24) * 1000 + n,
    }
    const rename = (event: CommandEvent): CommandEvent => ({
      ...event,
      sessionId: `k${n % 20}`,
      commandId: `k${n % 20}.${n}`,
    })
    const add = (event: CommandEvent) =>
      records.push(record(topics.commands, identityKey(event.identity), codecs.command, rename(event)))
    if (n % 50 === 0) add(sampleCommand(codecs, { ...base, phase: 'started' }))
    add(sampleCommand(codecs, base))
    if (n % 37 === 0) add(sampleCommand(codecs, base))
  }
  return records
}

function writeConfig(): string {
  const file = join(dir, 'portcullis.yaml')
  writeFileSync(
    file,
    `
dataDir: ${JSON.stringify(join(dir, 'data'))}
bus: ${JSON.stringify(`lmdb:${join(dir, 'bus')}`)}
audit: ${JSON.stringify(`embedded:${join(dir, 'engine')}`)}
log: { level: error }
identity: { issuers: [{ issuer: 'https://idp.example', audience: [portcullis] }] }
targets:
  - { name: shop, protocol: postgres, address: '127.0.0.1:1', credentials: { user: x }, groups: ['*'] }
proxy: { recorder: { onUnavailable: deny } }
projector: { health: '127.0.0.1:0', batchMs: 50 }
`,
  )
  return file
}
