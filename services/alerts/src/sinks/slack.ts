/**
 * Slack by Block Kit. With a bot token one message an incident, edited in place (chat.postMessage, chat.update); an
 * incoming webhook cannot edit, so there an update is a new message of the same shape that says so. Lengths are cut to
 * Slack's limits (https://docs.slack.dev/reference/block-kit/blocks) rather than refused by it.
 */
import type { Alert, Delivery, Sink } from '@portcullis/kernel'
import { aboutWhom, clip, explanation, isoTime, linkTo } from '../wording.ts'
import type { Answer, Post } from './post.ts'

export interface SlackOptions {
  /** Where both are given the bot token is used, since it can edit. */
  readonly webhook?: string
  readonly bot?: { readonly token: string; readonly channel: string; readonly apiUrl: string }
  readonly consoleUrl?: string
  readonly post: Post
}

export function createSlackSink(options: SlackOptions): Sink {
  const { bot, webhook, consoleUrl, post } = options

  async function byBot(alert: Alert, reference: string | undefined): Promise<Delivery> {
    if (!bot) return { kind: 'failed', why: 'slack: neither webhook nor bot token' }
    const previous = parseReference(reference)
    const message = slackMessage(alert, consoleUrl, false)
    const method = previous ? 'chat.update' : 'chat.postMessage'
    const address = previous ? { channel: previous.channel, ts: previous.ts } : { channel: bot.channel }
    const answer = await post(
      `${bot.apiUrl.replace(/\/$/, '')}/${method}`,
      { authorization: `Bearer ${bot.token}` },
      JSON.stringify({
        ...address,
        ...message,
        ...(previous ? {} : { unfurl_links: false, unfurl_media: false }),
      }),
    )
    if ('unreached' in answer) return { kind: 'retry', why: `slack ${method}: ${answer.unreached}` }
    const judged = judgeApi(answer, method)
    // Someone deleted the message, or it is too old to edit: a new one is better than silence.
    if (judged === 'gone') return byBot(alert, undefined)
    return judged
  }

  async function byWebhook(url: string, alert: Alert, reference: string | undefined): Promise<Delivery> {
    const answer = await post(
      url,
      {},
      JSON.stringify(slackMessage(alert, consoleUrl, reference !== undefined)),
    )
    if ('unreached' in answer) return { kind: 'retry', why: `slack webhook: ${answer.unreached}` }
    if (answer.status === 200) return { kind: 'delivered', reference: 'webhook' }
    return failure(`slack webhook: ${answer.status} ${clip(answer.body, 200)}`, answer)
  }

  return {
    name: 'slack',
    deliver: (alert, reference) =>
      webhook !== undefined && !bot ? byWebhook(webhook, alert, reference) : byBot(alert, reference),
  }
}

/** Text for notifications and blocks for the eye; within every limit whatever the alert holds. */
export function slackMessage(alert: Alert, consoleUrl: string | undefined, followsUp: boolean) {
  const resolved = alert.action === 'resolve'
  const title = resolved ? `Resolved: ${alert.title}` : alert.title
  const link = linkTo(alert, consoleUrl)
  const words = explanation(alert)
  const blocks = [
    {
      type: 'header',
      text: { type: 'plain_text', text: clip(`${icon(alert)} ${title}`, headerCharsMax), emoji: true },
    },
    ...(words === ''
      ? []
      : [{ type: 'section', text: { type: 'mrkdwn', text: escapeClipped(words, textCharsMax) } }]),
    { type: 'section', fields: fieldsOf(alert).map(([name, value]) => field(name, value)) },
    ...(link === undefined
      ? []
      : [
          {
            type: 'section',
            text: { type: 'mrkdwn', text: clip(`<${link}|Commands and baseline>`, textCharsMax) },
          },
        ]),
    { type: 'context', elements: [{ type: 'mrkdwn', text: context(alert, followsUp) }] },
  ]
  return { text: escapeClipped(title, textCharsMax), blocks }
}

const headerCharsMax = 150
const textCharsMax = 3000
const fieldCharsMax = 2000

