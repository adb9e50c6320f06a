/**
 * What is known of one identity, as a fold over its commands in the order of its partition: nothing else enters, no
 * clock and no other identity, so that a replay gives the same state, findings and verdicts bit for bit, whatever was
 * interleaved. The state is plain JSON and bounded (about 4 KB, at most some 30).
 */
import type { CommandEvent, FindingEvent, VerdictEvent } from '@portcullis/kernel'
import { decide, emptyMemory, type Judged, type Memory } from './decide.ts'
import { usualPerMinute } from './detectors/command-rate.ts'
import type { Detectors } from './detectors/index.ts'
import { isRefused } from './detectors/open-commands.ts'
import { busiestInstance, countInstance, emptyInstances, type Instances } from './instances.ts'
import type { AnalyzerSettings } from './settings.ts'

/** Changes when the shape of `Baseline` does, other than inside a detector's own state. */
export const baselineVersion = 1

export interface Baseline {
  /** Event time of the identity's first command and the latest event time, microseconds. */
  firstAt: number
  lastAt: number
  /** Commands learned from: finished, not refused. */
  commands: number
  /** Highest sequence number by recorder, the latest heard of last: what comes again from there is a duplicate. */
  recorders: [string, number][]
  /** Ids of the commands that finished last: another recorder's word for one of them is a duplicate too. */
  finished: string[]
  detectors: Record<string, { version: number; state: unknown }>
  /** What its running copies did of late. */
  instances: Instances
  memory: Memory
}

/** What became of one event. One place (analyzer.ts) turns it into effects and metrics. */
export type Outcome =
  | {
      readonly kind: 'ok'
      readonly findings: readonly FindingEvent[]
      readonly verdict: VerdictEvent | undefined
    }
  | { readonly kind: 'drop'; readonly reason: 'duplicate' }

export interface BaselineFold {
  initial(): Baseline
  /** Takes up a baseline read from a snapshot; detectors whose state's shape has changed start anew. */
  restore(stored: Baseline): Baseline
  /** inspect against the prior baseline -> decide -> evolve. Changes `baseline`. */
  fold(baseline: Baseline, event: CommandEvent): Outcome
}

export function createBaselineFold(detectors: Detectors, settings: AnalyzerSettings): BaselineFold {
  const initial = (): Baseline => ({
    firstAt: 0,
    lastAt: 0,
    commands: 0,
    recorders: [],
    finished: [],
    detectors: Object.fromEntries(
      detectors.all.map((detector) => [
        detector.name,
        { version: detector.stateVersion, state: detector.initial() },
      ]),
    ),
    instances: emptyInstances(),
    memory: emptyMemory(),
  })
  const isWarm = ({ commands, firstAt }: Baseline, { startedAt }: CommandEvent) =>
    commands >= settings.warmupCommands && startedAt - firstAt >= settings.warmupMs * 1000
  return {
    initial,
    restore(stored) {
      const fresh = initial()
      for (const [name, { version, state }] of Object.entries(stored.detectors))
        if (fresh.detectors[name]?.version === version) fresh.detectors[name] = { version, state }
      return { ...stored, detectors: fresh.detectors }
    },
    fold(baseline, event) {
      if (isDuplicate(baseline, event)) return { kind: 'drop', reason: 'duplicate' }
      baseline.lastAt = Math.max(baseline.lastAt, event.startedAt + event.durationUs)
      if (baseline.firstAt === 0) baseline.firstAt = event.startedAt
      const warm = isWarm(baseline, event)
      const judging = detectors.all.filter(({ always }) => warm || always)
      const judged = judging.flatMap((detector): Judged[] =>
        detector
          .inspect(stateOf(baseline, detector.name), event)
          .map((departure) => ({ detector: detector.name, departure })),
      )
      if (event.stage === 'run' && event.phase === 'finished') countInstance(baseline.instances, event)
      const { findings, verdict } = decide(baseline.memory, judged, {
        settings,
        event,
        nowUs: baseline.lastAt,
        usualPerMinute: judged.length === 0 ? 0 : usual(baseline, detectors.rate.name, event.startedAt),
        busiestInstance: judged.length === 0 ? '' : busiestInstance(baseline.instances, event),
        latestCommandIds: baseline.finished,
      })
      for (const detector of detectors.all) {
        const kept = baseline.detectors[detector.name]
        if (kept) kept.state = detector.evolve(kept.state, event)
      }
      if (event.phase === 'finished' && !isRefused(event)) baseline.commands++
      return { kind: 'ok', findings, verdict }
    },
  }
}

const recordersMax = 64
const finishedMax = 32

function isDuplicate(baseline: Baseline, event: CommandEvent): boolean {
  const { recorder, seq } = event.link
  const at = baseline.recorders.findIndex(([known]) => known === recorder)
  const known = baseline.recorders[at]
  if (known && seq <= known[1]) return true
  if (at >= 0) baseline.recorders.splice(at, 1)
  baseline.recorders.push([recorder, seq])
  if (baseline.recorders.length > recordersMax) baseline.recorders.shift()
  // One recorder never tells of a command twice under new numbers, so that the look-up is left out where only one is known.
  if (baseline.recorders.length > 1 && baseline.finished.includes(event.commandId)) return true
  if (event.phase === 'finished') {
    baseline.finished.push(event.commandId)
    if (baseline.finished.length > finishedMax) baseline.finished.shift()
  }
  return false
}

function stateOf(baseline: Baseline, name: string): unknown {
  return baseline.detectors[name]?.state
}

function usual(baseline: Baseline, rateDetector: string, at: number): number {
  return usualPerMinute(stateOf(baseline, rateDetector) as Parameters<typeof usualPerMinute>[0], at)
}
