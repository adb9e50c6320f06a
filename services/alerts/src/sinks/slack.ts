/**
 * Slack by Block Kit. With a bot token one message an incident, edited in place (chat.postMessage, chat.update); an
 * incoming webhook cannot edit, so there an update is a new message of the same shape that says so. Lengths are cut to
 * Slack's limits (https://docs.slack.dev/reference/block-kit/blocks) rather than refused by it.
 */
import type { Alert, Delivery, Sink } from '@portcullis/kernel'
import { aboutWhom, clip, explanation, isoTime, linkTo } from '../wording.ts'
import type { Post } from './post.ts'
import { failure, sendOrUpdate, type SlackBot } from './slack-api.ts'

export interface SlackOptions {
  /** Where both are given the bot token is used, since it can edit. */
  readonly webhook?: string
  readonly bot?: SlackBot
  readonly consoleUrl?: string
  readonly post: Post
}

export function createSlackSink(options: SlackOptions): Sink {
  const { bot, webhook, consoleUrl, post } = options

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
    async deliver(alert, reference) {
      if (bot) return sendOrUpdate(bot, post, slackMessage(alert, consoleUrl, false), reference)
      if (webhook !== undefined) return byWebhook(webhook, alert, reference)
      return { kind: 'failed', why: 'slack: neither webhook nor bot token' }
    },
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
