/**
 * The agent's mouth: tells every worker what stands, then what changes, and four times a second how fresh that is. A
 * worker that does not read is cut off and starts anew with a snapshot. It listens to what a worker may ask, hands on
 * to the others what its sessions define, and cuts off whoever says anything else.
 */
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import type { Started, Verdict } from '@portcullis/kernel'
import {
  type ApprovalMark,
  type Asked,
  createLineReader,
  freshEveryMs,
  type FromWorker,
  lineOf,
  socketAddress,
  type ToDesk,
  type WorkerHoldings,
  workerLineBytesMax,
} from './protocol.ts'

export interface ServerOptions {
  readonly socketPath: string
  readonly verdicts: () => readonly Verdict[]
  readonly holdings: () => WorkerHoldings
  readonly approvals: () => readonly ApprovalMark[]
  readonly freshAtUs: () => number
  /** A worker says something; what is answered where it waits for an answer. */
  take(worker: object, message: ToDesk): Promise<Asked> | undefined
  gone(worker: object): void
  /** A worker came or went; it may have died. */
  onWorkers(count: number): void
}

export interface AgentServer {
  changed(set: readonly Verdict[], removed: readonly string[]): void
  holdingsChanged(holdings: WorkerHoldings): void
  approvalsChanged(set: readonly ApprovalMark[]): void
}

const unreadBytesMax = 64 << 20

/** Only the holder of the directory's agent lock may call it: it takes the socket's place over. */
export async function startServer(options: ServerOptions): Promise<Started<AgentServer>> {
  const workers = new Set<Socket>()
  const address = socketAddress(options.socketPath)
  const server = createServer((socket) => {
    // One that was away a moment may have had something to say.
    tell(lineOf({ kind: 'missed' }))
    workers.add(socket)
    options.onWorkers(workers.size)
    const read = createLineReader<FromWorker>(workerLineBytesMax, (message) => hear(socket, message))
    socket.setEncoding('utf8')
    socket.on('data', (piece: string) => {
      try {
        read(piece)
      } catch {
        socket.destroy()
      }
    })
    socket.on('error', () => socket.destroy())
    socket.on('close', () => {
      workers.delete(socket)
      options.gone(socket)
      tell(lineOf({ kind: 'missed' }))
      options.onWorkers(workers.size)
    })
    const { verdicts, holdings, approvals } = options
    const all = { verdicts: verdicts(), holdings: holdings(), approvals: approvals() }
    send(socket, lineOf({ kind: 'snapshot', ...all }))
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
      approvalsChanged: (set) => tell(lineOf({ kind: 'approvals', set })),
    },
    async stop() {
      clearInterval(beating)
      for (const socket of workers) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }

  function hear(socket: Socket, message: FromWorker): void {
    if (message.kind === 'defined') return tell(lineOf(message), socket)
    const answer = options.take(socket, message)
    if (!answer || message.kind === 'leave') return
    const { id } = message
    answer.then(
      (asked) => send(socket, lineOf({ kind: 'answer', id, asked })),
      () => socket.destroy(),
    )
  }

  function tell(line: string, except?: Socket): void {
    for (const socket of workers) if (socket !== except) send(socket, line)
  }

  function send(socket: Socket, line: string): void {
    if (socket.writableLength > unreadBytesMax) socket.destroy()
    else socket.write(line)
  }
}
