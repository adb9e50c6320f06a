/**
 * A worker's parts in one process around a real PostgreSQL: for tests of the door and the gate. Everything is real but
 * the proof of tokens (the token is the subject's name) and the agent (tests set verdicts themselves).
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type {
  Caps,
  CommandResult,
  Decision,
  Intent,
  Keepalive,
  Recorder,
  SessionAttrs,
  SessionRecord,
  Started,
  TargetHost,
  UpstreamTls,
  Timeouts,
  Verdict,
} from '@portcullis/kernel'
import { systemClock } from '@portcullis/kernel'
import { createKeyed } from '@portcullis/masking'
import { createBudgets } from '@portcullis/platform/budgets'
import { createRecorder } from '@portcullis/platform/recorder'
import { createPolicy, type Policy, parsePolicy } from '@portcullis/policy'
import { createSqlAnalyzer } from '@portcullis/sql'
import type { Postgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { openAcceptQueues } from '../accept-queues.ts'
import { createSessions, type Sessions } from '../door.ts'
import { createGate } from '../gate.ts'
import type { Holds } from '../holds.ts'
import { createIds } from '../ids.ts'
import { startListener } from '../listener.ts'
import { type MaskText, maskTexts } from '../mask-texts.ts'
import type { AskPresidio } from '../presidio.ts'
import { createCancelKeys } from '../protocols/postgres/cancel-keys.ts'
import { createCatalogues } from '../protocols/postgres/catalogues.ts'
import { createPostgres } from '../protocols/postgres/index.ts'
import { createReadText } from '../protocols/postgres/read-text.ts'
import { createSessionCatalogue } from '../protocols/postgres/session-catalogue.ts'
import { createDoorTls } from '../protocols/postgres/client-tls.ts'
import { createRules } from '../ruling.ts'
import { createVerdictTable, type VerdictTable } from '../verdicts.ts'

/** One command as it was recorded. */
export interface Recorded {
  readonly sessionId: string
  readonly text: string
  readonly intent: Intent
  decision: Decision
  result: CommandResult | undefined
}

export interface Bed {
  readonly port: number
  readonly commands: Recorded[]
  /** Sessions as they were recorded, refused ones too. */
  readonly opened: SessionRecord[]
  /** How sessions ended, as it was recorded. */
  readonly closed: { readonly decision: Decision; readonly detail: string }[]
  readonly sessions: Sessions
  readonly verdicts: VerdictTable
  /** What the gate logged. */
  readonly logged: object[]
  /** Through the gate as this subject. */
  connect(subject?: string, config?: pg.ClientConfig): Promise<pg.Client>
  /** postgres://shop:SUBJECT@127.0.0.1:PORT/ */
  url(subject?: string): string
  /** Makes verdicts stand, in place of those before. */
  judge(verdicts: readonly Partial<Verdict>[]): void
  /** Makes these rules hold, as YAML. */
  rule(policy: string | undefined): void
  /** False: from now on the recorder can keep nothing. */
  record(possible: boolean): void
  /** The commands of texts that match, finished or not. */
  of(text: RegExp): Recorded[]
}

export interface BedOptions {
  readonly postgres: Postgres
  readonly caps?: Partial<Caps>
  readonly mode?: 'enforce' | 'observe'
  readonly durability?: 'process' | 'disk'
  readonly user?: string
  readonly password?: string
  readonly throttleDelayMsMax?: number
  readonly loginMsMax?: number
  readonly statementBytesMax?: number
  readonly controlFresh?: () => boolean
  /** PEM for the client's side. */
  readonly tls?: { readonly cert: string; readonly key: string }
  readonly upstreamTls?: UpstreamTls
  /** In place of the one server's own. */
  readonly hosts?: readonly TargetHost[]
  readonly sessionAttrs?: SessionAttrs
  readonly loadBalance?: 'disable' | 'random'
  readonly connectTimeoutMs?: number
  readonly keepalive?: Keepalive
  readonly timeouts?: Timeouts
  /** What a peer's address counts as; loopback as it is where absent. */
  readonly loopback?: boolean
  /** Peers that must send a PROXY protocol header; none where absent. */
  readonly viaProxy?: (address: string) => boolean
  /**
   * `copied` (where absent): the real recorder, and `commands` has what it was given. `real`: it alone. `none`: nothing is
   * recorded at all, which no configuration of the product can ask for: only to measure what recording costs.
   */
  readonly recorder?: 'copied' | 'real' | 'none'
  readonly presidio?: AskPresidio
  /** What is masked in recorded texts. */
  readonly maskText?: MaskText
  /** Rules, as YAML. */
  readonly policy?: string
  readonly labels?: Readonly<Record<string, string>>
  /** How old the target's catalogue may get; not read where absent. */
  readonly catalogueRefreshMs?: number
  /** How long the target's planner may be asked; not asked where absent. */
  readonly estimateMsMax?: number
  /** Who is asked about what is held; where absent it is refused. */
  readonly holds?: Holds
}

