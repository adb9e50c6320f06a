import type { Approval, Standing } from './control/approval.ts'
import type { FindingEvent, VerdictEvent } from './events.gen.ts'

/** What a person is told: one for each dedup key, updated in place and resolved when its verdict is lifted or over. */
export interface Alert {
  /** Same key, same incident: at most 255 characters. */
  readonly dedupKey: string
  readonly action: 'trigger' | 'resolve'
  readonly severity: FindingEvent['severity']
  readonly title: string
  readonly verdict: VerdictEvent | null
  readonly findings: readonly FindingEvent[]
  /** Where it is about what waits for a person's answer, or what became of it. */
  readonly approval?: ApprovalNotice
  /** Microseconds since 1970 UTC. */
  readonly at: number
}

export interface ApprovalNotice {
  /** Long texts are cut; `isWhole` says that none was. */
  readonly approval: Approval
  readonly isWhole: boolean
  readonly standing: Standing
  /** Where a person sees all of it, and can answer; undefined where there is no such page. */
  readonly link: string | undefined
}

/** retry: try again, not before `retryAfterMs`. failed: never will succeed (bad key, bad request); it is counted and logged. */
export type Delivery =
  | { readonly kind: 'delivered'; readonly reference?: string }
  | { readonly kind: 'retry'; readonly why: string; readonly retryAfterMs?: number }
  | { readonly kind: 'failed'; readonly why: string }

/** Where alerts go. A new one is one file. `reference` is what the sink answered for the same dedup key before (a message's ts). */
export interface Sink {
  readonly name: string
  deliver(alert: Alert, reference: string | undefined): Promise<Delivery>
}
