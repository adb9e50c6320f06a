/**
 * A door on this machine that any Postgres client uses with no password: it takes the start-up, signs in at the gate with the
 * caller's token, and from then on passes bytes.
 *
 *   client            here                          gate
 *     | SSLRequest ->  | N                            |
 *     | Startup    ->  | user=TARGET+ROLE   (TLS) ->  |
 *     |                | <- AuthenticationCleartext   |
 *     |                | PasswordMessage(token) ->    |
 *     | <============= bytes both ways =============> |
 *
 * It listens on loopback alone, and refuses other users of this machine where it can tell (Linux): whoever reaches it
 * acts as its owner.
 */
import { once } from 'node:events'
import { createServer, type Socket } from 'node:net'
import { type Door, dial } from './dial.ts'
import { CliError, messageOf } from './errors.ts'
import { isOwnPeer } from './peer.ts'
import {
  asUser,
  type FirstMessage,
  readFirstMessage,
  writeFatal,
  writePassword,
  writeStartup,
} from './startup.ts'

export interface LocalDoorOptions {
  readonly door: Door
  readonly user: string
  /** Where the client names none; undefined for the target's default. */
  readonly database: string | undefined
  /** 0 for any free one. */
  readonly port: number
  /** A token that is valid now, for each connection. */
  readonly token: () => Promise<string>
  readonly onConnected: (client: string) => void
  readonly onFailed: (error: CliError) => void
}

export interface LocalDoor {
  readonly port: number
  /** Ends what is open, too. */
  close(): Promise<void>
}

const startupMsMax = 30_000

/** @throws CliError usage, where the port is taken */
export async function openLocalDoor(options: LocalDoorOptions): Promise<LocalDoor> {
  const sockets = new Set<Socket>()
  const keep = (socket: Socket): Socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    return socket
  }
  const server = createServer({ noDelay: true }, (client) => {
    keep(client)
    serve(client, options, keep).catch((thrown: unknown) => {
      const error = thrown instanceof CliError ? thrown : internal(thrown)
      if (client.writable) client.end(writeFatal(stateOf(error), `portcullis: ${error.message}`, error.hint))
      options.onFailed(error)
    })
  })
  server.listen(options.port, '127.0.0.1')
  try {
    await once(server, 'listening')
  } catch (cause) {
    const hint = 'give another port, or none for any free one'
    throw new CliError('usage', `127.0.0.1:${options.port} cannot be used: ${messageOf(cause)}`, hint, {
      cause,
    })
  }
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('a server that listens has no port')
  return {
    port: address.port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve))
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}

async function serve(
  client: Socket,
  options: LocalDoorOptions,
  keep: (socket: Socket) => Socket,
): Promise<void> {
  if (!isOwnPeer(client)) {
    client.destroy()
    throw new CliError('refused', 'another user of this machine tried the port', 'it is for you alone')
  }
  const first = await readStartup(client)
  if (!first) return
  if (first.kind === 'cancel') {
    await cancel(first.message, options, keep)
    return void client.end()
  }
  const token = await options.token()
  const gate = keep(await dial(options.door))
  if (client.destroyed) return void gate.destroy()
  gate.write(writeStartup(first.version, asUser(first.parameters, options.user, options.database)))
  await signIn(gate, client, token)
  options.onConnected(first.parameters.get('application_name') ?? '')
  client.on('close', () => gate.destroy())
  gate.on('close', () => client.destroySoon())
  client.pipe(gate)
  gate.pipe(client)
}

/** Undefined where the client went away. Says no to encryption: it is loopback. */
async function readStartup(
  client: Socket,
): Promise<Extract<FirstMessage, { kind: 'startup' | 'cancel' }> | undefined> {
  const timer = setTimeout(() => client.destroy(), startupMsMax)
  let buffer = Buffer.alloc(0)
  try {
    for (;;) {
      const message = readFirstMessage(buffer)
      if (message === 'malformed')
        throw new CliError(
          'usage',
          'what connected speaks no Postgres',
          'point a Postgres client at this port',
        )
      if (message === undefined) {
        const more = await nextChunk(client)
        if (!more) return undefined
        buffer = Buffer.concat([buffer, more])
        continue
      }
      buffer = buffer.subarray(message.bytes)
      if (message.kind === 'startup' || message.kind === 'cancel') {
        if (buffer.length > 0) client.unshift(buffer)
        return message
      }
      client.write('N')
    }
  } finally {
    clearTimeout(timer)
  }
}

/** Passes on what the gate says until it asks for the password, and answers that. Whatever else comes is the client's. */
async function signIn(gate: Socket, client: Socket, token: string): Promise<void> {
  let buffer = Buffer.alloc(0)
  for (;;) {
    const length = buffer.length >= 5 ? buffer.readUInt32BE(1) + 1 : undefined
    if (length === undefined || buffer.length < length) {
      const more = await nextChunk(gate)
      if (!more) {
        client.end(buffer)
        return
      }
      buffer = Buffer.concat([buffer, more])
      continue
    }
    const message = buffer.subarray(0, length)
    const isPassword = message[0] === 0x52 && length === 9 && message.readUInt32BE(5) === 3
    if (isPassword) {
      gate.write(writePassword(token))
      if (buffer.length > length) client.write(buffer.subarray(length))
      return
    }
    if (message[0] === 0x52 && message.readUInt32BE(5) !== 0)
      throw new CliError(
        'unreachable',
        'what answers there asks for another kind of password than a gate does',
        'check proxy.publicAddress of the gate',
      )
    client.write(message)
    buffer = buffer.subarray(length)
    // An error, or nothing to prove: the rest is between the two.
    if (message[0] === 0x52 || message[0] === 0x45) {
      client.write(buffer)
      return
    }
  }
}

/** The one who cancels waits for the end of the connection (protocol manual, "Canceling Requests in Progress"). */
async function cancel(
  message: Buffer,
  { door }: LocalDoorOptions,
  keep: (socket: Socket) => Socket,
): Promise<void> {
  const gate = keep(await dial(door))
  gate.resume()
  gate.end(message)
  await once(gate, 'close')
}

/** Undefined at the end. What is not taken stays in the socket. */
function nextChunk(socket: Socket): Promise<Buffer | undefined> {
  return new Promise((resolve) => {
    const settle = (): void => {
      const chunk: Buffer | null = socket.read()
      if (chunk === null && !socket.readableEnded && !socket.destroyed) return
      socket.off('readable', settle).off('end', settle).off('close', settle)
      resolve(chunk ?? undefined)
    }
    socket.on('readable', settle).on('end', settle).on('close', settle)
    settle()
  })
}

function stateOf({ code }: CliError): string {
  return code === 'unreachable' ? '08006' : '28000'
}

function internal(thrown: unknown): CliError {
  return new CliError('unreachable', `a connection failed: ${messageOf(thrown)}`, 'try again', {
    cause: thrown,
  })
}
