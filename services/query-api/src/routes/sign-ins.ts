/** Sign-ins: who came in by which provider, who was refused and why, and what people allowed devices. */
import { z } from 'zod'
import { rowSchema, signInColumns } from '../columns.ts'
import type { Register } from '../endpoint.ts'
import { pageSchema } from '../endpoint.ts'
import { identityKeyText, paging, repeated, shortText, timeRange } from '../input.ts'
import type { Listing, Trail } from '../trail.ts'
import { listPage } from './lists.ts'

const query = z.strictObject({
  ...paging,
  ...timeRange,
  kind: repeated(shortText).optional().describe('One of these, such as refused.'),
  identity: identityKeyText.optional().describe('Identity key: issuer, a bar, subject.'),
  provider: shortText.optional(),
  address: shortText.optional(),
  reason: repeated(shortText).optional().describe('One of these, such as replayed.'),
  request: shortText.optional().describe('Request id, as the person was shown it.'),
})

const conditions = {
  kind: 'kind IN {kind:Array(String)}',
  identity: 'identity = {identity:String}',
  provider: 'provider = {provider:String}',
  address: 'address = {address:String}',
  reason: 'reason IN {reason:Array(String)}',
  request: 'request_id = {request:String}',
} as const

const list: Listing = {
  table: 'sign_ins',
  columns: signInColumns,
  timeColumn: 'at',
  idColumn: 'event_id',
}

export function signInListRoutes(register: Register, trail: Trail): void {
  register({
    method: 'GET',
    url: '/v1/sign-ins',
    tag: 'sign-in',
    summary: 'Sign-ins of people, given and refused, latest first',
    role: 'viewer',
    query,
    answer: { status: 200, schema: pageSchema(rowSchema(signInColumns)) },
    handle: ({ query }) => listPage(trail, list, conditions, query),
  })
}
