/** The query API as a process: `node services/query-api/src/main.ts --config FILE [--validate]`. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, loadConfig, resolveSecret } from '@portcullis/config'
import { issuersOfFile, peopleIssuersOf, verifierIssuer } from '@portcullis/config/issuers'
import { ownTokenNames } from '@portcullis/config/own-tokens'
import {
  createDpopVerifier,
  createJudgeUse,
  createProver,
  createTokenVerifier,
  createUsedOnce,
} from '@portcullis/identity'
import {
  type Bus,
  type Clock,
  CodedError,
  type Identity,
  type Received,
  type Started,
  systemClock,
  topics,
  type TopicSpec,
} from '@portcullis/kernel'
import { type AuditStore, takeEngineAddress } from '@portcullis/platform/audit'
import { createCodecs } from '@portcullis/platform/codec'
import { type BusOptions, connectAudit, connectBus } from '@portcullis/platform/connect'
import { startControlLog } from '@portcullis/platform/control'
import { type Log, runService, type ServiceContext } from '@portcullis/platform/service'
import { openTokenUses, tokenUsesDir } from '@portcullis/platform/token-uses'
import { openSshCa } from '@portcullis/ssh-ca'
import { createLocalKeys, createSealer, createSealing, type Sealer, Secret } from '@portcullis/vault'
import { type AppParts, createApp } from './app.ts'
import { createAuthenticator } from './auth.ts'
import { createBooks } from './live/books.ts'
import { createControlPublisher } from './live/control.ts'
import { createFeed } from './live/feed.ts'
import { startFollowing } from './live/follow.ts'
import { startPeople } from './people/start.ts'
import { provingFromHere } from './proving.ts'
import { createReachableTargets } from './reachable-targets.ts'
import { createSettingsBook } from './settings/book.ts'
import { signInOptionsOf } from './sign-in-options.ts'
import { createRespond } from './slack/respond.ts'
import { createSlackVerifier } from './slack/signature.ts'
import { createHoldingsFollower } from './tokens/holdings.ts'
import { createSigningKeys } from './tokens/signing-keys.ts'
import { createTrail } from './trail.ts'
import { createVerdicts, stoppedBy } from './verdicts.ts'

const retireEveryMs = 60_000

await runService<Config>({
  name: 'query-api',
  load: loadConfig,
  logLevel: (config) => config.log.level,
  // Health and metrics are answered by the API itself, on its own address.
  healthAddress: () => undefined,
  start,
})

async function start({ config, log, metrics }: ServiceContext<Config>): Promise<Started<void>> {
  const clock = systemClock
  const codecs = createCodecs()
  const unreadable = metrics.counter('portcullis_api_unreadable_total', 'Events that could not be read', [
    'topic',
  ])
  const onUnreadable = ({ topic, partition, offset }: Received, error: unknown) => {
    unreadable.inc({ topic })
    log.error({ err: error, topic, partition, offset }, 'an event cannot be read; skipped')
  }
  const sealing = await openSealing(config, clock)
  const sealer = (await openOwnSealer(config)) ?? sealing?.value
  const names = ownTokenNames(config)
  const verifier = createTokenVerifier({ issuers: config.identity.issuers.map(verifierIssuer), clock, log })
  const prover = createProver({
    ...{ own: names, issuers: verifier, lasting: issuersOfFile(config), clock, log },
  })
  const tokenUses = openTokenUses({
    ...{ dir: tokenUsesDir(config), clock },
    onFailure: (error) => log.warn({ err: error }, 'tokens that are over could not be forgotten'),
  })
  const prove = provingFromHere(prover, createJudgeUse(config.identity, tokenUses.value, log))
  const settings = createSettingsBook({ config, verifier, log })
  const dpop = createDpopVerifier({ baseUrl: names.issuer, used: createUsedOnce(clock), clock })
  const store = openStore(config, log)
  const trail = createTrail({ store, nowUs: clock.nowUs })
  const bus = await connectBus(config.bus.url, busOptions(config, log))
  await bus.value.ensureTopics([signInsTopic(config)])
  await topicsExist(bus.value, log)
  const feed = createFeed()
  const books = createBooks({ codecs, nowUs: clock.nowUs, onUnreadable })
  const publish = createControlPublisher({ feed, books, nowUs: clock.nowUs })
  const followHoldings = createHoldingsFollower(prover)
  const control = await startControlLog({
    bus: bus.value,
    codecs,
    clock,
    ids: randomUUID,
    onEvolved(event, evolved) {
      settings.follow(event, evolved)
      followHoldings(event, evolved)
      publish(event, evolved)
    },
    onUnreadable: ({ offset, error }) => log.error({ err: error, offset }, 'a control event cannot be read'),
  })
  const following = await startFollowing({ bus: bus.value, codecs, books, feed, onUnreadable })
  const { key, ...limits } = config.identity.own
  const signingKeys = createSigningKeys({
    ...{ control: control.value, clock, log, sealer, tokenSecMax: limits.tokenSecMax },
  })
  const retiring = setInterval(() => void signingKeys.retireSuperseded(), retireEveryMs)
  const targets = { has: settings.hasTarget, hasRole: settings.hasRole }
  const taken = new Set(config.api.tokens.map(({ name }) => name))
  const own = { ...{ prover, prove, dpop, signingKeys, names, limits }, targets, taken }
  const verdicts = createVerdicts({ control: control.value, books, clock })
  const verdictOn = (identity: Identity) => stoppedBy(verdicts.active(), identity)
  const configured = signInOptionsOf(config)
  // The configuration is refused where there are people and no key.
  const people =
    configured && key !== undefined
      ? await startPeople({
          ...{ configured, bus: bus.value, codecs, clock, log, signingKeys, verdictOn, limits },
          ...{ own: names, ownKey: resolveSecret(key), onUnreadable },
        })
      : undefined
  const problems = () =>
    [
      control.value.caughtUp() ? undefined : 'the control log was not read yet',
      following.value.problem(),
      people?.value.signIns.problem(),
    ].filter((problem) => problem !== undefined)
  const auth = createAuthenticator({
    tokens: config.api.tokens.map(({ name, role, token }) => ({ name, role, token: resolveSecret(token) })),
    get roles() {
      return settings.roles()
    },
    roleOf: config.api.roleOf,
    peopleIssuers: new Set(peopleIssuersOf(config)),
    ...(people && { rolesByProvider: people.value.rolesByProvider, sessions: people.value.sessions }),
    prove,
    dpop,
    clock,
    onRefused: (address, why) => log.warn({ address, why }, 'sign-in refused'),
  })
  const reachable = createReachableTargets(config, settings.targets)
  const parts = {
    ...{ auth, trail, control: control.value, books, own, reachable, ssh: sshOf(config) },
    settings: { file: config, book: settings, sealer: sealing?.value },
    ...{ feed, clock, log, metrics, problems },
    forwardedFrom: config.api.forwardedFrom,
    ...{ access: accessOf(config), slack: slackOf(config, log) },
    ...(people && { people: people.value }),
  }
  const app = await createApp(parts)
  log.info({ address: await app.listen(listenAt(config.api.listen)) }, 'listening')
  return {
    value: undefined,
    async stop() {
      clearInterval(retiring)
      await app.close()
      if (people) await people.stop()
      await following.stop()
      await control.stop()
      await bus.stop()
      await store.close()
      await sealing?.stop()
      await tokenUses.stop()
    },
  }
}

/** Undefined where no master key is configured. One that is none is the start's failure, not the first trade's. */
async function openSealing({ secrets }: Config, clock: Clock): Promise<Started<Sealer> | undefined> {
  if (!secrets.sealing) return undefined
  const { timeoutMs, vault, aws, sealing } = secrets
  const opened = createSealing({ timeoutMs, sealing, vault: withCa(vault), aws: withCa(aws) }, clock)
  // A key that lies elsewhere may be away for now.
  if (sealing.keys) await tried(opened.value)
  return opened
}

