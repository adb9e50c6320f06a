/** Which services a configuration needs, and how they are started and stopped in order. */
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import type { Config } from '@portcullis/config'
import type { Started } from '@portcullis/kernel'
import { type Engine, startEngine } from '@portcullis/platform/audit'
import type { WantedPort } from './ports.ts'
import { keepRunning, type Part, type Running } from './keep-running.ts'
import { type ServiceSpec, startServiceProcess } from './service-process.ts'
import type { SupervisorLog } from './supervisor-log.ts'

export type Context = {
  readonly log: SupervisorLog
  /** Told as each part comes up. */
  progress(what: string): void
  /** Parts of a supervisor that was killed may still be ending: try again for so long. */
  readonly retryMs: number
  /** Gives up whatever is starting. */
  readonly signal: AbortSignal
}

/** Variables that one service alone is given, by its name. */
export type Secrets = Readonly<Record<string, Readonly<Record<string, string>>>>

/** Parts in the order in which they were started. `stop` ends them in the order that loses nothing. */
export type Services = { pids(): Record<string, number> }

const servicesDir = join(import.meta.dirname, '../..')

/** From first to last to be stopped: who takes commands, who works on events, who answers, and what all of them use. */
const stopOrder = ['proxy', 'analyzer', 'projector', 'alerts', 'query-api']

/** Starts all services at once. `engine` where the trail is embedded. */
export async function startServices(
  config: Config,
  configFile: string,
  secrets: Secrets,
  engine: Engine | undefined,
  context: Context,
): Promise<Started<Services>> {
  const parts = new Map<string, Started<() => Running>>()
  const stop = async () => {
    const order = [...parts.keys()].sort((a, b) => stopOrder.indexOf(a) - stopOrder.indexOf(b))
    for (const name of order) {
      context.log.info({ part: name }, `stopping ${name}`)
      await parts.get(name)?.stop()
      parts.delete(name)
    }
  }
  try {
    const engineEnv = engine
      ? { PORTCULLIS_ENGINE_URL: engine.url, PORTCULLIS_ENGINE_PASSWORD: engine.password }
      : {}
    const specs = serviceSpecs(config, configFile, secrets, engineEnv)
    const failed = new AbortController()
    const signal = AbortSignal.any([failed.signal, context.signal])
    const starting = specs.map(async (spec) => {
      const part = {
        name: spec.name,
        start: (abort: AbortSignal) => startServiceProcess(spec, context.log, abort),
      }
      parts.set(spec.name, await startPart(part, { ...context, signal }))
    })
    // The first to fail says why; the others need not be waited for.
    await Promise.all(starting).catch((error: unknown) => failed.abort(error))
    await Promise.allSettled(starting)
    if (failed.signal.aborted) throw failed.signal.reason
    return { value: { pids: () => pidsOf(parts) }, stop }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Starts and keeps one part, and says so. */
export async function startPart<T extends Running>(
  part: Part<T>,
  { log, progress, retryMs, signal }: Context,
): Promise<Started<() => T>> {
  const startMs = performance.now()
  const started = await retry(() => keepRunning(part, { log, signal }), retryMs, signal)
  const tookMs = Math.round(performance.now() - startMs)
  log.info({ part: part.name, pid: started.value().pid, tookMs }, `${part.name} is up`)
  progress(`${part.name} (${tookMs} ms)`)
  return started
}

/** The embedded ClickHouse; it has the same address and secret when it starts again, so that services find it. */
export function startEmbeddedEngine(dir: string, context: Context): Promise<Started<() => Engine>> {
  const { log } = context
  let known: { port: number; password: string } | undefined
  const start = async () => {
    const engine = await startEngine({ dir, log, ...known })
    known = { port: engine.value.port, password: engine.value.password }
    return engine
  }
  return startPart({ name: 'engine', start }, context)
}

/** What still holds a port or a folder may be about to let it go. */
export async function retry<T>(start: () => Promise<T>, retryMs: number, signal: AbortSignal): Promise<T> {
  const deadline = performance.now() + retryMs
  for (;;) {
    signal.throwIfAborted()
    try {
      return await start()
    } catch (error) {
      if (signal.aborted || performance.now() >= deadline) throw error
      await delay(500)
    }
  }
}

/** Only who works on the trail gets the engine's secret. */
function serviceSpecs(
  config: Config,
  configFile: string,
  secrets: Secrets,
  engineEnv: Readonly<Record<string, string>>,
): ServiceSpec[] {
  const spec = (name: string, script: string, health: string, stopSecMax: number): ServiceSpec => ({
    name,
    script: join(servicesDir, script),
    configFile,
    env: { ...secrets[name], ...(['projector', 'query-api'].includes(name) ? engineEnv : {}) },
    health,
    stopMsMax: stopSecMax * 1000,
  })
  return [
    spec('projector', 'query-api/src/projector/main.ts', config.projector.health, 20),
    spec('query-api', 'query-api/src/main.ts', config.api.listen, 10),
    spec('analyzer', 'analyzer/src/main.ts', config.analyzer.health, 20),
    ...(hasSink(config) ? [spec('alerts', 'alerts/src/main.ts', config.alerts.health, 20)] : []),
    spec('proxy', 'proxy/src/main.ts', config.proxy.health, config.proxy.drainSecMax + 15),
  ]
}

/** Every address that the services of `config` will listen on. */
export function portsOf(config: Config, configFile: string): WantedPort[] {
  const wanted = (key: string, address: string): WantedPort => ({
    address,
    what: key,
    howToChange: `Stop that one, or change ${key} in ${configFile}`,
  })
  return [
    wanted('proxy.listen.postgres', config.proxy.listen.postgres),
    wanted('proxy.health', config.proxy.health),
    wanted('analyzer.health', config.analyzer.health),
    wanted('projector.health', config.projector.health),
    ...(hasSink(config) ? [wanted('alerts.health', config.alerts.health)] : []),
    wanted('api.listen', config.api.listen),
  ]
}

function hasSink({ alerts: { slack, pagerduty, webhook } }: Config): boolean {
  return slack !== undefined || pagerduty !== undefined || webhook !== undefined
}

function pidsOf(parts: ReadonlyMap<string, Started<() => Running>>): Record<string, number> {
  return Object.fromEntries([...parts].map(([name, part]) => [name, part.value().pid]))
}
