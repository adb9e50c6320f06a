/**
 * What the agent says to the workers of its replica, one JSON object a line over a unix socket. Workers say nothing.
 * It refuses lines longer than any state it could have.
 */
import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { ApiSettings } from '@portcullis/config'
import { noSettings } from '@portcullis/config/api-settings'
import { type Holdings, noHoldings, type Verdict } from '@portcullis/kernel'
import type { PolicyDocument } from '@portcullis/policy'

/** What a worker holds: the holdings, with what the API configured in them read and checked. */
export type WorkerHoldings = Omit<Holdings, 'targets' | 'issuers' | 'policies'> & {
  readonly settings: ApiSettings
  readonly policies: readonly PolicyDocument[]
}

const { targets: _, issuers: __, policies: ___, ...nothing } = noHoldings
export const noWorkerHoldings: WorkerHoldings = { ...nothing, settings: noSettings, policies: [] }

export type FromAgent =
  /** First on every connection: all that stands. */
  | { readonly kind: 'snapshot'; readonly verdicts: readonly Verdict[]; readonly holdings: WorkerHoldings }
  | { readonly kind: 'delta'; readonly set: readonly Verdict[]; readonly removed: readonly string[] }
  /** All of them, where one has changed. */
  | { readonly kind: 'holdings'; readonly holdings: WorkerHoldings }
  /** Last time the bus was known to be read to its end, microseconds since 1970 UTC; 0 for never. Every 250 ms. */
  | { readonly kind: 'fresh'; readonly atUs: number }

export const freshEveryMs = 250
const lineBytesMax = 256 << 20
/** A socket's path has room for 107 bytes. */
const socketPathBytesMax = 100

export function lineOf(message: FromAgent): string {
  return `${JSON.stringify(message)}\n`
}

/** Takes pieces of a stream, gives whole messages. Throws where the other side is not an agent of this version. */
export function createLineReader(onMessage: (message: FromAgent) => void): (piece: string) => void {
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
      onMessage(JSON.parse(line) as FromAgent)
    }
    if (from >= piece.length) return
    pieces.push(piece.slice(from))
    held += piece.length - from
    if (held > lineBytesMax) throw new Error(`a line of more than ${lineBytesMax} bytes from the agent`)
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
