/**
 * What a worker is made of. It has no connection to the bus, so nothing shares its event loop with the data path: events
 * leave by the recorder's segments, verdicts come from the agent.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Config } from '@portcullis/config'
import { issuersOfFile, verifierIssuer } from '@portcullis/config/issuers'
import { ownTokenNames } from '@portcullis/config/own-tokens'
import { resolveKey, resolveSecret } from '@portcullis/config/secret'
import {
  createJudgeUse,
  createKeyStore,
  createOriginResolver,
  createProver,
  createTokenVerifier,
  ownTokenCharsMax,
} from '@portcullis/identity'
import { type SealedSecret, type Started, systemClock } from '@portcullis/kernel'
import { createKeyed } from '@portcullis/masking'
import { createBudgets } from '@portcullis/platform/budgets'
import { createRecorder } from '@portcullis/platform/recorder'
import type { Log, Metrics } from '@portcullis/platform/service'
import { openTokenUses, tokenUsesDir } from '@portcullis/platform/token-uses'
import { createPolicyReader } from '@portcullis/policy'
import { createSqlAnalyzer } from '@portcullis/sql'
import type { BoundSocket } from './accept-queues.ts'
import { createApprovalBook } from './approval-book.ts'
import { type ControlView, followAgent } from './agent/client.ts'
import { noWorkerHoldings } from './agent/protocol.ts'
import { createConfigured } from './configured.ts'
import { createSessions } from './door.ts'
import { createGate } from './gate.ts'
import { createGrants } from './grants.ts'
import { createHolds } from './holds.ts'
import { createIds } from './ids.ts'
import type { ToSupervisor, ToWorker } from './ipc.ts'
import { startListener } from './listener.ts'
import { maskTexts } from './mask-texts.ts'
import { proxyPaths } from './paths.ts'
import { createCancelKeys } from './protocols/postgres/cancel-keys.ts'
import { createDoorTls } from './protocols/postgres/client-tls.ts'
import { createCatalogues } from './protocols/postgres/catalogues.ts'
import { createPostgres } from './protocols/postgres/index.ts'
import { createReadText } from './protocols/postgres/read-text.ts'
import { createSessionCatalogue } from './protocols/postgres/session-catalogue.ts'
import { type ProxyConfig, policyFileOf } from './policy-file.ts'
import { createPresidio } from './presidio.ts'
import { trustedPeer } from './proxy-protocol.ts'
import { createRules } from './ruling.ts'
import { createProxyVault, sealedOf } from './vault.ts'
import { createVerdictTable } from './verdicts.ts'
import { version } from './version.ts'

const tickMs = 250
const warmUp = [
  'select a, count(*) from t join u using (id) where b = 1 and c in (2, 3) group by a order by 1 limit 5',
  "insert into t (a) values ('x') on conflict do nothing returning a",
  'update t set a = 1 where b = 2; delete from t where a = 1; begin; commit',
]
/** An agent that says nothing by then has no bus and remembers nothing: clients are to be told so. */
const untoldMsMax = 10_000
const analysisCache = { cacheEntries: 10_000, cacheBytesMax: 64 * 1024 * 1024 }

export interface ServingOptions {
  readonly config: ProxyConfig
  readonly log: Log
  readonly metrics: Metrics
  readonly send: (message: ToSupervisor) => void
}

export interface Serving {
  answer(message: ToWorker, socket: BoundSocket | undefined): void
  /** Accepts no more; resolves when the last session has ended, or was ended after `msMax`. */
  retire(msMax: number): Promise<void>
}

