/**
 * From findings to a verdict: the ladder. Pure; knows no detector's inside, only features and severities.
 *
 *   warning: a finding; people are alerted, nothing is enforced
 *   error: throttle to the 95th percentile of the identity's own minutes
 *   two independent features, or sustained pressure against a throttle for too much: block
 *
 *   a token that got in from two places, where so configured: kill that token
 *
 * Where the ladder asks to hold for a person (a new country, a very large result), it throttles until approvals exist:
 * evidence of one feature alone never blocks. A standing verdict is extended under its own id, and only when less than
 * half its time is left: a lifting by hand names the id, so it holds for the extensions too. The fold does not read
 * liftings (they come on another topic, and its result must be a function of this partition alone): it goes on as if
 * the verdict stood, issues no twin of it, and may still block on new evidence of another feature.
 */
import { createHash } from 'node:crypto'
import {
  type CommandEvent,
  type Departure,
  type FindingEvent,
  identityKey,
  type Severity,
  type VerdictEvent,
  type VerdictSubject,
} from '@portcullis/kernel'
import { type AnalyzerSettings, dayUs, hourUs, minuteUs } from './settings.ts'

/** What is remembered of an identity between its commands. Plain JSON, bounded by the number of features. */
export interface Memory {
  evidence: Evidence[]
  throttle: VerdictEvent | null
  block: VerdictEvent | null
  /** Verdicts issued within the last day and when: each makes the next of its kind hold twice as long. */
  issued: (readonly ['throttle' | 'block', number])[]
}

interface Evidence {
  feature: string
  findingId: string
  severity: Severity
  explanation: string
  /** Event time of the latest departure of this feature. */
  at: number
}

/** A departure and the name of the detector that made it. */
export interface Judged {
  readonly detector: string
  readonly departure: Departure
}

export interface DecideContext {
  readonly settings: AnalyzerSettings
  readonly event: CommandEvent
  /** Latest event time of this identity, this event included. */
  readonly nowUs: number
  readonly usualPerMinute: number
  /** Of the identity's running copies. */
  readonly busiestInstance: string
  /** Commands that finished last, the latest last. */
  readonly latestCommandIds: readonly string[]
}

export function emptyMemory(): Memory {
  return { evidence: [], throttle: null, block: null, issued: [] }
}

/** Changes `memory`. */
export function decide(
  memory: Memory,
  judged: readonly Judged[],
  context: DecideContext,
): { findings: FindingEvent[]; verdict: VerdictEvent | undefined } {
  const { nowUs } = context
  memory.evidence = memory.evidence.filter(({ feature, at }) => at > nowUs - evidenceUs(feature))
  memory.issued = memory.issued.filter(([, at]) => at > nowUs - dayUs)
  if (memory.throttle && memory.throttle.until <= nowUs) memory.throttle = null
  if (memory.block && memory.block.until <= nowUs) memory.block = null
  if (judged.length === 0) return { findings: [], verdict: undefined }
  const findings = judged.map((one) => note(memory, one, context)).filter((finding) => finding !== undefined)
  const replayed = context.settings.killReplayed && judged.find(isReplay)
  const verdict = replayed
    ? replayVerdict(replayed, findings, context)
    : ladder(memory, subjectOf(judged, context), context)
  return { findings, verdict }
}

/** Got in from two places; what was refused at a door is no reason to stop who was there first. */
function isReplay({ departure }: Judged): boolean {
  return departure.feature === 'token-replay' && departure.observed > 1
}

/**
 * No rung of the ladder: a token in two hands proves nobody any more. It is the same verdict however often it is seen, and
 * lasts as long as a verdict may: how long the token lives is not known here.
 */
function replayVerdict(
  { departure }: Judged,
  findings: readonly FindingEvent[],
  { event }: DecideContext,
): VerdictEvent {
  const { issuer, instance } = event.identity
  return {
    verdictId: deterministicId('v', identityKey(event.identity), 'kill', instance),
    state: 'active',
    action: 'kill',
    subject: { kind: 'token', issuer, id: '', instance },
    target: '',
    issuedAt: event.startedAt,
    until: event.startedAt + lifeUsMax,
    ratePerMinute: 0,
    cancelRunning: true,
    reason: 'token_replay',
    explanation: departure.explanation,
    findings: findings.map(({ findingId }) => findingId),
    causeCommandId: event.commandId,
    causeReceivedAt: event.startedAt,
    issuedBy: 'analyzer',
  }
}

/** Ids are deterministic in what caused them, so that a replay publishes the same ones. */
export function deterministicId(prefix: string, ...parts: readonly string[]): string {
  return `${prefix}_${createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 24)}`
}

const severities: readonly Severity[] = ['info', 'warning', 'error', 'critical']
/** Features that speak of many commands, and so of no one of them. */
const ofMany: readonly string[] = ['command-rate', 'volume-total', 'pressure']
const commandIdsMax = 20
const issuedMax = 16
const lifeUsMax = dayUs

/** How long a departure counts as evidence. Where and with what power it was used stays telling longer than how fast. */
function evidenceUs(feature: string): number {
  return feature === 'region' || feature === 'privileged-use' ? hourUs : 15 * minuteUs
}

