/**
 * The proxy's supervisor: holds the port, starts the agent and the workers, starts anew what dies, replaces the workers
 * one after another at SIGHUP, hands cancel requests from worker to worker, and answers for all of them at /readyz and
 * /metrics. It touches no client and no command.
 */
import type { Started } from '@portcullis/kernel'
import { runService, type ServiceContext } from '@portcullis/platform/service'
import { loadProxyConfig, type ProxyConfig } from './policy-file.ts'
import { createReloads, differsInPolicyAlone } from './reload.ts'
import { startParts } from './supervised.ts'

const startMsMax = 30_000

await runService<ProxyConfig>({
  name: 'proxy',
  load: loadProxyConfig,
  logLevel: (config) => config.log.level,
  healthAddress: (config) => config.proxy.health,
  start: startProxy,
  // Every process has its own time, which a new configuration may lengthen.
  stopMsMax: Number.POSITIVE_INFINITY,
})

async function startProxy(context: ServiceContext<ProxyConfig>): Promise<Started<unknown>> {
  const { config, configFile, log, health, metrics } = context
  const hangUps = takeHangUps()
  const parts = await startParts(context)
  const { crew, agent } = parts
  const reloads = metrics.counter('portcullis_reloads_total', 'New configurations by what became of them', [
    'result',
  ])
  const reload = createReloads({
    load: () => loadProxyConfig(configFile),
    inForce: () => crew.config,
    async apply(next) {
      if (differsInPolicyAlone(crew.config, next)) return crew.rule(next)
      // Sessions that stay with a worker that was replaced are held to the new rules too.
      crew.rule({ ...crew.config, policy: next.policy, policyText: next.policyText })
      const { replaced, wanted } = await crew.roll(next)
      if (replaced < wanted)
        throw new Error(`${replaced} of ${wanted} workers were replaced; the others go on as they were`)
      log.level = next.log.level
      await agent.renew()
    },
    onResult: (result) => reloads.inc({ result }),
    log,
  })
  health.check('workers', () => parts.whyNotReady())
  health.collect(() => parts.allMetrics())
  await within(startMsMax, crew.complete)
  log.info({ workers: config.proxy.workers, port: parts.port }, 'workers accept')
  hangUps.pass(() => void reload())
  return {
    value: undefined,
    async stop() {
      hangUps.pass(() => undefined)
      await crew.stop()
      // The agent goes last: it ships what the workers recorded to the end.
      await agent.stop()
    },
  }
}

/** SIGHUP, from the first instant: unhandled, it would end the process. One that came before anyone took them counts. */
function takeHangUps(): { pass(to: () => void): void } {
  let came = false
  let take = () => {
    came = true
  }
  process.on('SIGHUP', () => take())
  return {
    pass(to) {
      take = to
      if (came) to()
      came = false
    },
  }
}

function within(msMax: number, done: Promise<void>): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  const late = setTimeout(
    () => reject(new Error(`the workers did not start to accept within ${msMax / 1000} s`)),
    msMax,
  )
  void done.then(resolve, reject)
  return promise.finally(() => clearTimeout(late))
}
