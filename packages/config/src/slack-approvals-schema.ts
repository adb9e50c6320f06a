/**
 * Approvals in Slack: where they are asked for, and who may press the buttons. Slack says only which of its users pressed; as
 * whom that counts stands here, and nobody else can press anything.
 */
import { z } from 'zod'
import { secretRef } from './forms.ts'

const slackId = (first: string, what: string) =>
  z.string().regex(new RegExp(`^[${first}][A-Z0-9]{2,}$`), `must be ${what}`)

const approver = z.strictObject({
  issuer: z.string().min(1).describe('Issuer of the person, as in the events of their sign-ins.'),
  subject: z.string().min(1).describe('Subject of the person there.'),
  groups: z
    .array(z.string().min(1))
    .min(1)
    .describe('Groups that they answer with; their role comes of these, by `api.roles`.'),
  provider: z
    .string()
    .min(1)
    .optional()
    .describe('Name of the provider whose groups these are, where it has `roles` of its own.'),
})

export const slackApprovals = z.strictObject({
  teams: z
    .array(slackId('TE', 'the id of a workspace (T…) or an organisation (E…)'))
    .min(1)
    .describe('Workspaces of those who may press; a user of another one, in a shared channel, is refused.'),
  channel: z.string().min(1).describe('Channel that approvals are asked for in; the bot must be a member.'),
  botToken: secretRef.describe('Bot token with `chat:write`: messages are updated in place.'),
  signingSecret: secretRef.describe(
    "The app's signing secret, by which a press is known to be Slack's. Its request URL is `/slack/interactions` of the API.",
  ),
  apiUrl: z.url().default('https://slack.com/api').describe('Base of the Web API.'),
  users: z
    .record(slackId('UW', 'the id of a user (U… or W…)'), approver)
    .describe('Who may press, by Slack user id: as whom it counts.'),
})
