/** For tests: two API instances over one real embedded bus and one real embedded engine with a small audit trail in it. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseConfig } from '@portcullis/config'
import {
  type Bus,
  type FindingEvent,
  type Identity,
  type Started,
  systemClock,
  topics,
  type TopicSpec,
  type VerdictEvent,
} from '@portcullis/kernel'
import type { JudgeUse, Prover, TokenVerifier } from '@portcullis/identity'
import { migrate, openAuditStore, startEngine } from '@portcullis/platform/audit'
import { createCodecs } from '@portcullis/platform/codec'
import { connectBus } from '@portcullis/platform/connect'
import { startControlLog } from '@portcullis/platform/control'
import { createLog, createMetrics } from '@portcullis/platform/service'
import type { Sealer } from '@portcullis/vault'
import type { FastifyInstance } from 'fastify'
import { type AppParts, createApp } from './app.ts'
import { type AuthOptions, createAuthenticator } from './auth.ts'
import { createBooks } from './live/books.ts'
import { createControlPublisher } from './live/control.ts'
import { createFeed } from './live/feed.ts'
import { startFollowing } from './live/follow.ts'
import { startProjector } from './projector/index.ts'
import { type Sampled, sampleCommand, sampleSession } from './projector/sample-events.ts'
import { startPeople } from './people/start.ts'
import type { ConfiguredSignIn } from './sign-in-options.ts'
import { createSettingsBook } from './settings/book.ts'
import { masterKey, testOwnTokens, testProver, testSealer } from './test-own-tokens.ts'
import { createHoldingsFollower } from './tokens/holdings.ts'
import { createReachableTargets } from './reachable-targets.ts'
import { createTrail, type Trail } from './trail.ts'
import { createVerdicts, stoppedBy } from './verdicts.ts'

export const tokens = {
  viewer: 'viewer-token-0123456789',
  responder: 'responder-token-0123456789',
  admin: 'admin-token-0123456789',
}

export interface TestApi {
  readonly app: FastifyInstance
  readonly other: FastifyInstance
  addCommands(which: readonly SampledText[]): Promise<void>
  eventually(condition: () => Promise<boolean>): Promise<void>
  withoutEngine(url: string): Promise<Answer>
  withHungEngine(url: string): Promise<Answer>
}
/** A sample with another text. */
export type SampledText = Sampled & { readonly text?: string }
interface Answer {
  readonly status: number
  readonly headers: Record<string, unknown>
  readonly body: { readonly type: string; readonly detail: string }
}

const codecs = createCodecs()
const log = createLog({ service: 'test', level: 'silent' })
const specs: TopicSpec[] = Object.values(topics).map((topic) => ({
  topic,
  partitions: 1,
  cleanup: topic === topics.verdicts || topic === topics.baselines ? 'compact' : 'delete',
  retentionMs: -1,
}))

