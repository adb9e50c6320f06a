/**
 * What one sink still has to be told, and what it was told: at most one message waits for each incident, the newest,
 * worst first. A budget of new incidents an hour, one for each severity so that a flood of warnings cannot hide a
 * block; beyond it one summary stands for all. Pure and plain data: it survives a restart as JSON.
 */
import type { Alert } from '@portcullis/kernel'
import { severityRank } from './wording.ts'

export interface Outbox {
  readonly pending: Map<string, Waiting>
  /** What was told and not resolved, with what the sink answered (a message's address). */
  readonly told: Map<string, string>
  windowStartUs: number
  /** New incidents sent in this hour, by severity. */
  sent: Partial<Record<Alert['severity'], number>>
  /** Incidents of this hour that only the summary stands for. */
  suppressed: number
  summarised: number
  summarisedAtUs: number
  /** Being delivered at this moment: counts as told. */
  inFlight: string | undefined
}

export interface Waiting {
  readonly alert: Alert
  readonly attempts: number
}

export function emptyOutbox(): Outbox {
  return {
    pending: new Map(),
    told: new Map(),
    windowStartUs: 0,
    sent: {},
    suppressed: 0,
    summarised: 0,
    summarisedAtUs: 0,
    inFlight: undefined,
  }
}

/** suppressed: over budget, only counted. dropped: a resolve of what was never told. */
export type Offered = 'queued' | 'suppressed' | 'dropped'

export function offer(outbox: Outbox, alert: Alert, perHourMax: number, nowUs: number): Offered {
  const key = alert.dedupKey
  const known = outbox.told.has(key) || outbox.inFlight === key
  if (alert.action === 'resolve' && !known) {
    outbox.pending.delete(key)
    return 'dropped'
  }
  if (known || outbox.pending.has(key)) {
    outbox.pending.set(key, { alert, attempts: 0 })
    return 'queued'
  }
  rollWindow(outbox, nowUs)
  const sent = outbox.sent[alert.severity] ?? 0
  if (sent >= perHourMax) {
    outbox.suppressed += 1
    if (outbox.summarised === 0) summarise(outbox, nowUs)
    return 'suppressed'
  }
  outbox.sent[alert.severity] = sent + 1
  outbox.pending.set(key, { alert, attempts: 0 })
  return 'queued'
}

/** Keeps the summary true: tells the new count every ten minutes, resolves it an hour after the last suppression. */
export function tickOutbox(outbox: Outbox, nowUs: number): void {
  rollWindow(outbox, nowUs)
  if (outbox.suppressed > outbox.summarised && nowUs - outbox.summarisedAtUs >= summaryEveryUs)
    summarise(outbox, nowUs)
  if (outbox.suppressed === 0 && outbox.told.has(summaryKey) && !outbox.pending.has(summaryKey))
    outbox.pending.set(summaryKey, { alert: summaryOf(outbox, 'resolve', nowUs), attempts: 0 })
}

/** What to deliver next: least tried first, so that one message a sink chokes on holds up no other; then the worst, then the oldest. */
export function nextWaiting(outbox: Outbox): Waiting | undefined {
  let best: Waiting | undefined
  for (const waiting of outbox.pending.values()) if (!best || isBefore(waiting, best)) best = waiting
  if (best?.alert.dedupKey !== summaryKey || best.alert.action === 'resolve') return best
  // The count is taken when it is sent: a burst then shows as what it was.
  const current = { ...best, alert: summaryOf(outbox, 'trigger', best.alert.at) }
  outbox.pending.set(summaryKey, current)
  outbox.summarised = outbox.suppressed
  return current
}

/** The sink took it. A newer message for the same incident that came meanwhile stays. */
export function onDelivered(outbox: Outbox, { alert }: Waiting, reference: string): void {
  if (outbox.pending.get(alert.dedupKey)?.alert === alert) outbox.pending.delete(alert.dedupKey)
  if (alert.action === 'resolve') outbox.told.delete(alert.dedupKey)
  else outbox.told.set(alert.dedupKey, reference)
}

export function onRetry(outbox: Outbox, { alert, attempts }: Waiting): void {
  const current = outbox.pending.get(alert.dedupKey)
  if (current?.alert === alert) outbox.pending.set(alert.dedupKey, { alert, attempts: attempts + 1 })
}

/** The sink will never take it. */
export function onGivenUp(outbox: Outbox, { alert }: Waiting): void {
  if (outbox.pending.get(alert.dedupKey)?.alert === alert) outbox.pending.delete(alert.dedupKey)
  if (alert.action === 'resolve') outbox.told.delete(alert.dedupKey)
}

export const summaryKey = 'portcullis-flood'
const windowUs = 3_600_000_000
const summaryEveryUs = 600_000_000

function rollWindow(outbox: Outbox, nowUs: number): void {
  if (nowUs - outbox.windowStartUs < windowUs) return
  outbox.windowStartUs = nowUs
  outbox.sent = {}
  outbox.suppressed = 0
  outbox.summarised = 0
}

function summarise(outbox: Outbox, nowUs: number): void {
  outbox.summarised = outbox.suppressed
  outbox.summarisedAtUs = nowUs
  outbox.pending.set(summaryKey, { alert: summaryOf(outbox, 'trigger', nowUs), attempts: 0 })
}

function summaryOf({ suppressed }: Outbox, action: Alert['action'], at: number): Alert {
  const what = suppressed === 1 ? '1 further incident' : `${suppressed} further incidents`
  const title =
    action === 'resolve'
      ? 'Alert budget: incidents are told one by one again'
      : `Alert budget used up: ${what} this hour; see the lists of verdicts, findings and approvals`
  return { dedupKey: summaryKey, action, severity: 'error', title, verdict: null, findings: [], at }
}

function isBefore(a: Waiting, b: Waiting): boolean {
  if (a.attempts !== b.attempts) return a.attempts < b.attempts
  const rank = severityRank[a.alert.severity] - severityRank[b.alert.severity]
  return rank !== 0 ? rank > 0 : a.alert.at < b.alert.at
}