/** Resolves when it can serve; it accepts from no queue yet. Its stop drains. */
export async function startServing(options: ServingOptions): Promise<Started<Serving>> {
  const { config, log, metrics, send } = options
  const { proxy } = config
  const clock = systemClock
  const ids = createIds(clock)
  const paths = proxyPaths(config)
  const stops: (() => Promise<void>)[] = []
  const started = <T>(part: Started<T>): T => {
    stops.push(part.stop)
    return part.value
  }

  const counters = {
    logins: metrics.counter('portcullis_logins_total', 'Logins by their result', ['result']),
    holds: metrics.counter('portcullis_holds_total', 'Held commands by what came of them', ['result']),
    guesses: metrics.counter('portcullis_cancel_guesses_total', 'CancelRequests with a wrong secret'),
    sessions: metrics.gauge('portcullis_sessions', 'Open sessions'),
    recorded: metrics.gauge(
      'portcullis_recorded_bytes',
      'Bytes written to the local log since the worker started',
    ),
    failures: metrics.gauge(
      'portcullis_record_failures',
      'Commits to the local log that failed or were refused',
    ),
    unrecorded: metrics.gauge(
      'portcullis_unrecorded',
      'Commands and sessions let through without a record (allow-and-count)',
    ),
  }
  const recorder = started(
    createRecorder({
      dir: paths.records,
      durability: proxy.recorder.durability,
      bytesMax: proxy.recorder.bytesMax,
      onUnavailable: proxy.recorder.onUnavailable,
      proxy: { name: proxy.name, version },
      clock,
    }),
  )
  const budgets = started(
    createBudgets({
      dir: paths.budgets,
      share: proxy.shareOfCaps,
      clock,
      onFailure: (error) =>
        log.error({ err: error }, 'the ledger of caps cannot be used: nothing is granted'),
    }),
  )
  const tokenUses = started(
    openTokenUses({
      dir: tokenUsesDir(config),
      clock,
      onFailure: (error) => log.warn({ err: error }, 'tokens that are over could not be forgotten'),
    }),
  )
  let sealed = sealedOf([])
  let sealedSecrets = new Map<string, SealedSecret>()
  const vault = started(createProxyVault(config, clock, log, { get: (name) => sealed.get(name) }))
  const verifier = createTokenVerifier({
    issuers: config.identity.issuers.map(verifierIssuer),
    clock,
    log,
    keyStore: createKeyStore(join(paths.base, 'keys')),
  })
  void verifier.warmUp()
  const configured = createConfigured({
    ...{ config, vault, verifier, log },
    addressesOf: (name) => sealedSecrets.get(name)?.addresses,
  })
  const { targets } = configured
  const prover = createProver({
    ...{ own: ownTokenNames(config), issuers: verifier, lasting: issuersOfFile(config) },
    ...{ certificateRules: proxy.tls?.clientCertificates ?? [], clock, log },
  })
  const origins = await createOriginResolver(
    {
      ...(config.geo.country && { countryDb: config.geo.country }),
      ...(config.geo.asn && { asnDb: config.geo.asn }),
      ...(config.geo.city && { cityDb: config.geo.city }),
    },
    // Where the supervisor says that compiled things lie, so that all processes share one.
    { cacheDir: process.env.NODE_COMPILE_CACHE ?? paths.base, log },
  )
  const analyzer = await createSqlAnalyzer(analysisCache)
  stops.push(() => analyzer.close())
  const catalogues = started(createCatalogues({ analyzer, clock, log, tell: (defined) => line.say(defined) }))
  // The grammar is compiled as it is used: better now than in somebody's first command.
  for (const text of warmUp) analyzer.analyzeNow(Buffer.from(text), 0, text.length)

  const verdicts = createVerdictTable(clock)
  let held = noWorkerHoldings
  const control = { freshAtUs: 0, told: Promise.withResolvers<void>() }
  const controlFresh = () => clock.nowUs() - control.freshAtUs <= proxy.control.staleSecMax * 1_000_000
  // What its agent let through reads here too, unless the two are of different versions.
  const readPolicy = createPolicyReader((name, problems) =>
    log.error({ policy: name, problems }, 'a policy of the API is not taken: what stood before stands'),
  )
  let policyFile = policyFileOf(config)
  const rules = createRules(readPolicy(policyFile, held.policies).policy)
  const settings = {
    policyVersion: () => rules.versionWith(targets.version),
    mode: proxy.mode,
    throttleDelayMsMax: proxy.throttleDelayMsMax,
    sessionMsMax: proxy.sessionSecMax * 1000,
  }
  const book = createApprovalBook(clock)
  const grants = createGrants(clock)
  const line = started(
    followAgent({
      socketPath: paths.agentSocket,
      onState: (state) => takeState(state),
      onApprovals(set, all) {
        book.take(set, all)
        grants.take(set)
      },
      onDefined: (defined) => catalogues.heard(defined),
      onMissed: () => catalogues.missed(),
      onFresh: (atUs) => {
        control.freshAtUs = atUs
        if (controlFresh()) control.told.resolve()
      },
    }),
  )
  const link = config.approvals.link ?? config.people?.publicUrl ?? ''
  const holds = createHolds({
    ...{ settings: { ...config.approvals, link }, book, line, clock, ids },
    onSettled: (result) => counters.holds.inc({ result }),
  })
  const { maskText } = proxy.recorder
  const trail = maskText ? maskTexts(recorder, maskText) : recorder
  const presidio =
    proxy.presidio &&
    createPresidio({
      ...proxy.presidio,
      onError: (error) =>
        log.warn({ err: error }, 'Presidio did not answer: what it was asked for is not shown'),
    })
  const gate = createGate({
    recorder: trail,
    verdicts,
    clock,
    ids,
    settings,
    rules,
    presidio,
    controlFresh,
    holds,
  })
  const sessions = createSessions({
    verify: prover.prove,
    judgeUse: createJudgeUse(config.identity, tokenUses, log),
    withdrawn: prover.withdrawn,
    targets,
    grants,
    gate,
    rules,
    recorder,
    budgets,
    verdicts,
    clock,
    ids,
    mode: proxy.mode,
    controlFresh,
    log,
    onLogin: (result) => counters.logins.inc({ result }),
  })

  const asked = new Map<number, (right: boolean) => void>()
  const cancelKeys = createCancelKeys({
    clock,
    onGuess: (address) => {
      counters.guesses.inc()
      log.warn({ address }, 'CancelRequest with a wrong secret')
    },
    handOn: (processId, secret) => {
      const id = asked.size === 0 ? 1 : Math.max(...asked.keys()) + 1
      const answer = new Promise<boolean>((resolve) => asked.set(id, resolve))
      send({ kind: 'cancel', id, processId, secret })
      return answer.finally(() => asked.delete(id))
    },
  })
  const postgres = createPostgres({
    tls: proxy.tls && doorTlsOf(proxy.tls),
    isEnough: prover.isEnough,
    tokenBytesMax: () => Math.max(ownTokenCharsMax, verifier.bytesMax()),
    statementBytesMax: proxy.statementBytesMax,
    loginMsMax: proxy.loginSecMax * 1000,
    cancelKeys,
    readText: (access, parameters) =>
      createReadText(
        analyzer,
        parameters,
        createSessionCatalogue(catalogues.join(access), parameters, access.credentials.user),
      ),
    keyed: config.masking.key === undefined ? undefined : createKeyed(resolveKey(config.masking.key)),
    clock,
    log,
  })
  const listener = started(
    startListener({
      viaProxy: trustedPeer(proxy.proxyProtocolFrom),
      originOf: (address) => origins.resolve(address),
      serve: (connection) => postgres.serve(connection, sessions.door),
      headerMsMax: proxy.loginSecMax * 1000,
      log,
    }),
  )
  const ticking = setInterval(() => {
    sessions.lapse()
    for (const session of sessions.live) session.tick()
    counters.sessions.set(sessions.live.size)
    const { bytes, failures, unrecorded } = recorder.stats()
    counters.recorded.set(bytes)
    counters.failures.set(failures)
    counters.unrecorded.set(unrecorded)
    send({
      kind: 'health',
      reasons: [
        ...(recorder.available ? [] : ['recorder: commands cannot be recorded']),
        ...(controlFresh() ? [] : ['control: the folded state is stale']),
      ],
    })
  }, tickMs)
  // The port is shared: a worker that took connections before it knows what is in force would refuse what others serve.
  await Promise.race([control.told.promise, sleep(untoldMsMax, undefined, { ref: false })])

  function takeState({ verdicts: standing, holdings }: ControlView): void {
    verdicts.replace(standing)
    if (holdings === held) return
    held = holdings
    sealed = sealedOf(holdings.sealedSecrets)
    sealedSecrets = new Map(holdings.sealedSecrets.map((secret) => [secret.name, secret]))
    configured.replace(holdings.settings)
    rule()
    prover.replace(holdings)
    sessions.withdraw()
  }

  function answer(message: ToWorker, socket: BoundSocket | undefined): void {
    switch (message.kind) {
      case 'accept': {
        const { queue } = message
        if (socket) void listener.accept(queue, socket).then(() => send({ kind: 'accepting', queue }))
        return
      }
      case 'leave':
        return listener.leave(message.queue)
      case 'cancelled':
        return asked.get(message.id)?.(message.right)
      case 'cancel': {
        const { id, processId, secret } = message
        return send({ kind: 'cancelled', id, right: cancelKeys.handedOn(processId, secret) })
      }
      case 'policy': {
        policyFile = policyFileOf(message.config)
        return rule()
      }
      case 'metrics':
        void metrics.registry
          .getMetricsAsJSON()
          .then((json) => send({ kind: 'metrics', id: message.id, metrics: json }))
    }
  }

  function rule(): void {
    const { policy } = readPolicy(policyFile, held.policies)
    if (policy === rules.policy) return
    rules.replace(policy)
    log.info({ policyVersion: policy?.version ?? '' }, 'another policy is in force')
  }

  function killAll(): void {
    for (const session of [...sessions.live]) session.kill(gate.refuse('draining'))
  }

  return {
    value: {
      answer,
      async retire(msMax) {
        await Promise.race([listener.close(), sleep(msMax, undefined, { ref: false })])
        killAll()
      },
    },
    async stop() {
      // Done only when the last connection is gone: that is what the rest of this sees to.
      const closed = listener.close()
      sessions.drain()
      await whenNone(sessions.live, proxy.drainSecMax * 1000)
      killAll()
      await whenNone(sessions.live, 3000)
      clearInterval(ticking)
      for (const stop of stops.reverse()) await stop()
      await closed
    },
  }
}

function doorTlsOf({ cert, key, clientCa, clientCrl }: NonNullable<Config['proxy']['tls']>) {
  return createDoorTls({
    cert: readFileSync(cert, 'utf8'),
    key: resolveSecret(key),
    ...(clientCa !== undefined && { clientCa: readFileSync(clientCa, 'utf8') }),
    ...(clientCrl !== undefined && { clientCrl: readFileSync(clientCrl, 'utf8') }),
  })
}

async function whenNone(live: ReadonlySet<unknown>, msMax: number): Promise<void> {
  const until = systemClock.monotonicMs() + msMax
  while (live.size > 0 && systemClock.monotonicMs() < until)
    await new Promise((resolve) => setTimeout(resolve, 20))
}