export async function startTestApi(): Promise<Started<TestApi>> {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-api-'))
  const engine = await startEngine({ dir: join(dir, 'engine'), log })
  const { url, username, password } = engine.value
  const store = openAuditStore(url, { username, password, log })
  await migrate(store, { log })
  const bus = await connectBus(`lmdb:${join(dir, 'bus')}`, { logger: log })
  await bus.value.ensureTopics(specs)
  const projector = await startProjector({
    bus: bus.value,
    store,
    codecs,
    log,
    clock: systemClock,
    batchRows: 1_000,
    batchMs: 10,
  })
  const projected = async () => {
    const sql = 'SELECT toUInt32(count()) AS n FROM commands'
    const [row] = await store.query<{ n: number }>(sql)
    return row?.n ?? 0
  }

  async function addCommands(which: readonly SampledText[]): Promise<void> {
    const before = await projected()
    const events = which.map((of) => ({
      ...sampleCommand(codecs, of),
      ...(of.text !== undefined && { text: of.text }),
    }))
    await bus.value.publish(
      events.map((event) => ({
        topic: topics.commands,
        key: event.identity.subject,
        value: codecs.command.encode(event),
      })),
    )
    await eventually(async () => (await projected()) === before + which.length)
  }
  const base = Date.UTC(2026, 10, 20, 12) * 1_000
  // Ten times in one microsecond, so that only the id tells them apart.
  await addCommands(
    Array.from({ length: 30 }, (_, index) => ({
      session: index + 1,
      number: index + 1,
      seq: index + 1,
      startedAt: base + Math.floor(index / 10),
    })),
  )
  await addCommands(
    Array.from({ length: 20 }, (_, index) => ({
      session: 100 + index,
      number: 100 + index,
      seq: 100 + index,
      subject: 'agent-2',
      startedAt: base + index * 1000,
    })),
  )
  await bus.value.publish([
    { topic: topics.sessions, key: 's1', value: codecs.session.encode(sampleSession(codecs, 'closed')) },
    { topic: topics.findings, key: 'agent-1', value: codecs.finding.encode(finding) },
    { topic: topics.verdicts, key: 'a-1', value: codecs.verdict.encode(analyzers()) },
    {
      topic: topics.baselines,
      key: '0 https://idp.example|agent-1',
      value: codecs.baseline.encode({
        identity: 'https://idp.example|agent-1',
        partition: 0,
        nextOffset: 7,
        at: base,
        stateVersion: 1,
        state: '{"rate":3}',
      }),
    },
  ])
  const first = await startInstance(bus.value, createTrail({ store, nowUs: systemClock.nowUs }))
  const second = await startInstance(bus.value, createTrail({ store, nowUs: systemClock.nowUs }))
  await eventually(async () => (await store.query('SELECT finding_id FROM findings')).length === 1)

  async function withStore(at: string, path: string, timeoutMs: number): Promise<Answer> {
    const elsewhere = openAuditStore(at, { username, password, log })
    const trail = createTrail({ store: elsewhere, nowUs: systemClock.nowUs, timeoutMs })
    const instance = await startInstance(bus.value, trail)
    try {
      const authorization = `Bearer ${tokens.viewer}`
      const response = await instance.value.inject({ method: 'GET', url: path, headers: { authorization } })
      return { status: response.statusCode, headers: response.headers, body: response.json() }
    } finally {
      await instance.stop()
      await elsewhere.close()
    }
  }

  return {
    value: {
      app: first.value,
      other: second.value,
      addCommands,
      eventually,
      withoutEngine: (path) => withStore('http://127.0.0.1:1', path, 10_000),
      async withHungEngine(path) {
        const sockets: { destroy(): void }[] = []
        const server = createServer((socket) => sockets.push(socket))
        await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
        const address = server.address()
        try {
          const port = typeof address === 'object' ? address?.port : 0
          return await withStore(`http://127.0.0.1:${port}`, path, 300)
        } finally {
          for (const socket of sockets) socket.destroy()
          server.close()
        }
      },
    },
    async stop() {
      await first.stop()
      await second.stop()
      await projector.stop()
      await bus.stop()
      await store.close()
      await engine.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

export interface InstanceOptions
  extends Pick<AuthOptions, 'roles' | 'peopleIssuers'>,
    Pick<AppParts, 'ssh' | 'access' | 'slack'> {
  readonly prover: Prover
  /** Where not given, every token may come from everywhere. */
  readonly judgeUse: JudgeUse
  /** How people sign in. */
  readonly configured: ConfiguredSignIn
  /** Told which issuers are trusted. */
  readonly verifier: Pick<TokenVerifier, 'replace'>
  readonly sealer: Sealer
}

/** One API instance: its own fold of the control log, its own books and feed. */
export async function startInstance(
  bus: Bus,
  trail: Trail,
  {
    roles = {},
    peopleIssuers = new Set(),
    prover = testProver(),
    judgeUse,
    verifier = { replace: () => [] },
    sealer = testSealer(masterKey),
    ssh,
    access,
    slack,
    configured,
  }: Partial<InstanceOptions> = {},
): Promise<Started<FastifyInstance>> {
  const clock = systemClock
  const feed = createFeed()
  const onUnreadable = () => {}
  const books = createBooks({ codecs, nowUs: clock.nowUs, onUnreadable })
  const publish = createControlPublisher({ feed, books, nowUs: clock.nowUs })
  const followHoldings = createHoldingsFollower(prover)
  const book = createSettingsBook({ config: testConfig, verifier, log })
  const control = await startControlLog({
    bus,
    codecs,
    clock,
    ids: randomUUID,
    onEvolved(event, evolved) {
      book.follow(event, evolved)
      followHoldings(event, evolved)
      publish(event, evolved)
    },
  })
  const following = await startFollowing({ bus, codecs, books, feed, onUnreadable })
  const verdicts = createVerdicts({ control: control.value, books, clock })
  const verdictOn = (identity: Identity) => stoppedBy(verdicts.active(), identity)
  const own = {
    ...testOwnTokens(control.value, prover, undefined, judgeUse),
    targets: { has: book.hasTarget, hasRole: book.hasRole },
  }
  const shared = { ...own, bus, codecs, clock, log, verdictOn, onUnreadable, own: own.names }
  const people = configured && (await startPeople({ ...shared, configured, ownKey: masterKey }))
  const auth = createAuthenticator({
    tokens: [
      { name: 'watch', role: 'viewer', token: tokens.viewer },
      { name: 'ops', role: 'responder', token: tokens.responder },
      { name: 'root', role: 'admin', token: tokens.admin },
    ],
    get roles() {
      return { ...book.roles(), ...roles }
    },
    // What the tests' one issuer says is of people.
    peopleIssuers,
    prove: own.prove,
    dpop: own.dpop,
    ...(people && { rolesByProvider: people.value.rolesByProvider, sessions: people.value.sessions }),
    clock,
    onRefused: () => {},
  })
  await control.value.whenCaughtUp
  const metrics = createMetrics('test')
  const parts = {
    ...{ auth, trail, control: control.value, books, own, feed, clock, log, metrics },
    ...{ reachable: createReachableTargets(testConfig, book.targets), ssh, access, slack },
    settings: { file: testConfig, book, sealer },
    problems: () => [],
    ...(people && { people: people.value }),
  }
  const app = await createApp(parts)
  return {
    value: app,
    async stop() {
      await app.close()
      if (people) await people.stop()
      await following.stop()
      await control.stop()
    },
  }
}

/** Two targets; `orders` has a role that only writers may have. */
export const testConfig = parseConfig(
  `
bus: { url: 'lmdb:./bus' }
audit: embedded:./audit
identity: { issuers: [{ issuer: https://idp.example, audience: [portcullis] }], own: { issuer: https://gate.example } }
targets:
  - { name: shop, protocol: postgres, address: 'db:5432', database: shop, credentials: { user: shop }, groups: ['*'], labels: { tier: one }, roles: { reader: { credentials: { user: reader }, groups: [readers] } } }
  - name: orders
    protocol: postgres
    address: db:5432
    credentials: { user: orders }
    groups: [agents]
    roles: { writer: { credentials: { user: writer }, groups: [writers] } }
secrets: { sealing: { keys: [{ id: one, key: 'env:PC_TEST_MASTER' }] } }
proxy: { listen: { postgres: '0.0.0.0:15432' }, recorder: { onUnavailable: deny } }
`,
  'test.yaml',
)

export async function eventually(condition: () => Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 10_000
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error('did not happen within 10 s')
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

const finding: FindingEvent = {
  findingId: 'f-1',
  at: Date.UTC(2026, 10, 20, 12) * 1000,
  identity: {
    issuer: 'https://idp.example',
    subject: 'agent-1',
    groups: [],
    delegation: [],
    instance: 'jti-1',
    task: '',
    ancestors: [],
  },
  sessionId: 's1',
  target: 'shop',
  detector: 'rate',
  feature: 'command-rate',
  severity: 'critical',
  score: 12.5,
  observed: 900,
  expected: 12,
  unit: 'commands/min',
  explanation: '900 commands/min, 12 expected',
  commandIds: ['s1.1'],
  windowStart: Date.UTC(2026, 10, 20, 11, 59) * 1000,
  windowEnd: Date.UTC(2026, 10, 20, 12) * 1000,
}

function analyzers(): VerdictEvent {
  const issuedAt = systemClock.nowUs()
  return {
    verdictId: 'a-1',
    state: 'active',
    action: 'throttle',
    subject: { kind: 'identity', issuer: 'https://idp.example', id: 'agent-1', instance: '' },
    target: '',
    issuedAt,
    until: issuedAt + 600_000_000,
    ratePerMinute: 10,
    cancelRunning: false,
    reason: 'command-rate',
    explanation: '900 commands/min, 12 expected',
    findings: ['f-1'],
    causeCommandId: 's1.1',
    causeReceivedAt: issuedAt,
    issuedBy: 'analyzer',
  }
}
