/**
 * Ships one recorder's events to the bus in order and removes what the bus has. Every step can be the last: the position
 * is written only after the bus has acknowledged, and what is shipped again after a death is the same bytes under the
 * same ids. Refuses to skip: while the bus is away the same batch waits.
 */
import { rmSync } from 'node:fs'
import { basename, dirname } from 'node:path'
import { type Bus, type BusRecord, topics } from '@portcullis/kernel'
import type { Codecs } from '../codec.ts'
import { firstHash, linkDraft } from './chain.ts'
import { isRecorderAlive, readCard, removeRecorderDirectory, setAsideRecorderDirectory } from './directory.ts'
import type { Draft } from './fold.ts'
import { openPosition, type Position } from './position.ts'
import { endDeadRecorder } from './revive.ts'
import { listSegments, segmentPath } from './segment-file.ts'
import { type Batch, openTail, type UnreadTail } from './tail.ts'

export interface ShipLog {
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface RecorderShipping {
  /** Something may have been written, or its process may have died. */
  ring(): void
  /** Start of the oldest event not yet acknowledged, microseconds; undefined where there is none. */
  oldestUs(): number | undefined
  stop(): Promise<void>
  /** Resolves once its last event is shipped and its directory gone, or at `stop`; rejects where it cannot go on. */
  readonly done: Promise<void>
}

export interface ShippingOptions {
  readonly dir: string
  readonly bus: Bus
  readonly codecs: Pick<Codecs, 'session' | 'command'>
  readonly log: ShipLog
  /** Calls back when something in the directory changes, until closed. */
  listen(onChange: () => void): { close(): void } | undefined
  onShipped(events: number, newestUs: number): void
  onFailedPublish(error: unknown): void
}

const eventsMax = 512
const checkLifeEveryMs = 1000
/**
 * While events come they are gathered, each time for twice as long: a doorbell for each would cost more than the events,
 * and so would a write to the bus, which costs as much as some forty of them. The first goes at once.
 */
const gatherMsMin = 3
const gatherMsMax = 24
/** After so many looks in vain the doorbell is hung up again: a look costs as much as the command that it misses. */
const looksInVainMax = 5
const retryMsMin = 100
const retryMsMax = 5000

export function shipRecorder(options: ShippingOptions): RecorderShipping {
  const { dir, bus, codecs, log } = options
  const recorder = basename(dir)
  const positions = openPosition(dir)
  let damaged = false
  let stopped = false
  let oldestUs: number | undefined
  let endPause = () => {}
  let rung = Promise.withResolvers<void>()
  let at: Position = positions.read() ?? { segment: 0, offset: 0, seqNext: 1, prevHash: firstHash }
  const tail = openTail(dir, at.segment === 0 ? undefined : at, reportUnread)
  let bell: { close(): void } | undefined
  const done = run().finally(() => {
    takeDown()
    tail.close()
    positions.close()
  })

  return {
    ring: () => rung.resolve(),
    oldestUs: () => oldestUs,
    async stop() {
      stopped = true
      rung.resolve()
      endPause()
      await done.catch(reportedByOwner)
    },
    done,
  }

  async function run(): Promise<void> {
    let isDead = false
    let looksInVain = 0
    let gatherMs = gatherMsMin
    const gather = async () => {
      await pause(gatherMs)
      gatherMs = Math.min(gatherMsMax, gatherMs * 2)
    }
    while (!stopped) {
      const batch = tail.next(eventsMax)
      if (batch.drafts.length > 0) {
        looksInVain = 0
        takeDown()
        await ship(batch)
        if (batch.drafts.length < eventsMax) await gather()
      } else advance({ ...batch.at, prevHash: at.prevHash })
      if (stopped || batch.state === 'more') continue
      if (batch.state === 'ended') return leave()
      if (isDead) {
        // Its last bytes were read after its death: nothing comes after them.
        endDeadRecorder(dir, readCard(dir), tail.fold, at.seqNext)
        log.warn({ recorder }, 'a proxy process died; what it left open gets the outcome unknown')
        continue
      }
      looksInVain++
      // Once more after it hangs, for what came just before.
      if (looksInVain === looksInVainMax) {
        gatherMs = gatherMsMin
        bell = options.listen(() => rung.resolve())
      }
      if (looksInVain <= looksInVainMax) {
        await gather()
        continue
      }
      isDead = !isRecorderAlive(dir)
      if (!isDead) await rest()
    }
  }

  function takeDown(): void {
    bell?.close()
    bell = undefined
  }

  async function ship({ drafts, at: next }: Batch): Promise<void> {
    oldestUs = timeOf(drafts[0])
    const { records, prevHash } = link(drafts)
    for (let retryMs = retryMsMin; ; retryMs = Math.min(retryMs * 2, retryMsMax)) {
      try {
        await bus.publish(records)
        break
      } catch (error) {
        options.onFailedPublish(error)
        log.warn({ err: error, recorder, retryMs }, 'the bus did not take the events; they stay on disk')
        await pause(retryMs)
        if (stopped) return
      }
    }
    advance({ ...next, prevHash })
    oldestUs = undefined
    options.onShipped(drafts.length, timeOf(drafts.at(-1)) ?? 0)
  }

  function link(drafts: readonly Draft[]): { records: BusRecord[]; prevHash: Buffer } {
    let { prevHash } = at
    const records = drafts.map((draft): BusRecord => {
      const { value, hash } = linkDraft(draft, prevHash, codecs)
      prevHash = hash
      return { topic: draft.kind === 'session' ? topics.sessions : topics.commands, key: draft.key, value }
    })
    return { records, prevHash }
  }

  function advance(next: Position): void {
    if (next.segment < at.segment || (next.segment === at.segment && next.offset <= at.offset)) return
    const isNewSegment = next.segment !== at.segment
    at = next
    positions.write(next)
    if (!isNewSegment || damaged) return
    // A position that a loss of power could take back must not be what a segment was removed on.
    positions.sync()
    for (const number of listSegments(dir)) if (number < next.segment) rmSync(segmentPath(dir, number))
  }

  function leave(): void {
    if (damaged) setAsideRecorderDirectory(dirname(dir), recorder)
    else removeRecorderDirectory(dirname(dir), recorder)
    log.info({ recorder, events: at.seqNext - 1 }, 'a recorder is shipped to its end')
  }

  function reportUnread(unread: UnreadTail): void {
    if (unread.kind === 'torn') {
      log.info({ recorder, ...unread }, 'the last write of a dead process was cut short; nobody relied on it')
      return
    }
    damaged = true
    log.error({ recorder, ...unread }, 'a segment holds bytes that do not read; its directory will be kept')
  }

  async function rest(): Promise<void> {
    const timer = setTimeout(rung.resolve, checkLifeEveryMs)
    await rung.promise
    clearTimeout(timer)
    rung = Promise.withResolvers()
  }

  /** A promise of its own each time: one raced against a promise that never settles stays with it for ever. */
  function pause(ms: number): Promise<void> {
    if (stopped) return Promise.resolve()
    const over = Promise.withResolvers<void>()
    const timer = setTimeout(over.resolve, ms)
    endPause = () => {
      clearTimeout(timer)
      over.resolve()
    }
    return over.promise
  }
}

function timeOf(draft: Draft | undefined): number | undefined {
  if (!draft) return undefined
  return draft.kind === 'session' ? draft.event.at : draft.event.startedAt + draft.event.durationUs
}

/** `done` rejects for whoever started it. */
function reportedByOwner(): void {}
