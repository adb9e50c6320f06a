/** Control events: every change of control state that was asked for, by whom, and whether it was accepted. */
import { z } from 'zod'
import { controlEventColumns, rowSchema } from '../columns.ts'
import type { Register } from '../endpoint.ts'
import { pageSchema } from '../endpoint.ts'
import { flag, paging, shortText, timeRange } from '../input.ts'
import type { Listing, Trail } from '../trail.ts'
import { listPage } from './lists.ts'

const query = z.strictObject({
  ...paging,
  ...timeRange,
  type: shortText.optional().describe('Such as verdict.issued.'),
  aggregate: shortText.optional().describe('Such as verdict/ID.'),
  subject: shortText.optional().describe('Subject of who made the change.'),
  accepted: flag.optional(),
})

const conditions = {
  type: 'type = {type:String}',
  aggregate: 'aggregate_id = {aggregate:String}',
  subject: 'actor_subject = {subject:String}',
  accepted: 'accepted = {accepted:Bool}',
} as const

const list: Listing = {
  table: 'control_events',
  columns: controlEventColumns,
  timeColumn: 'at',
  idColumn: 'event_id',
}

export function controlEventRoutes(register: Register, trail: Trail): void {
  register({
    method: 'GET',
    url: '/v1/control-events',
    tag: 'control',
    summary: 'Changes of control state, latest first',
    role: 'admin',
    query,
    answer: {
      status: 200,
      schema: pageSchema(
        rowSchema(controlEventColumns, {
          payload: z.unknown().describe('What was asked for, by type; text as it came where it is no JSON.'),
        }),
      ),
    },
    async handle({ query }) {
      const page = await listPage(trail, list, conditions, query)
      return { ...page, items: page.items.map((row) => ({ ...row, payload: parsed(String(row.payload)) })) }
    },
  })
}

function parsed(payload: string): unknown {
  try {
    return JSON.parse(payload)
  } catch {
    // Refused for that very reason, and kept: the log has whatever was asked for.
    return payload
  }
}
