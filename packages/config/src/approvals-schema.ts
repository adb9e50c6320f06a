/** Approvals: what holds where a rule says nothing else, and what bounds all of them. */
import { z } from 'zod'
import { approvingGroup, positive } from './forms.ts'
import { accessApprovals } from './access-approvals-schema.ts'
import { slackApprovals } from './slack-approvals-schema.ts'

export const approvals = z.strictObject({
  link: z
    .url()
    .optional()
    .describe(
      'Base of the address that a held client is told, `LINK/approvals/ID`; where absent `people.publicUrl`, else none.',
    ),
  groups: z
    .array(approvingGroup)
    .min(1)
    .default(['*'])
    .describe(
      'Who may approve what a rule names nobody for; "*" for everybody whose role lets them approve. A name is the group of any issuer, `{ issuer: URL, group: NAME }` that of one.',
    ),
  delegatorsMay: z
    .boolean()
    .default(false)
    .describe('Whether those on whose behalf an identity acts may approve what it asks for.'),
  perInstance: z
    .boolean()
    .default(false)
    .describe(
      'Whether an approval is for the running copy alone. A copy that comes again with a new token then needs another.',
    ),
  answerSec: positive.max(604_800).default(3600).describe('How long people have to answer.'),
  usableSec: positive
    .max(604_800)
    .default(900)
    .describe(
      'How long what was approved may be used: once, or as often as wanted where the rule says window.',
    ),
  waitSec: z
    .number()
    .int()
    .min(0)
    .max(86_400)
    .default(300)
    .describe(
      'How long a held command waits in its connection; 0: it is refused at once, and passes when it comes again once it is approved.',
    ),
  waitInTransactionSec: z
    .number()
    .int()
    .min(0)
    .max(3600)
    .default(5)
    .describe('The same inside of an open transaction, whose locks are held meanwhile.'),
  noticeSec: positive
    .max(3600)
    .default(30)
    .describe('How often a client that waits is told so, where its protocol can.'),
  pendingPerIdentityMax: positive
    .default(20)
    .describe('Held commands of one identity that may wait for an answer; more are refused.'),
  pendingPerTargetMax: positive.default(200).describe('The same of one target.'),
  access: accessApprovals
    .optional()
    .describe(
      'Access to a target for a while, asked for by the API or the command line. Where absent nobody can ask.',
    ),
  slack: slackApprovals.optional().describe('Approvals in Slack, by buttons.'),
  tell: z
    .array(z.enum(['pagerduty', 'webhook']))
    .default([])
    .describe(
      'Sinks of `alerts` that are told, as of an incident of severity info, what waits for an answer.',
    ),
})
