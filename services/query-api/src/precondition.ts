/**
 * If-Match and If-None-Match (RFC 9110 section 13) on what has a version: change it only where it is what the caller saw. The
 * condition holds in the log itself, so that of two writers who saw the same one wins, whatever process they asked.
 */
import { ControlError } from '@portcullis/platform/control'
import type { FastifyRequest } from 'fastify'
import { invalid } from './input.ts'
import { ApiError } from './problems.ts'

export type Precondition =
  /** Whatever it is. */
  | { readonly kind: 'none' }
  | { readonly kind: 'version'; readonly version: number }
  | { readonly kind: 'exists' }
  | { readonly kind: 'absent' }

export function etagOf(version: number): string {
  return `"${version}"`
}

/** @throws ApiError invalid_request */
export function preconditionOf({ headers }: Pick<FastifyRequest, 'headers'>): Precondition {
  const { 'if-match': match, 'if-none-match': none } = headers
  if (match !== undefined && none !== undefined) throw wrong('If-None-Match', 'does not go with If-Match')
  if (none !== undefined) {
    if (none !== '*') throw wrong('If-None-Match', 'must be *')
    return { kind: 'absent' }
  }
  if (match === undefined) return { kind: 'none' }
  if (match === '*') return { kind: 'exists' }
  const version = /^"(\d{1,15})"$/.exec(match)?.[1]
  if (version === undefined) throw wrong('If-Match', 'must be the ETag of an answer, such as "3", or *')
  return { kind: 'version', version: Number(version) }
}

/**
 * The version that the log must find, -1 for any. `aggregateVersion` is that of the aggregate, which outlives what it holds.
 * @throws ApiError precondition_failed
 */
export function expectedVersion(
  condition: Precondition,
  current: { readonly exists: boolean; readonly aggregateVersion: number },
): number {
  const { exists, aggregateVersion } = current
  if (condition.kind === 'none') return -1
  if (condition.kind === 'absent' && exists) throw failed('it exists')
  if (condition.kind !== 'absent' && !exists) throw failed('it does not exist')
  if (condition.kind === 'version' && condition.version !== aggregateVersion)
    throw failed(`it is at version ${aggregateVersion}`)
  return aggregateVersion
}

/** What a write answers, where the version that was asked for decides. */
export async function conditioned<T>(write: Promise<T>): Promise<T> {
  try {
    return await write
  } catch (error) {
    if (error instanceof ControlError && error.code === 'conflict') throw failed('somebody else was first')
    throw error
  }
}

function failed(why: string): ApiError {
  return new ApiError('precondition_failed', `Nothing was changed: ${why}. Read it again and decide anew.`)
}

function wrong(field: string, message: string): ApiError {
  return invalid([{ in: 'header', field, message }])
}
