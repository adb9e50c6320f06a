/** What the analyzer's tests share: simulated histories, folded and bus records made of them. No test here. */
import type { CommandEvent, FindingEvent, Received, VerdictEvent } from '@portcullis/kernel'
import { identityKey, topics } from '@portcullis/kernel'
import { createCodecs } from '@portcullis/platform/codec'
import {
  type Agent,
  dayUs,
  historyOf,
  type SimulatedRecorder,
  simulatedRecorder,
} from '../../../load-tests/simulator/index.ts'
import { type Baseline, type BaselineFold, createBaselineFold } from './baseline.ts'
import { createDetectors } from './detectors/index.ts'
import { type AnalyzerSettings, defaultSettings } from './settings.ts'

/** A Monday, 00:00 UTC. */
export const mondayUs = Date.UTC(2026, 8, 7) * 1000
export const issuer = 'https://issuer.example'
export const codecs = createCodecs()

export function foldOf(settings: AnalyzerSettings = defaultSettings): BaselineFold {
  return createBaselineFold(createDetectors(settings), settings)
}

export function recorder(name: string): SimulatedRecorder {
  return simulatedRecorder({ name, issuer, target: 'shop', database: 'shop' })
}

export interface Raised {
  readonly findings: FindingEvent[]
  readonly verdicts: VerdictEvent[]
}

export function foldAll(fold: BaselineFold, baseline: Baseline, events: Iterable<CommandEvent>): Raised {
  const raised: Raised = { findings: [], verdicts: [] }
  for (const event of events) {
    const outcome = fold.fold(baseline, event)
    if (outcome.kind !== 'ok') continue
    raised.findings.push(...outcome.findings)
    if (outcome.verdict) raised.verdicts.push(outcome.verdict)
  }
  return raised
}

/** A baseline that has seen this agent for so many days from `mondayUs` on. */
export function learned(agent: Agent, days: number, fold: BaselineFold = foldOf()): Baseline {
  const baseline = fold.initial()
  foldAll(fold, baseline, historyOf([agent], recorder('history'), mondayUs, mondayUs + days * dayUs))
  return baseline
}

/** Events as the bus would hand them out, one partition, offsets from `from` on. */
export function received(events: readonly CommandEvent[], from = 0): Received[] {
  return events.map((event, index) => ({
    topic: topics.commands,
    partition: 0,
    offset: from + index,
    key: identityKey(event.identity),
    value: codecs.command.encode(event),
    publishedMs: Math.ceil((event.startedAt + event.durationUs) / 1000),
  }))
}
