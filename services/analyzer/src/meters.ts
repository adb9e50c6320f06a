/** What the analyzer counts. Never an identity as a label. */
import type { FindingEvent, VerdictEvent } from '@portcullis/kernel'
import type { Metrics } from '@portcullis/platform/service'

export interface Meters {
  /** One event folded; how far behind its end the analyzer was, seconds. */
  folded(lagSeconds: number): void
  dropped(reason: string): void
  deadLetter(reason: string): void
  finding(finding: FindingEvent): void
  verdict(verdict: VerdictEvent): void
  checkpointed(snapshots: number): void
  identities(partition: number, count: number): void
}

export function createMeters(metrics: Metrics): Meters {
  const events = metrics.counter(
    'portcullis_analyzer_events_total',
    'Command events by what became of them.',
    ['outcome'],
  )
  const findings = metrics.counter('portcullis_analyzer_findings_total', 'Findings raised.', [
    'feature',
    'severity',
  ])
  const verdicts = metrics.counter('portcullis_analyzer_verdicts_total', 'Verdicts issued or extended.', [
    'action',
    'reason',
  ])
  const deadLetters = metrics.counter(
    'portcullis_analyzer_dead_letters_total',
    'Records that teach nothing; each is logged with its offset.',
    ['reason'],
  )
  const lag = metrics.histogram(
    'portcullis_analyzer_event_lag_seconds',
    'From the end of a command to its judgement.',
    [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300, 3600],
  )
  const snapshots = metrics.counter(
    'portcullis_analyzer_snapshots_total',
    'Snapshots of baselines published.',
  )
  const identities = metrics.gauge('portcullis_analyzer_identities', 'Baselines in memory.', ['partition'])
  return {
    folded(lagSeconds) {
      events.inc({ outcome: 'folded' })
      lag.observe(Math.max(0, lagSeconds))
    },
    dropped: (reason) => events.inc({ outcome: reason }),
    deadLetter(reason) {
      events.inc({ outcome: 'dead_letter' })
      deadLetters.inc({ reason })
    },
    finding: ({ feature, severity }) => findings.inc({ feature, severity }),
    verdict: ({ action, reason }) => verdicts.inc({ action, reason }),
    checkpointed: (count) => snapshots.inc(count),
    identities: (partition, count) => identities.set({ partition: String(partition) }, count),
  }
}
