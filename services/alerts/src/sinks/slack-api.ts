/**
 * Slack's Web API, as far as sinks need it: a message is sent once and then edited in place (chat.postMessage, chat.update),
 * by a bot token. What an answer means for a next try is decided here; nothing is tried twice here.
 */
import type { Delivery } from '@portcullis/kernel'
import { clip } from '../wording.ts'
import type { Answer, Post } from './post.ts'

export interface SlackBot {
  readonly token: string
  readonly channel: string
  readonly apiUrl: string
}

/** `reference`: what was delivered before for the same thing. */
export async function sendOrUpdate(
  bot: SlackBot,
  post: Post,
  message: object,
  reference: string | undefined,
): Promise<Delivery> {
  const previous = parseReference(reference)
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
  if (judged === 'gone') return sendOrUpdate(bot, post, message, undefined)
  return judged
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

export function failure(why: string, answer: Answer): Delivery {
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
