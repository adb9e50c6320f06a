/**
 * What is worth telling a person, as a fold over verdicts, liftings, findings and what rules want told: one incident for each subject and
 * target however many verdicts and findings it collects, told again only where it got worse, and resolved when nothing
 * is in force any more. Pure: time is handed in. It sends nothing and forgets what is over.
 */
import { createHash } from 'node:crypto'
import {
  type Alert,
  type FindingEvent,
  identityKey,
  type VerdictEvent,
  verdictKey,
  verdictKeys,
} from '@portcullis/kernel'
import { actionSeverity, findingTitle, severityRank, verdictTitle, worst } from './wording.ts'

export interface Incident {
  readonly dedupKey: string
  /** Verdicts in force, empty for an incident of findings alone. */
  verdicts: VerdictEvent[]
  /** Evidence, latest last, at most `findingsMax`. */
  findings: FindingEvent[]
  severity: Alert['severity']
  /** Told to the sinks; until `dueAt` a finding waits for the verdict that may follow it. */
  announced: boolean
  dueAt: number
  lastAt: number
}

export interface Incidents {
  readonly open: Map<string, Incident>
  /** Findings that may still be cited by a verdict, by id, oldest first. */
  readonly recent: Map<string, FindingEvent>
}

export function initialIncidents(): Incidents {
  return { open: new Map(), recent: new Map() }
}

/** A verdict that holds (or no longer does), from the analyzer or by hand. `lifted` knows what was lifted by hand. */
export function onVerdict(
  state: Incidents,
  verdict: VerdictEvent,
  lifted: (verdictId: string) => boolean,
  nowUs: number,
): Alert[] {
  if (verdict.state === 'lifted' || lifted(verdict.verdictId))
    return onLifted(state, verdict.verdictId, nowUs)
  if (verdict.until <= nowUs) return []
  const dedupKey = dedupKeyOf('verdict', verdictKey(verdict.subject), verdict.target)
  const known = state.open.get(dedupKey)
  const incident = known ?? open(state, dedupKey, nowUs)
  const before = incident.severity
  incident.verdicts = [
    ...incident.verdicts.filter(({ verdictId }) => verdictId !== verdict.verdictId),
    verdict,
  ].slice(-verdictsMax)
  incident.severity = worst([incident.severity, actionSeverity[verdict.action]])
  incident.lastAt = nowUs
  const absorbed = absorbFindings(state, incident, verdict, nowUs)
  const worse = !known || severityRank[incident.severity] > severityRank[before]
  incident.announced = true
  return worse ? [...absorbed, alertOf(incident, 'trigger', nowUs)] : absorbed
}

export function onLifted(state: Incidents, verdictId: string, nowUs: number): Alert[] {
  return [...state.open.values()].flatMap((incident) => {
    if (!incident.verdicts.some((verdict) => verdict.verdictId === verdictId)) return []
    const remaining = incident.verdicts.filter((verdict) => verdict.verdictId !== verdictId)
    return settle(state, incident, remaining, nowUs)
  })
}

/** A finding joins the incident of its identity, or waits `holdUs` for a verdict before it is told on its own. */
export function onFinding(state: Incidents, finding: FindingEvent, nowUs: number): Alert[] {
  if (finding.at < nowUs - findingFreshUs || state.recent.has(finding.findingId)) return []
  state.recent.set(finding.findingId, finding)
  trimRecent(state, nowUs)
  const host = hostOf(state, finding)
  if (host) {
    attach(host, finding, nowUs)
    return []
  }
  if (severityRank[finding.severity] < severityRank.warning) return []
  const dedupKey = findingKey(finding)
  const incident = state.open.get(dedupKey) ?? open(state, dedupKey, nowUs)
  const before = incident.severity
  attach(incident, finding, nowUs)
  incident.severity = worst([incident.severity, finding.severity])
  const worse = severityRank[incident.severity] > severityRank[before]
  return incident.announced && worse ? [alertOf(incident, 'trigger', nowUs)] : []
}

/** What a rule wants told: at once, and of its rule, identity and target one incident; no verdict takes it over. */
export function onRuleAlert(state: Incidents, finding: FindingEvent, nowUs: number): Alert[] {
  if (finding.at < nowUs - findingFreshUs) return []
  const { identity, feature, severity, target } = finding
  const dedupKey = dedupKeyOf('rule', `${identityKey(identity)}\n${feature}`, target)
  const known = state.open.get(dedupKey)
  const incident = known ?? open(state, dedupKey, nowUs)
  const before = incident.severity
  attach(incident, finding, nowUs)
  incident.severity = worst([before, severity])
  incident.announced = true
  const isNews = !known || severityRank[incident.severity] > severityRank[before]
  return isNews ? [alertOf(incident, 'trigger', nowUs)] : []
}

