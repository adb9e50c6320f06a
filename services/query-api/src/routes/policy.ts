/** The policy that is in force, with where each part of it comes from. It is changed at /v1/config/policies, or in the file. */
import type { ControlState } from '@portcullis/kernel'
import type { ControlLog } from '@portcullis/platform/control'
import { z } from 'zod'
import type { Register } from '../endpoint.ts'
import { ApiError } from '../problems.ts'
import type { PolicyInForce } from '../settings/policy.ts'
import { isoMicrosOrNull } from '../time.ts'

export interface PolicyRouteParts {
  readonly control: Pick<ControlLog, 'state' | 'caughtUp'>
  readonly inForce: (state: ControlState) => PolicyInForce
}

const documentSchema = z.object({
  source: z.enum(['file', 'api']),
  name: z.string().nullable().describe("null for the file's."),
  version: z.int().nullable().describe('For If-Match at /v1/config/policies/NAME.'),
  changedAt: z.string().nullable(),
  changedBy: z.string().nullable(),
  text: z.string().describe('YAML.'),
  problems: z.array(z.string()).describe('Why it cannot be read here, a line each.'),
})

export function policyRoutes(register: Register, { control, inForce }: PolicyRouteParts): void {
  register({
    method: 'GET',
    url: '/v1/policy',
    tag: 'configuration',
    role: 'viewer',
    summary: 'The policy in force, and its parts',
    description:
      "`version` is what follows the dot in `decision.policyVersion` of the commands that are held to it; null where there are no rules. The file's part is as it lies before this service: the proxies take it up at SIGHUP.",
    answer: {
      status: 200,
      schema: z.object({ version: z.string().nullable(), documents: z.array(documentSchema) }),
    },
    async handle() {
      if (!control.caughtUp())
        throw new ApiError('control_unavailable', 'The control log is still being read.', {
          retryAfterSec: 2,
        })
      const { policy, documents } = inForce(control.state())
      return {
        version: policy?.version ?? null,
        documents: documents.map(({ source, name, text, mark, problems }) => ({
          ...{ source, name: name || null, version: mark?.version ?? null, text, problems },
          ...{ changedAt: isoMicrosOrNull(mark?.changedAt ?? 0), changedBy: mark?.changedBy ?? null },
        })),
      }
    },
  })
}
