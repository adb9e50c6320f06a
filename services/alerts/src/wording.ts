/** The words and ranks that every sink shares, so that Slack and PagerDuty say the same of one incident. */
import { ruleDetector } from './rule-alerts.ts'
import type { Alert, FindingEvent, VerdictAction, VerdictEvent } from '@portcullis/kernel'

type Severity = Alert['severity']

export const severityRank: Record<Severity, number> = { info: 0, warning: 1, error: 2, critical: 3 }
export const actionSeverity: Record<VerdictAction, Severity> = {
  throttle: 'warning',
  hold: 'error',
  block: 'critical',
  kill: 'critical',
}
const done: Record<VerdictAction, string> = {
  throttle: 'throttled',
  hold: 'held for approval',
  block: 'blocked',
  kill: 'disconnected',
}

export function worst(severities: readonly Severity[]): Severity {
  return severities.reduce<Severity>((a, b) => (severityRank[b] > severityRank[a] ? b : a), 'info')
}

export function verdictTitle(verdict: VerdictEvent): string {
  const where = verdict.target === '' ? '' : ` at ${verdict.target}`
  return `${subjectName(verdict)} ${done[verdict.action]}${where}`
}

export function findingTitle(finding: FindingEvent | undefined): string {
  if (!finding) return 'Unusual behaviour'
  const where = finding.target === '' ? '' : ` at ${finding.target}`
  const { detector, feature, identity } = finding
  return `${identity.subject}: ${detector === ruleDetector ? 'rule' : 'unusual'} ${feature}${where}`
}

/** Whom a verdict is about, for a person. */
export function subjectName({ subject }: VerdictEvent): string {
  switch (subject.kind) {
    case 'identity':
      return subject.id
    case 'instance':
      return `${subject.id} (instance ${subject.instance})`
    case 'session':
      return `session ${subject.id}`
    case 'token':
      return `token ${subject.instance}`
    case 'delegation':
      return `everyone acting for ${subject.id}`
  }
}

/** Who an alert is about: the identity where it is known, else what the verdict names, without an issuer. */
export function aboutWhom({ verdict, findings, approval }: Alert): { issuer: string; subject: string } {
  if (approval) {
    const { issuer, subject } = approval.approval.request.identity
    return { issuer, subject }
  }
  const { kind, issuer = '', id = '' } = verdict?.subject ?? {}
  if (kind === 'identity' || kind === 'instance') return { issuer, subject: id }
  const finding = findings.at(-1)
  if (finding) return { issuer: finding.identity.issuer, subject: finding.identity.subject }
  return { issuer: '', subject: verdict ? subjectName(verdict) : '' }
}

/** What happened, in one or more sentences; already free of secrets, since events are. */
export function explanation({ verdict, findings, approval }: Alert): string {
  if (approval) {
    const { request } = approval.approval
    return request.kind === 'command' ? request.statement : request.reason
  }
  const sentences = [verdict?.explanation, ...findings.map((finding) => finding.explanation)]
  return [...new Set(sentences.filter((sentence) => sentence !== undefined && sentence !== ''))].join('\n')
}

/** At most `charsMax` characters, never half of a surrogate pair, an ellipsis where something was cut. */
export function clip(text: string, charsMax: number): string {
  if (text.length <= charsMax) return text
  const cut = text.slice(0, charsMax - 1)
  const last = cut.charCodeAt(cut.length - 1)
  return `${last >= 0xd800 && last <= 0xdbff ? cut.slice(0, -1) : cut}…`
}

export function isoTime(us: number): string {
  return new Date(Math.floor(us / 1000)).toISOString()
}

/** Where to look further; undefined without a configured base. */
export function linkTo(alert: Alert, baseUrl: string | undefined): string | undefined {
  if (alert.approval) return alert.approval.link
  if (baseUrl === undefined) return undefined
  const { issuer, subject } = aboutWhom(alert)
  const base = baseUrl.endsWith('/') ? baseUrl : `${baseUrl}/`
  if (issuer !== '') return new URL(`v1/identities/${encodeURIComponent(`${issuer}|${subject}`)}`, base).href
  return new URL(alert.verdict ? 'v1/verdicts' : 'v1/findings', base).href
}
