/** The projector as a process: `node services/query-api/src/projector/main.ts --config FILE [--validate]`. */
import { readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, loadConfig, resolveSecret } from '@portcullis/config'
import { CodedError, type Started, systemClock } from '@portcullis/kernel'
import { type AuditLog, type AuditStore, migrate, takeEngineAddress } from '@portcullis/platform/audit'
import { createCodecs } from '@portcullis/platform/codec'
import { type BusOptions, connectAudit, connectBus } from '@portcullis/platform/connect'
import { type Metrics, runService, type ServiceContext } from '@portcullis/platform/service'
import { type ProjectedBatch, startProjector } from './index.ts'

/** A process that waits longer is started again by its supervisor, with the reason in the log. */
const topicsMsMax = 60_000

await runService<Config>({
  name: 'projector',
  load: loadConfig,
  logLevel: (config) => config.log.level,
  healthAddress: (config) => config.projector.health,
  start,
})

async function start({ config, log, metrics, health }: ServiceContext<Config>): Promise<Started<void>> {
  const store = auditStore(config, log)
  await migrate(store, { log, retentionDays: retentionDays(config) })
  const bus = await connectBus(config.bus.url, busOptions(config, log))
  const onBatch = reporter(metrics)
  const projector = await onceTopicsExist(log, () =>
    startProjector({
      bus: bus.value,
      store,
      codecs: createCodecs(),
      log,
      clock: systemClock,
      batchRows: config.projector.batchRows,
      batchMs: config.projector.batchMs,
      onBatch,
    }),
  )
  health.check('audit', () => projector.value.problem())
  return {
    value: undefined,
    async stop() {
      await projector.stop()
      await bus.stop()
      await store.close()
    },
  }
}

function auditStore({ audit }: Config, log: AuditLog): AuditStore {
  return connectAudit(audit.url, {
    username: audit.username,
    password: audit.password === undefined ? '' : resolveSecret(audit.password),
    database: audit.database,
    log,
    // A batch that fails comes again from the bus; trying on here would only hold up a stop.
    retryMs: 5000,
    engine: takeEngineAddress(process.env),
  })
}

function retentionDays({ audit }: Config): Record<string, number> {
  return Object.fromEntries(Object.entries(audit.retentionDays).filter(([, days]) => days !== undefined))
}

function busOptions({ bus, projector }: Config, logger: BusOptions['logger']): BusOptions {
  const { username, password, mechanism, tls, ca, replicas } = bus
  const sasl = username !== undefined &&
    password !== undefined && { sasl: { mechanism, username, password: resolveSecret(password) } }
  const ssl = tls && { ssl: ca === undefined ? true : { ca: readFileSync(ca, 'utf8') } }
  return {
    logger,
    clientId: 'portcullis-projector',
    // An insert costs about as much as a thousand rows of it: a backlog is read in large pieces.
    batchRecordsMax: Math.min(projector.batchRows, 5000),
    batchBytesMax: 4 * 1024 * 1024,
    kafka: { ...sasl, ...ssl, replicationFactor: replicas },
  }
}

/** Whoever publishes first creates the topics; the projector may be up before. */
async function onceTopicsExist<T>(log: AuditLog, act: () => Promise<T>): Promise<T> {
  const untilMs = systemClock.monotonicMs() + topicsMsMax
  for (let told = false; ; told = true) {
    try {
      return await act()
    } catch (cause) {
      const isMissing = cause instanceof CodedError && cause.code === 'unknown_topic'
      if (!isMissing || systemClock.monotonicMs() > untilMs) throw cause
      if (!told) log.info({ why: cause.message }, 'waiting for the topics')
      await sleep(500)
    }
  }
}

function reporter(metrics: Metrics): (batch: ProjectedBatch) => void {
  const counter = (name: string, help: string) => metrics.counter(`portcullis_projector_${name}_total`, help)
  const records = counter('records', 'Records projected')
  const rows = counter('rows', 'Rows written, repetitions included')
  const deadLetters = counter('dead_letters', 'Records that could not be projected')
  const failed = counter('failed_batches', 'Batches that had to come again')
  const lag = metrics.histogram(
    'portcullis_projector_lag_seconds',
    'From the bus taking the oldest record of a batch to its row being there',
    [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300],
  )
  return (batch) => {
    if (batch.failed) return failed.inc()
    records.inc(batch.records)
    rows.inc(batch.rows)
    deadLetters.inc(batch.deadLetters)
    lag.observe(batch.lagMs / 1000)
  }
}
