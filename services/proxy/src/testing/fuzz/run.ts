/**
 * Plays generated scripts, many sessions at once, until so many messages were sent; watches what no single session can
 * tell: rejections that nobody handles, the event loop, memory.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createSqlAnalyzer } from '@portcullis/sql'
import { clientScript, serverScript } from './generate.ts'
import { type Played, play } from './play.ts'
import type { Script } from './script.ts'

export interface Found {
  readonly seed: number
  readonly script: Script
  readonly faults: readonly string[]
}

export interface FuzzRun {
  readonly scripts: number
  readonly frames: number
  readonly commands: number
  readonly toServer: number
  readonly toClient: number
  /** How sessions ended, by their own words. */
  readonly endings: ReadonlyMap<string, number>
  readonly found: readonly Found[]
  /** What was neither thrown nor rejected within a session. */
  readonly uncaught: readonly string[]
  /** Of scripts that were the longest twice, the shorter of the two: milliseconds in one turn of the event loop. */
  readonly stallMsMax: number
  /** Live heap after a collection at the end, less that after a tenth of the run. */
  readonly grownBytes: number
  readonly tookMs: number
}

export interface FuzzRunOptions {
  readonly mode: 'client' | 'server'
  readonly seed: number
  readonly frames: number
  readonly progress?: (frames: number) => void
}

const sessionsAtOnce = 100
const stallMs = 200
const foundMax = 20

export async function fuzzSessions({ mode, seed, frames, progress }: FuzzRunOptions): Promise<FuzzRun> {
  const analyzer = await createSqlAnalyzer({
    cacheEntries: 5000,
    cacheBytesMax: 1 << 24,
    syncBytesMax: 1 << 20,
  })
  await analyzer.warm()
  const scriptOf = mode === 'client' ? clientScript : serverScript
  const uncaught: string[] = []
  const onUncaught = (error: unknown) =>
    void uncaught.push(error instanceof Error ? (error.stack ?? error.message) : String(error))
  process.on('uncaughtException', onUncaught)
  process.on('unhandledRejection', onUncaught)
  const totals = { scripts: 0, frames: 0, commands: 0, toServer: 0, toClient: 0 }
  const endings = new Map<string, number>()
  const found: Found[] = []
  const stalled: Script[] = []
  const startMs = performance.now()
  let heapBefore: number | undefined
  let next = seed
  let reportedAt = 0

  const worker = async () => {
    while (totals.frames < frames && found.length < foundMax) {
      const at = next++
      const script = scriptOf(at)
      totals.scripts++
      const played = await play(script, analyzer)
      totals.frames += played.frames
      totals.commands += played.commands
      totals.toServer += played.toServer
      totals.toClient += played.toClient
      note(endings, played)
      if (played.faults.length > 0) found.push({ seed: at, script, faults: played.faults })
      if (played.turnMsMax > stallMs) stalled.push(script)
      if (heapBefore === undefined && totals.frames > frames / 10) heapBefore = heapBytes()
      if (progress && totals.frames - reportedAt > 100_000) {
        reportedAt = totals.frames
        progress(totals.frames)
      }
    }
  }
  await Promise.all(Array.from({ length: sessionsAtOnce }, worker))
  let stallMsMax = 0
  // A machine that others use stops by itself now and then; a stall of ours comes again.
  for (const script of stalled) stallMsMax = Math.max(stallMsMax, (await play(script, analyzer)).turnMsMax)
  const grownBytes = heapBytes() - (heapBefore ?? 0)
  process.off('uncaughtException', onUncaught)
  process.off('unhandledRejection', onUncaught)
  await analyzer.close()
  return { ...totals, endings, found, uncaught, stallMsMax, grownBytes, tookMs: performance.now() - startMs }
}

function note(endings: Map<string, number>, { ended }: Played): void {
  const kind = ended.replaceAll(/\d+/g, 'N').slice(0, 100)
  endings.set(kind, (endings.get(kind) ?? 0) + 1)
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect: () => void = runInNewContext('gc')
  collect()
  return process.memoryUsage().heapUsed
}
