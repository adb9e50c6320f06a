import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type Bus,
  type CommandRequest,
  type ControlEvent,
  systemClock,
  topics,
  type VerdictEvent,
} from '@portcullis/kernel'
import { parseConfig } from '@portcullis/config'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { createApprovalBook } from '../approval-book.ts'
import type { Defined } from '../defined.ts'
import { type ControlView, followAgent } from './client.ts'
import { startControlParts } from './control.ts'
import type { Follower } from './follower.ts'
import { noWorkerHoldings, socketAddress } from './protocol.ts'
import { createWorkerHoldings } from './settings.ts'
import { topicSpecs } from './topics.ts'

const codecs = createCodecs()
const hourUs = 3_600_000_000
const quiet = { debug() {}, info() {}, warn() {}, error() {} }
const config = parseConfig(
  `bus: lmdb:./bus
audit: embedded:./audit
identity: { issuers: [] }
targets: []
secrets: { sealing: { keys: [{ id: one, key: env:K }] } }
proxy: { recorder: { onUnavailable: deny } }
`,
  '/etc/portcullis/p.yaml',
)

test('a verdict on the bus is in the table of every worker within milliseconds, and gone when lifted', async (t) => {
  const bed = await startBed(t)
  const agent = await startAgent(t, bed)
  await agent.follower.value.attach(bed.bus)
  const workers = [await startWorker(t, bed), await startWorker(t, bed)]
  const latenciesMs: number[] = []
  for (let i = 0; i < 20; i++) {
    const sentMs = performance.now()
    await bed.publishVerdict(verdict(`v${i}`))
    for (const worker of workers) await worker.has(`v${i}`)
    latenciesMs.push(performance.now() - sentMs)
  }
  latenciesMs.sort((a, b) => a - b)
  t.diagnostic(
    `publish to both tables: p50 ${latenciesMs[10]?.toFixed(1)} ms, max ${latenciesMs[19]?.toFixed(1)} ms`,
  )
  assert.ok((latenciesMs[10] ?? 1000) < 100)

  await bed.publishVerdict({ ...verdict('v0'), state: 'lifted' })
  await bed.publishControl('e1', 'v1', 'verdict.lifted', { verdictId: 'v1', reason: 'mistake' })
  const {
    issuedBy: _by,
    state: _state,
    findings: _f,
    causeCommandId: _c,
    causeReceivedAt: _r,
    ...byHand
  } = verdict('h1')
  await bed.publishControl('e2', 'h1', 'verdict.issued', { verdict: byHand })
  for (const worker of workers) {
    await worker.has('h1')
    assert.deepEqual(worker.ids().includes('v0'), false)
    assert.deepEqual(worker.ids().includes('v1'), false)
    assert.equal(worker.ids().length, 19)
  }
})

test('a successor serves what its predecessor knew, with its age, until the logs are read', async (t) => {
  const bed = await startBed(t)
  const first = await startAgent(t, bed)
  await first.follower.value.attach(bed.bus)
  await bed.publishVerdict(verdict('v1'))
  const before = await startWorker(t, bed)
  await before.has('v1')
  await first.stop()
  const stoppedUs = systemClock.nowUs()
  await sleep(50)

  const second = await startAgent(t, bed)
  const worker = await startWorker(t, bed)
  await worker.has('v1')
  await before.has('v1')
  await until(() => worker.freshAtUs() > 0)
  assert.ok(worker.freshAtUs() <= stoppedUs, 'an agent without a bus claimed to be fresh')
  await bed.publishControl('e1', 'v1', 'verdict.lifted', { verdictId: 'v1', reason: 'mistake' })
  await second.follower.value.attach(bed.bus)
  await until(() => worker.ids().length === 0)
  await until(() => worker.freshAtUs() > stoppedUs)
})

