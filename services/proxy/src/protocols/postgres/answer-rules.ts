/**
 * What holds for each message of a server by itself: which is read whole, what it may answer, and what it says of the
 * transaction. Pure; it keeps nothing and refuses what would leave the gate guessing whom an answer belongs to.
 */
import type { Frame, FrameRules } from './frames.ts'
import type { Expected } from './ledger.ts'
import { backend, headerBytes, type TransactionStatus } from './wire.ts'

export const answerRules: FrameRules = {
  handling(type, length) {
    if (!readWhole.has(type)) return 'stream'
    if (length > inspectedBytesMax) throw new ServerViolation(`message type ${type} has length ${length}`)
    return 'whole'
  },
  prefixReady: () => true,
}

/** The server said what cannot be read; the session ends. */
export class ServerViolation extends Error {}

/** Whether a message of this type may come now. Where not, the gate has lost count: it would judge and charge the wrong command. */
export function isDue(type: number, owed: Expected | undefined): boolean {
  const kinds = answers[type]
  return !kinds || (owed !== undefined && kinds.includes(owed.kind))
}

export function outOfTurn({ type }: Frame): ServerViolation {
  return new ServerViolation(`message type ${type} answers nothing that was asked`)
}

/** Of a ReadyForQuery. */
export function statusOf({ buffer, start, end }: Frame): TransactionStatus {
  const status = end - start === headerBytes + 1 ? statuses.get(buffer[start + headerBytes]) : undefined
  if (!status) throw new ServerViolation('ReadyForQuery without a transaction status')
  return status
}

/** On the wire, whatever of it has come. */
export function bytesOf({ start, end, rest }: Frame): number {
  return end - start + rest
}

const readWhole: ReadonlySet<number> = new Set([
  backend.commandComplete,
  backend.error,
  backend.notice,
  backend.parameterDescription,
  backend.parameterStatus,
  backend.readyForQuery,
  backend.rowDescription,
  backend.copyOutResponse,
])
/** What each answer belongs to; the others come at any time, or never. */
const answers: Readonly<Record<number, readonly Expected['kind'][]>> = {
  [backend.parseComplete]: ['parse'],
  [backend.bindComplete]: ['bind'],
  [backend.closeComplete]: ['close'],
  [backend.parameterDescription]: ['describe'],
  [backend.noData]: ['describe'],
  [backend.rowDescription]: ['describe', 'query'],
  [backend.commandComplete]: ['query', 'execute'],
  [backend.emptyQuery]: ['query', 'execute'],
  [backend.portalSuspended]: ['execute'],
  [backend.functionResult]: ['function'],
  [backend.copyInResponse]: ['query', 'execute'],
  [backend.copyOutResponse]: ['query', 'execute'],
  [backend.copyDone]: ['query', 'execute'],
  [backend.readyForQuery]: ['sync', 'query', 'function', 'poison'],
}
const statuses: ReadonlyMap<number | undefined, TransactionStatus> = new Map([
  [0x49, 'I'],
  [0x54, 'T'],
  [0x45, 'E'],
])
const inspectedBytesMax = 16_777_216
