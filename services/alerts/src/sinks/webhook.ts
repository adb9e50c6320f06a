/**
 * Any other receiver: signed JSON in the form of Standard Webhooks 1.0 (https://www.standardwebhooks.com), so that
 * existing libraries verify it. An id is the same for every try of one message: receivers drop what they have seen.
 */
import { createHash, createHmac } from 'node:crypto'
import type { Alert, ApprovalNotice, Delivery, Sink } from '@portcullis/kernel'
import { clip, isoTime, linkTo } from '../wording.ts'
import type { Post } from './post.ts'

export interface WebhookOptions {
  readonly url: string
  /** Signs each message; a secret that starts with `whsec_` is base64 after it. Unsigned where absent. */
  readonly secret?: string
  readonly consoleUrl?: string
  readonly post: Post
  readonly nowUs: () => number
}

export function createWebhookSink({ url, secret, consoleUrl, post, nowUs }: WebhookOptions): Sink {
  return {
    name: 'webhook',
    async deliver(alert): Promise<Delivery> {
      const body = JSON.stringify(webhookBody(alert, consoleUrl))
      const id = `msg_${createHash('sha256').update(`${alert.dedupKey}\n${alert.action}\n${alert.at}`).digest('hex').slice(0, 32)}`
      const timestamp = String(Math.floor(nowUs() / 1_000_000))
      const answer = await post(
        url,
        {
          'webhook-id': id,
          'webhook-timestamp': timestamp,
          ...(secret !== undefined && { 'webhook-signature': sign(secret, `${id}.${timestamp}.${body}`) }),
        },
        body,
      )
      if ('unreached' in answer) return { kind: 'retry', why: `webhook: ${answer.unreached}` }
      if (answer.status >= 200 && answer.status < 300) return { kind: 'delivered', reference: id }
      const why = `webhook: ${answer.status} ${clip(answer.body, 200)}`
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

export function sign(secret: string, text: string): string {
  const key = secret.startsWith('whsec_') ? Buffer.from(secret.slice(6), 'base64') : Buffer.from(secret)
  return `v1,${createHmac('sha256', key).update(text).digest('base64')}`
}

/** Times as ISO 8601, everything else as in the event schemas. */
export function webhookBody(alert: Alert, consoleUrl: string | undefined) {
  const { verdict, approval } = alert
  const link = linkTo(alert, consoleUrl)
  return {
    type: `${approval ? 'approval' : 'incident'}.${alert.action}`,
    timestamp: isoTime(alert.at),
    data: {
      dedupKey: alert.dedupKey,
      severity: alert.severity,
      title: alert.title,
      ...(link !== undefined && { link }),
      ...(approval && { approval: approvalBody(approval) }),
      verdict: verdict && { ...verdict, ...times(verdict, ['issuedAt', 'until', 'causeReceivedAt']) },
      findings: alert.findings.map((finding) => ({
        ...finding,
        ...times(finding, ['at', 'windowStart', 'windowEnd']),
      })),
    },
  }
}

function approvalBody({ approval, standing, isWhole }: ApprovalNotice) {
  const { request, answers, usableUntil } = approval
  return {
    ...{ ...approval, ...times(approval, ['requestedAt', 'since']), state: standing, isWhole },
    usableUntil: usableUntil === 0 ? null : isoTime(usableUntil),
    request: { ...request, ...times(request, ['deadline']) },
    answers: answers.map((answer) => ({ ...answer, ...times(answer, ['at']) })),
  }
}

function times<K extends string>(
  from: Readonly<Record<K, number>>,
  names: readonly K[],
): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, isoTime(from[name])]))
}