test('signing keys and API keys reach every worker, without private halves, and a successor without a bus', async (t) => {
  const bed = await startBed(t)
  const first = await startAgent(t, bed)
  await first.follower.value.attach(bed.bus)
  const worker = await startWorker(t, bed)
  const key = { keyId: 'k1', algorithm: 'EdDSA', publicJwk: '{}', sealedPrivateKey: 'ciphertext' }
  await bed.publishControl('e1', 'k1', 'signing-key.added', key)
  await bed.publishControl('e2', 'a1', 'api-key.created', {
    keyId: 'a1',
    hash: 'ab'.repeat(32),
    description: '',
    subject: 'importer',
    groups: ['agents'],
    targets: [],
    networks: [],
    expiresAt: systemClock.nowUs() + hourUs,
  })
  await until(() => worker.holdings().apiKeys.length === 1 && worker.holdings().signingKeys.length === 1)
  assert.equal(JSON.stringify(worker.holdings()).includes('ciphertext'), false)
  await bed.publishControl('e3', 'a1', 'api-key.disabled', { keyId: 'a1', reason: 'leaked' })
  await until(() => worker.holdings().apiKeys[0]?.enabled === false)
  await first.stop()

  await startAgent(t, bed)
  const late = await startWorker(t, bed)
  await until(() => late.states() > 0)
  assert.equal(late.holdings().apiKeys[0]?.enabled, false)
  assert.equal(late.holdings().signingKeys[0]?.keyId, 'k1')
})

test('what the API configured reaches every worker checked, and a successor without a bus', async (t) => {
  const bed = await startBed(t)
  const first = await startAgent(t, bed)
  await first.follower.value.attach(bed.bus)
  const worker = await startWorker(t, bed)
  const settings = () => worker.holdings().settings
  const credentials = { user: 'app', password: 'sealed:shop-db' }
  const target = { protocol: 'postgres', address: 'db:5432', groups: ['agents'], credentials }
  const put = (id: string, name: string, more: object) =>
    bed.publishControl(id, name, 'target.put', { name, target: { ...target, ...more } })
  await put('e1', 'shop', {})
  await bed.publishControl('e2', 'db', 'secret.sealed', { name: 'db', sealed: 'ciphertext' })
  const issuer = 'https://ci.example'
  await bed.publishControl('e3', issuer, 'issuer.put', { issuer, trust: { audience: ['portcullis'] } })
  await until(() => settings().targets.length === 1 && settings().issuers.length === 1)
  assert.equal(settings().targets[0]?.connectTimeoutMs, 5000)
  assert.deepEqual(settings().issuers[0]?.algorithms, ['RS256', 'PS256', 'ES256', 'EdDSA'])
  assert.equal(worker.holdings().sealedSecrets[0]?.version, 1)

  // As a newer version of the API could write it: what stood goes on to stand, and it is told.
  await put('e4', 'shop', { telepathy: true })
  await put('e5', 'orders', {})
  await until(() => settings().targets.length === 2)
  assert.equal(settings().targets[0]?.name, 'shop')
  assert.match(JSON.stringify(bed.refused), /target shop.*telepathy: unknown key/)
  await put('e6', 'shop', { address: 'db-2:5432' })
  await bed.publishControl('e7', issuer, 'issuer.removed', { issuer, reason: 'leaked' })
  await until(() => worker.holdings().removedIssuers[0] === issuer)
  await first.stop()

  await startAgent(t, bed)
  const late = await startWorker(t, bed)
  await until(() => late.states() > 0)
  const { targets, issuers } = late.holdings().settings
  assert.deepEqual(
    targets.map(({ name, address }) => [name, address]),
    [
      ['shop', 'db-2:5432'],
      ['orders', 'db:5432'],
    ],
  )
  assert.deepEqual([issuers, late.holdings().removedIssuers], [[], [issuer]])
})

