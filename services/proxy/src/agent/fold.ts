/**
 * What is in force: verdicts of the analyzer and verdicts by hand, less what was lifted and what is over; and the holdings. A fold over two
 * topics; pure but for the clock it is handed. It refuses what does not decode, and reports it.
 */
import {
  type Approval,
  approvalAggregate,
  type ControlEvent,
  evolveControl,
  type Holdings,
  holdingsOf,
  initialControl,
  noHoldings,
  pruneControl,
  type Received,
  type Rejection,
  topics,
  type Verdict,
  type VerdictEvent,
} from '@portcullis/kernel'

export interface StandingFold {
  apply(records: readonly Received[]): void
  /** In force at `nowUs`, by id. Lets go of what is over. */
  standing(nowUs: number): Map<string, Verdict>
  /** The same object until one of them changes. */
  holdings(): Holdings
  approvals(): ReadonlyMap<string, Approval>
  /** Those that have changed since this was asked last. */
  takeChangedApprovals(): readonly Approval[]
  /** Whether it was lifted by hand, or by the analyzer. */
  isLifted(verdictId: string): boolean
}

export interface Decoders {
  verdict(value: Uint8Array): VerdictEvent
  control(value: Uint8Array): ControlEvent
}

export function createStandingFold(
  decoders: Decoders,
  onRefused: (record: Received, why: unknown) => void,
  onControl: (event: ControlEvent, rejection: Rejection | undefined) => void,
): StandingFold {
  const control = initialControl()
  let holdings = noHoldings
  const analyzed = new Map<string, Verdict>()
  const liftedByAnalyzer = new Set<string>()
  const changedApprovals = new Set<string>()

  return {
    apply(records) {
      for (const record of records) {
        try {
          if (record.topic === topics.verdicts) takeVerdict(record)
          else if (record.topic === topics.control && record.value) takeControl(record, record.value)
        } catch (error) {
          // One record that this version cannot read must not stop the verdicts behind it.
          onRefused(record, error)
        }
      }
    },
    standing(nowUs) {
      for (const [id, verdict] of analyzed) if (verdict.until <= nowUs) analyzed.delete(id)
      pruneControl(control, nowUs)
      const standing = new Map<string, Verdict>()
      for (const [id, verdict] of analyzed) if (!control.lifted.has(id)) standing.set(id, verdict)
      for (const [id, verdict] of control.verdicts) if (verdict.until > nowUs) standing.set(id, verdict)
      return standing
    },
    holdings: () => holdings,
    approvals: () => control.approvals,
    takeChangedApprovals() {
      if (changedApprovals.size === 0) return []
      const changed = Array.from(changedApprovals, (id) => control.approvals.get(id) ?? [])
      changedApprovals.clear()
      return changed.flat()
    },
    isLifted: (verdictId) => control.lifted.has(verdictId) || liftedByAnalyzer.has(verdictId),
  }

  function takeVerdict({ key, value }: Received): void {
    if (value === null) {
      analyzed.delete(key)
      return
    }
    const event = decoders.verdict(value)
    if (event.state === 'lifted') {
      analyzed.delete(event.verdictId)
      liftedByAnalyzer.add(event.verdictId)
      return
    }
    liftedByAnalyzer.delete(event.verdictId)
    analyzed.set(event.verdictId, verdictOf(event))
  }

  function takeControl(record: Received, value: Uint8Array): void {
    const event = decoders.control(value)
    const { accepted, rejection } = evolveControl(control, { event, offset: record.offset })
    if (event.type.startsWith('approval.')) {
      if (accepted) changedApprovals.add(event.aggregateId.slice(approvalAggregate('').length))
    } else if (accepted && !event.type.startsWith('verdict.')) holdings = holdingsOf(control)
    onControl(event, rejection)
    // Of two writers one loses, and everybody's fold says so; only what nobody should have written is news.
    if (rejection?.code === 'invalid' || rejection?.code === 'unknown_type') onRefused(record, rejection.why)
  }
}

function verdictOf(event: VerdictEvent): Verdict {
  const {
    verdictId,
    action,
    subject,
    target,
    issuedAt,
    until,
    ratePerMinute,
    cancelRunning,
    reason,
    explanation,
  } = event
  return {
    verdictId,
    action,
    subject,
    target,
    issuedAt,
    until,
    ratePerMinute,
    cancelRunning,
    reason,
    explanation,
  }
}
