/**
 * What the agent and the workers of its replica say to each other, one JSON object a line over a unix socket. A worker asks
 * for approvals and spends them, has the others told what its sessions define, and says nothing else. Both refuse lines longer than any they could need.
 */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ApiSettings } from '@portcullis/config'
import { noSettings } from '@portcullis/config/api-settings'
import {
  type Approval,
  type CommandRequest,
  type Holdings,
  noHoldings,
  type Verdict,
} from '@portcullis/kernel'
import type { PolicyDocument } from '@portcullis/policy'
import type { Defined } from '../defined.ts'

/** What a worker holds: the holdings, with what the API configured in them read and checked. */
export type WorkerHoldings = Omit<Holdings, 'targets' | 'issuers' | 'policies'> & {
  readonly settings: ApiSettings
  readonly policies: readonly PolicyDocument[]
}

const { targets: _, issuers: __, policies: ___, ...nothing } = noHoldings
export const noWorkerHoldings: WorkerHoldings = { ...nothing, settings: noSettings, policies: [] }

/** What a worker knows of an approval. */
export interface ApprovalMark extends Pick<Approval, 'approvalId' | 'state' | 'usableUntil'> {
  readonly kind: Approval['request']['kind']
  readonly digest: string
  /** Key of the identity. */
  readonly identity: string
  readonly target: string
  readonly role: string
  readonly deadline: number
  /** It is not spent by one use. */
  readonly isWindow: boolean
  /** Nothing can come of it from then on, microseconds since 1970 UTC. */
  readonly overBy: number
  /** Of the latest answer. */
  readonly reason: string
}

export type FromWorker = ToDesk | Defined

export type ToDesk =
  | { readonly kind: 'ask'; readonly id: number; readonly request: CommandRequest }
  | {
      readonly kind: 'spend'
      readonly id: number
      readonly approvalId: string
      readonly digest: string
      readonly commandId: string
    }
  /** One who asked no longer waits. `withdraw`: where nobody else does either, the question is taken back. */
  | { readonly kind: 'leave'; readonly approvalId: string; readonly withdraw: boolean }

/** limit: too many are pending. lost: it cannot be spent. away: not now, or it is not known what became of it. */
export type Asked = { readonly approvalId: string } | { readonly why: 'limit' | 'lost' | 'away' }

export type FromAgent =
  /** First on every connection: all that stands. */
  | {
      readonly kind: 'snapshot'
      readonly verdicts: readonly Verdict[]
      readonly holdings: WorkerHoldings
      readonly approvals: readonly ApprovalMark[]
    }
  | { readonly kind: 'delta'; readonly set: readonly Verdict[]; readonly removed: readonly string[] }
  /** All of them, where one has changed. */
  | { readonly kind: 'holdings'; readonly holdings: WorkerHoldings }
  /** Those that have changed. */
  | { readonly kind: 'approvals'; readonly set: readonly ApprovalMark[] }
  /** Of another worker. */
  | Defined
  /** Another worker came or went: what it had defined may not have been told. */
  | { readonly kind: 'missed' }
  | { readonly kind: 'answer'; readonly id: number; readonly asked: Asked }
  /** Last time the bus was known to be read to its end, microseconds since 1970 UTC; 0 for never. Every 250 ms. */
  | { readonly kind: 'fresh'; readonly atUs: number }

export const freshEveryMs = 250
export const agentLineBytesMax = 256 << 20
export const workerLineBytesMax = 4 << 20
/** A socket's path has room for 107 bytes. */
const socketPathBytesMax = 100

export function lineOf(message: FromAgent | FromWorker): string {
  return `${JSON.stringify(message)}\n`
}

/** Takes pieces of a stream, gives whole messages. Throws where the other side is not of this version. */
export function createLineReader<Message>(
  bytesMax: number,
  onMessage: (message: Message) => void,
): (piece: string) => void {
  const pieces: string[] = []
  let held = 0
  return (piece) => {
    let from = 0
    for (let end = piece.indexOf('\n'); end >= 0; end = piece.indexOf('\n', from)) {
      pieces.push(piece.slice(from, end))
      const line = pieces.join('')
      pieces.length = 0
      held = 0
      from = end + 1
      onMessage(JSON.parse(line) as Message)
    }
    if (from >= piece.length) return
    pieces.push(piece.slice(from))
    held += piece.length - from
    if (held > bytesMax) throw new Error(`a line of more than ${bytesMax} bytes`)
  }
}

/**
 * The path itself, or where a system allows no path of that length one that both ends derive from it: in a private
 * folder of this user under the system's temporary one.
 */
export function socketAddress(path: string): string {
  if (Buffer.byteLength(path) <= socketPathBytesMax) {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 })
    return path
  }
  const uid = process.getuid?.() ?? 0
  const dir = join(tmpdir(), `portcullis-${uid}`)
  mkdirSync(dir, { recursive: true, mode: 0o700 })
  const found = lstatSync(dir)
  if (!found.isDirectory() || found.uid !== uid || (found.mode & 0o077) !== 0)
    throw new Error(
      `${dir} must be a folder of this user alone (mode 0700): ${path} is too long for a socket`,
    )
  return join(dir, `${createHash('sha256').update(path).digest('hex').slice(0, 32)}.sock`)
}