/** One incident, one finding: a departure of a feature that still stands as evidence is news only where it is graver. */
function note(
  memory: Memory,
  { detector, departure }: Judged,
  context: DecideContext,
): FindingEvent | undefined {
  const { event } = context
  const known = memory.evidence.find(({ feature }) => feature === departure.feature)
  if (known && rank(departure.severity) <= rank(known.severity)) {
    known.at = Math.max(known.at, event.startedAt)
    return undefined
  }
  const findingId = deterministicId('f', event.eventId, detector, departure.feature)
  const { feature, severity, explanation } = departure
  const evidence = { feature, findingId, severity, explanation, at: event.startedAt }
  memory.evidence = [...memory.evidence.filter((other) => other.feature !== feature), evidence]
  const { identity, sessionId, target } = event
  const commandIds = ofMany.includes(feature)
    ? [...new Set([...context.latestCommandIds, ...departure.commandIds])].slice(-commandIdsMax)
    : departure.commandIds
  return { findingId, at: event.startedAt, identity, sessionId, target, detector, ...departure, commandIds }
}

/** The identity; or the copy of it that did it: the busiest where it is about many commands, else this command's. */
function subjectOf(
  judged: readonly Judged[],
  { settings, event, busiestInstance }: DecideContext,
): VerdictSubject {
  const { issuer, subject: id, instance } = event.identity
  if (settings.subject === 'identity') return { kind: 'identity', issuer, id, instance: '' }
  const isOfMany = judged.every(({ departure }) => ofMany.includes(departure.feature))
  return { kind: 'instance', issuer, id, instance: isOfMany ? busiestInstance : instance }
}

/** A verdict about another running copy neither stands for this one nor is extended by it. */
function standing(verdict: VerdictEvent | null, { instance }: VerdictSubject): VerdictEvent | undefined {
  return verdict?.subject.instance === instance ? verdict : undefined
}

function ladder(memory: Memory, subject: VerdictSubject, context: DecideContext): VerdictEvent | undefined {
  const telling = memory.evidence.filter(({ severity }) => rank(severity) >= rank('warning'))
  if (independent(telling).length >= 2)
    return enforce(memory, 'block', 'independent_features', telling, subject, context)
  if (isPressed(memory, telling))
    return enforce(memory, 'block', 'sustained_pressure', telling, subject, context)
  const severe = telling.find((one) => rank(one.severity) >= rank('error') && one.feature !== 'pressure')
  if (!severe || standing(memory.block, subject)) return undefined
  return enforce(memory, 'throttle', reasonOf(severe.feature), telling, subject, context)
}

/**
 * Sustained pressure against a block, or against a throttle of too much. An identity that was throttled for where it
 * came from pushes when it does no more than it always did: that is no second evidence.
 */
function isPressed({ throttle, block }: Memory, telling: readonly Evidence[]): boolean {
  if (!telling.some(({ feature }) => feature === 'pressure')) return false
  const tooMuch = telling.some(({ feature }) => amounts.includes(feature))
  return block !== null || tooMuch || (throttle !== null && amounts.map(reasonOf).includes(throttle.reason))
}

const amounts: readonly string[] = ['command-rate', 'data-volume', 'volume-total']

function reasonOf(feature: string): string {
  return feature.replaceAll('-', '_')
}

/** A total follows from a rate or from one large command: it only counts where it stands alone. */
function independent(telling: readonly Evidence[]): string[] {
  const features = telling.map(({ feature }) => feature).filter((feature) => feature !== 'pressure')
  const others = features.filter((feature) => feature !== 'volume-total')
  return others.length > 0 ? others : features
}

function enforce(
  memory: Memory,
  action: 'throttle' | 'block',
  reason: string,
  telling: readonly Evidence[],
  subject: VerdictSubject,
  context: DecideContext,
): VerdictEvent | undefined {
  const before = standing(memory[action], subject)
  const times = 2 ** memory.issued.filter(([kind]) => kind === action).length
  const verdict = before ? extended(before, context) : fresh(action, reason, telling, times, subject, context)
  if (!verdict || verdict.until <= context.nowUs) return undefined
  if (!before) memory.issued = [...memory.issued, [action, verdict.issuedAt] as const].slice(-issuedMax)
  memory[action] = verdict
  return verdict
}

/** The same verdict, to last as long again from now; undefined while more than half of its time is left. */
function extended(
  verdict: VerdictEvent,
  { settings, event, nowUs }: DecideContext,
): VerdictEvent | undefined {
  const spanUs = (verdict.action === 'block' ? settings.blockMs : settings.throttleMs) * 1000
  if (verdict.until - nowUs > spanUs / 2) return undefined
  const until = Math.min(event.startedAt + spanUs, verdict.issuedAt + lifeUsMax)
  return until > verdict.until ? { ...verdict, until } : undefined
}

function fresh(
  action: 'throttle' | 'block',
  reason: string,
  telling: readonly Evidence[],
  times: number,
  subject: VerdictSubject,
  { settings, event, usualPerMinute }: DecideContext,
): VerdictEvent {
  const spanUs = (action === 'block' ? settings.blockMs : settings.throttleMs) * 1000 * times
  const ratePerMinute = action === 'throttle' ? Math.max(1, Math.round(usualPerMinute)) : 0
  return {
    verdictId: deterministicId('v', identityKey(event.identity), action, event.eventId),
    state: 'active',
    action,
    subject,
    target: '',
    issuedAt: event.startedAt,
    until: event.startedAt + Math.min(spanUs, lifeUsMax),
    ratePerMinute,
    cancelRunning: action === 'block' && settings.cancelRunning,
    reason,
    explanation: telling.map(({ explanation }) => explanation).join('; '),
    findings: telling.map(({ findingId }) => findingId),
    causeCommandId: event.commandId,
    causeReceivedAt: event.startedAt,
    issuedBy: 'analyzer',
  }
}

function rank(severity: Severity): number {
  return severities.indexOf(severity)
}
