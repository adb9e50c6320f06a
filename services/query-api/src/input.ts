/** The forms that inputs take, in zod: strict, so that a misspelt filter is an error and never "no filter". */
import { z } from 'zod'
import { type Fault, ApiError } from './problems.ts'
import { parseIsoMicros } from './time.ts'

/** A date and time with a zone, as microseconds since 1970 UTC. */
export const isoTime = z
  .string()
  .max(40)
  .transform((text, context) => {
    const us = parseIsoMicros(text)
    if (us !== undefined && us >= 0 && us < latestUs) return us
    context.addIssue({ code: 'custom', message: 'must be a date and time such as 2026-11-22T10:00:00Z' })
    return z.NEVER
  })

/** The year 2200: beyond it lies nothing but mistakes, and ClickHouse's range. */
const latestUs = 7_258_118_400_000_000

export const shortText = z.string().min(1).max(1024)

/** A subject alone would find nothing, which reads as if nothing had happened. */
export const identityKeyText = z
  .string()
  .max(2048)
  .regex(/.\|./, 'must be ISSUER|SUBJECT, such as https://idp.example|agent-1')

/** `true` or `false`. */
export const flag = z.enum(['true', 'false']).transform((text) => text === 'true')

/** Once or several times in a query string; at most 20. */
export function repeated<T extends z.ZodType<unknown, string>>(item: T) {
  return z
    .union([item, z.array(item).min(1).max(20)])
    .transform((given) => (Array.isArray(given) ? given : [given]))
}

export const paging = {
  limit: z.coerce.number().int().min(1).max(500).default(50).describe('How many at most.'),
  cursor: z.string().max(4096).optional().describe('`nextCursor` of the page before.'),
}

export const timeRange = {
  from: isoTime.optional().describe('At or after.'),
  to: isoTime.optional().describe('Before.'),
}

/** Every fault of path, query and body at once. @throws ApiError invalid_request */
export function parseParts<P, Q, B>(
  schemas: { readonly path: z.ZodType<P>; readonly query: z.ZodType<Q>; readonly body: z.ZodType<B> },
  given: { readonly path: unknown; readonly query: unknown; readonly body: unknown },
): { path: P; query: Q; body: B } {
  const path = schemas.path.safeParse(given.path)
  const query = schemas.query.safeParse(given.query)
  const body = schemas.body.safeParse(given.body ?? undefined)
  if (path.success && query.success && body.success)
    return { path: path.data, query: query.data, body: body.data }
  const faults = [...faultsOf('path', path), ...faultsOf('query', query), ...faultsOf('body', body)]
  throw invalid(faults)
}

export function invalid(faults: readonly Fault[]): ApiError {
  const count = faults.length === 1 ? 'One thing is' : `${faults.length} things are`
  return new ApiError(
    'invalid_request',
    `${count} wrong; see errors, and /v1/openapi.json for what is accepted.`,
    {
      faults,
    },
  )
}

function faultsOf(where: Fault['in'], { error }: { error?: z.ZodError | undefined }): Fault[] {
  return (error?.issues ?? []).flatMap((issue) =>
    issue.code === 'unrecognized_keys'
      ? issue.keys.map((key) => ({
          in: where,
          field: [...issue.path, key].join('.'),
          message: 'is not known here',
        }))
      : [{ in: where, field: issue.path.map(String).join('.'), message: issueText(issue, where) }],
  )
}

/** Of a union (once or repeated) the first branch that got furthest says it best. */
function issueText(issue: z.core.$ZodIssue, where: Fault['in']): string {
  if (where === 'body' && issue.path.length === 0 && issue.code === 'invalid_type')
    return 'must be a JSON object, with Content-Type: application/json'
  if (issue.code !== 'invalid_union') return issue.message
  const deepest = issue.errors.flat().sort((a, b) => b.path.length - a.path.length)[0]
  return deepest?.message ?? issue.message
}
