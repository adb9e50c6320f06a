/**
 * The local log of one process: everything stands here before it runs. One synchronous write a commit, no string and no
 * JSON for a statement that was seen before. It refuses to lie: what it could not write it says it did not write, and
 * what came of a command it did record it keeps in memory until there is room again.
 */
import type {
  Clock,
  CommandResult,
  Decision,
  Intent,
  Progress,
  Recorder,
  SessionRecord,
  SessionTotals,
  Started,
} from '@portcullis/kernel'
import { watchBacklog } from './backlog.ts'
import { createRecorderDirectory, newRecorderId } from './directory.ts'
import { createDurability, type SyncFile, syncFile } from './durability.ts'
import { putEnd, putNothing, putOutcome, putProgress, putSession, putSessionClosed } from './encode.ts'
import { ended, unknownResult } from './endings.ts'
import { RecorderError } from './error.ts'
import { sealFrame } from './format.ts'
import { createPending } from './pending.ts'
import { createSegments } from './segments.ts'
import { putIntentWithWords } from './snapshot.ts'
import { createLedger, type LiveSession } from './writer-state.ts'

export interface RecorderOptions {
  /** Holds one directory for each recorder of this host. */
  readonly dir: string
  /** process: survives the death of the process. disk: survives loss of power, by group-committed fdatasync. */
  readonly durability: 'process' | 'disk'
  /** Bytes that may wait for the bus, over all recorders in `dir`. */
  readonly bytesMax: number
  readonly onUnavailable: 'deny' | 'allow-and-count'
  readonly proxy: { readonly name: string; readonly version: string }
  readonly clock: Clock
  /** A segment takes no further frame once it is this long behind its head. Default 16 MiB, or a 16th of `bytesMax` if that is less. */
  readonly segmentBytes?: number
}

export interface RecorderStats {
  readonly commits: number
  readonly bytes: number
  /** Writes and syncs that failed, or were refused for the backlog's size. */
  readonly failures: number
  /** Commands, refused logins and whole sessions that went without a record (`allow-and-count` only). */
  readonly unrecorded: number
  /** Bytes in `dir` that the bus has not acknowledged. */
  readonly backlogBytes: number
  readonly available: boolean
}

export interface LocalRecorder extends Recorder {
  readonly dir: string
  stats(): RecorderStats
}

