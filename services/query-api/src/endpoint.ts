/**
 * What a route is: its inputs and answers in zod, the role it needs, and a handler that gets parsed values. One
 * definition serves validation and the OpenAPI document, so the two cannot drift apart.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import { type Authenticator, type Caller, requireRole, type Role, type SentProof } from './auth.ts'
import { parseParts } from './input.ts'
import { isCsrf, type Session } from './people/session.ts'
import { ApiError } from './problems.ts'

export interface Endpoint<P, Q, B> {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly url: string
  readonly tag: string
  readonly summary: string
  readonly description?: string
  /** `anyone`: whoever is proven, with or without a role. */
  readonly role: Role | 'anyone'
  readonly path?: z.ZodType<P>
  readonly query?: z.ZodType<Q>
  readonly body?: z.ZodType<B>
  /** Where 64 KiB are too few. */
  readonly bodyBytesMax?: number
  /** A body that is accepted, for the OpenAPI document. */
  readonly example?: object
  /** What it answers with on success: status, media type where not JSON, and shape. */
  readonly answer: { readonly status: number; readonly schema: z.ZodType; readonly mediaType?: string }
  handle(call: Call<P, Q, B>): Promise<unknown>
}

export interface Call<P, Q, B> {
  readonly path: P
  readonly query: Q
  readonly body: B
  readonly caller: Caller
  readonly request: FastifyRequest
  readonly reply: FastifyReply
}

/** Adds one route; handed to each file of routes. */
export type Register = <P = object, Q = object, B = unknown>(endpoint: Endpoint<P, Q, B>) => void

const nothing = z.strictObject({})

/** Who asked, by request, once it is known. */
export type Callers = WeakMap<FastifyRequest, Caller>

export function addEndpoint<P = object, Q = object, B = unknown>(
  app: FastifyInstance,
  auth: Authenticator,
  callers: Callers,
  endpoint: Endpoint<P, Q, B>,
): void {
  const schemas = {
    path: endpoint.path ?? (nothing as z.ZodType<P>),
    query: endpoint.query ?? (nothing as z.ZodType<Q>),
    body: endpoint.body ?? (z.unknown() as z.ZodType<B>),
  }
  app.route({
    method: endpoint.method,
    url: endpoint.url,
    ...(endpoint.bodyBytesMax !== undefined && { bodyLimit: endpoint.bodyBytesMax }),
    schema: {
      tags: [endpoint.tag],
      summary: endpoint.summary,
      description: `${endpoint.description ?? ''}\n\n${needs(endpoint.role)}`.trim(),
      security: [{ bearer: [] }, { session: [] }],
      ...(endpoint.path && { params: jsonSchema(endpoint.path, 'input') }),
      ...(endpoint.query && { querystring: jsonSchema(endpoint.query, 'input') }),
      ...(endpoint.body && {
        body: {
          ...jsonSchema(endpoint.body, 'input'),
          ...(endpoint.example && { examples: [endpoint.example] }),
        },
      }),
      response: { [endpoint.answer.status]: answerSchema(endpoint.answer), default: problemSchema },
    },
    // Before the body is read: whoever is not known may not make us buffer anything.
    onRequest: async (request) => {
      const { authorization, cookie } = request.headers
      const sent = sentProof(request)
      const caller = await auth.authenticate({ authorization, cookie, address: request.ip, sent })
      if (caller.session && endpoint.method !== 'GET') requireOurPage(caller.session, request)
      if (endpoint.role !== 'anyone') requireRole(caller, endpoint.role)
      callers.set(request, caller)
    },
    handler: async (request, reply) => {
      const caller = callers.get(request)
      if (!caller) throw new Error('a handler ran without a caller')
      const parts = parseParts(schemas, { path: request.params, query: request.query, body: request.body })
      reply.code(endpoint.answer.status)
      return endpoint.handle({ ...parts, caller, request, reply })
    },
  })
}

function needs(role: Role | 'anyone'): string {
  return role === 'anyone' ? 'Any proven identity may ask.' : `Needs the role ${role}.`
}

/** Repeated headers come as one, which is no proof then. */
export function sentProof({ method, url, headers }: FastifyRequest): SentProof {
  const { dpop } = headers
  return { method, path: url, proof: dpop === undefined ? undefined : String(dpop) }
}

/** A browser sends a cookie along whoever made the request; only our own page knows the value. @throws ApiError forbidden */
function requireOurPage(session: Session, { headers }: FastifyRequest): void {
  const given = headers[csrfHeader]
  if (isCsrf(session, typeof given === 'string' ? given : undefined)) return
  throw new ApiError(
    'forbidden',
    `With a cookie this needs the header ${csrfHeader}: see csrf of /v1/whoami.`,
  )
}

const csrfHeader = 'x-portcullis-csrf'

/** A page of rows, as every list answers. */
export function pageSchema(row: z.ZodType): z.ZodType {
  return z.object({
    items: z.array(row),
    nextCursor: z.string().nullable().describe('For the next page; null on the last.'),
  })
}

const problemSchema = {
  description: 'A problem (RFC 9457)',
  content: {
    'application/problem+json': {
      schema: jsonSchema(
        z.object({
          type: z.string(),
          title: z.string(),
          status: z.int(),
          detail: z.string(),
          requestId: z.string(),
          errors: z.array(z.object({ in: z.string(), field: z.string(), message: z.string() })).optional(),
        }),
        'output',
      ),
    },
  },
}

function answerSchema({ schema, mediaType }: Endpoint<unknown, unknown, unknown>['answer']) {
  const shape = jsonSchema(schema, 'output')
  return { description: 'Success', content: { [mediaType ?? 'application/json']: { schema: shape } } }
}

function jsonSchema(schema: z.ZodType, io: 'input' | 'output') {
  const { $schema: _, ...rest } = z.toJSONSchema(schema, { io, unrepresentable: 'any' })
  return rest
}