/** What seals the signing keys, where that is a key of their own. */
async function openOwnSealer({ identity: { own } }: Config): Promise<Sealer | undefined> {
  if (own.key === undefined) return undefined
  return tried(createSealer(createLocalKeys([{ id: 'own', key: own.key }], resolveSecret)))
}

async function tried(sealer: Sealer): Promise<Sealer> {
  await sealer.seal(new Secret('at the start'), { aggregateId: 'none', name: 'none', version: 0 })
  return sealer
}

function withCa<T extends { ca?: string | undefined }>(part: T | undefined) {
  return part && { ...part, ca: part.ca === undefined ? undefined : readFileSync(part.ca, 'utf8') }
}

function openStore({ audit }: Config, log: Log): AuditStore {
  return connectAudit(audit.url, {
    username: audit.username,
    password: audit.password === undefined ? '' : resolveSecret(audit.password),
    database: audit.database,
    log,
    requestTimeoutMs: 15_000,
    engine: takeEngineAddress(process.env),
  })
}

/** The one topic that this service is the first to write to; older proxies do not know it. */
function signInsTopic({ bus }: Config): TopicSpec {
  const retentionMs = bus.retentionDays * 86_400_000
  return { topic: topics.signIns, partitions: 1, cleanup: 'delete', retentionMs }
}

/** Whoever publishes first creates the topics; this service may be up before. */
async function topicsExist(bus: Bus, log: Log): Promise<void> {
  for (let told = false; ; told = true) {
    try {
      for (const topic of Object.values(topics)) await bus.endOffsets(topic)
      return
    } catch (cause) {
      if (!(cause instanceof CodedError) || cause.code !== 'unknown_topic') throw cause
      if (!told) log.info({ why: cause.message }, 'waiting for the topics')
      await sleep(500)
    }
  }
}

function sshOf({ ssh }: Config): AppParts['ssh'] {
  return ssh && { ca: openSshCa(resolveSecret(ssh.ca)), rules: ssh.certificates }
}

function accessOf({ approvals: { access } }: Config): AppParts['access'] {
  if (!access) return undefined
  const { by: quorum, delegatorsMay, ...times } = access
  return { quorum, excludesDelegators: !delegatorsMay, ...times }
}

function slackOf({ approvals: { slack } }: Config, log: Log): AppParts['slack'] {
  if (!slack) return undefined
  const { teams, users, apiUrl, signingSecret } = slack
  const verifier = createSlackVerifier({ secret: resolveSecret(signingSecret), clock: systemClock })
  return { teams, users, verifier, respond: createRespond({ apiUrl, log }) }
}

function busOptions({ bus }: Config, logger: Log): BusOptions {
  const { username, password, mechanism, tls, ca, replicas } = bus
  const sasl = username !== undefined &&
    password !== undefined && { sasl: { mechanism, username, password: resolveSecret(password) } }
  const ssl = tls && { ssl: ca === undefined ? true : { ca: readFileSync(ca, 'utf8') } }
  return { logger, clientId: 'portcullis-query-api', kafka: { ...sasl, ...ssl, replicationFactor: replicas } }
}

function listenAt(address: string): { host: string; port: number } {
  const split = address.lastIndexOf(':')
  return { host: address.slice(0, split).replace(/^\[|\]$/g, ''), port: Number(address.slice(split + 1)) }
}
