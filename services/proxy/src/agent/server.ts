/**
 * The agent's mouth: tells every worker what stands, then what changes, and four times a second how fresh that is. A
 * worker that does not read is cut off and starts anew with a snapshot. It refuses to listen to anything.
 */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import type { Started, Verdict } from '@portcullis/kernel'
import { freshEveryMs, lineOf, socketAddress, type WorkerHoldings } from './protocol.ts'

export interface ServerOptions {
  readonly socketPath: string
  readonly verdicts: () => readonly Verdict[]
  readonly holdings: () => WorkerHoldings
  readonly freshAtUs: () => number
  /** A worker came or went; it may have died. */
  onWorkers(count: number): void
}

export interface AgentServer {
  changed(set: readonly Verdict[], removed: readonly string[]): void
  holdingsChanged(holdings: WorkerHoldings): void
}

const unreadBytesMax = 64 << 20

/** Only the holder of the directory's agent lock may call it: it takes the socket's place over. */
export async function startServer(options: ServerOptions): Promise<Started<AgentServer>> {
  const workers = new Set<Socket>()
  const address = socketAddress(options.socketPath)
  const server = createServer((socket) => {
    workers.add(socket)
    options.onWorkers(workers.size)
    socket.resume()
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      workers.delete(socket)
      options.onWorkers(workers.size)
    })
    send(socket, lineOf({ kind: 'snapshot', verdicts: options.verdicts(), holdings: options.holdings() }))
    send(socket, lineOf({ kind: 'fresh', atUs: options.freshAtUs() }))
  })
  rmSync(address, { force: true })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(address, resolve)
  })
  chmodSync(address, 0o600)
  const beating = setInterval(() => tell(lineOf({ kind: 'fresh', atUs: options.freshAtUs() })), freshEveryMs)

  return {
    value: {
      changed(set, removed) {
        if (set.length > 0 || removed.length > 0) tell(lineOf({ kind: 'delta', set, removed }))
      },
      holdingsChanged: (holdings) => tell(lineOf({ kind: 'holdings', holdings })),
    },
    async stop() {
      clearInterval(beating)
      for (const socket of workers) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }

  function tell(line: string): void {
    for (const socket of workers) send(socket, line)
  }

  function send(socket: Socket, line: string): void {
    if (socket.writableLength > unreadBytesMax) socket.destroy()
    else socket.write(line)
  }
}
