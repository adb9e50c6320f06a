/**
 * The proxy's supervisor: starts the agent and the workers, starts anew what dies, hands cancel requests from worker to
 * worker, and answers for all of them at /readyz and /metrics. It touches no client and no command.
 */
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Config, loadConfig } from '@portcullis/config'
import type { Started } from '@portcullis/kernel'
import { runService, type ServiceContext } from '@portcullis/platform/service'
import { AggregatorRegistry } from 'prom-client'
import { type Child, keepRunning } from './children.ts'
import type { ToSupervisor } from './ipc.ts'
import { proxyPaths } from './paths.ts'

const starting = ['starting']
/**
 * PostgreSQL's grammar is WebAssembly. V8's optimising tier takes hundreds of megabytes for minutes while it compiles
 * that; the baseline tier takes none, and most statements are answered from the cache anyway.
 */
const workerFlags = ['--liftoff-only']
const metricsMsMax = 1000
/** More than a worker's own drain. */
const extraStopMs = 5000

await runService<Config>({
  name: 'proxy',
  load: loadConfig,
  logLevel: (config) => config.log.level,
  healthAddress: (config) => config.proxy.health,
  start: startProxy,
  stopMsMax: 120_000,
})

interface Worker {
  readonly child: Child
  listening: boolean
  reasons: readonly string[]
}

async function startProxy(context: ServiceContext<Config>): Promise<Started<unknown>> {
  const { config, configFile, log, metrics, health } = context
  const { proxy } = config
  const port = await choosePort(proxy.listen.postgres)
  const workers = new Map<number, Worker>()
  const waiting = new Map<number, (metrics: object[]) => void>()
  const cancels = new Map<number, { slot: number; id: number }>()
  const allListening = Promise.withResolvers<void>()
  let nextId = 0

  const children = {
    log,
    stopMsMax: proxy.drainSecMax * 1000 + extraStopMs,
    // Modules compiled once are there for every process that starts later.
    env: { NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(proxyPaths(config).base, 'compiled') },
  }
  const agent = keepRunning(
    'agent',
    join(import.meta.dirname, 'agent/main.ts'),
    ['--config', configFile],
    children,
  )
  agent.onMessage((message) => {
    if (message.kind === 'metrics') waiting.get(message.id)?.(message.metrics)
  })
  for (let slot = 0; slot < proxy.workers; slot++) {
    const child = keepRunning('worker', join(import.meta.dirname, 'worker.ts'), [], {
      ...children,
      first: { kind: 'start', config, slot, port },
      execArgv: workerFlags,
    })
    const worker: Worker = { child, listening: false, reasons: starting }
    workers.set(slot, worker)
    child.onExit(() => {
      worker.listening = false
      worker.reasons = starting
      // Once all have listened nobody waits for this any more; before, another try would fail in the same way.
      allListening.reject(
        new Error(`worker ${slot} ended before all workers listened; its own lines say why`),
      )
    })
    child.onMessage((message) => receive(slot, worker, message))
  }

  function receive(slot: number, worker: Worker, message: ToSupervisor): void {
    switch (message.kind) {
      case 'listening':
        worker.listening = true
        log.info({ slot, address: `${message.host}:${message.port}` }, 'worker listens')
        if ([...workers.values()].every(({ listening }) => listening)) allListening.resolve()
        return
      case 'health':
        worker.reasons = message.reasons
        return
      case 'metrics':
        waiting.get(message.id)?.(message.metrics)
        return
      case 'cancel': {
        const owner = workers.get(message.slot)
        if (!owner?.listening) return worker.child.send({ kind: 'cancelled', id: message.id, right: false })
        const id = nextId++
        cancels.set(id, { slot, id: message.id })
        owner.child.send({ kind: 'cancel', id, processId: message.processId, secret: message.secret })
        return
      }
      case 'cancelled': {
        const asker = cancels.get(message.id)
        cancels.delete(message.id)
        if (asker)
          workers.get(asker.slot)?.child.send({ kind: 'cancelled', id: asker.id, right: message.right })
      }
    }
  }

  async function metricsOf(child: Child): Promise<object[]> {
    const id = nextId++
    const { promise, resolve } = Promise.withResolvers<object[]>()
    waiting.set(id, resolve)
    const late = setTimeout(() => resolve([]), metricsMsMax)
    child.send({ kind: 'metrics', id })
    return promise.finally(() => {
      clearTimeout(late)
      waiting.delete(id)
    })
  }

  health.check('workers', () => {
    const down = [...workers].filter(([, { listening }]) => !listening).map(([slot]) => slot)
    return down.length > 0 ? `not listening: ${down.join(', ')}` : undefined
  })
  health.check(
    'state',
    () => [...new Set([...workers.values()].flatMap(({ reasons }) => reasons))].join('; ') || undefined,
  )
  health.collect(async () => {
    const all = await Promise.all([agent, ...[...workers.values()].map(({ child }) => child)].map(metricsOf))
    return AggregatorRegistry.aggregate([...all, await metrics.registry.getMetricsAsJSON()])
  })
  await Promise.race([
    allListening.promise,
    new Promise((_, reject) =>
      setTimeout(() => reject(new Error('the workers did not start to listen within 30 s')), 30_000).unref(),
    ),
  ])
  return {
    value: undefined,
    async stop() {
      await Promise.all([...workers.values()].map(({ child }) => child.stop()))
      // The agent goes last: it ships what the workers recorded to the end.
      await agent.stop()
    },
  }
}

/** Port 0 means any: it is chosen once, so that all workers share it. */
async function choosePort(address: string): Promise<number> {
  const split = address.lastIndexOf(':')
  const port = Number(address.slice(split + 1))
  if (port !== 0) return port
  const probe = createServer()
  return new Promise((resolve, reject) => {
    probe.once('error', reject)
    probe.listen({ port: 0, host: address.slice(0, split).replace(/^\[|\]$/g, ''), reusePort: true }, () => {
      const chosen = (probe.address() as AddressInfo).port
      probe.close(() => resolve(chosen))
    })
  })
}