export async function startBed(options: BedOptions): Promise<Started<Bed>> {
  const { postgres } = options
  const clock = systemClock
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bed-'))
  const ids = createIds(clock)
  const commands: Recorded[] = []
  const opened: SessionRecord[] = []
  const closed: Bed['closed'] = []
  const logged: object[] = []
  const log = { warn: (fields: object) => void logged.push(fields), debug: () => undefined }
  const given = options.recorder ?? 'copied'
  const kept =
    given === 'none'
      ? noRecorder()
      : createRecorder({
          dir: join(dir, 'records'),
          durability: options.durability ?? 'process',
          bytesMax: 1 << 30,
          onUnavailable: 'deny',
          proxy: { name: 'bed', version: '0' },
          clock,
        })
  let canRecord = true
  const watching = given === 'copied' ? watched(kept.value, commands, opened, closed) : kept.value
  const masking = options.maskText ? maskTexts(watching, options.maskText) : watching
  const recorder = switched(masking, () => canRecord)
  const budgets = createBudgets({ dir: join(dir, 'budgets'), share: 1, clock })
  const analyzer = await createSqlAnalyzer({ cacheEntries: 1000, cacheBytesMax: 1 << 24 })
  const catalogues = createCatalogues({ analyzer, clock, log })
  const verdicts = createVerdictTable(clock)
  const controlFresh = options.controlFresh ?? (() => true)
  const mode = options.mode ?? 'enforce'
  const settings = {
    policyVersion: () => 'test',
    mode,
    throttleDelayMsMax: options.throttleDelayMsMax ?? 2000,
    sessionMsMax: 3_600_000,
  }
  const rules = createRules(options.policy === undefined ? undefined : policyFrom(options.policy))
  const gate = createGate({
    recorder,
    verdicts,
    clock,
    ids,
    settings,
    rules,
    controlFresh,
    holds: options.holds,
    presidio: options.presidio,
  })
  const sessions = createSessions({
    verify: async (subject) => {
      if (subject === 'bad') throw new Error('the token is bad')
      return {
        identity: {
          issuer: 'https://idp.test',
          subject,
          groups: ['agents'],
          delegation: [],
          instance: `${subject}-1`,
          task: '',
          ancestors: [],
        },
        expiresAtUs: clock.nowUs() + 3_600_000_000,
        scope: {},
        tokenId: `${subject}-1`,
      }
    },
    judgeUse: () => ({ attributes: {} }),
    withdrawn: () => undefined,
    grants: { find: () => undefined, isInForce: () => false },
    targets: {
      version: 'test',
      authorise: (_identity, request) =>
        request.target === 'shop'
          ? {
              allowed: true,
              version: 'test',
              labels: options.labels ?? {},
              caps: { windowMs: 60_000, ...options.caps },
              access: {
                name: 'shop',
                hosts: options.hosts ?? [postgres],
                sessionAttrs: options.sessionAttrs ?? 'any',
                loadBalance: options.loadBalance ?? 'disable',
                database: request.database || postgres.database,
                tls: options.upstreamTls ?? { mode: 'disable' },
                credentials: {
                  user: options.user ?? postgres.user,
                  password: options.password ?? postgres.password,
                },
                connectTimeoutMs: options.connectTimeoutMs ?? 5000,
                keepalive: options.keepalive ?? { idleSec: 30, intervalSec: 1, count: 10 },
                timeouts: options.timeouts ?? {},
                ...(options.estimateMsMax && { estimateMsMax: options.estimateMsMax }),
                ...(options.catalogueRefreshMs && { catalogueRefreshMs: options.catalogueRefreshMs }),
              },
            }
          : { allowed: false, why: 'no such target' },
    },
    gate,
    rules,
    recorder,
    budgets: budgets.value,
    verdicts,
    clock,
    ids,
    mode,
    controlFresh,
    log,
    onLogin: () => undefined,
  })
  const door = createPostgres({
    tls: options.tls && createDoorTls(options.tls),
    isEnough: () => false,
    tokenBytesMax: () => 10_000,
    statementBytesMax: options.statementBytesMax ?? 1 << 24,
    loginMsMax: options.loginMsMax ?? 5000,
    cancelKeys: createCancelKeys({ clock, handOn: async () => false, onGuess: () => undefined }),
    readText: (access, parameters) =>
      createReadText(
        analyzer,
        parameters,
        createSessionCatalogue(catalogues.value.join(access), parameters, access.credentials.user),
      ),
    keyed: createKeyed(Buffer.alloc(32, 'a key of tests alone')),
    clock,
    log,
  })
  const listener = startListener({
    viaProxy: options.viaProxy ?? (() => false),
    originOf: (address) => ({ address, country: '', region: '', asn: 0, asOrg: '' }),
    serve: (connection) =>
      door.serve({ ...connection, loopback: options.loopback ?? connection.loopback }, sessions.door),
    headerMsMax: 1000,
    log,
  })
  const queues = await openAcceptQueues({ address: '127.0.0.1:0', size: 1 })
  await listener.value.accept(0, queues.socket(0))
  const { port } = queues
  return {
    value: {
      port,
      commands,
      opened,
      closed,
      sessions,
      verdicts,
      logged,
      url: (subject = 'ann') => `postgres://shop:${subject}@127.0.0.1:${port}/`,
      async connect(subject = 'ann', config = {}) {
        const client = new pg.Client({ host: '127.0.0.1', port, user: 'shop', password: subject, ...config })
        client.on('error', () => undefined)
        await client.connect()
        return client
      },
      judge: (given) =>
        verdicts.replace(given.map((one, index) => ({ ...block('ann'), verdictId: `v${index}`, ...one }))),
      rule: (policy) => rules.replace(policy === undefined ? undefined : policyFrom(policy)),
      record(possible) {
        canRecord = possible
      },
      of: (text) => commands.filter((command) => text.test(command.text)),
    },
    async stop() {
      await listener.stop()
      for (const session of [...sessions.live]) session.kill(gate.refuse('draining'))
      while (sessions.live.size > 0) await new Promise((resolve) => setTimeout(resolve, 5))
      await catalogues.stop()
      await analyzer.close()
      await budgets.stop()
      await kept.stop()
      rmSync(dir, { recursive: true, force: true })
    },
  }
}

