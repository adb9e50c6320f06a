/**
 * From the bus to the sinks: verdicts, findings, liftings and commands of which a rule wants it told become incidents, incidents become messages. A batch is
 * answered for only once its effect stands on disk, together with how far the bus was read. It judges nothing: what is
 * worth telling is in `incidents`, how it is told is each sink's own.
 */
import {
  type Alert,
  type Bus,
  type Clock,
  type ControlEvent,
  checkChange,
  type Evolved,
  type HandVerdict,
  type Received,
  type Sink,
  type Started,
  type TopicPartition,
  topics,
  type VerdictEvent,
} from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'
import { type ControlLog, startControlLog } from '@portcullis/platform/control'
import type { Log, Metrics } from '@portcullis/platform/service'
import { type ChannelEvent, startChannel } from './channel.ts'
import { onFinding, onLifted, onRuleAlert, onTick, onVerdict } from './incidents.ts'
import { onApproval, onApprovalTick } from './notices.ts'
import { emptyOutbox } from './outbox.ts'
import { mayAlert, ruleAlerts } from './rule-alerts.ts'
import type { StateFile } from './state-file.ts'

export interface RouteOptions {
  readonly bus: Bus
  readonly codecs: Codecs
  readonly clock: Clock
  readonly sinks: readonly RoutedSink[]
  /** Where the page of an approval is, without its path; undefined where there is none. */
  readonly approvalsBase?: string | undefined
  readonly stateFile: StateFile
  readonly perHourMax: number
  readonly log: Log
  readonly metrics: Metrics
  readonly ids: () => string
  /** First back-off of a failing sink; default 1 000. */
  readonly backoffMs?: number
  /** How often time is let pass; default 1 000. */
  readonly tickMs?: number
}

export interface RoutedSink {
  readonly sink: Sink
  readonly intervalMs: number
  readonly takes: readonly ('incidents' | 'approvals')[]
  /** Instead of the common one. */
  readonly perHourMax?: number
}

export interface Route {
  /** Why alerts cannot be relied on now, or undefined. */
  problem(): string | undefined
}

