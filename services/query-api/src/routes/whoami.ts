/** Who the caller is here, and as what. */
import { scopeText } from '@portcullis/identity'
import { z } from 'zod'
import type { Register } from '../endpoint.ts'
import { isoMicros } from '../time.ts'

const answer = z.object({
  issuer: z.string(),
  subject: z.string(),
  name: z.string().describe('As the provider of a person says; empty otherwise.'),
  email: z.string(),
  groups: z.array(z.string()),
  roles: z.array(z.string()).describe('Roles of the API that your groups have.'),
  role: z.string().describe('The highest of them; empty for none.'),
  scope: z.string().describe('What the token is limited to, as `target:NAME role:NAME`; empty for nothing.'),
  task: z.string(),
  delegation: z
    .array(z.object({ issuer: z.string(), subject: z.string(), kind: z.string() }))
    .describe('On whose behalf, the first first.'),
  csrf: z
    .string()
    .optional()
    .describe('With a cookie alone: what requests other than GET need as x-portcullis-csrf.'),
  expiresAt: z.string().nullable().describe('ISO 8601, UTC, microseconds; null where it does not end.'),
})

export function whoamiRoute(register: Register): void {
  register({
    method: 'GET',
    url: '/v1/whoami',
    tag: 'sign-in',
    summary: 'Who you are here, and as what',
    role: 'anyone',
    answer: { status: 200, schema: answer },
    async handle({ caller: { actor, role = '', proof, session, expiresAtUs } }) {
      const { groups = [], task = '', delegation = [] } = proof?.identity ?? {}
      return {
        ...{ issuer: actor.issuer, subject: actor.subject, groups, roles: actor.roles, role },
        ...{ name: session?.name ?? '', email: session?.email ?? '' },
        ...{ scope: scopeText(proof?.scope ?? {}), task, delegation },
        expiresAt: expiresAtUs === undefined ? null : isoMicros(expiresAtUs),
        ...(session && { csrf: session.csrf }),
      }
    },
  })
}
