/** Who is at a page of ours: the session of a request, as long as nothing keeps the person out. */
import type { FastifyRequest } from 'fastify'
import type { Authenticator, Caller } from '../auth.ts'
import { ApiError } from '../problems.ts'
import { isCsrf, type Session } from './session.ts'

export interface Visitor extends Caller {
  readonly session: Session
}

/** Undefined for who is not signed in. */
export function visitorOf(auth: Authenticator, { headers }: FastifyRequest): Visitor | undefined {
  const caller = auth.bySession(headers.cookie)
  return caller?.session && { ...caller, session: caller.session }
}

/**
 * Whether a form came from our own page: it brings what only that page knows, and a browser that says where it is from
 * says here. @throws ApiError forbidden
 */
export function requireOwnForm(
  session: Session,
  request: FastifyRequest,
  form: URLSearchParams,
  publicUrl: string,
): void {
  const { origin } = request.headers
  const isElsewhere = origin !== undefined && origin !== publicUrl
  if (!isElsewhere && isCsrf(session, form.get('csrf') ?? undefined)) return
  throw new ApiError('forbidden', 'This page was open too long, or the request came from another site.')
}
