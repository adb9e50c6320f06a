/**
 * What every service process does around its work: read the configuration, log, answer health and metrics, stop in an
 * orderly way. It knows nothing of what the service does.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util'
import type { Started } from '@portcullis/kernel'
import { type HealthServer, startHealth } from './health.ts'
import { createLog, type Log } from './log.ts'
import { createMetrics, type Metrics } from './metrics.ts'

export interface ServiceContext<Config> {
  readonly config: Config
  readonly configFile: string
  readonly log: Log
  readonly metrics: Metrics
  readonly health: HealthServer
  /** Ends the process in an orderly way, as SIGTERM would, with this exit code. */
  fail(error: unknown): void
}

export interface ServiceOptions<Config> {
  readonly name: string
  /** Throws an error whose `problems` (or message) say what is wrong; the process then exits with 2. */
  load(file: string): Config
  logLevel(config: Config): string
  /** HOST:PORT of /healthz, /readyz and /metrics; undefined for none. */
  healthAddress(config: Config): string | undefined
  /** Starts the work. Ready once it resolves. */
  start(context: ServiceContext<Config>): Promise<Started<unknown>>
  /** A stop that takes longer is given up with exit code 1; Infinity where the service sees to that itself. */
  stopMsMax?: number
}

/** `node main.ts --config FILE [--validate]`: exits 0 after a clean stop, 1 on failure, 2 on a bad configuration. */
export async function runService<Config>(options: ServiceOptions<Config>): Promise<void> {
  const loaded = loadOrExplain(options)
  if (!loaded) return
  const { config, configFile } = loaded
  const log = createLog({ service: options.name, level: options.logLevel(config) })
  const metrics = createMetrics(options.name)
  const stop = Promise.withResolvers<number>()
  let stopping = false
  stopOnSignals((why) => {
    stopping = true
    log.info({ why }, 'stopping')
    stop.resolve(0)
  })
  const fail = (error: unknown) => {
    log.error({ err: error }, 'failed')
    stop.resolve(1)
  }
  process.on('uncaughtException', fail)
  process.on('unhandledRejection', fail)

  const running: Started<unknown>[] = []
  try {
    const health = await startHealth(options.healthAddress(config), metrics)
    running.push(health)
    const starting = options.start({ config, configFile, log, metrics, health: health.value, fail })
    // A start may wait long for others; whoever wants it to stop does not have to.
    await Promise.race([starting, stop.promise])
    if (!stopping) {
      running.push(await starting)
      health.value.ready()
      log.info({ health: health.value.address }, 'ready')
    }
  } catch (error) {
    fail(error)
  }
  process.exitCode = await stopAll(await stop.promise, running, options.stopMsMax ?? 60_000, log)
  process.exit()
}

function loadOrExplain<Config>(
  options: ServiceOptions<Config>,
): { config: Config; configFile: string } | undefined {
  const spec = {
    options: { config: { type: 'string' }, validate: { type: 'boolean', default: false } },
    strict: true,
  } satisfies ParseArgsConfig
  try {
    const { values } = parseArgs(spec)
    if (values.config === undefined) throw new Error('--config FILE is missing')
    const config = options.load(values.config)
    if (!values.validate) return { config, configFile: values.config }
    console.log(`${values.config}: valid`)
  } catch (error) {
    console.error(error instanceof Error ? error.message : String(error))
    process.exitCode = 2
  }
  return undefined
}

/** SIGTERM, SIGINT, or the end of the parent that started us with an IPC channel. */
function stopOnSignals(stop: (why: string) => void): void {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop(signal))
  if (process.connected) process.once('disconnect', () => stop('parent gone'))
}

async function stopAll(
  code: number,
  running: Started<unknown>[],
  stopMsMax: number,
  log: Log,
): Promise<number> {
  const giveUp = () => {
    log.error({ stopMsMax }, 'stop took too long')
    process.exit(1)
  }
  // A timer of an infinite time would fire at once.
  const late = Number.isFinite(stopMsMax) ? setTimeout(giveUp, stopMsMax) : undefined
  try {
    for (const one of running.reverse()) await one.stop()
    return code
  } catch (error) {
    log.error({ err: error }, 'stop failed')
    return 1
  } finally {
    clearTimeout(late)
  }
}
