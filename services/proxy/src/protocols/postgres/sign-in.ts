/**
 * The gate signs in at a server, on a connection that is as safe as it is going to be.
 *
 *   gate                                      server
 *   StartupMessage 3.0               ->       real user, database, the client's own settings
 *                                    <-       Authentication*: SASL, MD5, cleartext, or Ok (a certificate was enough)
 *                                    <-       ParameterStatus*, BackendKeyData, ReadyForQuery
 *
 * It tells no password as it is to whom it does not know. The server's words about a failed sign-in name the real user, so
 * they never leave this module but as a cause.
 */
import type { Socket } from 'node:net'
import type { TargetAccess } from '@portcullis/kernel'
import { ByteReader } from './byte-reader.ts'
import type { ReusingSource } from './reused-reads.ts'
import { createScram, md5Password } from './scram.ts'
import type { DeriveKeys } from './scram-keys.ts'
import { UpstreamError } from './upstream-error.ts'
import {
  backend,
  cstring,
  frontend,
  headerBytes,
  int32,
  message,
  readFields,
  startupMessage,
  type TransactionStatus,
} from './wire.ts'

export interface SignedIn {
  /** What the server reported. */
  readonly parameters: ReadonlyMap<string, string>
  readonly status: TransactionStatus
  readonly notices: readonly Buffer[]
  /** Of the backend; 0 where the server has not said. */
  readonly processId: number
  /** What a CancelRequest must say beside it, a character a byte. */
  readonly secret: string
}

const handshakeMessageBytesMax = 1_048_576

/** Leaves the source paused, with nothing read too far. Rejects with UpstreamError, or StreamEnded where the server left. */
export async function signIn(
  source: ReusingSource,
  access: TargetAccess,
  sent: Readonly<Record<string, string>>,
  derive: DeriveKeys,
): Promise<SignedIn> {
  const { socket } = source
  const reader = new ByteReader(source)
  const { user } = access.credentials
  socket.write(startupMessage(196_608, { ...sent, user, database: access.database }))
  const parameters = new Map<string, string>()
  const notices: Buffer[] = []
  let processId = 0
  let secret = ''
  for (;;) {
    const { type, payload } = await readMessage(reader, access)
    switch (type) {
      case backend.authentication:
        await authenticate(reader, socket, access, payload, derive)
        break
      case backend.parameterStatus: {
        const [name = '', value = ''] = payload.toString('utf8').split('\0')
        parameters.set(name, value)
        break
      }
      case backend.backendKeyData:
        processId = payload.readInt32BE(0)
        // No buffer: one as small as this keeps the 8 KiB alive that it is a part of.
        secret = payload.toString('latin1', 4)
        break
      case backend.notice:
        notices.push(message(type, payload))
        break
      case backend.error:
        throw refusedBy(access, payload)
      case backend.readyForQuery:
        reader.release()
        return {
          parameters,
          notices,
          processId,
          status: payload.toString('latin1', 0, 1) as TransactionStatus,
          secret,
        }
      case backend.negotiateVersion:
        break
      default:
        throw outOfPlace(access, type)
    }
  }
}

/** The one value that this query of the gate's own returns; only on a fresh connection. A server that does not say is unfit. */
export async function ask(source: ReusingSource, access: TargetAccess, sql: string): Promise<string> {
  const reader = new ByteReader(source)
  source.socket.write(message(frontend.query, cstring(sql)))
  let value = ''
  for (;;) {
    const { type, payload } = await readMessage(reader, access)
    if (type === backend.error) {
      const { cause } = refusedBy(access, payload)
      throw new UpstreamError('unfit', `target "${access.name}" does not say what it is`, '08001', { cause })
    }
    // Behind the number of columns and the length of the first.
    if (type === backend.dataRow) value = payload.toString('utf8', 6)
    if (type !== backend.readyForQuery) continue
    reader.release()
    return value
  }
}

async function authenticate(
  reader: ByteReader,
  socket: Socket,
  access: TargetAccess,
  payload: Buffer,
  derive: DeriveKeys,
): Promise<void> {
  const { user, password } = access.credentials
  const code = payload.readInt32BE(0)
  if (code === 0) return
  if (code === 3) {
    requireToldOf(access)
    return void socket.write(message(frontend.password, cstring(password)))
  }
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
  const scram = createScram(password, derive)
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

/**
 * With `prefer` and `require` whoever stands between the two can be the one who asks. `verify-full` knows whom it tells; with
 * `disable` it was configured that nobody stands there.
 */
function requireToldOf({ name, tls }: TargetAccess): void {
  if (tls.mode === 'verify-full' || tls.mode === 'disable') return
  throw new UpstreamError('sign_in', `the gate cannot sign in at target "${name}"`, '08006', {
    cause: new Error(
      `what answers asks for the password as it is, and with tls.mode ${tls.mode} nobody knows who that is: use verify-full, or have the server ask by SCRAM`,
    ),
  })
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
  // A server says its settings in a score of messages that mostly come in one piece.
  const header = reader.takeHeld(headerBytes) ?? (await reader.take(headerBytes))
  const length = header.readUInt32BE(1) - 4
  if (length < 0 || length > handshakeMessageBytesMax) throw outOfPlace(access, header[0] ?? 0)
  return { type: header[0] ?? 0, payload: reader.takeHeld(length) ?? (await reader.take(length)) }
}

/** The server's message may name the real user or its rules (pg_hba.conf): only the class of what went wrong goes out. */
function refusedBy(access: TargetAccess, payload: Buffer): UpstreamError {
  const { C: sqlstate = '08006', M: text = '' } = readFields(payload)
  const cause = new Error(`${sqlstate}: ${text}`)
  const name = `target "${access.name}"`
  if (sqlstate.startsWith('28'))
    return new UpstreamError('sign_in', `the gate cannot sign in at ${name}`, '08006', { cause })
  if (sqlstate === '57P03')
    return new UpstreamError('not_ready', `${name} is starting up or shutting down`, sqlstate, { cause })
  const known: Record<string, string> = {
    '3D000': `database "${access.database}" does not exist at ${name}`,
    '53300': `${name} has no free connection`,
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