export async function startRoute(options: RouteOptions): Promise<Started<Route>> {
  const { bus, codecs, clock, stateFile, log, metrics } = options
  const { state } = stateFile
  const count = countersOf(metrics)
  const channels = options.sinks.map(({ sink, intervalMs, takes, perHourMax = options.perHourMax }) => {
    const outbox = state.outboxes.get(sink.name) ?? emptyOutbox()
    state.outboxes.set(sink.name, outbox)
    const onEvent = (event: ChannelEvent) => {
      count.deliveries.inc({ sink: sink.name, result: event.kind })
      report(log, sink.name, event)
    }
    const { backoffMs } = options
    const channel = startChannel({
      sink,
      outbox,
      clock,
      intervalMs,
      perHourMax,
      onEvent,
      save: () => saveOrLog(),
      random: Math.random,
      ...(backoffMs !== undefined && { backoffMs }),
    })
    return { ...channel, takes }
  })

  async function saveOrLog(): Promise<void> {
    try {
      await stateFile.save()
    } catch (error) {
      log.error({ err: error }, 'the state file cannot be written: after a restart alerts may be told again')
    }
  }

  function tell(alerts: readonly Alert[]): void {
    for (const alert of alerts)
      for (const { value, takes } of channels)
        if (takes.includes(alert.approval ? 'approvals' : 'incidents')) value.offer(alert)
  }

  let live = false
  function onControl(event: ControlEvent, { accepted }: Evolved): void {
    // What stood in the log at the start is looked at once, as a whole, below.
    if (!accepted || !live) return
    const change = checkChange(event.type, event.payload)
    if ('code' in change) return
    if (change.type === 'verdict.lifted') tell(onLifted(state.incidents, change.verdictId, clock.nowUs()))
    else if (change.type === 'verdict.issued') takeHandVerdict(control.value, change.verdict.verdictId)
    else if ('approvalId' in change) takeApproval(control.value, change.approvalId)
    else return
    void saveOrLog()
  }

  function takeHandVerdict(log: ControlLog, verdictId: string): void {
    const verdict = log.state().verdicts.get(verdictId)
    if (verdict) tell(onVerdict(state.incidents, eventOf(verdict), isLifted, clock.nowUs()))
  }

  function takeApproval(log: ControlLog, approvalId: string): void {
    const approval = log.state().approvals.get(approvalId)
    if (approval) tell(onApproval(state.notices, approval, clock.nowUs(), options.approvalsBase))
  }

  const isLifted = (verdictId: string): boolean => control.value.state().lifted.has(verdictId)
  const control = await startControlLog({
    bus,
    codecs,
    clock,
    ids: options.ids,
    onEvolved: onControl,
    onUnreadable: ({ offset, error }) => log.error({ err: error, offset }, 'a control event cannot be read'),
  })

  /** Whether there was anything in it. */
  function takeRecord(record: Received): boolean {
    if (record.value === null) return false
    const nowUs = clock.nowUs()
    if (record.topic === topics.commands) {
      if (!mayAlert(record.value)) return false
      const alerts = ruleAlerts(codecs.command.decode(record.value))
      for (const alert of alerts) tell(onRuleAlert(state.incidents, alert, nowUs))
      return alerts.length > 0
    }
    if (record.topic === topics.verdicts)
      tell(onVerdict(state.incidents, codecs.verdict.decode(record.value), isLifted, nowUs))
    else tell(onFinding(state.incidents, codecs.finding.decode(record.value), nowUs))
    return true
  }

  let hasMoved = false
  async function onBatch(records: readonly Received[]): Promise<void> {
    let isNews = false
    for (const record of records) {
      const place = `${record.topic}/${record.partition}`
      if (record.offset < (state.offsets.get(place) ?? 0)) continue
      try {
        isNews = takeRecord(record) || isNews
      } catch (error) {
        count.unreadable.inc({ topic: record.topic })
        log.error(
          { err: error, topic: record.topic, offset: record.offset },
          'an event cannot be read; skipped',
        )
      }
      state.offsets.set(place, record.offset + 1)
    }
    count.open.set(state.incidents.open.size)
    // Of commands that nobody wants told, how far they were read is kept now and then: to read them again tells nothing.
    if (isNews) await stateFile.save()
    else hasMoved = true
  }

  /**
   * A partition not read here before is read from its beginning: what is over by now is not told. Of commands there are too many
   * for that: whoever starts alerts is told from then on.
   */
  async function startAt({ topic, partition }: TopicPartition): Promise<number> {
    const place = `${topic}/${partition}`
    const known = state.offsets.get(place)
    if (known !== undefined || topic !== topics.commands) return known ?? 0
    const end = (await bus.endOffsets(topic)).get(partition) ?? 0
    state.offsets.set(place, end)
    hasMoved = true
    return end
  }

  let consumer: Started<void> | undefined
  let failed: string | undefined
  let stopped = false
  /** Liftings must be known before verdicts are told, however late the bus comes up. */
  const consuming = control.value.whenCaughtUp.then(async () => {
    live = true
    const { verdicts, lifted, approvals } = control.value.state()
    for (const id of lifted.keys()) tell(onLifted(state.incidents, id, clock.nowUs()))
    for (const id of verdicts.keys()) takeHandVerdict(control.value, id)
    for (const id of approvals.keys()) takeApproval(control.value, id)
    if (stopped) return
    consumer = await bus.consume({
      group: 'portcullis-alerts',
      topics: [topics.verdicts, topics.findings, topics.commands],
      startAt,
      onBatch,
    })
  })
  const watched = consuming.catch((error: unknown) => {
    failed = error instanceof Error ? error.message : String(error)
    log.error({ err: error }, 'cannot read verdicts, findings and commands from the bus')
  })

  let savedMs = Number.NEGATIVE_INFINITY
  const timer = setInterval(() => {
    const nowUs = clock.nowUs()
    const due = [
      ...onTick(state.incidents, nowUs),
      ...onApprovalTick(state.notices, nowUs, options.approvalsBase),
    ]
    tell(due)
    for (const { value } of channels) value.tick()
    count.open.set(state.incidents.open.size)
    if (due.length === 0 && (!hasMoved || clock.monotonicMs() < savedMs + saveEveryMs)) return
    hasMoved = false
    savedMs = clock.monotonicMs()
    void saveOrLog()
  }, options.tickMs ?? 1_000)

  return {
    value: {
      problem() {
        if (failed !== undefined) return failed
        if (!control.value.caughtUp()) return 'the control log was not read yet'
        return control.value.healthy() ? undefined : 'the bus cannot be read'
      },
    },
    async stop() {
      stopped = true
      clearInterval(timer)
      if (control.value.caughtUp()) await watched
      await consumer?.stop()
      await control.stop()
      await Promise.all(channels.map((channel) => channel.stop()))
      await saveOrLog()
    },
  }
}

/** How far commands were read. */
const saveEveryMs = 5000

function countersOf(metrics: Metrics) {
  return {
    deliveries: metrics.counter(
      'portcullis_alert_deliveries_total',
      'Alerts by sink and what became of them',
      ['sink', 'result'],
    ),
    unreadable: metrics.counter('portcullis_alerts_unreadable_total', 'Events that could not be read', [
      'topic',
    ]),
    open: metrics.gauge('portcullis_alerts_open_incidents', 'Incidents that are open'),
  }
}

function report(log: Log, sink: string, event: ChannelEvent): void {
  const { dedupKey, action, severity } = event.alert
  const about = { sink, dedupKey, action, severity }
  if (event.kind === 'delivered') log.info(about, 'alert delivered')
  else if (event.kind === 'suppressed') log.debug(about, 'alert over budget; the summary stands for it')
  else if (event.kind === 'failed') log.error({ ...about, why: event.why }, 'alert never delivered')
  else log.warn({ ...about, why: event.why, waitMs: Math.round(event.waitMs) }, 'alert not delivered yet')
}

function eventOf(verdict: HandVerdict): VerdictEvent {
  return { ...verdict, state: 'active', findings: [], causeCommandId: '', causeReceivedAt: 0 }
}