function policyFrom(yaml: string): Policy {
  return createPolicy(parsePolicy(yaml, 'policy.yaml').rules)
}

/** A block on a subject for a minute. */
export function block(subject: string): Verdict {
  return {
    verdictId: 'v',
    action: 'block',
    subject: { kind: 'identity', issuer: 'https://idp.test', id: subject, instance: '' },
    target: '',
    issuedAt: systemClock.nowUs(),
    until: systemClock.nowUs() + 60_000_000,
    ratePerMinute: 0,
    cancelRunning: false,
    reason: 'test',
    explanation: 'a test says so',
  }
}

/** As where its disk is full: not available, until it is. */
function switched(recorder: Recorder, isOn: () => boolean): Recorder {
  return {
    ...recorder,
    get available() {
      return isOn() && recorder.available
    },
  }
}

function noRecorder(): Started<Recorder> {
  const nothing = () => undefined
  const value: Recorder = {
    id: 'none',
    available: true,
    session: nothing,
    intent: nothing,
    redecided: nothing,
    progress: nothing,
    outcome: nothing,
    sessionClosed: nothing,
    commit: nothing,
  }
  return { value, stop: async () => undefined }
}

/** The real recorder, with a copy of what it was given. */
function watched(
  recorder: Recorder,
  commands: Recorded[],
  opened: SessionRecord[],
  closed: Bed['closed'],
): Recorder {
  const open = new Map<string, Recorded>()
  return {
    id: recorder.id,
    get available() {
      return recorder.available
    },
    session(...args) {
      opened.push(args[0])
      return recorder.session(...args)
    },
    progress: (...args) => recorder.progress(...args),
    sessionClosed(...args) {
      const [, , decision, detail] = args
      closed.push({ decision, detail })
      return recorder.sessionClosed(...args)
    },
    commit: () => recorder.commit(),
    intent(intent) {
      recorder.intent(intent)
      const one: Recorded = {
        sessionId: intent.sessionId,
        text: intent.analysis.text,
        intent,
        decision: intent.decision,
        result: undefined,
      }
      open.set(`${intent.sessionId}.${intent.number}`, one)
      commands.push(one)
    },
    redecided(sessionId, number, decision) {
      recorder.redecided(sessionId, number, decision)
      const one = open.get(`${sessionId}.${number}`)
      if (!one || one.result) throw new Error(`no command waits: ${sessionId}.${number}`)
      one.decision = decision
    },
    outcome(sessionId, number, at, result, decision) {
      recorder.outcome(sessionId, number, at, result, decision)
      const one = open.get(`${sessionId}.${number}`)
      if (!one || one.result) throw new Error(`outcome without an open command: ${sessionId}.${number}`)
      one.result = result
      one.decision = decision ?? one.decision
    },
  }
}
