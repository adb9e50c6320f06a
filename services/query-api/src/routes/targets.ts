/** What the caller can connect to. */
import { z } from 'zod'
import type { Approvals } from '../approvals/approvals.ts'
import type { Register } from '../endpoint.ts'
import type { ReachableTargets } from '../reachable-targets.ts'

const targetSchema = z.object({
  name: z.string(),
  protocol: z.string(),
  roles: z.array(z.string()).describe("Those you may ask for; '' is the target's own user."),
  database: z.string().describe('Where you name none.'),
  address: z.string().describe('HOST:PORT to dial.'),
  tls: z.boolean().describe('Whether that door speaks TLS.'),
  labels: z.record(z.string(), z.string()),
})

export function targetRoutes(
  register: Register,
  reachable: ReachableTargets,
  approvals: Pick<Approvals, 'given'>,
): void {
  register({
    method: 'GET',
    url: '/v1/targets',
    tag: 'targets',
    summary: 'What you can connect to, and how',
    description:
      'By the groups that you were proven to be of, the access that people gave you for a while, and what your token is good for. A static token of the API is nobody at a door, and gets an empty list.',
    role: 'anyone',
    answer: { status: 200, schema: z.object({ items: z.array(targetSchema) }) },
    handle: async ({ caller: { proof } }) => ({
      items: proof ? reachable(proof.identity, proof.scope, approvals.given(proof.identity)) : [],
    }),
  })
}
