/**
 * Where Slack tells of presses of our buttons. What is not Slack's own is refused before it is parsed; what is, is
 * acknowledged at once, since Slack waits for three seconds and the log may take longer, and the one who pressed hears what
 * came of it, and nobody else. Who may press is decided as for everybody: this file knows only as whom a user of Slack counts.
 * The message itself is brought up to date by the service that sent it.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { identityKey } from '@portcullis/kernel'
import type { Log, Metrics } from '@portcullis/platform/service'
import type { FastifyInstance } from 'fastify'
import type { Approvals } from '../approvals/approvals.ts'
import { type Authenticator, requireRole } from '../auth.ts'
import { ApiError, apiErrorOf } from '../problems.ts'
import { type Press, readInteraction } from './interaction.ts'
import type { Respond } from './respond.ts'
import type { SlackVerifier } from './signature.ts'

export interface SlackUser {
  readonly issuer: string
  readonly subject: string
  readonly groups: readonly string[]
  readonly provider?: string | undefined
}

export interface SlackParts {
  readonly verifier: SlackVerifier
  readonly teams: readonly string[]
  /** By Slack user id. */
  readonly users: Readonly<Record<string, SlackUser>>
  readonly respond: Respond
}

export interface SlackRouteParts extends SlackParts {
  readonly approvals: Approvals
  readonly auth: Pick<Authenticator, 'vouched'>
  readonly log: Log
  readonly metrics: Metrics
}

/** The payload has the whole message in it, whose texts are of limited length. */
const bodyBytesMax = 262_144
const atOnceMax = 64
const stopMsMax = 5_000

export async function slackRoutes(app: FastifyInstance, parts: SlackRouteParts): Promise<void> {
  const { verifier, log } = parts
  const counted = parts.metrics.counter('portcullis_slack_presses_total', 'Requests in the name of Slack', [
    'result',
  ])
  const running = new Set<Promise<void>>()
  app.removeAllContentTypeParsers()
  app.addContentTypeParser<Buffer>(
    'application/x-www-form-urlencoded',
    { parseAs: 'buffer' },
    async (_request: unknown, body: Buffer) => body,
  )
  app.addHook('preClose', async () => {
    await Promise.race([Promise.allSettled(running), sleep(stopMsMax, undefined, { ref: false })])
  })

  app.post(
    '/slack/interactions',
    { schema: { hide: true }, bodyLimit: bodyBytesMax },
    async (request, reply) => {
      const { headers, ip: address, id: requestId } = request
      const body = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0)
      const forgery = verifier.refuse({
        timestamp: textOf(headers['x-slack-request-timestamp']),
        signature: textOf(headers['x-slack-signature']),
        body,
      })
      if (forgery !== undefined) {
        counted.inc({ result: forgery })
        log.warn({ requestId, address, why: forgery }, 'a request in the name of Slack was refused')
        throw new ApiError('unauthenticated', 'Slack did not sign this, or not now.')
      }
      const interaction = readInteraction(body)
      if (interaction.kind === 'unreadable') {
        counted.inc({ result: 'unreadable' })
        log.warn({ requestId, why: interaction.why }, 'Slack sent what cannot be read')
        throw new ApiError('invalid_request', 'This is no press of a button of ours.')
      }
      if (interaction.kind === 'press') {
        if (running.size >= atOnceMax)
          throw new ApiError('overloaded', 'Too many presses wait already.', { retryAfterSec: 5 })
        const pressed = press(interaction.press, requestId).finally(() => running.delete(pressed))
        running.add(pressed)
      }
      return reply.code(200).send()
    },
  )

  /** Never rejects. */
  async function press(pressed: Press, requestId: string): Promise<void> {
    const { userId, userTeamId: team, about, answer } = pressed
    let said: string
    let result = 'answered'
    try {
      said = await judged(pressed, parts)
    } catch (thrown) {
      const error = apiErrorOf(thrown)
      result = error.code
      said = error.message
      if (error.code === 'internal') log.error({ err: error.cause, requestId }, 'a press failed')
    }
    counted.inc({ result })
    log.info({ requestId, userId, team, answer, approval: about.approval, result }, 'pressed in Slack')
    try {
      await parts.respond(pressed.responseUrl, said)
    } catch (error) {
      log.error({ err: error, requestId }, 'a press was not answered')
    }
  }
}

/** What to say to the one who pressed. @throws ApiError */
async function judged(pressed: Press, { teams, users, auth, approvals }: SlackRouteParts): Promise<string> {
  const { userId, userTeamId, about, answer, reason } = pressed
  const user = Object.hasOwn(users, userId) ? users[userId] : undefined
  if (!teams.includes(userTeamId) || !user)
    throw new ApiError('forbidden', `Slack user ${userId} of ${userTeamId} may not answer here.`)
  const { issuer, subject, groups, provider } = user
  const identity = {
    ...{ issuer, subject, groups: [...groups], delegation: [], instance: `slack ${userId}` },
    ...{ task: '', ancestors: [] },
  }
  const caller = auth.vouched(identity, provider)
  requireRole(caller, 'approver')
  const given = { answer, digest: about.digest, reason: reason.slice(0, 2000), via: 'slack' } as const
  const { approval } = await approvals.answer(about.approval, given, caller)
  if (answer === 'deny') return `Denied, as ${identityKey(identity)}.`
  return approval.state === 'pending'
    ? `Your approval counts, as ${identityKey(identity)}; more people must approve.`
    : `Approved, as ${identityKey(identity)}.`
}

function textOf(header: string | string[] | undefined): string | undefined {
  return typeof header === 'string' ? header : undefined
}