function fieldsOf(alert: Alert): [string, string][] {
  const { verdict, findings } = alert
  const { issuer, subject } = aboutWhom(alert)
  const fields: [string, string][] = [
    ['Identity', subject],
    ['Issuer', issuer],
    ['Target', verdict?.target || findings.at(-1)?.target || 'all'],
    ['Severity', alert.severity],
    ['Action', verdict ? verdict.action : 'none: alert only'],
    ['Until', verdict ? isoTime(verdict.until) : ''],
    ['Reason', verdict?.reason ?? findings.at(-1)?.feature ?? ''],
    ['Issued by', verdict?.issuedBy ?? ''],
    ['Rate', verdict?.action === 'throttle' ? `${verdict.ratePerMinute} commands/min` : ''],
    ['Command', verdict?.causeCommandId || (findings.at(-1)?.commandIds.at(-1) ?? '')],
  ]
  return fields.filter(([, value]) => value !== '').slice(0, 10)
}

function field(name: string, value: string) {
  return { type: 'mrkdwn', text: `*${name}*\n${escapeClipped(value, fieldCharsMax - name.length - 3)}` }
}

function context(alert: Alert, followsUp: boolean): string {
  const id = alert.verdict ? `verdict ${alert.verdict.verdictId}` : `incident ${alert.dedupKey}`
  const note = followsUp ? ' · update of an earlier message, which a webhook cannot edit' : ''
  return `${escapeClipped(`Portcullis · ${id} · ${isoTime(alert.at)}`, 1900)}${note}`
}

function icon({ action, severity }: Alert): string {
  if (action === 'resolve') return ':white_check_mark:'
  return severity === 'critical' || severity === 'error' ? ':no_entry:' : ':warning:'
}

/** Slack's own three (https://docs.slack.dev/messaging/formatting-message-text); cut before, so that no entity is split. */
export function escapeClipped(text: string, charsMax: number): string {
  const escaped = escapeText(text)
  if (escaped.length <= charsMax) return escaped
  let length = 0
  let kept = ''
  for (const char of text) {
    length += escapeText(char).length
    if (length > charsMax - 1) break
    kept += char
  }
  return `${escapeText(kept)}…`
}

function escapeText(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function parseReference(reference: string | undefined): { channel: string; ts: string } | undefined {
  const split = reference?.indexOf(':') ?? -1
  if (reference === undefined || split < 1) return undefined
  return { channel: reference.slice(0, split), ts: reference.slice(split + 1) }
}

/** The Web API answers 200 with `ok: false` for most errors (https://docs.slack.dev/apis/web-api). */
function judgeApi(answer: Answer, method: string): Delivery | 'gone' {
  if (answer.status !== 200) return failure(`slack ${method}: ${answer.status}`, answer)
  const body = parseBody(answer.body)
  if (body?.ok === true && typeof body.ts === 'string' && typeof body.channel === 'string')
    return { kind: 'delivered', reference: `${body.channel}:${body.ts}` }
  if (body?.ok === true) return { kind: 'delivered' }
  const error = typeof body?.error === 'string' ? clip(body.error, 100) : 'an answer that is not JSON'
  if (gone.has(error)) return 'gone'
  return passing.has(error)
    ? { kind: 'retry', why: `slack ${method}: ${error}`, ...retryAfter(answer) }
    : { kind: 'failed', why: `slack ${method}: ${error}` }
}

const gone = new Set(['message_not_found', 'cant_update_message', 'edit_window_closed'])
const passing = new Set([
  'ratelimited',
  'rate_limited',
  'internal_error',
  'fatal_error',
  'request_timeout',
  'service_unavailable',
  'an answer that is not JSON',
])

function failure(why: string, answer: Answer): Delivery {
  const passes = answer.status === 429 || answer.status === 408 || answer.status >= 500
  return passes ? { kind: 'retry', why, ...retryAfter(answer) } : { kind: 'failed', why }
}

function retryAfter({ retryAfterMs }: Answer): { retryAfterMs?: number } {
  return retryAfterMs === undefined ? {} : { retryAfterMs }
}

function parseBody(text: string): Record<string, unknown> | undefined {
  try {
    const body: unknown = JSON.parse(text)
    return typeof body === 'object' && body !== null ? { ...body } : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
