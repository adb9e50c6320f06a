/** The query API as a process: `node services/query-api/src/main.ts --config FILE [--validate]`. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type Config, loadConfig, resolveSecret } from '@portcullis/config'
import { createTokenVerifier } from '@portcullis/identity'
import { type Received, type Started, systemClock } from '@portcullis/kernel'
import { type AuditStore, openAuditStore } from '@portcullis/platform/audit'
import { createCodecs } from '@portcullis/platform/codec'
import { type BusOptions, connectBus } from '@portcullis/platform/connect'
import { startControlLog } from '@portcullis/platform/control'
import { type Log, runService, type ServiceContext } from '@portcullis/platform/service'
import { createApp } from './app.ts'
import { createAuthenticator } from './auth.ts'
import { createBooks } from './live/books.ts'
import { createFeed } from './live/feed.ts'
import { publishControl, startFollowing } from './live/follow.ts'
import { createTrail } from './trail.ts'

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
  const auth = createAuthenticator({
    tokens: config.api.tokens.map(({ name, role, token }) => ({ name, role, token: resolveSecret(token) })),
    roles: config.api.roles,
    prove: createTokenVerifier({ issuers: issuersOf(config), clock, log }).verify,
    clock,
    onRefused: (address, why) => log.warn({ address, why }, 'sign-in refused'),
  })
  const store = openStore(config, log)
  const trail = createTrail({ store, nowUs: clock.nowUs })
  const bus = await connectBus(config.bus.url, busOptions(config, log))
  const feed = createFeed()
  const books = createBooks({ codecs, nowUs: clock.nowUs, onUnreadable })
  const control = await startControlLog({
    bus: bus.value,
    codecs,
    clock,
    ids: randomUUID,
    onEvolved: (event, evolved) => publishControl(feed, event, evolved),
    onUnreadable: ({ offset, error }) => log.error({ err: error, offset }, 'a control event cannot be read'),
  })
  const following = await startFollowing({ bus: bus.value, codecs, books, feed, onUnreadable })
  const problems = () =>
    [
      control.value.caughtUp() ? undefined : 'the control log was not read yet',
      following.value.problem(),
    ].filter((problem) => problem !== undefined)
  const parts = { auth, trail, control: control.value, books, feed, clock, log, metrics, problems }
  const app = await createApp(parts)
  log.info({ address: await app.listen(listenAt(config.api.listen)) }, 'listening')
  return {
    value: undefined,
    async stop() {
      await app.close()
      await following.stop()
      await control.stop()
      await bus.stop()
      await store.close()
    },
  }
}

/** The embedded engine's address and secret come from the process that started it. */
function openStore({ audit }: Config, log: Log): AuditStore {
  const { database } = audit
  const shared = { database, log, requestTimeoutMs: 15_000 }
  if (!audit.url.startsWith('embedded:')) {
    const password = audit.password === undefined ? '' : resolveSecret(audit.password)
    return openAuditStore(audit.url, { ...shared, username: audit.username, password })
  }
  const url = resolveSecret('env:PORTCULLIS_ENGINE_URL')
  const password = resolveSecret('env:PORTCULLIS_ENGINE_PASSWORD')
  return openAuditStore(url, { ...shared, username: 'default', password })
}

function issuersOf({ identity }: Config) {
  return identity.issuers.map(({ ca, jwksUri, ...issuer }) => ({
    ...issuer,
    ...(jwksUri !== undefined && { jwksUri }),
    ...(ca !== undefined && { ca: readFileSync(ca, 'utf8') }),
  }))
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
