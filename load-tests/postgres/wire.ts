/** The few messages that a bare client or a bare server of these measurements sends. Refuses to be a driver. */

/** A message with its type byte. */
export function message(type: string, ...parts: readonly (Buffer | string)[]): Buffer {
  return Buffer.concat([Buffer.from(type, 'latin1'), packet(...parts)])
}

/** A packet without a type: what opens a connection. */
export function packet(...parts: readonly (Buffer | string)[]): Buffer {
  const body = Buffer.concat(
    parts.map((part) => (typeof part === 'string' ? Buffer.from(`${part}\0`) : part)),
  )
  return Buffer.concat([int32(body.length + 4), body])
}

export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}

/** StartupMessage of protocol 3.0. */
export function startup(user: string, database = 'postgres'): Buffer {
  return packet(int32(196_608), 'user', user, 'database', database, '')
}

export const sslRequest = packet(int32(80_877_103))

/** ReadyForQuery of a session that is in no transaction. */
export const ready = message('Z', Buffer.from('I'))
