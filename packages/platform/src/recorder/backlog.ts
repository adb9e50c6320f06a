/**
 * How many bytes all recorders of a host hold that the bus has not acknowledged, as the directory itself says: sizes of
 * the segments less what was shipped of them. So the figure holds while the agent is dead, too. Refuses to be exact to
 * the byte: others' bytes are as of the last scan, at most `scanEveryMs` (or `scanEveryBytes` of one's own) ago.
 */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { readPosition } from './position.ts'
import { segmentNumber } from './segment-file.ts'

export interface Backlog {
  /** Bytes not yet acknowledged, own ones exactly; starts a scan where the last one is too old. */
  bytes(): number
  /** Own bytes were appended. */
  add(bytes: number): void
  stop(): Promise<void>
}

export function watchBacklog(recordDir: string, bytesMax: number, monotonicMs: () => number): Backlog {
  const scanEveryMs = 1000
  const scanEveryWhenFullMs = 25
  const scanEveryBytes = Math.min(4 << 20, bytesMax / 16)
  let scanned = 0
  let added = 0
  let scannedAtMs = Number.NEGATIVE_INFINITY
  let running: Promise<void> | undefined
  let stopped = false

  return {
    bytes() {
      const ageMs = monotonicMs() - scannedAtMs
      const due =
        ageMs > scanEveryMs ||
        added > scanEveryBytes ||
        (scanned + added > bytesMax && ageMs > scanEveryWhenFullMs)
      if (due && !running && !stopped) running = scan()
      return scanned + added
    },
    add(bytes) {
      added += bytes
    },
    async stop() {
      stopped = true
      await running
    },
  }

  async function scan(): Promise<void> {
    const addedBefore = added
    try {
      const found = await scanBacklog(recordDir)
      scanned = found
      added -= addedBefore
    } catch {
      // A directory that cannot be listed cannot be written either: the append says so. The last figure stands.
    } finally {
      scannedAtMs = monotonicMs()
      running = undefined
    }
  }
}

/** The same figure once, for metrics and tests. */
export async function scanBacklog(recordDir: string): Promise<number> {
  let total = 0
  for (const entry of await readdir(recordDir, { withFileTypes: true })) {
    if (entry.isDirectory() && !entry.name.startsWith('.'))
      total += await backlogOf(join(recordDir, entry.name))
  }
  return total
}

async function backlogOf(dir: string): Promise<number> {
  // The agent removes segments and whole directories at any time: what is gone between two calls is shipped.
  const names = await readdir(dir).catch(whenGone<string[]>([]))
  const shipped = readPosition(dir)
  let total = 0
  for (const name of names) {
    const number = segmentNumber(name)
    if (number === undefined || (shipped && number < shipped.segment)) continue
    const { size } = await stat(join(dir, name)).catch(whenGone({ size: 0 }))
    total += shipped?.segment === number ? Math.max(0, size - shipped.offset) : size
  }
  return total
}

function whenGone<T>(value: T): (error: NodeJS.ErrnoException) => T {
  return (error) => {
    if (error.code === 'ENOENT') return value
    throw error
  }
}
