/**
 * The first bytes of a Postgres connection (protocol manual, "Message Formats"): what a client sends before it is anybody.
 * Pure. It refuses a length that no start-up has.
 */
export type FirstMessage =
  | { readonly kind: 'ssl' | 'gss'; readonly bytes: number }
  | { readonly kind: 'cancel'; readonly bytes: number; readonly message: Buffer }
  | {
      readonly kind: 'startup'
      readonly bytes: number
      readonly version: number
      readonly parameters: ReadonlyMap<string, string>
    }

const bytesMax = 10_000
const codes = { cancel: 80877102, ssl: 80877103, gss: 80877104 } as const

/** Undefined where more bytes are needed; 'malformed' where no more will help. */
export function readFirstMessage(buffer: Buffer): FirstMessage | 'malformed' | undefined {
  if (buffer.length < 4) return undefined
  const bytes = buffer.readUInt32BE(0)
  if (bytes < 8 || bytes > bytesMax) return 'malformed'
  if (buffer.length < bytes) return undefined
  const code = buffer.readUInt32BE(4)
  if (code === codes.ssl || code === codes.gss)
    return bytes === 8 ? { kind: code === codes.ssl ? 'ssl' : 'gss', bytes } : 'malformed'
  if (code === codes.cancel) return { kind: 'cancel', bytes, message: buffer.subarray(0, bytes) }
  if (code >>> 16 !== 3) return 'malformed'
  const parameters = readParameters(buffer.subarray(8, bytes))
  return parameters ? { kind: 'startup', bytes, version: code, parameters } : 'malformed'
}

function readParameters(body: Buffer): ReadonlyMap<string, string> | undefined {
  if (body.at(-1) !== 0) return undefined
  const texts = body.subarray(0, -1).toString().split('\0')
  // Each text ends with a zero of its own, and the list with one more.
  if (texts.pop() !== '' && body.length > 1) return undefined
  if (texts.length % 2 !== 0) return undefined
  return new Map(
    Array.from({ length: texts.length / 2 }, (_, at) => [texts[2 * at] ?? '', texts[2 * at + 1] ?? '']),
  )
}

export const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])

export function writeStartup(version: number, parameters: ReadonlyMap<string, string>): Buffer {
  const body = [...parameters].map(([name, value]) => `${name}\0${value}\0`).join('')
  const message = Buffer.from(`\0\0\0\0\0\0\0\0${body}\0`)
  message.writeUInt32BE(message.length, 0)
  message.writeUInt32BE(version, 4)
  return message
}

export function writePassword(password: string): Buffer {
  const message = Buffer.from(`p\0\0\0\0${password}\0`)
  message.writeUInt32BE(message.length - 1, 1)
  return message
}

/** A fatal ErrorResponse, as a server that cannot go on sends it. */
export function writeFatal(sqlState: string, message: string, hint: string): Buffer {
  const fields = `SFATAL\0VFATAL\0C${sqlState}\0M${message}\0H${hint}\0\0`
  const buffer = Buffer.from(`E\0\0\0\0${fields}`)
  buffer.writeUInt32BE(buffer.length - 1, 1)
  return buffer
}

/** What a client asked for, with the user that the gate knows. The client's own user name means nothing here. */
export function asUser(
  parameters: ReadonlyMap<string, string>,
  user: string,
  database: string | undefined,
): ReadonlyMap<string, string> {
  const { user: own, database: asked, ...rest } = Object.fromEntries(parameters)
  // A client that names no database sends its user's name, or none.
  const wanted = asked === undefined || asked === own ? database : asked
  return new Map(Object.entries({ user, ...(wanted !== undefined && { database: wanted }), ...rest }))
}
