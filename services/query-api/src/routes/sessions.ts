/** Sessions: who connected, from where, and every login that was refused. */
import { z } from 'zod'
import { rowSchema, sessionColumns, sessionDetailColumns } from '../columns.ts'
import type { Register } from '../endpoint.ts'
import { pageSchema } from '../endpoint.ts'
import { identityKeyText, paging, repeated, shortText, timeRange } from '../input.ts'
import { ApiError } from '../problems.ts'
import type { Listing, Trail } from '../trail.ts'
import { listPage } from './lists.ts'

const query = z.strictObject({
  ...paging,
  ...timeRange,
  identity: identityKeyText.optional().describe('Identity key: issuer, a bar, subject.'),
  target: shortText.optional(),
  phase: repeated(z.enum(['opened', 'closed', 'refused']))
    .optional()
    .describe('Latest phase is one of these.'),
  country: z
    .string()
    .regex(/^[A-Z]{2}$/, 'must be two capital letters')
    .optional(),
  decision: shortText.optional().describe('Decision id, as shown to a client that was refused.'),
})

const conditions = {
  identity: 'identity = {identity:String}',
  target: 'target = {target:String}',
  phase: 'phase IN {phase:Array(String)}',
  country: 'origin_country = {country:String}',
  decision: 'decision_id = {decision:String}',
} as const

export const sessionList: Listing = {
  table: 'sessions',
  columns: sessionColumns,
  timeColumn: 'started_at',
  idColumn: 'session_id',
}

export function sessionRoutes(register: Register, trail: Trail): void {
  register({
    method: 'GET',
    url: '/v1/sessions',
    tag: 'trail',
    summary: 'Sessions and refused logins, latest first',
    role: 'viewer',
    query,
    answer: { status: 200, schema: pageSchema(rowSchema(sessionColumns)) },
    handle: ({ query }) => listPage(trail, sessionList, conditions, query),
  })
  register({
    method: 'GET',
    url: '/v1/sessions/:id',
    tag: 'trail',
    summary: 'One session',
    description: 'Its commands: /v1/commands?session=ID.',
    role: 'viewer',
    path: z.strictObject({ id: shortText }),
    answer: { status: 200, schema: rowSchema(sessionDetailColumns) },
    async handle({ path }) {
      const row = await trail.one({ ...sessionList, columns: sessionDetailColumns }, path.id)
      if (!row) throw new ApiError('not_found', 'No session of this id is in the audit trail (yet).')
      return row
    },
  })
}
