/**
 * The gate's own connection to one host of a target: TCP, TLS as configured, and CancelRequest. Who signs in there is
 * `sign-in`, which host it is `hosts`.
 *
 *   gate                                      server
 *   SSLRequest                       ->       (unless tls.mode is disable)
 *                                    <-       'S' or 'N'
 *   ... sign-in ...
 *   --- on a connection of its own, to the same address ---
 *   CancelRequest                    ->       closed by the server once the signal is sent
 *
 * An UpstreamError says what a client may hear, never a host's name or the real user; its cause what the log may.
 */
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import type { TargetAccess, TargetHost } from '@portcullis/kernel'
import { ByteReader, StreamEnded } from './byte-reader.ts'
import { createReads, type ReusingSource } from './reused-reads.ts'
import type { DeriveKeys } from './scram-keys.ts'
import { ask, signIn } from './sign-in.ts'
import { joinRecords } from './tls-reads.ts'
import { UpstreamError } from './upstream-error.ts'
import { cancelRequest, int32, startupCode, type TransactionStatus } from './wire.ts'

export interface Upstream {
  readonly source: ReusingSource
  /** What the server reported, to be passed on but for `session_authorization`. */
  readonly parameters: ReadonlyMap<string, string>
  readonly status: TransactionStatus
  readonly notices: readonly Buffer[]
  /** Of the backend; 0 where the server has not said. */
  readonly processId: number
  /** Resolves once the server has taken the request and closed; the signal is then sent. Never rejects. */
  cancel(): Promise<void>
  /** Ends the connection at once: what the server has not taken yet goes nowhere, and it hears of that however full it is. */
  drop(): void
}

/** What a fresh session tells of its server. */
export interface Fresh {
  readonly parameters: ReadonlyMap<string, string>
  /** The one value that this query returns. */
  ask(sql: string): Promise<string>
}

/** A host as it was named, and the address that it turned out to be. */
interface Peer extends TargetHost {
  readonly address?: string | undefined
}

/** All within one connect timeout. Rejects with UpstreamError; one of code `unfit` where `fits` says no. */
export async function openHost(
  access: TargetAccess,
  host: TargetHost,
  parameters: Readonly<Record<string, string>>,
  fits: (fresh: Fresh) => boolean | Promise<boolean>,
  derive: DeriveKeys,
): Promise<Upstream> {
  const plain = connectReusing(host)
  let { socket } = plain
  const late = setTimeout(() => socket.destroy(new StreamEnded('timed out')), access.connectTimeoutMs)
  try {
    const { source, address, drop } = await dial(plain, access, host)
    socket = source.socket
    const { secret, ...signedIn } = await signIn(source, access, parameters, derive)
    const { processId } = signedIn
    const fresh = { parameters: signedIn.parameters, ask: (sql: string) => ask(source, access, sql) }
    if (!(await fits(fresh))) throw unfit(access)
    const cancel = () =>
      sendCancel(access, { ...host, address }, cancelRequest(processId, Buffer.from(secret, 'latin1')))
    return { ...signedIn, source, cancel, drop }
  } catch (error) {
    socket.destroy()
    if (error instanceof UpstreamError) throw error
    throw new UpstreamError('unreachable', `target "${access.name}" ended the connection`, '08006', {
      cause: error,
    })
  } finally {
    clearTimeout(late)
  }
}

function unfit({ name, sessionAttrs }: TargetAccess): UpstreamError {
  return new UpstreamError(
    'unfit',
    `no host of target "${name}" is fit for sessions that are ${sessionAttrs}`,
    '08001',
    {
      cause: new Error(`is not ${sessionAttrs}`),
    },
  )
}

/** Connected and inside TLS as configured. `address`: the one of the host's that took the connection. */
async function dial(
  plain: ReusingSource,
  access: TargetAccess,
  peer: Peer,
): Promise<{
  readonly source: ReusingSource
  readonly address: string | undefined
  readonly drop: () => void
}> {
  const { socket } = plain
  try {
    await once(socket, 'connect')
    const { idleSec, intervalSec, count } = access.keepalive
    socket.setKeepAlive({ enable: true, initialDelay: idleSec * 1000, interval: intervalSec * 1000, count })
    // Gone once the socket is closed, and a cancel comes late.
    const address = socket.remoteAddress
    // By a reset: the end of the stream would wait behind what the server does not read. Inside TLS only the socket below can.
    const drop = () => void socket.resetAndDestroy()
    return { source: await negotiateTls(plain, access, peer), address, drop }
  } catch (cause) {
    socket.destroy()
    if (cause instanceof UpstreamError) throw cause
    throw new UpstreamError('unreachable', `target "${access.name}" cannot be reached`, '08006', { cause })
  }
}

function connectReusing({ host, port, address = host }: Peer): ReusingSource {
  const { onread, over } = createReads()
  return over(connectTcp({ host: address, port, noDelay: true, onread }))
}

/** A host's certificate must be for its own name, however many hosts the target has. */
async function negotiateTls(
  source: ReusingSource,
  access: TargetAccess,
  { host }: TargetHost,
): Promise<ReusingSource> {
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
    ...(isIP(host) === 0 ? { servername: host } : { host }),
    ...(ca && { ca }),
    ...(cert && { cert }),
    ...(key && { key }),
  })
  try {
    await once(secure, 'secureConnect')
  } catch (cause) {
    secure.destroy()
    throw new UpstreamError('tls', `target "${access.name}" cannot be reached safely`, '08006', { cause })
  }
  return joinRecords(secure)
}

/** On a connection of its own, as the protocol wants; as safe as the session's own. */
async function sendCancel(access: TargetAccess, peer: Peer, request: Buffer): Promise<void> {
  const plain = connectReusing(peer)
  const late = setTimeout(() => plain.socket.destroy(), access.connectTimeoutMs)
  try {
    const { source } = await dial(plain, access, peer)
    clearTimeout(late)
    const { socket } = source
    socket.setTimeout(access.connectTimeoutMs, () => socket.destroy())
    socket.resume()
    socket.end(request)
    await once(socket, 'close')
  } catch {
    // Whoever waits for the cancel goes on: the connection to the backend is closed next where it matters.
  } finally {
    clearTimeout(late)
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
