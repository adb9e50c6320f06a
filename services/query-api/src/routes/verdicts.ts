/** Verdicts: what is enforced on whom. Active ones from memory, history from the audit trail; issued and lifted by hand. */
import { identityKey, keysOfVerdict, type VerdictEvent, verdictKeys } from '@portcullis/kernel'
import type { FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Caller } from '../auth.ts'
import { rowSchema, verdictColumns } from '../columns.ts'
import { decodeCursor, encodeCursor, pageOf } from '../cursor.ts'
import { pageSchema, type Register } from '../endpoint.ts'
import { identityKeyText, invalid, isoTime, paging, repeated, shortText, timeRange } from '../input.ts'
import { ApiError } from '../problems.ts'
import { warningAbout } from '../subject-seen.ts'
import { isoMicros } from '../time.ts'
import type { Listing, Trail } from '../trail.ts'
import { type Verdicts, verdictRow } from '../verdicts.ts'
import { listPage } from './lists.ts'

const actions = z.enum(['throttle', 'hold', 'block', 'kill'])
const query = z.strictObject({
  ...paging,
  ...timeRange,
  state: z
    .enum(['active', 'all'])
    .default('active')
    .describe('active: in force at this moment. all: the history too, from the audit trail.'),
  identity: identityKeyText
    .optional()
    .describe('Identity key that is the subject, or of which one instance is.'),
  target: shortText.optional(),
  action: repeated(actions).optional().describe('One of these.'),
})

const conditions = {
  identity:
    "subject_kind IN ('identity', 'instance') AND concat(subject_issuer, '|', subject_id) = {identity:String}",
  target: 'target = {target:String}',
  action: 'action IN {action:Array(String)}',
} as const

const history: Listing = {
  table: 'verdicts',
  columns: verdictColumns,
  timeColumn: 'issued_at',
  idColumn: 'verdict_id',
}

const id = z.string().min(1).max(1024)
const subjectForm =
  'must be an object such as {"kind": "identity", "issuer": "https://idp.example", "id": "agent-1"}; kind: identity, instance, session, token or delegation'
export const subjectKinds = [
  z.strictObject({ kind: z.literal('identity'), issuer: id, id, instance: z.literal('').default('') }),
  z.strictObject({ kind: z.literal('instance'), issuer: id, id, instance: id }),
  z.strictObject({
    kind: z.literal('session'),
    id,
    issuer: z.literal('').default(''),
    instance: z.literal('').default(''),
  }),
  z.strictObject({ kind: z.literal('token'), issuer: id, instance: id, id: z.literal('').default('') }),
  z.strictObject({ kind: z.literal('delegation'), issuer: id, id, instance: z.literal('').default('') }),
] as const
const subject = z.discriminatedUnion('kind', subjectKinds, { error: subjectForm })

const dayS = 86_400
const issueBody = z
  .strictObject({
    action: actions,
    subject: subject.describe(
      'Whom: an identity, one running copy, a session, a token, or all who act for someone.',
    ),
    target: z.string().max(1024).default('').describe('Only at this target; empty for all.'),
    durationSec: z
      .int()
      .min(1)
      .max(366 * dayS)
      .optional()
      .describe('How long it holds. Either this or `until`.'),
    until: isoTime.optional().describe('When it ends. Either this or `durationSec`.'),
    ratePerMinute: z
      .number()
      .positive()
      .max(1e9)
      .optional()
      .describe('For throttle: commands a minute let through, over the whole fleet.'),
    cancelRunning: z.boolean().default(false).describe('For block: also cancel what runs.'),
    reason: z.string().min(1).max(200).default('by_hand').describe('Reason code.'),
    explanation: z.string().min(1).max(2000).describe('Why, in a sentence, for whoever reads the trail.'),
  })
  .check(({ value, issues }) => {
    const fault = (path: string, message: string) =>
      issues.push({ code: 'custom', input: value, path: [path], message })
    if ((value.durationSec === undefined) === (value.until === undefined))
      fault('durationSec', 'give either durationSec or until')
    if ((value.action === 'throttle') !== (value.ratePerMinute !== undefined))
      fault('ratePerMinute', 'goes with the action throttle, and only with it')
    if (value.cancelRunning && value.action !== 'block')
      fault('cancelRunning', 'goes with the action block only')
  })

const liftBody = z.strictObject({
  reason: z.string().min(1).max(2000).describe('Why, for whoever reads the trail.'),
})

const verdictSchema = rowSchema(verdictColumns)
const issuedSchema = rowSchema(verdictColumns, {
  warning: z.string().optional().describe('The verdict holds, but matches nobody that was ever seen.'),
})
const liftedSchema = z.object({
  verdictId: z.string(),
  liftedAt: z.string(),
  liftedBy: z.string(),
  liftReason: z.string(),
})

