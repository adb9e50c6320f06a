/**
 * A worker's ear: follows the agent of its replica over a unix socket, for ever. What was heard last stands while the
 * agent is away; how old it is only the agent says (`onFresh`), so a worker cannot take silence for good news. It
 * refuses to wait on a connection that says nothing. It is its mouth, too, where people are to be asked: with the agent away
 * nobody can be, and what was on its way is not known to have come.
 */
import { connect, type Socket } from 'node:net'
import type { Started, Verdict } from '@portcullis/kernel'
import type { Defined } from '../defined.ts'
import {
  agentLineBytesMax,
  type ApprovalMark,
  type Asked,
  createLineReader,
  type FromAgent,
  type FromWorker,
  lineOf,
  noWorkerHoldings,
  socketAddress,
  type WorkerHoldings,
} from './protocol.ts'

/** What is in force, as far as the agent knows. */
export interface ControlView {
  readonly verdicts: readonly Verdict[]
  readonly holdings: WorkerHoldings
}

export interface FollowOptions {
  readonly socketPath: string
  /** All that stands, at each change. */
  onState(state: ControlView): void
  /** Approvals that are new or have changed; `all`: there are no others. */
  onApprovals(set: readonly ApprovalMark[], all: boolean): void
  /** A session of another worker defines something. */
  onDefined(defined: Defined): void
  /** Of what sessions of other workers have defined some may not have been told. */
  onMissed(): void
  /** When the bus was last known to be read to its end, microseconds since 1970 UTC. */
  onFresh(atUs: number): void
}

export interface AgentLine {
  /** Never rejects. */
  ask(question: Question): Promise<Asked>
  /** Not heard while the agent is away. */
  say(message: Extract<FromWorker, { readonly kind: 'leave' | 'defined' }>): void
}

type Question =
  | Omit<Extract<FromWorker, { readonly kind: 'ask' }>, 'id'>
  | Omit<Extract<FromWorker, { readonly kind: 'spend' }>, 'id'>

const reconnectMs = 100
/** The agent speaks four times a second. */
const silenceMsMax = 3000

/** Returns at once; the first state comes when the agent is there. */
export function followAgent(options: FollowOptions): Started<AgentLine> {
  const verdicts = new Map<string, Verdict>()
  let holdings = noWorkerHoldings
  let stopped = false
  let socket: Socket | undefined
  let timer: NodeJS.Timeout | undefined
  let lastId = 0
  const asked = new Map<number, (answer: Asked) => void>()
  open()

  return {
    value: { ask, say: (message) => void socket?.write(lineOf(message)) },
    async stop() {
      stopped = true
      clearTimeout(timer)
      socket?.destroy()
    },
  }

  function open(): void {
    const current = connect(socketAddress(options.socketPath))
    socket = current
    const read = createLineReader<FromAgent>(agentLineBytesMax, take)
    current.setEncoding('utf8')
    current.setTimeout(silenceMsMax, () => current.destroy())
    current.on('data', (piece: string) => {
      try {
        read(piece)
      } catch (error) {
        current.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    })
    // `close` follows, and tries again; that the agent is away shows in the age of what it said last.
    current.on('error', () => current.destroy())
    current.on('close', () => {
      for (const answer of asked.values()) answer({ why: 'away' })
      asked.clear()
      if (!stopped) timer = setTimeout(open, reconnectMs)
    })
  }

  function take(message: FromAgent): void {
    switch (message.kind) {
      case 'snapshot':
        verdicts.clear()
        for (const verdict of message.verdicts) verdicts.set(verdict.verdictId, verdict)
        // An agent of an older version does not know of all.
        holdings = { ...noWorkerHoldings, ...message.holdings }
        options.onApprovals(message.approvals ?? [], true)
        options.onMissed()
        return tell()
      case 'approvals':
        return options.onApprovals(message.set, false)
      case 'defined':
        return options.onDefined(message)
      case 'missed':
        return options.onMissed()
      case 'answer':
        asked.get(message.id)?.(message.asked)
        asked.delete(message.id)
        return
      case 'delta':
        for (const verdict of message.set) verdicts.set(verdict.verdictId, verdict)
        for (const id of message.removed) verdicts.delete(id)
        return tell()
      case 'holdings':
        // An agent of an older version does not know of all.
        holdings = { ...noWorkerHoldings, ...message.holdings }
        return tell()
      case 'fresh':
        return options.onFresh(message.atUs)
    }
  }

  function ask(question: Question): Promise<Asked> {
    if (!socket || socket.connecting || socket.destroyed) return Promise.resolve({ why: 'away' })
    const id = ++lastId
    const answer = new Promise<Asked>((resolve) => asked.set(id, resolve))
    socket.write(lineOf({ ...question, id }))
    return answer
  }

  function tell(): void {
    options.onState({ verdicts: Array.from(verdicts.values()), holdings })
  }
}
