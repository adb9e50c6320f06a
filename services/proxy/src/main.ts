/**
 * The proxy's supervisor: starts the agent and the workers, starts anew what dies, hands cancel requests from worker to
 * worker, and answers for all of them at /readyz and /metrics. It touches no client and no command.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { type Config, loadConfig } from '@portcullis/config'
import type { Started } from '@portcullis/kernel'
import { type Log, runService, type ServiceContext } from '@portcullis/platform/service'
import { AggregatorRegistry } from 'prom-client'
import type { ToSupervisor, ToWorker } from './ipc.ts'

const starting = ['starting']
const restartMsMin = 100
const restartMsMax = 5000
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

  const agent = keepRunning(
    'agent',
    join(import.meta.dirname, 'agent/main.ts'),
    ['--config', configFile],
    log,
    proxy.drainSecMax,
  )
  for (let slot = 0; slot < proxy.workers; slot++) {
    const args = ['--config', configFile, '--slot', String(slot), '--port', String(port)]
    const child = keepRunning('worker', join(import.meta.dirname, 'worker.ts'), args, log, proxy.drainSecMax)
    const worker: Worker = { child, listening: false, reasons: starting }
    workers.set(slot, worker)
    child.onExit(() => {
      worker.listening = false
      worker.reasons = starting
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

  async function metricsOf(worker: Worker): Promise<object[]> {
    const id = nextId++
    const { promise, resolve } = Promise.withResolvers<object[]>()
    waiting.set(id, resolve)
    const late = setTimeout(() => resolve([]), metricsMsMax)
    worker.child.send({ kind: 'metrics', id })
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
    const all = await Promise.all([...workers.values()].map(metricsOf))
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

interface Child {
  send(message: ToWorker): void
  onMessage(listener: (message: ToSupervisor) => void): void
  onExit(listener: () => void): void
  stop(): Promise<void>
}

/** A child process that is started anew when it dies, ever more slowly while it keeps dying. */
function keepRunning(
  name: string,
  file: string,
  args: readonly string[],
  log: Log,
  drainSecMax: number,
): Child {
  const messageListeners: ((message: ToSupervisor) => void)[] = []
  const exitListeners: (() => void)[] = []
  let stopping = false
  let delayMs = restartMsMin
  let child: ChildProcess
  let timer: NodeJS.Timeout | undefined

  const start = () => {
    const startedAt = performance.now()
    child = fork(file, args, { serialization: 'advanced', stdio: 'inherit' })
    child.on('message', (message) => {
      for (const listener of messageListeners) listener(message as ToSupervisor)
    })
    child.once('exit', (code, signal) => {
      for (const listener of exitListeners) listener()
      if (stopping) return
      delayMs = performance.now() - startedAt > 10_000 ? restartMsMin : Math.min(delayMs * 2, restartMsMax)
      log.error({ name, code, signal, delayMs }, 'child process ended; starting it anew')
      timer = setTimeout(start, delayMs)
    })
  }
  start()

  return {
    send(message) {
      if (child.connected) child.send(message)
    },
    onMessage: (listener) => void messageListeners.push(listener),
    onExit: (listener) => void exitListeners.push(listener),
    stop() {
      stopping = true
      clearTimeout(timer)
      if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
      const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), drainSecMax * 1000 + extraStopMs)
      return gone.finally(() => clearTimeout(late))
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
