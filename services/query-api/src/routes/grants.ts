/** Grants: a target, in a role, for a while. Asked for here, given as any other approval is, and ended before their time. */
import type { Clock } from '@portcullis/kernel'
import { z } from 'zod'
import type { AccessRules, Approvals } from '../approvals/approvals.ts'
import { approvalRow } from '../approvals/row.ts'
import type { Register } from '../endpoint.ts'
import { invalid, shortText } from '../input.ts'
import { ApiError } from '../problems.ts'
import { approvalSchema } from './approvals.ts'

export interface GrantRouteParts {
  readonly approvals: Approvals
  readonly rules: AccessRules | undefined
  /** Names of the roles of a target; undefined where there is no such target. */
  readonly rolesOf: (target: string) => readonly string[] | undefined
  readonly clock: Pick<Clock, 'nowUs'>
}

const body = z.strictObject({
  target: shortText,
  role: z.string().max(1024).default('').describe('Role of the target; empty for its default.'),
  durationSec: z.int().min(60).describe('For how long, from the approval on.'),
  reason: z.string().min(1).max(2000).describe('What for; the approver reads it.'),
})

export function grantRoutes(register: Register, { approvals, rules, rolesOf, clock }: GrantRouteParts): void {
  register({
    method: 'POST',
    url: '/v1/grants',
    tag: 'approvals',
    summary: 'Ask for access to a target for a while',
    description:
      'Makes an approval of kind access, which lists and answers as any other. Once approved, logins of the same identity to this target and role are let in until its time ends. Asking for the same again while it waits gives the same approval. `/v1/approvals?kind=access&state=approved` are the grants in force; revoke one to end it.',
    role: 'anyone',
    body,
    example: { target: 'shop', role: 'report', durationSec: 3600, reason: 'CHG-4711' },
    answer: { status: 201, schema: approvalSchema },
    async handle({ body: asked, caller: { proof, actor } }) {
      if (!proof)
        throw new ApiError('forbidden', 'A static token is nobody who could reach a target: sign in.')
      const { targets, roles } = proof.scope
      if (targets !== undefined || roles !== undefined)
        throw new ApiError('forbidden', 'Your token is limited, and cannot ask for more.')
      const known = rolesOf(asked.target)
      const faults = [
        ...(known ? [] : [{ in: 'body', field: 'target', message: 'is no target here' } as const]),
        ...(known && asked.role !== '' && !known.includes(asked.role)
          ? [{ in: 'body', field: 'role', message: 'is no role of this target' } as const]
          : []),
        ...(rules && asked.durationSec > rules.durationSecMax
          ? [
              {
                in: 'body',
                field: 'durationSec',
                message: `must be at most ${rules.durationSecMax}`,
              } as const,
            ]
          : []),
      ]
      if (faults.length > 0) throw invalid(faults)
      return approvalRow(await approvals.askAccess(asked, proof.identity, actor), clock.nowUs())
    },
  })
}
