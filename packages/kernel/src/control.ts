import type { Verdict } from './verdict.ts'

/**
 * Control state: a fold over the control topic. One partition, so every service that folds the same events holds the
 * same state, and of two writers the log's order decides. Pure; the bus is at the edge.
 */
export interface ControlState {
  /** Offset after the last event folded in. */
  readonly nextOffset: number
  /** Version of each aggregate: how many accepted events changed it. */
  readonly versions: ReadonlyMap<string, number>
  /** Verdicts by hand that are not lifted; expiry is the reader's own clock. */
  readonly verdicts: ReadonlyMap<string, Verdict & { readonly issuedBy: string }>
  /** Verdicts of any source lifted by hand: id -> when lifted, microseconds. Every reader ignores the verdict from then on. */
  readonly lifted: ReadonlyMap<string, { readonly at: number; readonly by: string; readonly reason: string }>
  /** Ids of accepted and rejected events, so that a repeated one changes nothing. */
  readonly seen: ReadonlySet<string>
}

/** Payloads by event type; the JSON in ControlEvent.payload. */
export type ControlChange =
  | { readonly type: 'verdict.issued'; readonly verdict: Verdict }
  | { readonly type: 'verdict.lifted'; readonly verdictId: string; readonly reason: string }
