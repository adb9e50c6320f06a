/** The processes of a proxy, wired to each other through their supervisor. */
import { join } from 'node:path'
import type { ServiceContext } from '@portcullis/platform/service'
import type { Registry } from 'prom-client'
import { openAcceptQueues } from './accept-queues.ts'
import { createCancelExchange } from './cancel-exchange.ts'
import { type ChildOptions, keepRunning, type Kept, startChild } from './children.ts'
import { createCrew, type Crew } from './crew.ts'
import { createGathering } from './gathering.ts'
import type { ToSupervisor } from './ipc.ts'
import { proxyPaths } from './paths.ts'
import type { ProxyConfig } from './policy-file.ts'

export interface Supervised {
  readonly port: number
  readonly crew: Crew
  readonly agent: Kept
  whyNotReady(): string | undefined
  allMetrics(): Promise<Registry>
}

/**
 * PostgreSQL's grammar is WebAssembly. V8's optimising tier takes hundreds of megabytes for minutes while it compiles
 * that; the baseline tier takes none, and most statements are answered from the cache anyway.
 *
 * Nobody is served while young objects are collected: of 2 MiB, where 16 are usual, it takes half a millisecond at most.
 * Done by several threads it waits for the last of them, which on a busy machine takes longer than doing it alone.
 * A burst of logins fills it, too, and V8 never gives it back: of what a thousand idle sessions cost it was more than half.
 */
const workerFlags = ['--liftoff-only', '--max-semi-space-size=2', '--no-parallel-scavenge']
const agentStopMsMax = 15_000

/** @throws where the port cannot be had. Returns at once; `crew.complete` says when all workers accept. */
export async function startParts(context: ServiceContext<ProxyConfig>): Promise<Supervised> {
  const { config, log, metrics } = context
  const gathering = createGathering(metrics)
  /** Why a worker, old or new, cannot serve. */
  const reasons = new Map<number, readonly string[]>()
  const phases = metrics.gauge('portcullis_workers', 'Worker processes by what they do', ['phase'])
  const deaths = metrics.counter('portcullis_worker_deaths_total', 'Workers that ended without being told to')
  const queues = await openAcceptQueues({ address: config.proxy.listen.postgres, size: config.proxy.workers })
  const spawn = (
    options: Pick<ChildOptions, 'name' | 'first' | 'onMessage' | 'execArgv'> & { script: string },
  ) =>
    startChild({
      log,
      file: join(import.meta.dirname, options.script),
      // Modules compiled once are there for every process that starts later.
      env: {
        NODE_COMPILE_CACHE: process.env.NODE_COMPILE_CACHE ?? join(proxyPaths(config).base, 'compiled'),
      },
      ...options,
    })

  const cancels = createCancelExchange(
    // One that starts has no session and does not hear yet.
    () => crew.workers().flatMap(({ slot, phase }) => (phase === 'starting' ? [] : [slot])),
    (slot, message) => crew.worker(slot)?.child.send(message),
  )
  const crew: Crew = createCrew(config, {
    queues,
    log,
    start: (first, onMessage) =>
      spawn({ name: 'worker', script: 'worker.ts', execArgv: workerFlags, first, onMessage }),
    onMessage: receive,
    onGone(slot, died) {
      reasons.delete(slot)
      cancels.gone(slot)
      gathering.gone(keyOf(slot))
      if (died) deaths.inc()
    },
  })
  const startAgent = () => {
    const child = spawn({
      name: 'agent',
      script: 'agent/main.ts',
      first: { kind: 'start', config: crew.config },
      onMessage: (message) => message.kind === 'metrics' && gathering.take('agent', message),
    })
    void child.gone.then(() => gathering.gone('agent'))
    return child
  }
  const agent = keepRunning(startAgent, { log, stopMsMax: agentStopMsMax })

  function receive(slot: number, message: ToSupervisor): void {
    if (message.kind === 'health') reasons.set(slot, message.reasons)
    else if (message.kind === 'metrics') gathering.take(keyOf(slot), message)
    else if (message.kind === 'cancel' || message.kind === 'cancelled') cancels.take(slot, message)
  }

  return {
    port: queues.port,
    crew,
    agent,
    whyNotReady() {
      if (!crew.isAccepting()) return 'none accepts connections'
      return [...new Set([...reasons.values()].flat())].join('; ') || undefined
    },
    allMetrics() {
      const workers = crew.workers()
      for (const phase of ['starting', 'ready', 'leaving', 'retired'] as const)
        phases.set({ phase }, workers.filter((worker) => worker.phase === phase).length)
      const able = workers.filter(({ phase }) => phase !== 'starting')
      return gathering.registry(
        new Map([
          ['agent', agent.current()],
          ...able.map(({ slot, child }) => [keyOf(slot), child] as const),
        ]),
      )
    },
  }
}

function keyOf(slot: number): string {
  return `worker ${slot}`
}
