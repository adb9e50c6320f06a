/**
 * Accepts connections, learns where they come from, and hands them to the protocol. Knows no protocol itself, and binds
 * no port: what it accepts from it is handed, and can be taken from it again while its connections go on.
 */
import { createServer, type Server, type Socket } from 'node:net'
import type { ClientConnection, Origin, Started } from '@portcullis/kernel'
import type { BoundSocket } from './accept-queues.ts'
import { judgeEntry } from './proxy-protocol.ts'

export interface ListenerOptions {
  /** Peers that must send a PROXY protocol header. */
  readonly viaProxy: (address: string) => boolean
  readonly originOf: (address: string) => Origin
  readonly serve: (connection: ClientConnection) => Promise<void>
  /** How long a peer may take over its PROXY header. */
  readonly headerMsMax: number
  readonly log: { warn(fields: object, message: string): void; debug(fields: object, message: string): void }
}

export interface Listener {
  /** Takes connections from this queue, too. */
  accept(queue: number, socket: BoundSocket): Promise<void>
  /** Takes no more from it; connections that stand go on. What waits in it is somebody else's. */
  leave(queue: number): void
  /** Leaves every queue; resolves when the last connection is gone. */
  close(): Promise<void>
}

export function startListener(options: ListenerOptions): Started<Listener> {
  const open = new Set<Socket>()
  const queues = new Map<number, Server>()
  const closing: (() => void)[] = []

  function serve(socket: Socket): void {
    open.add(socket)
    socket.once('close', () => {
      open.delete(socket)
      if (open.size === 0) for (const closed of closing.splice(0)) closed()
    })
    socket.on('error', (error) => options.log.debug({ why: error.message }, 'client connection failed'))
    void accept(socket, options).catch((error) => {
      options.log.warn({ err: error }, 'connection not served')
      socket.destroy()
    })
  }

  const listener: Listener = {
    async accept(queue, socket) {
      const server = createServer(
        { noDelay: true, keepAlive: true, keepAliveInitialDelay: 30_000, pauseOnConnect: true },
        serve,
      )
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(socket, () => {
          server.off('error', reject)
          server.on('error', (error) =>
            options.log.warn({ err: error, queue }, 'a connection was not accepted'),
          )
          resolve()
        })
      })
      listener.leave(queue)
      queues.set(queue, server)
    },
    leave(queue) {
      queues.get(queue)?.close()
      queues.delete(queue)
    },
    close() {
      for (const queue of queues.keys()) listener.leave(queue)
      return open.size === 0 ? Promise.resolve() : new Promise((resolve) => closing.push(resolve))
    },
  }
  return {
    value: listener,
    async stop() {
      const closed = listener.close()
      for (const socket of open) socket.destroy()
      await closed
    },
  }
}

async function accept(socket: Socket, options: ListenerOptions): Promise<void> {
  const peer = socket.remoteAddress
  if (peer === undefined) return void socket.destroy()
  const viaProxy = options.viaProxy(peer)
  const entry = viaProxy ? await readEntry(socket, options.headerMsMax) : { head: nothing }
  if ('why' in entry) {
    if (entry.why) options.log.warn({ peer, why: entry.why }, 'refused a connection of a trusted proxy')
    return void socket.destroy()
  }
  const origin = options.originOf(entry.address ?? peer)
  await options.serve({ socket, head: entry.head, origin, loopback: !viaProxy && isLoopback(peer) })
}

/** `address`: the client's, by the balancer's header. */
type Entered =
  | { readonly head: Buffer; readonly address?: string }
  /** The peer must go; empty where it went by itself. */
  | { readonly why: string }

/** The balancer's header, and the client's bytes after it. */
function readEntry(socket: Socket, headerMsMax: number): Promise<Entered> {
  const { promise, resolve } = Promise.withResolvers<Entered>()
  let held: Buffer = Buffer.alloc(0)
  const late = setTimeout(() => done({ why: `no whole PROXY header within ${headerMsMax} ms` }), headerMsMax)
  const gone = () => done({ why: '' })
  const onData = (chunk: Buffer) => {
    held = Buffer.concat([held, chunk])
    const entry = judgeEntry(held, { trusted: true, required: true })
    if (entry.kind === 'refuse') done({ why: entry.why })
    else if (entry.kind === 'proceed')
      done({ head: held.subarray(entry.bytesUsed), ...(entry.source && { address: entry.source.address }) })
  }
  function done(result: Entered): void {
    clearTimeout(late)
    socket.off('data', onData).off('end', gone).off('close', gone)
    socket.pause()
    resolve(result)
  }
  socket.on('data', onData).once('end', gone).once('close', gone)
  // It was accepted paused, and a listener alone does not change that.
  socket.resume()
  return promise
}

/** One for all: a session holds it as long as it lasts. */
const nothing = Buffer.alloc(0)

function isLoopback(address: string): boolean {
  return address === '::1' || /^(::ffff:)?127\./.test(address)
}
