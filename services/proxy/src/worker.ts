/**
 * A worker: one process that serves clients. It does what its supervisor says: accept from a queue, leave one, retire
 * (serve the sessions there are, then end). SIGTERM, or the supervisor's end, drains it.
 */
import { createLog, createMetrics } from '@portcullis/platform/service'
import type { BoundSocket } from './accept-queues.ts'
import { lastWord, type StartWorker, type ToSupervisor, type ToWorker } from './ipc.ts'
import { startServing } from './serving.ts'

await main()

async function main(): Promise<void> {
  if (!process.send)
    throw new Error('a worker is started by the proxy: node services/proxy/src/main.ts --config FILE')
  const metrics = createMetrics('proxy')
  let serving: Awaited<ReturnType<typeof startServing>> | undefined
  let stopping = false
  const stop = async () => {
    if (stopping) return
    stopping = true
    await serving?.stop()
    await say({ kind: 'metrics', id: lastWord, metrics: await metrics.registry.getMetricsAsJSON() })
    process.exit(0)
  }
  // Before the first wait: a supervisor that dies while a worker starts must not leave it behind.
  process.on('SIGTERM', stop)
  process.on('disconnect', stop)
  // Both reach all processes of a terminal, and are the supervisor's business.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined)
  const { config, slot } = await firstMessage()
  const log = createLog({ service: 'proxy-worker', level: config.log.level }).child({ slot })
  const fatal = (error: unknown) => {
    log.fatal({ err: error }, 'worker failed')
    process.exit(1)
  }
  process.on('uncaughtException', fatal)
  process.on('unhandledRejection', fatal)
  const started = await startServing({ config, log, metrics, send: (message) => void say(message) })
  serving = started
  process.on('message', (message: ToWorker, socket: BoundSocket | undefined) => {
    if (message.kind === 'retire') void started.value.retire(message.msMax).then(stop)
    else started.value.answer(message, socket)
  })
  await say({ kind: 'ready' })
}

/** Resolves when it was handed over, or there is nobody to hear it. */
function say(message: ToSupervisor): Promise<void> {
  return new Promise((resolve) => {
    if (process.connected) process.send?.(message, undefined, undefined, () => resolve())
    else resolve()
  })
}

function firstMessage(): Promise<StartWorker> {
  return new Promise((resolve) =>
    process.once('message', (message: ToWorker) => {
      if (message.kind === 'start') resolve(message)
    }),
  )
}
