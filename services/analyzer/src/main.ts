/** The analyzer as a process: `node services/analyzer/src/main.ts --config FILE [--validate]`. */
import { readFileSync } from 'node:fs'
import { type Config, loadConfig, resolveSecret } from '@portcullis/config'
import { setTimeout as delay } from 'node:timers/promises'
import { type Bus, CodedError, type Started, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { type BusOptions, connectBus } from '@portcullis/platform/connect'
import { type Log, runService, type ServiceContext } from '@portcullis/platform/service'
import { startAnalyzer } from './analyzer.ts'
import { type AnalyzerSettings, defaultSettings } from './settings.ts'

const topicsMsMax = 60_000

await runService<Config>({
  name: 'analyzer',
  load: loadConfig,
  logLevel: (config) => config.log.level,
  healthAddress: (config) => config.analyzer.health,
  start,
})

async function start({ config, log, metrics, health }: ServiceContext<Config>): Promise<Started<void>> {
  const bus = await connectBus(config.bus.url, busOptions(config, log))
  await topicsExist(bus.value, log)
  const analyzer = await startAnalyzer({
    bus: bus.value,
    codecs: createCodecs(),
    clock: systemClock,
    settings: settingsOf(config),
    log,
    metrics,
  })
  health.check('bus', () => analyzer.value.problem())
  return {
    value: undefined,
    async stop() {
      await analyzer.stop()
      await bus.stop()
    },
  }
}

/** Whoever publishes first creates the topics; the analyzer may be up before. */
async function topicsExist(bus: Bus, log: Log): Promise<void> {
  const untilMs = systemClock.monotonicMs() + topicsMsMax
  for (let told = false; ; told = true) {
    try {
      for (const topic of [topics.commands, topics.findings, topics.verdicts, topics.baselines])
        await bus.endOffsets(topic)
      return
    } catch (cause) {
      // A Kafka topic that was just created has no leader for a moment: unavailable.
      const passes = cause instanceof CodedError && ['unknown_topic', 'unavailable'].includes(cause.code)
      if (!passes || systemClock.monotonicMs() > untilMs) throw cause
      if (!told) log.info({ why: cause.message }, 'waiting for the topics')
      await delay(500)
    }
  }
}

function settingsOf({ analyzer, identity }: Config): AnalyzerSettings {
  return {
    ...defaultSettings,
    warmupCommands: analyzer.warmupCommands,
    warmupMs: analyzer.warmupHours * 3_600_000,
    throttleMs: analyzer.throttleSec * 1000,
    blockMs: analyzer.blockSec * 1000,
    cancelRunning: analyzer.cancelRunning,
    subject: analyzer.subject,
    killReplayed: identity.replay === 'refuse',
  }
}

function busOptions({ bus }: Config, logger: Log): BusOptions {
  const { username, password, mechanism, tls, ca, replicas } = bus
  const sasl = username !== undefined &&
    password !== undefined && { sasl: { mechanism, username, password: resolveSecret(password) } }
  const ssl = tls && { ssl: ca === undefined ? true : { ca: readFileSync(ca, 'utf8') } }
  return { logger, clientId: 'portcullis-analyzer', kafka: { ...sasl, ...ssl, replicationFactor: replicas } }
}
