/**
 * The chain of a recorder's segments as its writer sees it: where the next frame goes, and when a new segment begins. A
 * new one begins with all that later records may refer to. Refuses to decide what is in a frame.
 */
import { ByteWriter } from './bytes.ts'
import type { Durability } from './durability.ts'
import { formatVersion, type OpenSession, sealFrame } from './format.ts'
import { createSegment, type SegmentFile, syncDirectory } from './segment-file.ts'
import { putSnapshot } from './snapshot.ts'
import type { Ledger, RunningEntry } from './writer-state.ts'

export interface Segments {
  /** Throws the system's error; nothing of the frame stands then. */
  append(frame: ByteWriter): void
  fd(): number
  isFull(): boolean
  /** A sync of the current one failed: it must take nothing more. */
  suspect(): void
  isSuspect(): boolean
  /** Throws where there is no room; the current one serves on then. */
  roll(): void
  close(): void
}

export interface SegmentsOptions {
  readonly dir: string
  readonly recorder: string
  readonly proxy: { readonly name: string; readonly version: string }
  readonly segmentBytes: number
  readonly ledger: Ledger
  readonly durable: Durability | undefined
  /** Sequence number of the next event, as far as frames are written. */
  seqNext(): number
  onBytes(bytes: number): void
}

export function createSegments(options: SegmentsOptions): Segments {
  const { dir, ledger, durable } = options
  const out = new ByteWriter(16 << 10)
  /** What the segment repeats of those before it: not counted against its length, or a long one would never end. */
  let headBytes = 0
  let isSuspect = false
  let current = begin(1)
  if (durable) syncDirectory(dir)

  return {
    append(frame) {
      current.append(frame.buffer, frame.at)
      options.onBytes(frame.at)
    },
    fd: () => current.fd,
    isFull: () => current.bytes() - headBytes >= options.segmentBytes,
    suspect() {
      isSuspect = true
    },
    isSuspect: () => isSuspect,
    roll() {
      const next = begin(current.number + 1)
      if (!durable) current.close()
      else if (isSuspect) durable.discard(current.fd)
      else durable.retire(current.fd)
      current = next
      // From here on readers follow the new segment: where its name may not be on the disk it is left in its turn.
      isSuspect = durable !== undefined && !isDirectorySynced(dir)
    },
    close: () => current.close(),
  }

  function begin(number: number): SegmentFile {
    const next = createSegment(dir, number)
    const restore = ledger.newWords()
    try {
      const { recorder, proxy } = options
      putSnapshot(
        out,
        { version: formatVersion, recorder, segment: number, seqFirst: options.seqNext(), proxy },
        snapshot(ledger),
        ledger,
      )
      sealFrame(out)
      next.append(out.buffer, out.at)
      durable?.syncHead(next.fd)
      next.enter()
    } catch (error) {
      restore()
      next.close()
      next.remove()
      throw error
    }
    headBytes = out.at
    options.onBytes(headBytes)
    return next
  }
}

/** What is open as of the frames that are written. */
function snapshot(ledger: Ledger): OpenSession[] {
  const isWritten = (frame: number) => frame !== 0 && frame < ledger.frame()
  return ledger.recorded().map(({ session, record, totals, running }) => ({
    session,
    record,
    totals,
    running: Array.from(running.values())
      .filter(({ frame }: RunningEntry) => isWritten(frame))
      .map(({ intent, startedFrame }) => ({ intent, started: isWritten(startedFrame) })),
  }))
}

function isDirectorySynced(dir: string): boolean {
  try {
    syncDirectory(dir)
    return true
  } catch {
    return false
  }
}
