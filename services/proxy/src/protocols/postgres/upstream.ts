/**
 * The gate's own connection to the target: TLS as configured, sign-in as the target's role, and CancelRequest.
 *
 *   gate                                      server
 *   SSLRequest                       ->       (unless tls.mode is disable)
 *                                    <-       'S' or 'N'
 *   StartupMessage 3.0               ->       real user, database, the client's own settings
 *                                    <-       Authentication*: SASL, MD5, cleartext, or Ok
 *                                    <-       ParameterStatus*, BackendKeyData, ReadyForQuery
 *
 * The server's words about a failed sign-in name the real user, so they never leave this module: an UpstreamError says
 * what a client may hear, its cause what the log may.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { CodedError, type TargetAccess } from '@portcullis/kernel'
import { ByteReader, StreamEnded } from './byte-reader.ts'
import { createReads, ordinaryReads, type ReusingSource } from './reused-reads.ts'
import { createScram, md5Password } from './scram.ts'
import {
  backend,
  cancelRequest,
  cstring,
  frontend,
  int32,
  message,
  readFields,
  startupCode,
  startupMessage,
  type TransactionStatus,
} from './wire.ts'

export type UpstreamErrorCode = 'unreachable' | 'tls' | 'sign_in' | 'refused' | 'protocol'

/** `message` is fit for the client; the cause is for the log. */
export class UpstreamError extends CodedError<UpstreamErrorCode> {
  /** The server's own SQLSTATE where it gave one, else 08006. */
  readonly sqlstate: string
  constructor(code: UpstreamErrorCode, text: string, sqlstate: string, options?: ErrorOptions) {
    super(code, text, options)
    this.sqlstate = sqlstate
  }
}

export interface Upstream {
  readonly source: ReusingSource
  /** What the server reported, to be passed on but for `session_authorization`. */
  readonly parameters: ReadonlyMap<string, string>
  readonly status: TransactionStatus
  readonly notices: readonly Buffer[]
  /** Resolves once the server has taken the request and closed; the signal is then sent. Never rejects. */
  cancel(): Promise<void>
}

const handshakeMessageBytesMax = 1_048_576

export async function openUpstream(
  access: TargetAccess,
  parameters: Readonly<Record<string, string>>,
): Promise<Upstream> {
  const deadline = AbortSignal.timeout(access.connectTimeoutMs)
  const source = await dial(access, deadline)
  const giveUp = () => source.socket.destroy(new StreamEnded('timed out'))
  deadline.addEventListener('abort', giveUp)
  try {
    return await signIn(source, access, parameters)
  } catch (error) {
    source.socket.destroy()
    if (error instanceof UpstreamError) throw error
    throw new UpstreamError('unreachable', `target "${access.name}" ended the connection`, '08006', {
      cause: error,
    })
  } finally {
    deadline.removeEventListener('abort', giveUp)
  }
}

async function dial(access: TargetAccess, deadline: AbortSignal): Promise<ReusingSource> {
  const source = connectReusing(access)
  const { socket } = source
  const abort = () => socket.destroy(new StreamEnded('timed out'))
  deadline.addEventListener('abort', abort)
  try {
    await once(socket, 'connect')
    return await negotiateTls(source, access)
  } catch (cause) {
    socket.destroy()
    if (cause instanceof UpstreamError) throw cause
    throw new UpstreamError('unreachable', `target "${access.name}" cannot be reached`, '08006', { cause })
  } finally {
    deadline.removeEventListener('abort', abort)
  }
}

function connectReusing({ host, port }: TargetAccess): ReusingSource {
  const { onread, over } = createReads()
  return over(
    connectTcp({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000, onread }),
  )
}

