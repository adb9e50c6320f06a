/**
 * The frame that is being gathered. Of what it holds, intents and new sessions stand or fall with its one write; records
 * about what was written before (`keepFrom`) stay when that write fails. Refuses to know files.
 */
import { ByteWriter } from './bytes.ts'
import { beginFrame, frameHeadBytes } from './format.ts'

export interface Pending {
  readonly out: ByteWriter
  /** Records in it that become events. */
  events: number
  /** Refused logins in it. */
  refusals: number
  /** It holds intents or sessions: subject to the backlog's limit and to the fail mode. */
  isGuarded: boolean
  isEmpty(): boolean
  /** What was written from byte `start` on outlives a failed write. */
  keepFrom(start: number): void
  /** After a failed write: only what is kept. */
  dropToKept(): void
  clear(): void
}

export function createPending(): Pending {
  const out = new ByteWriter(64 << 10)
  /** Start and end of each kept record in turn, `keptLength` numbers; what lies behind is of frames before. */
  const kept: number[] = []
  let keptLength = 0
  beginFrame(out)
  const pending: Pending = {
    out,
    events: 0,
    refusals: 0,
    isGuarded: false,
    isEmpty: () => out.at === frameHeadBytes,
    keepFrom(start) {
      kept[keptLength++] = start
      kept[keptLength++] = out.at
    },
    dropToKept() {
      let at = frameHeadBytes
      for (let i = 0; i < keptLength; i += 2) {
        const start = kept[i] ?? 0
        const end = kept[i + 1] ?? 0
        out.buffer.copyWithin(at, start, end)
        kept[i] = at
        at += end - start
        kept[i + 1] = at
      }
      out.at = at
      pending.events = keptLength / 2
      pending.refusals = 0
      pending.isGuarded = false
    },
    clear() {
      beginFrame(out)
      keptLength = 0
      pending.events = 0
      pending.refusals = 0
      pending.isGuarded = false
    },
  }
  return pending
}
