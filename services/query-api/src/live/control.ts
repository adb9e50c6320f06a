/**
 * Control changes in the live view. A verdict that a person made or lifted is shown as a verdict too, whole: who watches
 * for what is enforced need not know who decided it. So is an approval, at each step of its way.
 */
import {
  approvalAggregate,
  type ControlEvent,
  type Evolved,
  verdictAggregate,
  type VerdictEvent,
} from '@portcullis/kernel'
import { handVerdictEvent } from '../verdicts.ts'
import type { Books } from './books.ts'
import { approvalEvent, controlEvent, type Feed, verdictEvent } from './feed.ts'

export interface ControlPublisherOptions {
  readonly feed: Feed
  readonly books: Pick<Books, 'verdicts'>
  readonly nowUs: () => number
}

/** To be called with each control event as it was folded; a repetition is no news. */
export function createControlPublisher({ feed, books, nowUs }: ControlPublisherOptions) {
  /** The fold forgets a verdict as it is lifted, and who is told of the lifting wants to know on whom it was. */
  const byHand = new Map<string, VerdictEvent>()

  function publishVerdict(id: string, { aggregateId }: ControlEvent, { state }: Evolved): void {
    const verdictId = aggregateId.slice(verdictAggregate('').length)
    const issued = state.verdicts.get(verdictId)
    const lifted = state.lifted.get(verdictId)
    const verdict = issued
      ? handVerdictEvent(issued)
      : (byHand.get(verdictId) ?? books.verdicts.get(verdictId))
    // One that the analyzer made and that is long over: the control event alone tells of its lifting.
    if (!verdict) return
    feed.publish(verdictEvent(id, verdict, lifted && { verdictId, ...lifted }))
    if (lifted) byHand.delete(verdictId)
    else remember(verdict)
  }

  function publishApproval(id: string, { aggregateId }: ControlEvent, { state }: Evolved): void {
    const approval = state.approvals.get(aggregateId.slice(approvalAggregate('').length))
    if (approval) feed.publish(approvalEvent(id, approval, nowUs()))
  }

  function remember(verdict: VerdictEvent): void {
    for (const [id, { until }] of byHand) if (until < nowUs()) byHand.delete(id)
    byHand.set(verdict.verdictId, verdict)
  }

  return (event: ControlEvent, evolved: Evolved): void => {
    const { accepted, state, rejection } = evolved
    if (rejection?.code === 'duplicate') return
    const id = `control-${state.nextOffset - 1}`
    feed.publish(controlEvent(id, event, accepted))
    if (accepted && event.type.startsWith('verdict.')) publishVerdict(`${id}-verdict`, event, evolved)
    if (accepted && event.type.startsWith('approval.')) publishApproval(`${id}-approval`, event, evolved)
  }
}
