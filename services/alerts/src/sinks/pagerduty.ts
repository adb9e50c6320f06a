/**
 * PagerDuty Events API v2 (https://developer.pagerduty.com/docs/send-alert-event). One alert for each dedup key, which
 * PagerDuty itself keeps: triggering again updates, resolving closes, so repeating a delivery never pages twice.
 */
import type { Alert, Delivery, Sink } from '@portcullis/kernel'
import { aboutWhom, clip, explanation, isoTime, linkTo } from '../wording.ts'
import type { Post } from './post.ts'

export interface PagerDutyOptions {
  readonly routingKey: string
  readonly url: string
  readonly consoleUrl?: string
  readonly post: Post
}

export function createPagerDutySink({ routingKey, url, consoleUrl, post }: PagerDutyOptions): Sink {
  return {
    name: 'pagerduty',
    async deliver(alert): Promise<Delivery> {
      const answer = await post(url, {}, JSON.stringify(pagerDutyEvent(alert, routingKey, consoleUrl)))
      if ('unreached' in answer) return { kind: 'retry', why: `pagerduty: ${answer.unreached}` }
      if (answer.status === 202) return { kind: 'delivered', reference: alert.dedupKey }
      const why = `pagerduty: ${answer.status} ${clip(answer.body, 300)}`
      const passes = answer.status === 429 || answer.status === 408 || answer.status >= 500
      if (!passes) return { kind: 'failed', why }
      return {
        kind: 'retry',
        why,
        ...(answer.retryAfterMs !== undefined && { retryAfterMs: answer.retryAfterMs }),
      }
    },
  }
}

export function pagerDutyEvent(alert: Alert, routingKey: string, consoleUrl: string | undefined) {
  const event = {
    routing_key: routingKey,
    event_action: alert.action,
    dedup_key: clip(alert.dedupKey, dedupKeyCharsMax),
  }
  if (alert.action === 'resolve') return event
  const { verdict, findings, approval } = alert
  const { issuer, subject } = aboutWhom(alert)
  const target =
    approval?.approval.request.target || verdict?.target || findings.at(-1)?.target || 'all targets'
  const link = linkTo(alert, consoleUrl)
  return {
    ...event,
    client: 'Portcullis',
    ...(link !== undefined && {
      client_url: link,
      links: [{ href: link, text: approval ? 'Approve or deny' : 'Commands and baseline' }],
    }),
    payload: {
      summary: clip(alert.title, summaryCharsMax),
      source: clip(target, sourceCharsMax),
      severity: alert.severity,
      timestamp: isoTime(alert.at),
      component: clip(subject, sourceCharsMax),
      group: clip(issuer || 'portcullis', sourceCharsMax),
      class: clip(
        approval ? 'approval' : (verdict?.reason ?? findings.at(-1)?.feature ?? 'finding'),
        sourceCharsMax,
      ),
      custom_details: detailsOf(alert),
    },
  }
}

const dedupKeyCharsMax = 255
const summaryCharsMax = 1024
const sourceCharsMax = 255
const detailCharsMax = 4000

function detailsOf(alert: Alert) {
  const { verdict, findings, approval } = alert
  return {
    ...(approval && {
      approval_id: approval.approval.approvalId,
      standing: approval.standing,
      answer_by: isoTime(approval.approval.request.deadline),
    }),
    explanation: clip(explanation(alert), detailCharsMax),
    ...(verdict && {
      verdict_id: clip(verdict.verdictId, 255),
      action: verdict.action,
      until: isoTime(verdict.until),
      issued_by: clip(verdict.issuedBy, 255),
      cause_command_id: clip(verdict.causeCommandId, 255),
    }),
    findings: findings.slice(-5).map((finding) => ({
      feature: clip(finding.feature, 255),
      observed: finding.observed,
      expected: finding.expected,
      unit: clip(finding.unit, 64),
      score: finding.score,
      commands: finding.commandIds.slice(-5).map((id) => clip(id, 255)),
    })),
  }
}