const probeMs = 100
/** How long an outcome waits for company. A process that is killed meanwhile leaves its command `unknown`. */
const outcomeMsMax = 2
/** Throws RecorderError('unavailable') where its directory cannot be made. */
export function createRecorder(options: RecorderOptions, sync: SyncFile = syncFile): Started<LocalRecorder> {
  const { clock, durability, onUnavailable } = options
  const id = newRecorderId(clock.nowUs())
  const pending = createPending()
  const { out } = pending
  const ledger = createLedger(onUnavailable === 'allow-and-count')
  const backlog = watchBacklog(options.dir, options.bytesMax, () => clock.monotonicMs())
  const stats = { commits: 0, bytes: 0, failures: 0, unrecorded: 0 }
  let available = true
  let seq = 1
  /** Pending intents were dropped outside of a commit; the commit that covers them must say so. */
  let droppedUnsaid: RecorderError | undefined
  let flushDue = false
  const flushing = setTimeout(flush, outcomeMsMax).unref()
  let probing: NodeJS.Timeout | undefined
  let stopped = false

  const durable = durability === 'disk' ? createDurability(sync, syncFailed) : undefined
  const dir = attempt(() => createRecorderDirectory(options.dir, id, options.proxy))
  const segments = attempt(() =>
    createSegments({
      dir,
      recorder: id,
      proxy: options.proxy,
      segmentBytes: options.segmentBytes ?? Math.min(16 << 20, Math.ceil(options.bytesMax / 16)),
      ledger,
      durable,
      seqNext: () => seq,
      onBytes(bytes) {
        stats.bytes += bytes
        backlog.add(bytes)
      },
    }),
  )

  return {
    value: {
      id,
      dir,
      get available() {
        return available || onUnavailable === 'allow-and-count'
      },
      session,
      intent,
      redecided,
      progress,
      outcome,
      sessionClosed,
      commit,
      stats: () => ({ ...stats, available, backlogBytes: backlog.bytes() }),
    },
    stop,
  }

  function session(
    record: SessionRecord,
    phase: 'opened' | 'refused',
    decision: Decision,
    detail: string,
  ): void {
    pending.isGuarded = true
    pending.events++
    if (phase === 'refused') pending.refusals++
    const session = phase === 'opened' ? ledger.open(record, decision, detail).session : 0
    putSession(out, phase, session, record, decision, detail)
  }

  function intent(intended: Intent): void {
    const live = ledger.session(intended.sessionId)
    if (!live) throw new RecorderError('invalid', `session ${intended.sessionId} is not open`)
    if (!live.written) reopen(live)
    pending.isGuarded = true
    ledger.intent(live, intended)
    putIntentWithWords(out, ledger, live.session, intended, false, false)
  }

  /** Told once more, by the same number: whoever reads the log takes the latest. */
  function redecided(sessionId: string, number: number, decision: Decision): void {
    const live = ledger.session(sessionId)
    const entry = live?.running.get(number)
    if (!live || !entry || entry.result) return
    pending.isGuarded = true
    const intent = { ...entry.intent, decision }
    entry.intent = intent
    putIntentWithWords(out, ledger, live.session, intent, true, entry.startedFrame !== 0)
  }

  function progress(sessionId: string, number: number, at: number, counts: Progress): void {
    const live = ledger.session(sessionId)
    const entry = live?.running.get(number)
    if (!live || !entry || entry.result) return
    const start = out.at
    putProgress(out, live.session, number, at, counts)
    pending.events++
    if (entry.startedFrame === 0) entry.startedFrame = ledger.frame()
    keepUnlessNew(entry.frame, start)
    flushSoon()
  }

  function outcome(
    sessionId: string,
    number: number,
    at: number,
    result: CommandResult,
    decision?: Decision,
  ): void {
    const live = ledger.session(sessionId)
    const entry = live?.running.get(number)
    // No entry: it was let through without a record, and counted then.
    if (!live || !entry || entry.result) return
    const start = out.at
    putOutcome(out, live.session, number, at, result, decision)
    pending.events++
    ledger.finish(live, entry, result)
    keepUnlessNew(entry.frame, start)
    flushSoon()
  }

  function sessionClosed(
    sessionId: string,
    at: number,
    decision: Decision,
    detail: string,
    totals: SessionTotals,
  ): void {
    const live = ledger.session(sessionId)
    if (!live || live.closed) return
    if (!live.written) reopen(live)
    // A command without an outcome when its session ends gets none later either.
    for (const entry of live.running.values())
      if (!entry.result) outcome(sessionId, entry.intent.number, at, unknownResult)
    const start = out.at
    putSessionClosed(out, live.session, at, decision, detail, totals)
    pending.events++
    ledger.close(live)
    keepUnlessNew(live.frame, start)
    flushSoon()
  }

  function commit(): undefined | Promise<void> {
    const unsaid = droppedUnsaid
    droppedUnsaid = undefined
    if (unsaid) {
      dropPending()
      if (onUnavailable === 'deny') throw unsaid
      return undefined
    }
    if (pending.isEmpty()) return flushedBefore()
    try {
      write()
    } catch (error) {
      if (onUnavailable === 'deny') throw error
      return undefined
    }
    stats.commits++
    return synced()
  }

  /** What this commit covers was written at the end of an earlier turn already. */
  function flushedBefore(): undefined | Promise<void> {
    const isSynced = !durable || durable.syncedFrame() >= ledger.frame() - 1
    return isSynced ? undefined : synced()
  }

  function synced(): undefined | Promise<void> {
    const promise = durable?.request(segments.fd(), ledger.frame() - 1)
    return onUnavailable === 'deny' ? promise : promise?.catch(alreadyCounted)
  }

  /** Writes what is pending, as one frame. Throws RecorderError('unavailable') after dropping what may not stand. */
  function write(): void {
    try {
      if (pending.isGuarded && backlog.bytes() > options.bytesMax)
        throw new RecorderError(
          'unavailable',
          `${backlog.bytes()} bytes wait for the bus in ${options.dir}, ${options.bytesMax} may: is the agent running and the bus reachable?`,
        )
      if (segments.isSuspect()) leaveSuspectSegment()
      if (pending.isEmpty()) return
      sealFrame(out)
      segments.append(out)
    } catch (error) {
      stats.failures++
      dropPending()
      throw lost(error)
    }
    // An outcome is written even where nothing new may be.
    if (pending.isGuarded || backlog.bytes() <= options.bytesMax) available = true
    seq += pending.events
    ledger.frameWritten()
    pending.clear()
    if (segments.isFull()) rollIfPossible()
  }

  /** What is pending may refer to words of the segment that is left: all but the outcomes has to be tried again. */
  function leaveSuspectSegment(): void {
    const isLost = pending.isGuarded
    dropPending()
    segments.roll()
    if (isLost) throw new RecorderError('unavailable', `a sync of ${dir} failed; a new segment was begun`)
  }

  function syncFailed(error: unknown): RecorderError {
    stats.failures++
    segments.suspect()
    if (pending.isGuarded) droppedUnsaid = unavailable(error)
    dropPending()
    const { opened, commands } = ledger.unsyncedAfter(durable?.syncedFrame() ?? 0)
    countUnrecorded(commands)
    if (onUnavailable === 'deny')
      for (const { record, totals } of opened)
        sessionClosed(record.sessionId, clock.nowUs(), ended, 'its opening could not be made durable', totals)
    return lost(error)
  }

  /** Outcomes need no write of their own: they go with the next commit, or by themselves where none comes. */
  function flushSoon(): void {
    if (flushDue) return
    flushDue = true
    flushing.refresh()
  }

  function flush(): void {
    flushDue = false
    if (stopped || pending.isEmpty()) return
    const lostSome = pending.isGuarded
    const failure = tryWrite()
    // Whoever commits what was dropped here is told then.
    if (failure && lostSome) droppedUnsaid = failure
  }

  function tryWrite(): RecorderError | undefined {
    try {
      write()
      return undefined
    } catch (error) {
      return unavailable(error)
    }
  }

  /** From a failure on: tries again until a frame can be written, be it an empty one, so that nobody else need try. */
  function probe(): void {
    if (stopped || available) {
      clearInterval(probing)
      probing = undefined
      return
    }
    if (pending.isEmpty()) {
      pending.isGuarded = true
      putNothing(out)
    }
    tryWrite()
  }

  function lost(error: unknown): RecorderError {
    available = false
    probing ??= setInterval(probe, probeMs).unref()
    return unavailable(error)
  }

  function dropPending(): void {
    countUnrecorded(ledger.frameFailed() + pending.refusals)
    pending.dropToKept()
  }

  function countUnrecorded(dropped: number): void {
    if (onUnavailable === 'allow-and-count') stats.unrecorded += dropped
  }

  function keepUnlessNew(frame: number, start: number): void {
    if (frame < ledger.frame()) pending.keepFrom(start)
  }

  /** Under allow-and-count a session may have gone unrecorded; once there is room it is recorded before what follows. */
  function reopen(live: LiveSession): void {
    pending.isGuarded = true
    pending.events++
    ledger.rewrite(live)
    putSession(out, 'opened', live.session, live.record, live.decision, live.detail)
  }

  /** Where there is no room for a new segment the old one serves on. */
  function rollIfPossible(): void {
    try {
      segments.roll()
    } catch {
      stats.failures++
    }
  }

  /** Says what is still open, ends the log, and lets go. What cannot be written the agent finds as a death. */
  async function stop(): Promise<void> {
    if (stopped) return
    const at = clock.nowUs()
    tryWrite()
    for (const live of ledger.recorded())
      sessionClosed(live.record.sessionId, at, ended, 'the proxy process stopped', live.totals)
    putEnd(out)
    try {
      write()
      await durable?.request(segments.fd(), ledger.frame() - 1)
    } catch {
      stats.failures++
    }
    stopped = true
    clearTimeout(flushing)
    clearInterval(probing)
    await durable?.stop()
    await backlog.stop()
    segments.close()
  }

  function attempt<T>(step: () => T): T {
    try {
      return step()
    } catch (error) {
      throw unavailable(error)
    }
  }

  function unavailable(error: unknown): RecorderError {
    if (error instanceof RecorderError) return error
    const why = error instanceof Error ? error.message : String(error)
    return new RecorderError('unavailable', `cannot record in ${options.dir}: ${why}`, { cause: error })
  }
}

/** Under allow-and-count: the failure was counted where it happened. */
function alreadyCounted(): void {}
