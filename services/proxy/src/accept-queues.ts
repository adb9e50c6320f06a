/**
 * The proxy's port as the supervisor holds it: one socket for each worker, bound with SO_REUSEPORT so that the kernel
 * spreads connections over them, each with an accept queue of its own. The supervisor binds them and keeps them; a worker
 * listens on what it is handed. So a queue outlives the process that accepts from it, and nothing that waits in it is
 * lost when a worker is replaced or dies. A socket of a worker's own would take its queue along: the clients see a reset.
 *
 * It never listens and never accepts. Node has no public way to bind without that: `net._createServerHandle` is what its
 * cluster module uses, since the beginning. Only this file names it.
 */
import { lookup } from 'node:dns/promises'
import net from 'node:net'
import { getSystemErrorName } from 'node:util'

/** A bound socket; `child.send` passes it on and `server.listen` takes it. */
export interface BoundSocket {
  getsockname(out: { address?: string; port?: number }): number
  close(): void
}

export interface AcceptQueues {
  readonly port: number
  readonly size: number
  /** By number, from 0. */
  socket(queue: number): BoundSocket
  /** At least so many from now on; there are never fewer again, for what waits in one must be accepted. */
  grow(size: number): void
  /** From when no worker listens either, connections are refused. */
  close(): void
}

export interface AcceptQueuesOptions {
  /** HOST:PORT; port 0 for any free one. */
  readonly address: string
  readonly size: number
  /** Off where the system has no such thing (macOS): then all queues are one. */
  readonly reusePort?: boolean
}

type CreateHandle = (
  address: string,
  port: number,
  family: number,
  fd: undefined,
  flags: number,
) => BoundSocket | number

/** UV_TCP_REUSEPORT of uv.h. */
const reusePortFlag = 2

/** @throws Error with `code` (EADDRINUSE, EACCES, ENOTFOUND) where the address cannot be had. */
export async function openAcceptQueues(options: AcceptQueuesOptions): Promise<AcceptQueues> {
  const split = options.address.lastIndexOf(':')
  const host = options.address.slice(0, split).replace(/^\[|\]$/g, '')
  const { address, family } = await lookup(host)
  const wanted = Number(options.address.slice(split + 1))
  const shared = options.reusePort ?? process.platform !== 'darwin'
  const sockets = [bind(address, family, wanted, shared)]
  const port = portOf(sockets[0])
  const queues: AcceptQueues = {
    port,
    get size() {
      return sockets.length
    },
    socket(queue) {
      const socket = sockets[queue]
      if (!socket) throw new RangeError(`there is no accept queue ${queue}`)
      return socket
    },
    grow(size) {
      while (sockets.length < size)
        sockets.push(shared ? bind(address, family, port, shared) : queues.socket(0))
    },
    close() {
      for (const socket of new Set(sockets)) socket.close()
    },
  }
  queues.grow(options.size)
  return queues
}

function bind(address: string, family: number, port: number, reusePort: boolean): BoundSocket {
  const { _createServerHandle: create } = net as unknown as { _createServerHandle: CreateHandle }
  const socket = create(address, port, family, undefined, reusePort ? reusePortFlag : 0)
  if (typeof socket === 'number') throw bindError(getSystemErrorName(socket), address, port)
  // libuv tells of a port in use only at listen, and a socket that is not bound would listen at a port of its own choice.
  const got = portOf(socket)
  if (got !== 0 && (port === 0 || got === port)) return socket
  socket.close()
  throw bindError('EADDRINUSE', address, port)
}

function portOf(socket: BoundSocket | undefined): number {
  const name: { port?: number } = {}
  socket?.getsockname(name)
  return name.port ?? 0
}

function bindError(code: string, address: string, port: number): Error {
  return Object.assign(new Error(`bind ${code} ${address}:${port}`), { code })
}