/** Only a change used to be stored: with no verdict so far, every restart of the agent had all commands refused as stale. */
test('a successor knows that nothing stood', async (t) => {
  const bed = await startBed(t)
  const first = await startAgent(t, bed)
  await first.follower.value.attach(bed.bus)
  await until(() => first.follower.value.freshAtUs() > 0)
  const knownUs = first.follower.value.freshAtUs()
  await first.stop()
  await startAgent(t, bed)
  const worker = await startWorker(t, bed)
  await until(() => worker.freshAtUs() >= knownUs)
  assert.deepEqual(worker.ids(), [])
})

/** It used to be stored within a second: an agent killed before that took a verdict back that was enforced already. */
test('what is enforced is stored, so that a successor does not forget it', async (t) => {
  const bed = await startBed(t)
  const agent = await startAgent(t, bed)
  await agent.follower.value.attach(bed.bus)
  const worker = await startWorker(t, bed)
  const path = join(bed.dir, 'control/verdicts.json')
  const stored = () => (existsSync(path) ? readFileSync(path, 'utf8') : '')
  for (const id of ['v1', 'v2', 'v3', 'v4']) {
    await sleep(220)
    await bed.publishVerdict(verdict(id))
    await worker.has(id)
    const toldMs = performance.now()
    await until(() => stored().includes(`"${id}"`))
    const lateMs = performance.now() - toldMs
    assert.ok(lateMs < 400, `${id} was stored ${lateMs} ms after it was told`)
  }
})

test('what is over leaves by itself; what does not decode is counted and stops nothing', async (t) => {
  const bed = await startBed(t)
  const agent = await startAgent(t, bed)
  await agent.follower.value.attach(bed.bus)
  const worker = await startWorker(t, bed)
  await bed.bus.publish([{ topic: topics.verdicts, key: 'bad', value: Buffer.from('garbage') }])
  await bed.publishVerdict({ ...verdict('short'), until: systemClock.nowUs() + 600_000 })
  await bed.publishVerdict(verdict('long'))
  await worker.has('short')
  assert.equal(agent.follower.value.refused(), 1)
  await until(() => worker.ids().join() === 'long')
})

test('a socket path that is too long for the system finds a private place that both ends know', () => {
  const long = join(tmpdir(), 'x'.repeat(120), 'agent.sock')
  assert.equal(socketAddress(long), socketAddress(long))
  assert.ok(Buffer.byteLength(socketAddress(long)) < 104)
})

test('workers ask people through the agent: one question for all who ask the same, spent once, and taken back by the last', async (t) => {
  const bed = await startBed(t)
  const agent = await startAgent(t, bed)
  const [a, b] = [await startWorker(t, bed), await startWorker(t, bed)]
  await until(() => a.states() > 0 && b.states() > 0)
  assert.deepEqual(await a.line.ask({ kind: 'ask', request: request('d1') }), { why: 'away' })
  await agent.follower.value.attach(bed.bus)
  await until(() => a.freshAtUs() > 0)

  const asked = await Promise.all(
    [a, b, a].map(({ line }) => line.ask({ kind: 'ask', request: request('d1') })),
  )
  const { approvalId } = asked[0] as { approvalId: string }
  assert.deepEqual(asked, Array(3).fill({ approvalId }))
  await until(() => b.book.get(approvalId)?.state === 'pending')
  const answer = {
    digest: digestOf('d1'),
    answer: 'approve',
    reason: 'ok',
    groups: ['dba'],
    delegation: [],
    via: 'api',
  }
  const leave = (of: typeof a) => of.line.say({ kind: 'leave', approvalId, withdraw: true })
  leave(a)
  leave(b)
  await bed.publishControl('e1', approvalId, 'approval.answered', { approvalId, ...answer })
  for (const worker of [a, b]) await until(() => worker.book.decided(digestOf('d1'))?.state === 'approved')
  const spends = await Promise.all(
    [a, b, a].map(({ line }, at) =>
      line.ask({ kind: 'spend', approvalId, digest: digestOf('d1'), commandId: `c${at}` }),
    ),
  )
  assert.deepEqual(spends.filter((one) => 'approvalId' in one).length, 1)
  assert.deepEqual(spends.filter((one) => 'why' in one && one.why === 'lost').length, 2)
  await until(() => a.book.decided(digestOf('d1')) === undefined)

  const others = await Promise.all(
    ['d2', 'd3', 'd4', 'd5'].map((name) => a.line.ask({ kind: 'ask', request: request(name) })),
  )
  // Those count that are on their way, too.
  assert.deepEqual(others.pop(), { why: 'limit' })
  assert.ok(others.every((one) => 'approvalId' in one))
  assert.deepEqual(await b.line.ask({ kind: 'ask', request: request('d5') }), { why: 'limit' })
  const [second, third] = others as { approvalId: string }[]
  a.line.say({ kind: 'leave', approvalId: second?.approvalId ?? '', withdraw: true })
  await until(() => b.book.get(second?.approvalId ?? '')?.state === 'withdrawn')
  // One that dies takes nothing back.
  await a.stop()
  await sleep(100)
  assert.equal(b.book.get(third?.approvalId ?? '')?.state, 'pending')
  const late = await startWorker(t, bed)
  await until(() => late.book.get(third?.approvalId ?? '')?.state === 'pending')
})