/** Lets time pass: tells findings that no verdict came for, and resolves what is over. */
export function onTick(state: Incidents, nowUs: number): Alert[] {
  return [...state.open.values()].flatMap((incident) => {
    if (incident.verdicts.length > 0) {
      const remaining = incident.verdicts.filter(({ until }) => until > nowUs)
      return remaining.length < incident.verdicts.length ? settle(state, incident, remaining, nowUs) : []
    }
    if (!incident.announced && incident.dueAt <= nowUs) {
      incident.announced = true
      return [alertOf(incident, 'trigger', nowUs)]
    }
    return incident.lastAt + findingQuietUs <= nowUs ? settle(state, incident, [], nowUs) : []
  })
}

/** How long a finding waits for its verdict: both leave the analyzer together, on different topics. */
export const holdUs = 3_000_000
/** A finding without a verdict is over when nothing like it came for this long. */
export const findingQuietUs = 3_600_000_000
/** Older findings (a first start on a full topic) are history, not news. */
export const findingFreshUs = 3_600_000_000
const findingsMax = 5
const recentMax = 2_000
/** Far more than one subject ever has at once at one target; the latest are the ones that last. */
const verdictsMax = 20

function open(state: Incidents, dedupKey: string, nowUs: number): Incident {
  const incident: Incident = {
    dedupKey,
    verdicts: [],
    findings: [],
    severity: 'info',
    announced: false,
    dueAt: nowUs + holdUs,
    lastAt: nowUs,
  }
  state.open.set(dedupKey, incident)
  return incident
}

/** Takes verdicts away: resolves where none remain, and never speaks up because it got milder. */
function settle(state: Incidents, incident: Incident, remaining: VerdictEvent[], nowUs: number): Alert[] {
  if (remaining.length > 0) {
    incident.verdicts = remaining
    incident.severity = worst(remaining.map(({ action }) => actionSeverity[action]))
    return []
  }
  state.open.delete(incident.dedupKey)
  return incident.announced ? [alertOf(incident, 'resolve', nowUs)] : []
}

/** The findings a verdict cites (by hand: those about the same subject) become its evidence; where one was told on its own, that incident is resolved. */
function absorbFindings(state: Incidents, incident: Incident, verdict: VerdictEvent, nowUs: number): Alert[] {
  const evidence =
    verdict.findings.length > 0
      ? verdict.findings.flatMap((id) => state.recent.get(id) ?? [])
      : [...state.recent.values()].filter((finding) => isAbout(verdict, finding))
  for (const finding of evidence) attach(incident, finding, nowUs)
  incident.severity = worst([incident.severity, ...incident.findings.map(({ severity }) => severity)])
  return incident.findings.flatMap((finding) => {
    const alone = state.open.get(findingKey(finding))
    return alone ? settle(state, alone, [], nowUs) : []
  })
}

function attach(incident: Incident, finding: FindingEvent, nowUs: number): void {
  incident.lastAt = nowUs
  const others = incident.findings.filter(({ findingId }) => findingId !== finding.findingId)
  incident.findings = [...others, finding].slice(-findingsMax)
}

/** The open incident of a verdict that holds on whom the finding is about. */
function hostOf(state: Incidents, finding: FindingEvent): Incident | undefined {
  for (const subject of verdictKeys(finding)) {
    for (const target of [finding.target, '']) {
      const incident = state.open.get(dedupKeyOf('verdict', subject, target))
      if (incident) return incident
    }
  }
  return undefined
}

/** Whether a finding is about whom and where the verdict holds. */
function isAbout(verdict: VerdictEvent, finding: FindingEvent): boolean {
  const sameTarget = verdict.target === '' || verdict.target === finding.target
  return sameTarget && verdictKeys(finding).includes(verdictKey(verdict.subject))
}

function trimRecent(state: Incidents, nowUs: number): void {
  for (const [id, { at }] of state.recent) {
    if (state.recent.size <= recentMax && at >= nowUs - findingFreshUs) break
    state.recent.delete(id)
  }
}

function findingKey(finding: FindingEvent): string {
  return dedupKeyOf('finding', `${identityKey(finding.identity)}\n${finding.feature}`, finding.target)
}

/** Deterministic and short, so that a restart that forgot everything still names the same incident. */
function dedupKeyOf(kind: string, subject: string, target: string): string {
  return `portcullis-${createHash('sha256').update(`${kind}\n${subject}\n${target}`).digest('hex').slice(0, 40)}`
}

function alertOf(incident: Incident, action: Alert['action'], nowUs: number): Alert {
  const { dedupKey, severity, findings } = incident
  const verdict = incident.verdicts.reduce<VerdictEvent | null>(
    (worse, one) =>
      worse && severityRank[actionSeverity[worse.action]] >= severityRank[actionSeverity[one.action]]
        ? worse
        : one,
    null,
  )
  const title = verdict ? verdictTitle(verdict) : findingTitle(findings.at(-1))
  return { dedupKey, action, severity, title, verdict, findings, at: nowUs }
}
