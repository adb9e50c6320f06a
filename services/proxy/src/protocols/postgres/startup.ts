/**
 * The client's half of the start-up: what comes before the first command.
 *
 *   client                                   gate
 *   SSLRequest (8 bytes)            ->
 *                                   <-       'S' then TLS, or 'N' where no certificate is configured
 *   GSSENCRequest                   ->
 *                                   <-       'N'
 *   StartupMessage 3.0 or 3.2       ->
 *     user = TARGET or TARGET+ROLE
 *     database, options, ...
 *                                   <-       NegotiateProtocolVersion, where a minor version or option is unknown
 *                                   <-       AuthenticationCleartextPassword, unless the client's certificate is enough
 *   PasswordMessage (the token)     ->
 *   --- or, on a connection of its own ---
 *   CancelRequest                   ->       no answer, closed
 *
 * Refuses a token outside TLS from anyone but a loopback peer, bytes sent together with SSLRequest (they would be
 * taken for decrypted ones, CVE-2021-23222), replication, and settings that must be a command (startup-settings.ts).
 */
import type { Socket } from 'node:net'
import type { ClientCertificate } from '@portcullis/kernel'
import type { DoorTls } from './client-tls.ts'
import { fatalMessage } from './deny.ts'
import { ByteReader, StreamEnded } from './byte-reader.ts'
import { ordinaryReads, type ReusingSource } from './reused-reads.ts'
import { refusedSetting } from './startup-settings.ts'
import { authentication, backend, cstring, frontend, int32, message, startupCode } from './wire.ts'

/** A start-up packet is small; PostgreSQL itself allows 10,000 bytes. */
const startupBytesMax = 10_000
const protocol30 = 196_608
const protocol32 = 196_610

export type Opening =
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  /** Nothing more to do: the peer left, or was told why not. */
  | { readonly kind: 'over' }
  | Login

/** What protects the connection. */
interface Safety {
  /** TLS version, empty for plain. */
  readonly tls: string
  readonly certificate?: ClientCertificate
}

export interface Login extends Safety {
  readonly kind: 'login'
  readonly source: ReusingSource
  readonly reader: ByteReader
  /** Minor version spoken from here on: 0 or 2. */
  readonly minor: 0 | 2
  readonly target: string
  readonly role: string
  /** Empty for the target's default. */
  readonly database: string
  /** Empty where the certificate is enough. */
  readonly token: string
  /** What is passed on to the server: everything but user and database. */
  readonly parameters: Readonly<Record<string, string>>
}

export interface StartupOptions {
  /** Undefined where the listener has no certificate. */
  readonly tls: DoorTls | undefined
  /** Whether the client is not asked for a token. */
  readonly isEnough: (certificate: ClientCertificate) => boolean
  readonly loopback: boolean
  readonly tokenBytesMax: number
}

export async function readStartup(
  source: ReusingSource,
  head: Uint8Array,
  options: StartupOptions,
): Promise<Opening> {
  try {
    return await negotiate(source, new ByteReader(source, head), options, { tls: '' })
  } catch (error) {
    if (error instanceof StreamEnded) return { kind: 'over' }
    throw error
  }
}

async function negotiate(
  source: ReusingSource,
  reader: ByteReader,
  options: StartupOptions,
  safety: Safety,
): Promise<Opening> {
  const { socket } = source
  const { tls } = safety
  for (let requests = 0; requests < 3; requests++) {
    const packet = await readPacket(reader)
    if (!packet) return refuse(socket, '08P01', 'invalid start-up packet')
    const code = packet.readUInt32BE(0)
    if (code === startupCode.cancel) {
      return packet.length < 12
        ? { kind: 'over' }
        : { kind: 'cancel', processId: packet.readInt32BE(4), secret: packet.subarray(8) }
    }
    if (code === startupCode.gssenc || (code === startupCode.ssl && (!options.tls || tls))) {
      socket.write('N')
      continue
    }
    if (code !== startupCode.ssl || !options.tls)
      return startup(source, reader, options, safety, code, packet.subarray(4))
    if (reader.buffered > 0) return refuse(socket, '08P01', 'data sent together with SSLRequest')
    socket.write('S')
    reader.release()
    const { socket: secure, certificate } = await options.tls.accept(socket)
    const inside = ordinaryReads(secure)
    return negotiate(inside, new ByteReader(inside), options, {
      tls: secure.getProtocol() ?? 'TLS',
      ...(certificate && { certificate }),
    })
  }
  return refuse(socket, '08P01', 'too many negotiation requests')
}