test('what a session of one worker defines the others are told, and when that may not have been told', async (t) => {
  const bed = await startBed(t)
  const agent = await startAgent(t, bed)
  const [a, b] = [await startWorker(t, bed), await startWorker(t, bed)]
  await until(() => a.states() > 0 && b.states() > 0)
  const defined: Defined = {
    ...{ kind: 'defined', by: 's1', places: ['db:5432/shop'], changed: ['pets'], isOpen: true },
  }
  const over: Defined = { ...defined, changed: 'all', isOpen: false }
  a.line.say(defined)
  a.line.say(over)
  await until(() => b.defined.length === 2)
  assert.deepEqual([b.defined, a.defined], [[defined, over], []])

  const before = b.misses()
  await a.stop()
  await until(() => b.misses() > before)
  await agent.stop()
  const toldBefore = b.misses()
  await startAgent(t, bed)
  await until(() => b.misses() > toldBefore)
})

test('what no worker says is not heard, and ends nobody but who said it', async (t) => {
  const bed = await startBed(t)
  await startAgent(t, bed)
  const socket = connect(socketAddress(bed.socketPath))
  t.after(() => socket.destroy())
  socket.resume()
  socket.write('{"kind":"snapshot","verdicts":[]}\n'.repeat(1000))
  socket.write('{"kind":"ask","id":1}\n')
  await until(() => socket.destroyed)
  const worker = await startWorker(t, bed)
  await until(() => worker.states() > 0)
})

interface Bed {
  readonly dir: string
  readonly bus: Bus
  readonly socketPath: string
  /** What was said of settings that were not taken. */
  readonly refused: object[]
  publishVerdict(event: VerdictEvent): Promise<void>
  publishControl(eventId: string, id: string, type: string, payload: object): Promise<void>
}

async function startBed(t: TestContext): Promise<Bed> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-agent-'))
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: quiet })
  t.after(async () => {
    await bus.stop()
    rmSync(dir, { recursive: true, force: true })
  })
  await bus.value.ensureTopics(topicSpecs({ partitions: 2, retentionDays: 1 }))
  return {
    dir,
    bus: bus.value,
    socketPath: join(dir, 'agent.sock'),
    refused: [],
    publishVerdict: (event) =>
      bus.value.publish([
        { topic: topics.verdicts, key: event.verdictId, value: codecs.verdict.encode(event) },
      ]),
    publishControl(eventId, id, type, payload) {
      const event: ControlEvent = {
        eventId,
        aggregateId: `${type.split('.')[0]}/${id}`,
        type,
        at: systemClock.nowUs(),
        actor: { issuer: 'test', subject: 'analyst', roles: ['responder'] },
        expectedVersion: -1,
        payload: JSON.stringify(payload),
      }
      return bus.value.publish([
        { topic: topics.control, key: event.aggregateId, value: codecs.control.encode(event) },
      ])
    },
  }
}

