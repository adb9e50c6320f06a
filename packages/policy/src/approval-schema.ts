/** How people approve what a rule holds. What is absent is as the configuration's `approvals` has it. */
import { z } from 'zod'

const seconds = z.number().int().positive()
const approversMax = 16

const groupName = z.string().min(1).max(256)

const quorum = z.strictObject({
  groups: z
    .array(
      z.union(
        [groupName, z.strictObject({ issuer: z.string().min(1).max(1024), group: groupName })],
        'must be a group, or { issuer: URL, group: NAME }',
      ),
    )
    .min(1)
    .max(64),
  count: z.number().int().positive().max(approversMax).default(1),
})

export const approval = z.strictObject({
  by: z
    .array(quorum)
    .min(1)
    .max(approversMax)
    .refine(
      (by) => by.reduce((sum, { count }) => sum + count, 0) <= approversMax,
      `needs more than ${approversMax} people`,
    )
    .optional(),
  delegatorsMay: z.boolean().optional(),
  perInstance: z.boolean().optional(),
  use: z.enum(['once', 'window']).optional(),
  answerSec: seconds.max(604_800).optional(),
  usableSec: seconds.max(604_800).optional(),
  waitSec: z.number().int().min(0).max(86_400).optional(),
  waitInTransactionSec: z.number().int().min(0).max(3600).optional(),
})

export type ApprovalTerms = z.output<typeof approval>
