/** API keys: given out (shown once), listed with when each was last used, disabled, enabled, deleted. */
import { isNetwork } from '@portcullis/identity'
import type { ApiKey, Clock } from '@portcullis/kernel'
import { z } from 'zod'
import { decodeCursor, encodeCursor, pageOf } from '../cursor.ts'
import type { Register } from '../endpoint.ts'
import { invalid, isoTime, paging, shortText } from '../input.ts'
import { isoMicros } from '../time.ts'
import type { ApiKeys } from '../tokens/api-keys.ts'
import type { Trail } from '../trail.ts'

export interface ApiKeyRouteParts {
  readonly apiKeys: ApiKeys
  readonly trail: Pick<Trail, 'rows'>
  /** Names of the targets that there are. */
  readonly targets: Pick<ReadonlySet<string>, 'has'>
  readonly clock: Clock
}

const daySec = 86_400
const shownText = z
  .string()
  .min(1)
  .max(512)
  .regex(/^[^\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]+$/u, 'must be characters that show')

const createBody = z
  .strictObject({
    subject: shownText.describe('Who it proves; the identity is portcullis|SUBJECT.'),
    groups: z.array(shownText).max(256).default([]).describe('What decides which targets it may reach.'),
    targets: z
      .array(shortText)
      .max(256)
      .default([])
      .describe('Only these targets, whatever its groups may; none: all that its groups may.'),
    networks: z
      .array(z.string().refine(isNetwork, 'must be an address or a network such as 10.0.0.0/8'))
      .max(256)
      .default([])
      .describe('Only from these addresses; none: from everywhere.'),
    description: z.string().max(2000).default('').describe('What it is for, for whoever finds it.'),
    expiresAt: isoTime.optional().describe('When it ends. Either this or `lifeSec`.'),
    lifeSec: z
      .int()
      .min(60)
      .max(366 * daySec)
      .optional()
      .describe('How long it lives, at most 366 days. Either this or `expiresAt`.'),
  })
  .check(({ value, issues }) => {
    if ((value.lifeSec === undefined) !== (value.expiresAt === undefined)) return
    issues.push({
      code: 'custom',
      input: value,
      path: ['lifeSec'],
      message: 'give either lifeSec or expiresAt: every key ends',
    })
  })
const reasonBody = z.strictObject({
  reason: z.string().min(1).max(2000).describe('Why, for whoever reads the trail.'),
})

const keyFields = {
  keyId: z.string().describe('What the key begins with; `instance` of its sessions.'),
  ...{ subject: z.string(), description: z.string() },
  ...{ groups: z.array(z.string()), targets: z.array(z.string()), networks: z.array(z.string()) },
  ...{ enabled: z.boolean(), expiresAt: z.string(), createdAt: z.string(), createdBy: z.string() },
}
const madeSchema = z.object({
  ...keyFields,
  key: z.string().describe('The key itself: shown now and never again.'),
})
const listedSchema = z.object({
  ...keyFields,
  lastUsedAt: z
    .string()
    .nullable()
    .describe('When a session was last opened with it, or with a token that was traded from it.'),
})
const pageOfKeys = z.object({
  items: z.array(listedSchema),
  nextCursor: z.string().nullable().describe('For the next page; null on the last.'),
  lastUsedKnown: z
    .boolean()
    .describe('False where the audit trail does not answer: `lastUsedAt` says nothing.'),
})

