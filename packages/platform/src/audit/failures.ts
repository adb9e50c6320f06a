/**
 * One table of what ClickHouse and the network can answer, and what it means to a caller: try again, mend the data, or
 * give up. What is not listed is `refused`: a mistake that no retry mends.
 */
import { ClickHouseError } from '@clickhouse/client'
import { AuditError, type AuditErrorCode, messageOf } from './errors.ts'

export function auditErrorOf(cause: unknown, doing: string): AuditError {
  if (cause instanceof AuditError) return cause
  if (cause instanceof ClickHouseError) {
    const clickhouse = Number(cause.code)
    const code = meaning.get(clickhouse) ?? 'refused'
    const named = `${doing}: ${cause.message.trim()} (ClickHouse ${cause.type ?? cause.code})`
    return new AuditError(code, named, { cause, clickhouse })
  }
  const message = messageOf(cause)
  if (/timeout error/i.test(message)) return new AuditError('timeout', `${doing}: ${message}`, { cause })
  if (/abort/i.test(message)) return new AuditError('cancelled', `${doing}: stopped by the caller`, { cause })
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : ''
  if (
    networkCodes.has(code) ||
    /socket hang up|other side closed|premature close|ended prematurely/i.test(message)
  )
    return new AuditError('unavailable', `${doing}: the audit store cannot be reached (${code || message})`, {
      cause,
    })
  return new AuditError('refused', `${doing}: ${message}`, { cause })
}

/** The same call may succeed later. A write may have happened all the same. */
export function isTransient(error: AuditError): boolean {
  return error.code === 'unavailable' || error.code === 'timeout'
}

const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'ERR_STREAM_PREMATURE_CLOSE',
])

// Numbers and names: ClickHouse, src/Common/ErrorCodes.cpp.
const meaning: ReadonlyMap<number, AuditErrorCode> = new Map<number, AuditErrorCode>([
  ...[
    159, // TIMEOUT_EXCEEDED
    160, // TOO_SLOW
    209, // SOCKET_TIMEOUT
  ].map((code) => [code, 'timeout'] as const),
  ...[
    202, // TOO_MANY_SIMULTANEOUS_QUERIES
    210, // NETWORK_ERROR
    225, // NO_ZOOKEEPER
    236, // ABORTED
    241, // MEMORY_LIMIT_EXCEEDED
    242, // TABLE_IS_READ_ONLY
    243, // NOT_ENOUGH_SPACE
    252, // TOO_MANY_PARTS
    285, // TOO_FEW_LIVE_REPLICAS
    319, // UNKNOWN_STATUS_OF_INSERT
    415, // ALL_REPLICAS_LOST
    439, // CANNOT_SCHEDULE_TASK
    999, // KEEPER_EXCEPTION
  ].map((code) => [code, 'unavailable'] as const),
  ...[
    192, // UNKNOWN_USER
    193, // WRONG_PASSWORD
    194, // REQUIRED_PASSWORD
    497, // ACCESS_DENIED
    516, // AUTHENTICATION_FAILED
  ].map((code) => [code, 'denied'] as const),
  ...[
    6, // CANNOT_PARSE_TEXT
    26, // CANNOT_PARSE_QUOTED_STRING
    27, // CANNOT_PARSE_INPUT_ASSERTION_FAILED
    32, // ATTEMPT_TO_READ_AFTER_EOF
    33, // CANNOT_READ_ALL_DATA
    38, // CANNOT_PARSE_DATE
    41, // CANNOT_PARSE_DATETIME
    53, // TYPE_MISMATCH
    69, // ARGUMENT_OUT_OF_BOUND
    70, // CANNOT_CONVERT_TYPE
    72, // CANNOT_PARSE_NUMBER
    117, // INCORRECT_DATA
    131, // TOO_LARGE_STRING_SIZE
    321, // VALUE_IS_OUT_OF_RANGE_OF_DATA_TYPE
    349, // CANNOT_INSERT_NULL_IN_ORDINARY_COLUMN
  ].map((code) => [code, 'invalid_data'] as const),
  [394, 'cancelled'], // QUERY_WAS_CANCELLED
])
