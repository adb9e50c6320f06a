import type { CommandEvent, FindingEvent } from './events.gen.ts'

/**
 * One way to notice that an identity is not itself. A fold in event time: no clock, no randomness, no input beyond the
 * events of one identity in their order, so that a replay gives the same findings bit for bit.
 */
export interface Detector<State> {
  readonly name: string
  /** Changes when the shape of `State` does. `State` is plain JSON. */
  readonly stateVersion: number
  /** Judges from an identity's first command on: what it looks for is no matter of custom. */
  readonly always?: boolean
  initial(): State
  /** Judges the command against the prior state; only reads. */
  inspect(prior: State, event: CommandEvent): readonly Departure[]
  /** Learns from the command. Refused commands never raise a baseline. May change and return `prior`. */
  evolve(prior: State, event: CommandEvent): State
}

/** A finding without what the pipeline fills in itself: its id, time, identity, session, target. */
export type Departure = Omit<
  FindingEvent,
  'findingId' | 'at' | 'identity' | 'sessionId' | 'target' | 'detector'
>
