/** Approvals: held commands and requests for access that wait for a person, the answers, and what became of them. */
import { type Approval, type Clock, identityKey, type Standing, standingOf } from '@portcullis/kernel'
import { z } from 'zod'
import { type Approvals, isOf } from '../approvals/approvals.ts'
import { approvalRow } from '../approvals/row.ts'
import { type Caller, requireRole } from '../auth.ts'
import { approvalColumns, rowSchema } from '../columns.ts'
import { decodeCursor, encodeCursor, pageOf } from '../cursor.ts'
import { pageSchema, type Register } from '../endpoint.ts'
import { identityKeyText, paging, repeated, shortText, timeRange } from '../input.ts'
import { ApiError } from '../problems.ts'
import type { Listing, Row, Trail } from '../trail.ts'
import { listPage } from './lists.ts'

export interface ApprovalRouteParts {
  readonly approvals: Approvals
  readonly trail: Trail
  readonly clock: Pick<Clock, 'nowUs'>
}

const standings = ['pending', 'approved', 'denied', 'withdrawn', 'used', 'revoked', 'expired'] as const
/** What no reader has forgotten: the rest is the trail's to tell. */
const remembered: ReadonlySet<Standing> = new Set(['pending', 'approved'])

const query = z.strictObject({
  ...paging,
  ...timeRange,
  state: z
    .union([z.literal('all').transform(() => [...standings]), repeated(z.enum(standings))])
    .default(['pending'])
    .describe(
      'One of these, or all. pending and approved are as of now; with others the list is of the audit trail, about a second behind.',
    ),
  kind: z.enum(['command', 'access']).optional(),
  identity: identityKeyText.optional().describe('Identity key of who asks.'),
  target: shortText.optional(),
})

const conditions = {
  state: 'state IN {state:Array(String)}',
  kind: 'kind = {kind:String}',
  identity: 'identity = {identity:String}',
  target: 'target = {target:String}',
} as const

/** Of the audit trail. */
export const approvalHistory: Listing = {
  table: 'approvals',
  columns: approvalColumns,
  timeColumn: 'asked_at',
  idColumn: 'approval_id',
}

export const approvalSchema = rowSchema(approvalColumns)
const answeredSchema = rowSchema(approvalColumns, {
  replayed: z.boolean().describe('Whether you had answered so before.'),
})

const answerBody = z.strictObject({
  answer: z.enum(['approve', 'deny']),
  reason: z.string().max(2000).default('').describe('Why, for whoever reads the trail.'),
  digest: z
    .string()
    .regex(/^[0-9a-f]{64}$/, 'must be 64 hex digits')
    .optional()
    .describe('Of what you saw. Given, the answer counts for that alone.'),
})

const path = z.strictObject({ id: shortText })