async function startAgent(
  t: TestContext,
  bed: Bed,
): Promise<{ follower: { value: Follower }; stop(): Promise<void> }> {
  const control = await startControlParts({
    clock: systemClock,
    codecs,
    ids: randomUUID,
    name: 'gate-1',
    limits: { pendingPerIdentityMax: 3, pendingPerTargetMax: 5 },
    publish: bed.bus.publish,
    dir: join(bed.dir, 'control'),
    socketPath: bed.socketPath,
    forWorkers: createWorkerHoldings(config, { error: (fields) => void bed.refused.push(fields) }),
    onWorkers() {},
    log: quiet,
  })
  let stopped = false
  const stop = async () => {
    if (stopped) return
    stopped = true
    await control.stop()
  }
  t.after(stop)
  return { follower: control, stop }
}

async function startWorker(t: TestContext, { socketPath }: Bed) {
  let state: ControlView = { verdicts: [], holdings: noWorkerHoldings }
  let states = 0
  let freshAtUs = 0
  let misses = 0
  const defined: Defined[] = []
  const bell = new EventTarget()
  const book = createApprovalBook(systemClock)
  const following = followAgent({
    socketPath,
    onState(next) {
      state = next
      states++
      bell.dispatchEvent(new Event('state'))
    },
    onApprovals: (set, all) => book.take(set, all),
    onDefined: (one) => void defined.push(one),
    onMissed: () => void misses++,
    onFresh(atUs) {
      freshAtUs = atUs
    },
  })
  t.after(() => following.stop())
  const ids = () => state.verdicts.map(({ verdictId }) => verdictId).sort()
  return {
    ids,
    holdings: () => state.holdings,
    states: () => states,
    freshAtUs: () => freshAtUs,
    defined,
    misses: () => misses,
    book,
    line: following.value,
    stop: following.stop,
    async has(id: string) {
      while (!ids().includes(id))
        await new Promise((resolve) => bell.addEventListener('state', resolve, { once: true }))
    },
  }
}

async function until(condition: () => boolean): Promise<void> {
  const deadlineMs = performance.now() + 10_000
  while (!condition()) {
    assert.ok(performance.now() < deadlineMs, `not so after 10 s: ${condition}`)
    await sleep(10)
  }
}

const digestOf = (name: string) => Buffer.from(name.padEnd(32, '.')).toString('hex')

function request(name: string): CommandRequest {
  return {
    kind: 'command',
    digest: digestOf(name),
    identity: {
      ...{ issuer: 'https://ci', subject: 'job', groups: [], delegation: [], instance: 'i' },
      ...{ task: '', ancestors: [] },
    },
    ...{ target: 'shop', role: '', protocol: 'postgres', database: 'shop', sessionId: 's1' },
    ...{ quorum: [{ groups: ['dba'], count: 1 }], excludesDelegators: true, use: 'once', usableUs: hourUs },
    ...{
      deadline: systemClock.nowUs() + hourUs,
      waiting: true,
      statement: name,
      fingerprint: '',
      values: [],
    },
    ...{ policyVersion: 'p', rule: 'r', verdictId: '', estimatedRows: -1 },
  }
}

function verdict(verdictId: string): VerdictEvent {
  const now = systemClock.nowUs()
  return {
    verdictId,
    state: 'active',
    action: 'block',
    subject: { kind: 'identity', issuer: 'https://ci', id: 'job', instance: '' },
    target: '',
    issuedAt: now,
    until: now + hourUs,
    ratePerMinute: 0,
    cancelRunning: false,
    reason: 'verdict_block',
    explanation: 'a test',
    findings: [],
    causeCommandId: 's.1',
    causeReceivedAt: now,
    issuedBy: 'analyzer',
  }
}
