/**
 * The agent: the one process of a proxy replica that talks to the bus. It ships what the workers recorded, and tells
 * them what the verdicts and control topics say. It touches no client; where it dies, the workers serve on with what
 * they know, record, and are told anew by its successor.
 */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, resolveSecret } from '@portcullis/config'
import { type Bus, type Started, systemClock } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { type BusOptions, connectBus } from '@portcullis/platform/connect'
import { createShipper } from '@portcullis/platform/recorder'
import { createLog, createMetrics, type Log, type Metrics } from '@portcullis/platform/service'
import { createIds } from '../ids.ts'
import type { ToAgent } from '../ipc.ts'
import { proxyPaths } from '../paths.ts'
import { startControlParts } from './control.ts'
import { createWorkerHoldings } from './settings.ts'
import { topicSpecs } from './topics.ts'

const retryMs = 1000
/** How long a stop waits for the bus to take what the workers recorded last. */
const drainMsMax = 5000
const letGoMsMax = 3000

await main()

async function startAgent(
  config: Config,
  log: Log,
  metrics: Metrics,
): Promise<Started<{ measure(): Promise<void> }>> {
  const paths = proxyPaths(config)
  const codecs = createCodecs()
  const clock = systemClock
  const gauges = createGauges(metrics)
  const stopping = new AbortController()
  const bus = await retry('the bus cannot be opened', () =>
    connectBus(config.bus.url, busOptions(config, log)),
  )
  const shipper = createShipper({ dir: paths.records, bus: bus.value, codecs, clock, log })
  const control = await startControlParts({
    ...{ clock, codecs, log, ids: createIds(clock), name: config.proxy.name, limits: config.approvals },
    publish: bus.value.publish,
    dir: paths.control,
    socketPath: paths.agentSocket,
    forWorkers: createWorkerHoldings(config, log),
    // Looking is cheap, and a worker that left may have died.
    onWorkers: () => shipper.value.ring(),
  })
  const follower = control.value
  attach(bus.value).catch((error) => {
    if (!stopping.signal.aborted) throw error
  })

  return {
    value: { measure },
    async stop() {
      stopping.abort()
      // Whatever a stop leaves undone the successor finds as a death would leave it, so it need not wait for a lost bus.
      await Promise.race([shipper.value.drained(), sleep(drainMsMax)])
      await Promise.race([letGo(), sleep(letGoMsMax)])
    },
  }

  async function letGo(): Promise<void> {
    await control.stop()
    await shipper.stop()
    await bus.stop()
  }

  /** The bus may be away when the agent starts: until it is there the workers have what was known last. */
  async function attach(to: Bus): Promise<void> {
    await retry('the bus is away', () => to.ensureTopics(topicSpecs(config.bus)))
    if (!stopping.signal.aborted) await retry('the bus is away', () => follower.attach(to))
  }

  async function retry<T>(what: string, step: () => Promise<T>): Promise<T> {
    for (;;) {
      try {
        return await step()
      } catch (error) {
        if (stopping.signal.aborted) throw error
        log.warn({ err: error, retryMs }, what)
        await sleep(retryMs, undefined, { signal: stopping.signal })
      }
    }
  }

  async function measure(): Promise<void> {
    const stats = shipper.value.stats()
    gauges.shipped.set(stats.shipped)
    gauges.failed.set(stats.failedPublishes)
    gauges.lag.set(stats.lagSeconds)
    gauges.lagBytes.set(await shipper.value.backlogBytes())
    gauges.verdicts.set(follower.standing().length)
    gauges.age.set((clock.nowUs() - follower.freshAtUs()) / 1e6)
  }
}

function createGauges(metrics: Metrics) {
  const { gauge } = metrics
  return {
    shipped: gauge('portcullis_shipped_events', 'Events the bus acknowledged since the agent started'),
    failed: gauge('portcullis_ship_failures', 'Publishes that failed since the agent started'),
    lagBytes: gauge('portcullis_ship_lag_bytes', 'Recorded bytes the bus has not acknowledged'),
    lag: gauge('portcullis_ship_lag_seconds', 'Age of the oldest event not acknowledged'),
    verdicts: gauge('portcullis_verdicts_standing', 'Verdicts in force'),
    age: gauge('portcullis_control_age_seconds', 'Time since the bus was known to be read to its end'),
  }
}

function busOptions({ bus }: Config, logger: Log): BusOptions {
  const { username, password, mechanism, tls, ca, replicas } = bus
  const sasl = username !== undefined &&
    password !== undefined && { sasl: { mechanism, username, password: resolveSecret(password) } }
  const ssl = tls && { ssl: ca === undefined ? true : { ca: readFileSync(ca, 'utf8') } }
  return { logger, clientId: 'portcullis-proxy', kafka: { ...sasl, ...ssl, replicationFactor: replicas } }
}

async function main(): Promise<void> {
  if (!process.send)
    throw new Error('the agent is started by the proxy: node services/proxy/src/main.ts --config FILE')
  const metrics = createMetrics('proxy-agent')
  let agent: Awaited<ReturnType<typeof startAgent>> | undefined
  let isStopping = false
  const stop = async () => {
    if (isStopping) return
    isStopping = true
    await agent?.stop()
    process.exit(0)
  }
  process.on('SIGTERM', stop)
  process.on('disconnect', stop)
  // Both reach all processes of a terminal; the supervisor stops or renews the agent last.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
  const config = await firstMessage()
  const log = createLog({ service: 'proxy-agent', level: config.log.level })
  const fatal = (error: unknown) => {
    log.fatal({ err: error }, 'agent failed')
    process.exit(1)
  }
  process.on('uncaughtException', fatal)
  process.on('unhandledRejection', fatal)
  process.on('message', async (message: ToAgent) => {
    if (message.kind !== 'metrics') return
    await agent?.value.measure()
    process.send?.({ kind: 'metrics', id: message.id, metrics: await metrics.registry.getMetricsAsJSON() })
  })
  agent = await startAgent(config, log, metrics)
}

function firstMessage(): Promise<Config> {
  return new Promise((resolve) =>
    process.once('message', (message: ToAgent) => {
      if (message.kind === 'start') resolve(message.config)
    }),
  )
}
