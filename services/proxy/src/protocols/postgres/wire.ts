/**
 * The bytes of the PostgreSQL protocol: codes and the few messages that the gate writes itself. Reading is done in
 * place by whoever reads (startup, requests, answers); this module keeps no state.
 *
 * Source: PostgreSQL manual, chapter 54, "Frontend/Backend Protocol".
 */

/** Message types from the client. */
export const frontend = {
  bind: 0x42, // B
  close: 0x43, // C
  describe: 0x44, // D
  execute: 0x45, // E
  functionCall: 0x46, // F
  flush: 0x48, // H
  parse: 0x50, // P
  query: 0x51, // Q
  sync: 0x53, // S
  terminate: 0x58, // X
  copyDone: 0x63, // c
  copyData: 0x64, // d
  copyFail: 0x66, // f
  password: 0x70, // p
} as const

/** Message types from the server. */
export const backend = {
  parseComplete: 0x31, // 1
  bindComplete: 0x32, // 2
  closeComplete: 0x33, // 3
  notification: 0x41, // A
  commandComplete: 0x43, // C
  dataRow: 0x44, // D
  error: 0x45, // E
  copyInResponse: 0x47, // G
  copyOutResponse: 0x48, // H
  emptyQuery: 0x49, // I
  backendKeyData: 0x4b, // K
  notice: 0x4e, // N
  authentication: 0x52, // R
  parameterStatus: 0x53, // S
  rowDescription: 0x54, // T
  functionResult: 0x56, // V
  copyBothResponse: 0x57, // W
  readyForQuery: 0x5a, // Z
  copyDone: 0x63, // c
  copyData: 0x64, // d
  noData: 0x6e, // n
  portalSuspended: 0x73, // s
  parameterDescription: 0x74, // t
  negotiateVersion: 0x76, // v
} as const

/** Codes that stand where a start-up message has its version. */
export const startupCode = { cancel: 80877102, ssl: 80877103, gssenc: 80877104 } as const

/** Type and length. */
export const headerBytes = 5

export type TransactionStatus = 'I' | 'T' | 'E'

/** A message of this type around a payload. */
export function message(type: number, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 4)
  const out = Buffer.allocUnsafe(1 + length)
  out[0] = type
  out.writeInt32BE(length, 1)
  let at = headerBytes
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
  return out
}

export function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`)
}

export function int32(value: number): Buffer {
  const out = Buffer.allocUnsafe(4)
  out.writeInt32BE(value | 0)
  return out
}

export function authentication(code: number, ...rest: readonly Uint8Array[]): Buffer {
  return message(backend.authentication, int32(code), ...rest)
}

export function readyForQuery(status: TransactionStatus): Buffer {
  return message(backend.readyForQuery, Buffer.from(status))
}

export function parameterStatus(name: string, value: string): Buffer {
  return message(backend.parameterStatus, cstring(name), cstring(value))
}

/** Fields of an ErrorResponse or NoticeResponse by their one-letter code; `V` (severity, never translated) is set from `S`. */
export type ErrorFields = Readonly<Record<string, string>>

export function errorResponse(fields: ErrorFields): Buffer {
  return fieldsMessage(backend.error, fields)
}

export function fieldsMessage(type: number, fields: ErrorFields): Buffer {
  const parts = Object.entries(fields).flatMap(([code, value]) => [
    Buffer.from(code, 'latin1'),
    cstring(value),
  ])
  return message(type, ...parts, Buffer.of(0))
}

/** Reads the fields of an ErrorResponse or NoticeResponse from its payload. */
export function readFields(payload: Buffer): Record<string, string> {
  const fields: Record<string, string> = {}
  let at = 0
  while (at < payload.length && payload[at] !== 0) {
    const end = payload.indexOf(0, at + 1)
    if (end < 0) break
    fields[String.fromCharCode(payload[at] ?? 0)] = payload.toString('utf8', at + 1, end)
    at = end + 1
  }
  return fields
}

export function startupMessage(version: number, parameters: Readonly<Record<string, string>>): Buffer {
  const body = Buffer.concat([
    int32(version),
    ...Object.entries(parameters).flatMap(([key, value]) => [cstring(key), cstring(value)]),
    Buffer.of(0),
  ])
  return Buffer.concat([int32(body.length + 4), body])
}

export function cancelRequest(processId: number, secret: Uint8Array): Buffer {
  return Buffer.concat([int32(12 + secret.length), int32(startupCode.cancel), int32(processId), secret])
}
