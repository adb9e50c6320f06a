/** A connection to the gate's Postgres door, up to where it asks for the password; TLS, and its certificate, where the gate has it. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { CliError, messageOf } from './errors.ts'
import { sslRequest } from './startup.ts'

export interface Door {
  readonly host: string
  readonly port: number
  readonly tls: boolean
}

const timeoutMs = 15_000

/** Rejects with CliError unreachable. */
export async function dial({ host, port, tls }: Door): Promise<Socket> {
  const socket = connect({ host, port })
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error('it took too long')))
  try {
    await once(socket, 'connect')
    socket.setNoDelay(true)
    if (!tls) return timeless(socket)
    socket.write(sslRequest)
    const [answer] = (await once(socket, 'data')) as [Buffer]
    socket.pause()
    // Anything behind the one byte came before TLS, from whoever.
    if (answer.length !== 1 || answer.toString('latin1') !== 'S') throw new Error('it speaks no TLS')
    const secure = connectTls({ socket, host, ...(/^[\d.]+$|:/.test(host) ? {} : { servername: host }) })
    await once(secure, 'secureConnect')
    return timeless(secure, socket)
  } catch (cause) {
    socket.destroy()
    const isTls = /certificate|altname|issuer/i.test(messageOf(cause))
    throw new CliError(
      'unreachable',
      `the gate's door at ${host}:${port} cannot be reached: ${messageOf(cause)}`,
      isTls
        ? "set PORTCULLIS_CA to a PEM file with the certificate of the gate's authority"
        : 'check the network between, and proxy.publicAddress of the gate',
      { cause },
    )
  }
}

function timeless(socket: Socket, below = socket): Socket {
  below.setTimeout(0)
  return socket
}
