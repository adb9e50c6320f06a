/** Who gives access to a target for a while, and for how long at most. */
import { z } from 'zod'
import { approvingGroup, positive } from './forms.ts'

const approversMax = 16

const quorum = z.strictObject({
  groups: z
    .array(approvingGroup)
    .min(1)
    .max(64)
    .describe(
      'Groups of people, each a name or `{ issuer: URL, group: NAME }`; "*" for everybody whose role lets them approve.',
    ),
  count: positive.max(approversMax).default(1).describe('How many of them.'),
})

export const accessApprovals = z.strictObject({
  by: z
    .array(quorum)
    .min(1)
    .max(approversMax)
    .refine(
      (by) => by.reduce((sum, { count }) => sum + count, 0) <= approversMax,
      `needs more than ${approversMax} people`,
    )
    .describe('Who must approve: of each of these so many, and nobody counts for two.'),
  delegatorsMay: z
    .boolean()
    .default(false)
    .describe('Whether those on whose behalf an identity acts may approve what it asks for.'),
  answerSec: positive.max(604_800).default(3600).describe('How long people have to answer.'),
  durationSecMax: positive.max(2_592_000).default(28_800).describe('For how long access can be asked for.'),
})
