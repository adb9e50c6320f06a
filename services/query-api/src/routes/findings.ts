/** Findings: departures from baselines, with their evidence. */
import { z } from 'zod'
import { findingColumns, rowSchema } from '../columns.ts'
import type { Register } from '../endpoint.ts'
import { pageSchema } from '../endpoint.ts'
import { identityKeyText, paging, repeated, shortText, timeRange } from '../input.ts'
import type { Listing, Trail } from '../trail.ts'
import { listPage } from './lists.ts'

const query = z.strictObject({
  ...paging,
  ...timeRange,
  identity: identityKeyText.optional().describe('Identity key: issuer, a bar, subject.'),
  target: shortText.optional(),
  feature: repeated(shortText).optional().describe('One of these, such as command-rate.'),
  severity: repeated(z.enum(['info', 'warning', 'error', 'critical']))
    .optional()
    .describe('One of these.'),
  session: shortText.optional(),
})

export const findingConditions = {
  identity: 'identity = {identity:String}',
  target: 'target = {target:String}',
  feature: 'feature IN {feature:Array(String)}',
  severity: 'severity IN {severity:Array(String)}',
  session: 'session_id = {session:String}',
} as const

export const findingList: Listing = {
  table: 'findings',
  columns: findingColumns,
  timeColumn: 'at',
  idColumn: 'finding_id',
}

export function findingRoutes(register: Register, trail: Trail): void {
  register({
    method: 'GET',
    url: '/v1/findings',
    tag: 'behaviour',
    summary: 'Findings, latest first',
    role: 'viewer',
    query,
    answer: { status: 200, schema: pageSchema(rowSchema(findingColumns)) },
    handle: ({ query }) => listPage(trail, findingList, findingConditions, query),
  })
}
