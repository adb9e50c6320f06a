/** Configuration by the API: targets, trusted issuers, roles by group, policies. What the file names is shown here, and changed there. */
import { policyCharsMax } from '@portcullis/kernel'
import { z } from 'zod'
import { decodeCursor, encodeCursor, pageOf } from '../cursor.ts'
import { pageSchema, type Register } from '../endpoint.ts'
import { flag, paging, shortText } from '../input.ts'
import { etagOf, preconditionOf } from '../precondition.ts'
import type { Setting, Settings } from '../settings/settings.ts'
import { isoMicrosOrNull } from '../time.ts'

export interface SettingRouteParts {
  readonly targets: Settings
  readonly issuers: Settings
  readonly roleMappings: Settings
  readonly policies: Settings
}

interface Section {
  readonly of: (parts: SettingRouteParts) => Settings
  readonly url: string
  readonly what: string
  readonly many: string
  readonly id: z.ZodString
  readonly form: string
  readonly example: object
  readonly bodyBytesMax?: number
}

const name = z.string().regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'must be a name such as shop-eu')

const sections: readonly Section[] = [
  {
    of: ({ targets }) => targets,
    ...{ url: 'targets', what: 'a target', many: 'Targets' },
    id: name,
    form: 'As one of `targets` in the configuration file, `name` apart. References to secrets are sealed:, vault:, aws-sm: or k8s:, not env: or file:.',
    example: {
      ...{ protocol: 'postgres', address: 'shop.internal:5432', database: 'shop' },
      ...{ credentials: { user: 'app', password: 'sealed:shop-password' }, groups: ['agents'] },
    },
  },
  {
    of: ({ issuers }) => issuers,
    ...{ url: 'issuers', what: 'a trusted issuer', many: 'Trusted issuers' },
    id: shortText,
    form: 'As one of `identity.issuers` in the configuration file, `issuer` apart, which is the percent-encoded end of the path. `ca` is PEM text.',
    example: { audience: ['portcullis'], requiredClaims: { project_id: ['4711'] } },
  },
  {
    of: ({ roleMappings }) => roleMappings,
    ...{ url: 'role-mappings', what: 'the role of a group', many: 'Roles by group' },
    id: shortText,
    form: 'As in `api.roles` of the configuration file.',
    example: { role: 'responder' },
  },
  {
    of: ({ policies }) => policies,
    ...{ url: 'policies', what: 'a policy', many: 'Policies of the API' },
    id: name,
    form: '`text` is YAML as in a policy file. Its rules are asked together with those of the file and of the other policies, and are called NAME/RULE on events. Open sessions are held to it from their next command on.',
    example: { text: 'rules:\n  - use: where-missing\n' },
    // Every character of the text may be one that JSON escapes.
    bodyBytesMax: 2 * policyCharsMax + 1000,
  },
]

const settingSchema = z.object({
  id: z.string().describe('Name of a target or a policy, URL of an issuer, name of a group.'),
  source: z.enum(['file', 'api']).describe('Where it is changed.'),
  version: z.int().nullable().describe('For If-Match; null for what the file has.'),
  changedAt: z.string().nullable(),
  changedBy: z.string().nullable(),
  shadows: z.boolean().describe('The API has one of this name too, which is not in force.'),
  content: z.record(z.string(), z.unknown()),
})
const putSchema = z.object({
  id: z.string(),
  outcome: z.enum(['created', 'changed', 'unchanged']),
  written: z.boolean().describe('False where it is so already, or only `validate` was asked for.'),
  version: z.int().describe('Of what stands now, or would.'),
})

export function settingRoutes(register: Register, parts: SettingRouteParts): void {
  for (const section of sections) sectionRoutes(register, section, section.of(parts))
}

function sectionRoutes(register: Register, section: Section, settings: Settings): void {
  const { what, many, form, example, bodyBytesMax } = section
  const url = `/v1/config/${section.url}`
  const path = z.strictObject({ id: section.id })
  const common = { tag: 'configuration', role: 'admin' } as const
  register({
    ...common,
    method: 'GET',
    url,
    summary: `${many}, of the file and of the API, by name`,
    query: z.strictObject(paging),
    answer: { status: 200, schema: pageSchema(settingSchema) },
    async handle({ query: { limit, cursor } }) {
      const after = decodeCursor(url, {}, cursor)?.id
      const rows = settings.list().filter(({ id }) => after === undefined || id > after)
      const page = pageOf(rows.slice(0, limit + 1), limit, ({ id }) => encodeCursor(url, {}, { us: 0, id }))
      return { ...page, items: page.items.map(shown) }
    },
  })
  register({
    ...common,
    method: 'GET',
    url: `${url}/:id`,
    summary: `Read ${what}`,
    description: 'Who changed what when before: /v1/control-events by its aggregate.',
    path,
    answer: { status: 200, schema: settingSchema },
    async handle({ path: { id }, reply }) {
      const setting = settings.get(id)
      if (setting.version !== undefined) reply.header('etag', etagOf(setting.version))
      return shown(setting)
    },
  })
  register({
    ...common,
    method: 'PUT',
    url: `${url}/:id`,
    summary: `Put ${what}, in place of what is there`,
    description: `${form} Answers once the control log holds it; proxies follow within a second, without a restart. With If-Match (an ETag, or *) or If-None-Match: * only where it is what you saw. What the configuration file names is refused.`,
    path,
    query: z.strictObject({
      validate: flag
        .default(false)
        .describe('true: say what would be wrong or would come of it, and change nothing.'),
    }),
    body: z.record(z.string(), z.unknown()),
    ...(bodyBytesMax !== undefined && { bodyBytesMax }),
    example,
    answer: { status: 200, schema: putSchema },
    async handle({ path: { id }, query: { validate: dry }, body, caller, request, reply }) {
      const condition = preconditionOf(request)
      const { outcome, version } = await settings.put(id, body, { caller, condition, dry })
      const written = !dry && outcome !== 'unchanged'
      if (written && outcome === 'created') reply.code(201)
      if (!dry) reply.header('etag', etagOf(version))
      return { id, outcome, written, version }
    },
  })
  register({
    ...common,
    method: 'DELETE',
    url: `${url}/:id`,
    summary: `Remove ${what}`,
    description: removal[section.url] ?? '',
    path,
    query: z.strictObject({
      reason: z.string().max(1000).default('').describe('Why, for the trail.'),
      open: flag
        .default(false)
        .describe(
          'true: where these are the last rules for a target, that from then on whoever may connect may run anything there.',
        ),
    }),
    answer: { status: 200, schema: z.object({ id: z.string(), removed: z.literal(true) }) },
    async handle({ path: { id }, query: { reason, open }, caller, request }) {
      await settings.remove(id, reason, { caller, condition: preconditionOf(request), open })
      return { id, removed: true }
    },
  })
}

const removal: Readonly<Record<string, string>> = {
  targets: 'New sessions are refused; those that are open live on until they end. To end them: a verdict.',
  issuers:
    'Its tokens are refused, and so are those that were traded from them; the sessions of all of them end.',
  policies:
    'Its rules are asked no more, of open sessions either. The last rules that there are, or that are for a target, go with `open=true` only.',
}

function shown({ id, source, version, changedAt, changedBy, shadows, content }: Setting) {
  return {
    ...{ id, source, version: version ?? null, changedBy: changedBy ?? null, shadows, content },
    changedAt: isoMicrosOrNull(changedAt ?? 0),
  }
}