export function apiKeyRoutes(register: Register, { apiKeys, trail, targets, clock }: ApiKeyRouteParts): void {
  register({
    method: 'POST',
    url: '/v1/api-keys',
    tag: 'tokens',
    summary: 'Make an API key, for what has no issuer',
    description: 'The answer holds the key. It is kept nowhere and is never shown again.',
    role: 'admin',
    body: createBody,
    example: { subject: 'backup', groups: ['agents'], targets: ['shop'], lifeSec: 7_776_000 },
    answer: { status: 201, schema: madeSchema },
    async handle({ body: { lifeSec, expiresAt, ...grant }, caller }) {
      const nowUs = clock.nowUs()
      const endUs = expiresAt ?? nowUs + (lifeSec ?? 0) * 1_000_000
      if (endUs <= nowUs || endUs > nowUs + 366 * daySec * 1_000_000)
        throw invalid([{ in: 'body', field: 'expiresAt', message: 'must lie within the next 366 days' }])
      const unknown = grant.targets.findIndex((name) => !targets.has(name))
      if (unknown >= 0)
        throw invalid([{ in: 'body', field: `targets.${unknown}`, message: 'is no target here' }])
      const { key, made } = await apiKeys.create({ ...grant, expiresAt: endUs }, caller)
      return { ...shown(made), key }
    },
  })
  register({
    method: 'GET',
    url: '/v1/api-keys',
    tag: 'tokens',
    summary: 'API keys, latest first',
    description: 'Deleted ones are not among them; the control events tell of those.',
    role: 'viewer',
    query: z.strictObject(paging),
    answer: { status: 200, schema: pageOfKeys },
    async handle({ query: { limit, cursor } }) {
      const after = decodeCursor('api keys', {}, cursor)
      const rows = apiKeys
        .list()
        .filter(
          ({ createdAt, keyId }) =>
            !after || createdAt < after.us || (createdAt === after.us && keyId < after.id),
        )
        .slice(0, limit + 1)
      const page = pageOf(rows, limit, ({ createdAt, keyId }) =>
        encodeCursor('api keys', {}, { us: createdAt, id: keyId }),
      )
      const used = await lastUses(
        trail,
        page.items.map(({ keyId }) => keyId),
      )
      return {
        ...page,
        items: page.items.map((key) => ({ ...shown(key), lastUsedAt: used?.get(key.keyId) ?? null })),
        lastUsedKnown: used !== undefined,
      }
    },
  })
  for (const [verb, to, role] of [
    ['disable', 'disabled', 'responder'],
    ['enable', 'enabled', 'admin'],
  ] as const)
    register({
      method: 'POST',
      url: `/v1/api-keys/:id/${verb}`,
      tag: 'tokens',
      summary: to === 'disabled' ? 'Disable an API key' : 'Enable an API key again',
      description:
        to === 'disabled'
          ? 'Its sessions, and those of tokens that were traded from it, end within the second; it opens no new ones.'
          : 'It opens sessions again. Sessions that were ended stay ended.',
      role,
      path: z.strictObject({ id: shortText }),
      body: reasonBody,
      example: { reason: to === 'disabled' ? 'found in a log' : 'it was a false alarm' },
      answer: { status: 200, schema: z.object({ keyId: z.string(), enabled: z.boolean() }) },
      async handle({ path: { id }, body: { reason }, caller }) {
        await apiKeys.change(id, to, reason, caller)
        return { keyId: id, enabled: to === 'enabled' }
      },
    })
  register({
    method: 'DELETE',
    url: '/v1/api-keys/:id',
    tag: 'tokens',
    summary: 'Delete an API key for good',
    description: 'As disabling it, but it cannot be taken back, and its id is never used again.',
    role: 'admin',
    path: z.strictObject({ id: shortText }),
    query: z.strictObject({ reason: z.string().max(1000).default('').describe('Why, for the trail.') }),
    answer: { status: 200, schema: z.object({ keyId: z.string(), deleted: z.literal(true) }) },
    async handle({ path: { id }, query: { reason }, caller }) {
      await apiKeys.change(id, 'deleted', reason, caller)
      return { keyId: id, deleted: true }
    },
  })
}

function shown({ keyId, subject, description, groups, targets, networks, enabled, ...rest }: ApiKey) {
  return {
    ...{ keyId, subject, description, groups, targets, networks, enabled },
    expiresAt: isoMicros(rest.expiresAt),
    createdAt: isoMicros(rest.createdAt),
    createdBy: rest.createdBy,
  }
}

const usesSql = `SELECT name, toString(toUnixTimestamp64Micro(max(started_at))) AS us FROM
(
  SELECT arrayJoin(arrayConcat([concat(issuer, ' ', instance)], ancestors)) AS name, started_at
  FROM sessions
  WHERE phase != 'refused' AND (issuer = 'portcullis' OR notEmpty(ancestors))
)
WHERE name IN {names:Array(String)} GROUP BY name LIMIT {limit:UInt32}`

/** Undefined where the trail does not answer: whoever disables a leaked key must not wait for it. */
async function lastUses(
  trail: Pick<Trail, 'rows'>,
  keyIds: readonly string[],
): Promise<ReadonlyMap<string, string> | undefined> {
  if (keyIds.length === 0) return new Map()
  try {
    const names = keyIds.map((keyId) => `portcullis ${keyId}`)
    const rows = await trail.rows(usesSql, { names, limit: names.length })
    return new Map(
      rows.map(({ name, us }) => [String(name).slice('portcullis '.length), isoMicros(Number(us))]),
    )
  } catch {
    return undefined
  }
}
