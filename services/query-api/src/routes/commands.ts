/** Commands: the audit trail itself. */
import { z } from 'zod'
import { commandColumns, commandDetailColumns, rowSchema } from '../columns.ts'
import type { Register } from '../endpoint.ts'
import { pageSchema } from '../endpoint.ts'
import { flag, identityKeyText, paging, repeated, shortText, timeRange } from '../input.ts'
import { ApiError } from '../problems.ts'
import type { Listing, Trail } from '../trail.ts'
import { listPage } from './lists.ts'

const outcomes = z.enum(['ok', 'error', 'refused', 'cut', 'cancelled', 'skipped', 'unknown'])
const effects = z.enum(['read', 'write', 'delete', 'define', 'grant', 'execute', 'export', 'unknown'])

const query = z.strictObject({
  ...paging,
  ...timeRange,
  identity: identityKeyText.optional().describe('Identity key: issuer, a bar, subject.'),
  session: shortText.optional().describe('Session id.'),
  target: shortText.optional(),
  outcome: repeated(outcomes).optional().describe('One of these.'),
  verb: repeated(shortText).optional().describe('One of these, such as SELECT.'),
  effect: repeated(effects).optional().describe('Any of these.'),
  privileged: flag.optional(),
  verdict: shortText.optional().describe('Decided by this verdict.'),
  decision: shortText.optional().describe('Decision id, as shown to the client on a refusal.'),
  fingerprint: shortText.optional().describe('Equal for commands that differ only in literals.'),
  text: z
    .string()
    .min(1)
    .max(500)
    .refine((text) => /[\p{L}\p{N}]/u.test(text), 'must hold at least one letter or digit')
    .optional()
    .describe('All of these words stand in the text, in any order and case.'),
  contains: z
    .string()
    .min(3)
    .max(500)
    .optional()
    .describe('This stands in the text, in any case; slower than `text`.'),
})

const conditions = {
  identity: 'identity = {identity:String}',
  session: 'session_id = {session:String}',
  target: 'target = {target:String}',
  outcome: 'outcome IN {outcome:Array(String)}',
  verb: 'verb IN {verb:Array(String)}',
  effect: 'hasAny(effects, {effect:Array(String)})',
  privileged: 'privileged = {privileged:Bool}',
  verdict: 'decision_verdict_id = {verdict:String}',
  decision: 'decision_id = {decision:String}',
  fingerprint: 'fingerprint = {fingerprint:String}',
  text: 'hasAllTokens(text, lower({text:String}))',
  contains: 'positionCaseInsensitiveUTF8(text, {contains:String}) > 0',
} as const

const textCharsMax = 4000
const list: Listing = {
  table: 'commands',
  columns: commandColumns,
  computed: {
    text: { sql: `substringUTF8(\`text\`, 1, ${textCharsMax})`, reads: ['text'] },
    textTruncated: { sql: `toBool(lengthUTF8(\`text\`) > ${textCharsMax})`, reads: ['text'] },
  },
  timeColumn: 'started_at',
  idColumn: 'command_id',
}
const detail: Listing = {
  ...list,
  columns: [...commandDetailColumns, { field: 'text', column: 'text', kind: 'text' }],
  computed: {},
}

export function commandRoutes(register: Register, trail: Trail): void {
  register({
    method: 'GET',
    url: '/v1/commands',
    tag: 'trail',
    summary: 'Commands, latest first',
    description: `Texts longer than ${textCharsMax} characters are cut (textTruncated); ask for one command to read it whole.`,
    role: 'viewer',
    query,
    answer: {
      status: 200,
      schema: pageSchema(rowSchema(commandColumns, { text: z.string(), textTruncated: z.boolean() })),
    },
    handle: ({ query }) => listPage(trail, list, conditions, query),
  })
  register({
    method: 'GET',
    url: '/v1/commands/:id',
    tag: 'trail',
    summary: 'One command, with its whole text and its place in the hash chain',
    role: 'viewer',
    path: z.strictObject({ id: shortText }),
    answer: { status: 200, schema: rowSchema(commandDetailColumns, { text: z.string() }) },
    async handle({ path }) {
      const row = await trail.one(detail, path.id)
      if (!row) throw new ApiError('not_found', 'No command of this id is in the audit trail (yet).')
      return row
    },
  })
}
