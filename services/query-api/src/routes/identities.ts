/** Identities: who acts, what is normal for them, and what was noticed lately. */
import { type BaselineEvent, identityKey, type VerdictEvent } from '@portcullis/kernel'
import { z } from 'zod'
import { findingColumns, rowSchema, sessionColumns, verdictColumns } from '../columns.ts'
import { decodeCursor, encodeCursor, pageOf } from '../cursor.ts'
import { pageSchema, type Register } from '../endpoint.ts'
import { identityKeyText, isoTime, paging, shortText } from '../input.ts'
import type { Books } from '../live/books.ts'
import { ApiError } from '../problems.ts'
import { isoMicros } from '../time.ts'
import { micros, type Row, type Trail } from '../trail.ts'
import { type Verdicts, verdictRow } from '../verdicts.ts'
import { findingConditions, findingList } from './findings.ts'
import { listPage } from './lists.ts'
import { sessionList } from './sessions.ts'

const query = z.strictObject({
  ...paging,
  since: isoTime.optional().describe('Seen since; seven days ago by default.'),
  issuer: shortText.optional(),
  target: shortText.optional().describe('Seen at this target.'),
  contains: z.string().min(1).max(200).optional().describe('This stands in the subject, in any case.'),
})

/** One constant statement: a filter that is not given is an empty text, which no real value is. */
const listSql = `
SELECT identity, any(issuer) AS \`_issuer\`, any(subject) AS \`_subject\`, min(started_at) AS firstSeenAt,
       max(started_at) AS lastSeenAt, groupUniqArray(20)(target) AS targets,
       groupUniqArrayIf(20)(origin_country, origin_country != '') AS countries
FROM sessions
WHERE started_at >= ${micros('since')} AND has_identity AND identity > {after:String}
  AND ({issuer:String} = '' OR issuer = {issuer:String})
  AND ({target:String} = '' OR target = {target:String})
  AND ({contains:String} = '' OR positionCaseInsensitiveUTF8(subject, {contains:String}) > 0)
GROUP BY identity ORDER BY identity LIMIT {limit:UInt32}`

const weekUs = 7 * 86_400_000_000

const summarySchema = z.object({
  identity: z.string(),
  issuer: z.string(),
  subject: z.string(),
  firstSeenAt: z.string().describe('Within the range asked for.'),
  lastSeenAt: z.string(),
  targets: z.array(z.string()),
  countries: z.array(z.string()),
  hasBaseline: z.boolean(),
  activeVerdicts: z.int(),
})

const baselineSchema = z.object({
  at: z.string(),
  partition: z.int(),
  nextOffset: z.string(),
  stateVersion: z.int(),
  state: z.unknown(),
})

const identitySchema = z.object({
  identity: z.string(),
  issuer: z.string(),
  subject: z.string(),
  baseline: baselineSchema.nullable().describe('Latest snapshot; null before the analyzer made one.'),
  verdicts: z.array(rowSchema(verdictColumns)).describe('In force now.'),
  findings: z.array(rowSchema(findingColumns)).describe('The latest 20.'),
  sessions: z.array(rowSchema(sessionColumns)).describe('The latest 20.'),
})

export interface IdentityParts {
  readonly trail: Trail
  readonly books: Books
  readonly verdicts: Verdicts
  readonly nowUs: () => number
}

export function identityRoutes(register: Register, { trail, books, verdicts, nowUs }: IdentityParts): void {
  register({
    method: 'GET',
    url: '/v1/identities',
    tag: 'behaviour',
    summary: 'Identities seen lately, by key',
    role: 'viewer',
    query,
    answer: { status: 200, schema: pageSchema(summarySchema) },
    async handle({ query: { limit, cursor, since, ...filters } }) {
      const given = { since, ...filters }
      const after = decodeCursor('identities', given, cursor)
      const { issuer = '', target = '', contains = '' } = filters
      const rows = await trail.rows(listSql, {
        since: since ?? Math.max(0, nowUs() - weekUs),
        after: after?.id ?? '',
        issuer,
        target,
        contains,
        limit: limit + 1,
      })
      const cursorOf = (row: Row) => encodeCursor('identities', given, { us: 0, id: String(row.identity) })
      const page = pageOf(rows, limit, cursorOf)
      const held = countByIdentity(verdicts.active())
      return {
        ...page,
        items: page.items.map(({ _issuer, _subject, ...row }) => ({
          ...row,
          issuer: _issuer,
          subject: _subject,
          hasBaseline: books.hasBaseline(String(row.identity)),
          activeVerdicts: held.get(String(row.identity)) ?? 0,
        })),
      }
    },
  })
  register({
    method: 'GET',
    url: '/v1/identities/:key',
    tag: 'behaviour',
    summary: 'One identity: baseline, verdicts in force, latest findings and sessions',
    description: 'The key is issuer, a bar, subject; percent-encoded in the path.',
    role: 'viewer',
    path: z.strictObject({ key: identityKeyText }),
    answer: { status: 200, schema: identitySchema },
    async handle({ path: { key } }) {
      const filter = { identity: key, limit: 20 }
      const [findings, sessions] = await Promise.all([
        listPage(trail, findingList, findingConditions, filter),
        listPage(trail, sessionList, { identity: 'identity = {identity:String}' }, filter),
      ])
      const baseline = books.baseline(key)
      const held = verdicts.active().filter((verdict) => isOn(verdict.subject, key))
      if (!baseline && held.length + findings.items.length + sessions.items.length === 0)
        throw new ApiError('not_found', 'Nothing is known of this identity; the key is ISSUER|SUBJECT.')
      const bar = key.indexOf('|')
      return {
        identity: key,
        issuer: key.slice(0, bar),
        subject: key.slice(bar + 1),
        baseline: baseline ? baselineOf(baseline) : null,
        verdicts: held.map((verdict) => verdictRow(verdict, undefined)),
        findings: findings.items,
        sessions: sessions.items,
      }
    },
  })
}

function countByIdentity(active: readonly VerdictEvent[]): Map<string, number> {
  const counts = new Map<string, number>()
  for (const { subject } of active) {
    const key = identityKey({ issuer: subject.issuer, subject: subject.id })
    if (isOn(subject, key)) counts.set(key, (counts.get(key) ?? 0) + 1)
  }
  return counts
}

function isOn(subject: { kind: string; issuer: string; id: string }, key: string): boolean {
  const named = subject.kind === 'identity' || subject.kind === 'instance'
  return named && identityKey({ issuer: subject.issuer, subject: subject.id }) === key
}

function baselineOf({ at, partition, nextOffset, stateVersion, state }: BaselineEvent) {
  const parsed: unknown = JSON.parse(state)
  // The analyzer keeps its own book-keeping around the baseline itself.
  const wrapped = typeof parsed === 'object' && parsed !== null && 'baseline' in parsed
  return {
    at: isoMicros(at),
    partition,
    nextOffset: String(nextOffset),
    stateVersion,
    state: wrapped ? parsed.baseline : parsed,
  }
}
