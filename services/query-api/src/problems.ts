/**
 * Every error the API answers with, in one catalogue (RFC 9457). A problem says what, where and what to do; it never
 * holds a stack trace, SQL, or the text of an error that was not written for the caller.
 */
import { CodedError } from '@portcullis/kernel'
import { AuditError } from '@portcullis/platform/audit'
import { ControlError } from '@portcullis/platform/control'

const catalogue = {
  invalid_request: [400, 'The request is not valid'],
  unauthenticated: [401, 'Sign in: Authorization: Bearer TOKEN'],
  forbidden: [403, 'Your role does not allow this'],
  not_found: [404, 'There is nothing here'],
  conflict: [409, 'Someone else was first'],
  managed: [409, 'The configuration file has this'],
  in_use: [409, 'Something else needs this'],
  precondition_failed: [412, 'It is not what you saw'],
  too_large: [413, 'The request is too large'],
  unsupported_media_type: [415, 'Send application/json'],
  rejected: [422, 'The change is not acceptable'],
  idempotency_key_reused: [422, 'This Idempotency-Key stood for another request'],
  too_many_attempts: [429, 'Too many failed attempts to sign in'],
  internal: [500, 'Something failed on our side'],
  trail_unavailable: [503, 'The audit trail cannot be read now'],
  control_unavailable: [503, 'The control log cannot be read now'],
  sealing_unavailable: [503, 'The master key cannot be used now'],
  not_configured: [503, 'This is not configured'],
  overloaded: [503, 'Too much is being asked at once'],
  unconfirmed: [504, 'The change is not confirmed'],
} as const satisfies Record<string, readonly [number, string]>

export type ProblemCode = keyof typeof catalogue

/** One thing wrong with a request, and where it stands. */
export interface Fault {
  readonly in: 'path' | 'query' | 'body' | 'header'
  readonly field: string
  readonly message: string
}

export class ApiError extends CodedError<ProblemCode> {
  readonly faults: readonly Fault[]
  readonly retryAfterSec: number | undefined
  constructor(
    code: ProblemCode,
    detail: string,
    options?: ErrorOptions & { readonly faults?: readonly Fault[]; readonly retryAfterSec?: number },
  ) {
    super(code, detail, options)
    this.faults = options?.faults ?? []
    this.retryAfterSec = options?.retryAfterSec
  }
}

export interface Problem {
  readonly type: string
  readonly title: string
  readonly status: number
  readonly detail: string
  readonly requestId: string
  readonly errors?: readonly Fault[]
}

export function problemOf(error: ApiError, requestId: string): Problem {
  const [status, title] = catalogue[error.code]
  return {
    type: `urn:portcullis:problem:${error.code}`,
    title,
    status,
    detail: error.message,
    requestId,
    ...(error.faults.length > 0 && { errors: error.faults }),
  }
}

/** What a thrown thing means to the caller. `internal` for whatever is not known here: log that one. */
export function apiErrorOf(thrown: unknown): ApiError {
  if (thrown instanceof ApiError) return thrown
  if (thrown instanceof AuditError) return ofAudit(thrown)
  if (thrown instanceof ControlError) return ofControl(thrown)
  return ofFramework(thrown) ?? internal(thrown)
}

function ofAudit(error: AuditError): ApiError {
  if (error.code === 'timeout' || error.code === 'cancelled')
    return new ApiError(
      'trail_unavailable',
      'The query took too long. Narrow it, above all by time (from, to), or try again later.',
      { cause: error, retryAfterSec: 5 },
    )
  if (error.code === 'unavailable' || error.code === 'closed')
    return new ApiError(
      'trail_unavailable',
      'ClickHouse does not answer. Nothing is lost; try again later.',
      {
        cause: error,
        retryAfterSec: 5,
      },
    )
  return internal(error)
}

function ofControl(error: ControlError): ApiError {
  switch (error.code) {
    case 'conflict':
      return new ApiError('conflict', error.message, { cause: error })
    case 'rejected':
      return error.rejection === 'invalid'
        ? new ApiError('rejected', error.message, { cause: error })
        : new ApiError('conflict', error.message, { cause: error })
    case 'timeout':
    case 'stopped':
      return new ApiError('unconfirmed', error.message, { cause: error, retryAfterSec: 5 })
  }
}

/** Fastify's own errors carry a status and a code; their texts are replaced. */
function ofFramework(thrown: unknown): ApiError | undefined {
  if (!(thrown instanceof Error) || !('statusCode' in thrown)) return undefined
  switch (thrown.statusCode) {
    case 413:
      return new ApiError('too_large', 'Send a smaller body.', { cause: thrown })
    case 415:
      return new ApiError('unsupported_media_type', 'Set Content-Type: application/json.', { cause: thrown })
    case 400:
      return new ApiError('invalid_request', 'The body is not valid JSON, or the URL cannot be decoded.', {
        cause: thrown,
      })
    case 404:
      return new ApiError('not_found', 'No such path; see /v1/openapi.json.', { cause: thrown })
    default:
      return undefined
  }
}

function internal(cause: unknown): ApiError {
  return new ApiError('internal', 'The log has the details under this request id.', { cause })
}