async function startup(
  source: ReusingSource,
  reader: ByteReader,
  options: StartupOptions,
  safety: Safety,
  version: number,
  body: Buffer,
): Promise<Opening> {
  const { socket } = source
  const { tls, certificate } = safety
  if (version >>> 16 !== 3)
    return refuse(
      socket,
      '0A000',
      `protocol ${version >>> 16}.${version & 0xffff} is not supported; use 3.0 or 3.2`,
    )
  const sent = readParameters(body)
  if (!sent) return refuse(socket, '08P01', 'invalid start-up packet')
  const minor = version >= protocol32 ? 2 : 0
  const unknown = Object.keys(sent).filter((key) => key.startsWith('_pq_.'))
  if (version > protocol32 || (version !== protocol30 && version !== protocol32) || unknown.length > 0) {
    socket.write(
      message(backend.negotiateVersion, int32(minor), int32(unknown.length), ...unknown.map(cstring)),
    )
  }
  const { user = '', database = '', options: rawOptions = '', ...rest } = sent
  if (user === '')
    return refuse(
      socket,
      '28000',
      'no user name in the start-up packet',
      'The user name is the target, or TARGET+ROLE.',
    )
  if (isTrue(sent.replication))
    return refuse(socket, '0A000', 'replication is not supported through the gate')
  if (!tls && !options.loopback) {
    const hint = options.tls
      ? 'Connect with sslmode=require or stricter.'
      : 'The operators must configure proxy.tls.'
    return refuse(socket, '28000', 'a token is taken only inside TLS', hint)
  }
  const { role: roleOption, remaining } = takeRole(rawOptions)
  const passed = Object.fromEntries(
    Object.entries(rest).filter(([key]) => !key.startsWith('_pq_.') && key !== 'replication'),
  )
  const setting = refusedSetting(passed, remaining)
  if (setting !== undefined) {
    const hint = 'Ask for a role of the target as TARGET+ROLE; set anything else by a statement.'
    return refuse(socket, '42501', `"${setting.slice(0, 63)}" cannot be set by the start-up packet`, hint)
  }
  const plus = user.indexOf('+')
  const target = plus < 0 ? user : user.slice(0, plus)

  const isAsked = !certificate || !options.isEnough(certificate)
  if (isAsked) socket.write(authentication(3))
  const token = isAsked ? await readPassword(reader, options.tokenBytesMax) : ''
  if (token === undefined) return refuse(socket, '08P01', 'the password message is missing')
  return {
    kind: 'login',
    source,
    reader,
    minor,
    target,
    role: roleOption || (plus < 0 ? '' : user.slice(plus + 1)),
    database: database === user ? '' : database,
    token,
    ...safety,
    parameters: { ...passed, ...(remaining && { options: remaining }) },
  }
}

/** The packet without its length, or undefined where the length is absurd. */
async function readPacket(reader: ByteReader): Promise<Buffer | undefined> {
  const length = (await reader.take(4)).readUInt32BE(0)
  return length < 8 || length > startupBytesMax ? undefined : reader.take(length - 4)
}

/**
 * Of a token that is too long only so much that whoever judges it sees that: the login is then refused, and recorded, like
 * any other.
 */
async function readPassword(reader: ByteReader, bytesMax: number): Promise<string | undefined> {
  const header = await reader.take(5)
  const length = header.readUInt32BE(1) - 4
  if (header[0] !== frontend.password || length < 1) return undefined
  const body = await reader.take(Math.min(length, bytesMax + 1))
  const end = body.indexOf(0)
  return body.toString('utf8', 0, end < 0 ? body.length : end)
}

function readParameters(body: Buffer): Record<string, string> | undefined {
  if (body.at(-1) !== 0) return undefined
  const words = body.toString('utf8', 0, body.length - 1).split('\0')
  words.pop()
  if (words.length % 2 !== 0) return undefined
  const parameters: Record<string, string> = Object.create(null)
  for (let at = 0; at < words.length; at += 2) {
    const [key = '', value = ''] = words.slice(at, at + 2)
    if (key === '' || key in parameters) return undefined
    parameters[key] = value
  }
  return parameters
}

/** Takes `-c portcullis.role=ROLE` (or `--portcullis.role=ROLE`) out of libpq's `options`. */
function takeRole(raw: string): { role: string; remaining: string } {
  const setting = /(^|\s)(?:-c\s*|--)portcullis\.role=(\S*)/
  const role = setting.exec(raw)?.[2] ?? ''
  return { role, remaining: raw.replace(setting, '').trim() }
}

function isTrue(value: string | undefined): boolean {
  return value !== undefined && !['false', 'off', 'no', '0', ''].includes(value.toLowerCase())
}

function refuse(socket: Socket, sqlstate: string, text: string, hint = ''): Opening {
  socket.end(fatalMessage(sqlstate, text, hint))
  return { kind: 'over' }
}