async function negotiateTls(source: ReusingSource, access: TargetAccess): Promise<ReusingSource> {
  const { socket } = source
  const { mode, ca, cert, key } = access.tls
  if (mode === 'disable') return source
  const reader = new ByteReader(source)
  socket.write(Buffer.concat([int32(8), int32(startupCode.ssl)]))
  const answer = (await reader.take(1))[0]
  if (reader.buffered > 0)
    throw new UpstreamError('protocol', `target "${access.name}" cannot be reached`, '08P01', {
      cause: new Error('bytes after the answer to SSLRequest'),
    })
  reader.release()
  if (answer !== 0x53) {
    if (mode === 'prefer') return source
    throw new UpstreamError('tls', `target "${access.name}" cannot be reached safely`, '08006', {
      cause: new Error('the server offers no TLS'),
    })
  }
  const verify = mode === 'verify-full'
  const secure = connectTls({
    socket,
    rejectUnauthorized: verify,
    ...(isIP(access.host) === 0 && { servername: access.host }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
    ...(isIP(access.host) !== 0 && { host: access.host }),
  })
  try {
    await once(secure, 'secureConnect')
  } catch (cause) {
    secure.destroy()
    throw new UpstreamError('tls', `target "${access.name}" cannot be reached safely`, '08006', { cause })
  }
  return ordinaryReads(secure)
}

async function signIn(
  source: ReusingSource,
  access: TargetAccess,
  sent: Readonly<Record<string, string>>,
): Promise<Upstream> {
  const { socket } = source
  const reader = new ByteReader(source)
  const { user, password } = access.credentials
  socket.write(startupMessage(196_608, { ...sent, user, database: access.database }))
  const parameters = new Map<string, string>()
  const notices: Buffer[] = []
  let processId = 0
  let secret: Buffer = Buffer.alloc(0)
  for (;;) {
    const { type, payload } = await readMessage(reader, access)
    switch (type) {
      case backend.authentication:
        await authenticate(reader, socket, access, user, password, payload)
        break
      case backend.parameterStatus: {
        const [name = '', value = ''] = payload.toString('utf8').split('\0')
        parameters.set(name, value)
        break
      }
      case backend.backendKeyData:
        processId = payload.readInt32BE(0)
        secret = Buffer.from(payload.subarray(4))
        break
      case backend.notice:
        notices.push(message(type, payload))
        break
      case backend.error:
        throw refusedBy(access, payload)
      case backend.readyForQuery:
        reader.release()
        return {
          source,
          parameters,
          notices,
          status: payload.toString('latin1', 0, 1) as TransactionStatus,
          cancel: () => sendCancel(access, cancelRequest(processId, secret)),
        }
      case backend.negotiateVersion:
        break
      default:
        throw outOfPlace(access, type)
    }
  }
}

async function authenticate(
  reader: ByteReader,
  socket: Socket,
  access: TargetAccess,
  user: string,
  password: string,
  payload: Buffer,
): Promise<void> {
  const code = payload.readInt32BE(0)
  if (code === 0) return
  if (code === 3) return void socket.write(message(frontend.password, cstring(password)))
  if (code === 5)
    return void socket.write(
      message(frontend.password, cstring(md5Password(user, password, payload.subarray(4, 8)))),
    )
  const mechanisms = code === 10 ? payload.toString('utf8', 4).split('\0') : []
  if (!mechanisms.includes('SCRAM-SHA-256')) {
    throw new UpstreamError('sign_in', `the gate cannot sign in at target "${access.name}"`, '08006', {
      cause: new Error(`authentication request ${code} ${mechanisms.join(' ')} is not supported`),
    })
  }
  const scram = createScram(password)
  socket.write(
    message(
      frontend.password,
      cstring('SCRAM-SHA-256'),
      int32(scram.clientFirst.length),
      Buffer.from(scram.clientFirst),
    ),
  )
  socket.write(
    message(frontend.password, Buffer.from(await scram.respond(await saslAnswer(reader, access, 11)))),
  )
  scram.verify(await saslAnswer(reader, access, 12))
}

async function saslAnswer(reader: ByteReader, access: TargetAccess, expected: number): Promise<string> {
  const { type, payload } = await readMessage(reader, access)
  if (type === backend.error) throw refusedBy(access, payload)
  if (type !== backend.authentication || payload.readInt32BE(0) !== expected) throw outOfPlace(access, type)
  return payload.toString('utf8', 4)
}

async function readMessage(
  reader: ByteReader,
  access: TargetAccess,
): Promise<{ type: number; payload: Buffer }> {
  const header = await reader.take(5)
  const length = header.readUInt32BE(1) - 4
  if (length < 0 || length > handshakeMessageBytesMax) throw outOfPlace(access, header[0] ?? 0)
  return { type: header[0] ?? 0, payload: await reader.take(length) }
}

/** The server's message may name the real user or its rules (pg_hba.conf): only the class of what went wrong goes out. */
function refusedBy(access: TargetAccess, payload: Buffer): UpstreamError {
  const { C: sqlstate = '08006', M: text = '' } = readFields(payload)
  const cause = new Error(`${sqlstate}: ${text}`)
  const name = `target "${access.name}"`
  if (sqlstate.startsWith('28'))
    return new UpstreamError('sign_in', `the gate cannot sign in at ${name}`, '08006', { cause })
  const known: Record<string, string> = {
    '3D000': `database "${access.database}" does not exist at ${name}`,
    '53300': `${name} has no free connection`,
    '57P03': `${name} is starting up or shutting down`,
    '42501': `the gate may not connect to database "${access.database}" at ${name}`,
  }
  return new UpstreamError('refused', known[sqlstate] ?? `${name} refused the connection`, sqlstate, {
    cause,
  })
}

function outOfPlace(access: TargetAccess, type: number): UpstreamError {
  return new UpstreamError(
    'protocol',
    `target "${access.name}" does not speak PostgreSQL as expected`,
    '08P01',
    {
      cause: new Error(`message type ${type} is out of place in the handshake`),
    },
  )
}

/** On a connection of its own, as the protocol wants; as safe as the session's own. */
async function sendCancel(access: TargetAccess, request: Buffer): Promise<void> {
  try {
    const { socket } = await dial(access, AbortSignal.timeout(access.connectTimeoutMs))
    socket.setTimeout(access.connectTimeoutMs, () => socket.destroy())
    socket.resume()
    socket.end(request)
    await once(socket, 'close')
  } catch {
    // Whoever waits for the cancel goes on: the connection to the backend is closed next where it matters.
  }
}

function once(socket: Socket, event: 'connect' | 'secureConnect' | 'close'): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = () => {
      socket.off('error', failed)
      socket.off('close', ended)
      resolve()
    }
    const failed = (error: Error) => reject(error)
    const ended = () => (event === 'close' ? done() : reject(new StreamEnded('the connection ended')))
    socket.once('error', failed)
    if (event !== 'close') socket.once(event, done)
    socket.once('close', ended)
  })
}