export function verdictRoutes(register: Register, trail: Trail, verdicts: Verdicts): void {
  register({
    method: 'GET',
    url: '/v1/verdicts',
    tag: 'behaviour',
    summary: 'Verdicts, latest first',
    description:
      'By default those in force at this moment, as the proxies see them. from and to bound when they were issued.',
    role: 'viewer',
    query,
    answer: { status: 200, schema: pageSchema(verdictSchema) },
    handle: ({ query: { state, ...rest } }) =>
      state === 'all'
        ? listPage(trail, history, conditions, rest)
        : Promise.resolve(activePage(verdicts, rest)),
  })
  register({
    method: 'POST',
    url: '/v1/verdicts',
    tag: 'control',
    summary: 'Issue a verdict by hand',
    description:
      'Answers once the control log holds it: every proxy enforces it from then on. With an Idempotency-Key, trying again gives the first answer. 504 means that it is not known whether it took effect: try again with the same key.',
    role: 'responder',
    body: issueBody,
    example: {
      action: 'block',
      subject: { kind: 'identity', issuer: 'https://idp.example', id: 'agent-1' },
      durationSec: 3600,
      explanation: 'its token leaked',
    },
    answer: { status: 201, schema: issuedSchema },
    async handle({ body, caller, request, reply }) {
      const { durationSec, until, ratePerMinute = 0, ...action } = body
      const end = until === undefined ? { durationUs: (durationSec ?? 0) * 1_000_000 } : { untilUs: until }
      const key = idempotencyKeyOf(request)
      const { verdict, replayed } = await verdicts.issue({ ...action, ratePerMinute, end }, caller, key)
      if (replayed) reply.header('idempotency-replayed', 'true')
      const warning = await warningAbout(verdict.subject, trail)
      return { ...verdictRow(verdict, undefined), ...(warning !== undefined && { warning }) }
    },
  })
  register({
    method: 'POST',
    url: '/v1/verdicts/:id/lift',
    tag: 'control',
    summary: 'Lift a verdict before its time',
    description:
      "The analyzer's or one by hand. Lifting again with the same reason gives the first answer, with or without an Idempotency-Key.",
    role: 'responder',
    path: z.strictObject({ id: shortText }),
    body: liftBody,
    example: { reason: 'the token was replaced' },
    answer: { status: 200, schema: liftedSchema },
    async handle({ path, body, caller, request, reply }) {
      idempotencyKeyOf(request)
      requireOthers(verdicts.active(), path.id, caller)
      const lifted = await verdicts.lift(path.id, body.reason, caller)
      if (lifted.replayed) reply.header('idempotency-replayed', 'true')
      const { verdictId, at, by, reason } = lifted
      return { verdictId, liftedAt: isoMicros(at), liftedBy: by, liftReason: reason }
    },
  })
}

/** @throws ApiError forbidden */
function requireOthers(active: readonly VerdictEvent[], verdictId: string, { proof }: Caller): void {
  const verdict = active.find((one) => one.verdictId === verdictId)
  if (!proof || !verdict) return
  // A session is somebody's, and which one's the verdict does not say: it ended with it.
  const own = verdictKeys({ identity: proof.identity, sessionId: '', target: '' })
  if (keysOfVerdict(verdict).some((key) => own.includes(key)))
    throw new ApiError('forbidden', 'It stands on yourself: somebody else must lift it.')
}

type ActiveQuery = Omit<z.output<typeof query>, 'state'>

function activePage(verdicts: Verdicts, { limit, cursor, ...filters }: ActiveQuery) {
  const after = decodeCursor('active verdicts', filters, cursor)
  const rows = verdicts
    .active()
    .filter((verdict) => matches(verdict, filters))
    .filter(
      ({ issuedAt, verdictId }) =>
        !after || issuedAt < after.us || (issuedAt === after.us && verdictId < after.id),
    )
  const cursorOf = ({ issuedAt, verdictId }: VerdictEvent) =>
    encodeCursor('active verdicts', filters, { us: issuedAt, id: verdictId })
  const page = pageOf(rows, limit, cursorOf)
  return {
    ...page,
    items: page.items.map((verdict) => verdictRow(verdict, verdicts.lifted(verdict.verdictId))),
  }
}

function matches(
  verdict: VerdictEvent,
  { identity, target, action, from, to }: Omit<ActiveQuery, 'limit'>,
): boolean {
  const { subject, issuedAt } = verdict
  const named = subject.kind === 'identity' || subject.kind === 'instance'
  return (
    (identity === undefined ||
      (named && identityKey({ issuer: subject.issuer, subject: subject.id }) === identity)) &&
    (target === undefined || verdict.target === target) &&
    (action === undefined || action.includes(verdict.action)) &&
    (from === undefined || issuedAt >= from) &&
    (to === undefined || issuedAt < to)
  )
}

/** @throws ApiError invalid_request */
export function idempotencyKeyOf({ headers }: FastifyRequest): string | undefined {
  const key = headers['idempotency-key']
  if (key === undefined || (typeof key === 'string' && /^[\x21-\x7e]{1,255}$/.test(key))) return key
  throw invalid([
    {
      in: 'header',
      field: 'Idempotency-Key',
      message: 'must be 1 to 255 visible ASCII characters, given once',
    },
  ])
}
