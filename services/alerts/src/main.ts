/** The alerts service as a process: `node services/alerts/src/main.ts --config FILE [--validate]`. */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Config, loadConfig, resolveSecret } from '@portcullis/config'
import { type Bus, CodedError, type Started, systemClock, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import { type BusOptions, connectBus } from '@portcullis/platform/connect'
import { type Log, runService, type ServiceContext } from '@portcullis/platform/service'
import { type RoutedSink, startRoute } from './route.ts'
import { createPagerDutySink } from './sinks/pagerduty.ts'
import { createPost, type Post } from './sinks/post.ts'
import { createSlackSink } from './sinks/slack.ts'
import { createSlackApprovalsSink } from './sinks/slack-approvals.ts'
import { createWebhookSink } from './sinks/webhook.ts'
import { openStateFile } from './state-file.ts'

/** About one message a second a channel is what Slack takes (https://docs.slack.dev/apis/web-api/rate-limits). */
const slackIntervalMs = 1_100
/** What waits is bounded by the proxies; a flood is for people to see, up to what they could still read. */
const approvalsPerHourMax = 600

await runService<Config>({
  name: 'alerts',
  load: loadConfig,
  logLevel: (config) => config.log.level,
  healthAddress: (config) => config.alerts.health,
  start,
})

async function start({ config, log, metrics, health }: ServiceContext<Config>): Promise<Started<void>> {
  const sinks = sinksOf(config, createPost(10_000))
  if (sinks.length === 0) log.warn('no sink is configured under alerts or approvals: nobody will be told')
  const stateFile = await openStateFile(join(config.dataDir, 'alerts', 'state.json'))
  if (stateFile.lost !== undefined)
    log.error({ why: stateFile.lost }, 'the state file is unreadable: verdicts in force are told once more')
  const bus = await connectBus(config.bus.url, busOptions(config, log))
  await topicsExist(bus.value, log)
  const route = await startRoute({
    bus: bus.value,
    codecs: createCodecs(),
    clock: systemClock,
    sinks,
    approvalsBase: config.approvals.link ?? config.people?.publicUrl,
    stateFile,
    perHourMax: config.alerts.perHourMax,
    log,
    metrics,
    ids: randomUUID,
  })
  health.check('bus', () => route.value.problem())
  return {
    value: undefined,
    async stop() {
      await route.stop()
      await bus.stop()
    },
  }
}

function sinksOf({ alerts, approvals }: Config, post: Post): RoutedSink[] {
  const { slack, pagerduty, webhook, consoleUrl } = alerts
  const link = consoleUrl === undefined ? {} : { consoleUrl }
  const sinks: RoutedSink[] = []
  const takes = (name: 'pagerduty' | 'webhook') =>
    approvals.tell.includes(name) ? (['incidents', 'approvals'] as const) : (['incidents'] as const)
  if (slack) {
    const bot = slack.botToken !== undefined &&
      slack.channel !== undefined && {
        bot: { token: resolveSecret(slack.botToken), channel: slack.channel, apiUrl: slack.apiUrl },
      }
    const hook = slack.webhook !== undefined && { webhook: resolveSecret(slack.webhook) }
    const sink = createSlackSink({ ...bot, ...hook, ...link, post })
    sinks.push({ sink, intervalMs: slackIntervalMs, takes: ['incidents'] })
  }
  if (approvals.slack) {
    const { botToken, channel, apiUrl } = approvals.slack
    const bot = { token: resolveSecret(botToken), channel, apiUrl }
    const sink = createSlackApprovalsSink({ bot, ...link, post })
    sinks.push({
      ...{ sink, intervalMs: slackIntervalMs, takes: ['approvals'], perHourMax: approvalsPerHourMax },
    })
  }
  if (pagerduty) {
    const routingKey = resolveSecret(pagerduty.routingKey)
    const sink = createPagerDutySink({ routingKey, url: pagerduty.url, ...link, post })
    sinks.push({ sink, intervalMs: 100, takes: takes('pagerduty') })
  }
  if (webhook) {
    const secret = webhook.secret !== undefined && { secret: resolveSecret(webhook.secret) }
    const nowUs = systemClock.nowUs
    const sink = createWebhookSink({ url: webhook.url, ...secret, ...link, post, nowUs })
    sinks.push({ sink, intervalMs: 50, takes: takes('webhook') })
  }
  return sinks
}

/** Whoever publishes first creates the topics; this service may be up before. */
async function topicsExist(bus: Bus, log: Log): Promise<void> {
  for (let told = false; ; told = true) {
    try {
      for (const topic of [topics.control, topics.verdicts, topics.findings, topics.commands])
        await bus.endOffsets(topic)
      return
    } catch (cause) {
      if (!(cause instanceof CodedError) || cause.code !== 'unknown_topic') throw cause
      if (!told) log.info({ why: cause.message }, 'waiting for the topics')
      await sleep(500)
    }
  }
}

function busOptions({ bus }: Config, logger: Log): BusOptions {
  const { username, password, mechanism, tls, ca, replicas } = bus
  const sasl = username !== undefined &&
    password !== undefined && { sasl: { mechanism, username, password: resolveSecret(password) } }
  const ssl = tls && { ssl: ca === undefined ? true : { ca: readFileSync(ca, 'utf8') } }
  return { logger, clientId: 'portcullis-alerts', kafka: { ...sasl, ...ssl, replicationFactor: replicas } }
}