export function approvalRoutes(register: Register, parts: ApprovalRouteParts): void {
  const { approvals, trail, clock } = parts
  register({
    method: 'GET',
    url: '/v1/approvals',
    tag: 'approvals',
    summary: 'What waits for an answer, latest first',
    description: 'Who has no role sees what they asked for themselves, and nothing else.',
    role: 'anyone',
    query,
    answer: { status: 200, schema: pageSchema(approvalSchema) },
    handle: ({ query: given, caller }) => {
      const wanted = { ...given, identity: visibleTo(caller, given.identity) }
      return wanted.state.every((one) => remembered.has(one))
        ? Promise.resolve(pageOfNow(approvals.list(), wanted, clock.nowUs()))
        : listPage(trail, approvalHistory, conditions, wanted)
    },
  })
  register({
    method: 'GET',
    url: '/v1/approvals/:id',
    tag: 'approvals',
    summary: 'One approval, with the exact statement and every answer',
    role: 'anyone',
    path,
    answer: { status: 200, schema: approvalSchema },
    async handle({ path: { id }, caller }) {
      const open = find(approvals, id)
      const row = open ? approvalRow(open, clock.nowUs()) : await trail.one(approvalHistory, id)
      if (row && (caller.role !== undefined || row.identity === ownKey(caller))) return row
      throw new ApiError('not_found', 'There is no approval of this id, or it is not yours to see.')
    },
  })
  register({
    method: 'POST',
    url: '/v1/approvals/:id/answers',
    tag: 'approvals',
    summary: 'Approve or deny',
    description:
      'Answers once the control log holds it: every proxy sees it from then on. Whoever asks, or acts for them, cannot answer. One denial denies. The same answer again is no error (`replayed`); another one, or one that comes too late, is 409 and says what stands. 504 means that it is not known whether it took effect: answer again.',
    role: 'approver',
    path,
    body: answerBody,
    example: { answer: 'approve', reason: 'agreed in CHG-4711' },
    answer: { status: 200, schema: answeredSchema },
    async handle({ path: { id }, body, caller }) {
      const given = { ...body, via: 'api' } as const
      const { approval, replayed } = await approvals.answer(id, given, caller)
      return { ...approvalRow(approval, clock.nowUs()), replayed }
    },
  })
  register({
    method: 'POST',
    url: '/v1/approvals/:id/revoke',
    tag: 'approvals',
    summary: 'End what was approved: access, or a command that has not run yet',
    description: 'Sessions that rest on it end within the second. Who asked may end what they were given.',
    role: 'anyone',
    path,
    body: z.strictObject({
      reason: z.string().min(1).max(2000).describe('Why, for whoever reads the trail.'),
    }),
    example: { reason: 'the work is done' },
    answer: { status: 200, schema: approvalSchema },
    async handle({ path: { id }, body: { reason }, caller }) {
      const open = find(approvals, id)
      if (!open || !caller.proof || !isOf(open, caller.proof.identity)) requireRole(caller, 'responder')
      return approvalRow(await approvals.revoke(id, reason, caller.actor), clock.nowUs())
    },
  })
}

function find(approvals: Approvals, id: string): Approval | undefined {
  try {
    return approvals.get(id)
  } catch (error) {
    if (error instanceof ApiError && error.code === 'not_found') return undefined
    throw error
  }
}

function ownKey({ proof }: Caller): string | undefined {
  return proof && identityKey(proof.identity)
}

/** @throws ApiError forbidden */
function visibleTo(caller: Caller, asked: string | undefined): string | undefined {
  if (caller.role !== undefined) return asked
  const own = ownKey(caller)
  if (own !== undefined && (asked === undefined || asked === own)) return own
  throw new ApiError('forbidden', 'Without a role you see your own approvals alone.')
}

type ListQuery = z.output<typeof query>

function pageOfNow(
  list: readonly Approval[],
  { limit, cursor, ...filters }: ListQuery,
  nowUs: number,
): { items: Row[]; nextCursor: string | null } {
  const after = decodeCursor('approvals now', filters, cursor)
  const found = list.filter(
    (one) =>
      matches(one, filters, nowUs) &&
      (!after || one.requestedAt < after.us || (one.requestedAt === after.us && one.approvalId < after.id)),
  )
  const page = pageOf(found, limit, ({ requestedAt, approvalId }) =>
    encodeCursor('approvals now', filters, { us: requestedAt, id: approvalId }),
  )
  return { ...page, items: page.items.map((one) => approvalRow(one, nowUs)) }
}

function matches(
  approval: Approval,
  { state, kind, identity, target, from, to }: Omit<ListQuery, 'limit' | 'cursor'>,
  nowUs: number,
): boolean {
  const { request, requestedAt } = approval
  return (
    state.includes(standingOf(approval, nowUs)) &&
    (kind === undefined || request.kind === kind) &&
    (identity === undefined || identityKey(request.identity) === identity) &&
    (target === undefined || request.target === target) &&
    (from === undefined || requestedAt >= from) &&
    (to === undefined || requestedAt < to)
  )
}
