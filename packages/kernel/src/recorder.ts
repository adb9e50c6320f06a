import type { Analysis, CommandResult } from './command.ts'
import type { Decision } from './decision.ts'
import type { Identity, Origin } from './identity.ts'
import type { MaskPlan } from './mask.ts'

/** A session as recorded; also what every one of its command events repeats. */
export interface SessionRecord {
  readonly sessionId: string
  readonly identity: Identity | null
  readonly target: string
  readonly role: string
  readonly database: string
  readonly protocol: string
  readonly origin: Origin
  readonly client: string
  readonly tls: string
  readonly tokenExpiresAt: number | null
  readonly startedAt: number
}

export interface SessionTotals {
  readonly commands: number
  readonly rowsOut: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** A command before it runs. `number` counts from 1 in its session; the command id is `${sessionId}.${number}`. */
export interface Intent {
  readonly sessionId: string
  readonly number: number
  readonly analysis: Analysis
  readonly decision: Decision
  /** When the proxy received it, microseconds since 1970 UTC. */
  readonly startedAt: number
  readonly attributes: Readonly<Record<string, string>>
  /** What of its answers must not be seen: what of its text is then kept is for the recorder's settings to say. */
  readonly mask?: MaskPlan | undefined
}

/** How far a running command has come, cumulative. */
export type Progress = Pick<CommandResult, 'rowsIn' | 'rowsOut' | 'bytesIn' | 'bytesOut'>

/**
 * The local log that survives the proxy's death. Calls append to one pending write, in order; `commit` makes all of
 * it durable. Nothing may be forwarded before the commit that covers its intent has returned (or resolved).
 *
 * `commit` returns undefined where it was durable on return (`durability: process`), else a promise (`disk`).
 * It throws, or rejects with, RecorderError('unavailable') where it cannot record (disk full, backlog at its limit) and
 * the fail mode is `deny`; under `allow-and-count` it counts instead and never throws. What stood in the failed commit
 * is not recorded then.
 */
export interface Recorder {
  /** Events carry this id; one life of one process. */
  readonly id: string
  /** False from a failed commit (or a full backlog) under `deny` until the recorder's own probe succeeds: refuse without trying. */
  readonly available: boolean
  /** Phase opened (with the decision that let it in) or refused. */
  session(record: SessionRecord, phase: 'opened' | 'refused', decision: Decision, detail: string): void
  intent(intent: Intent): void
  /** Another decision about a command that stands recorded and has not run (a person let it pass): before it is forwarded. */
  redecided(sessionId: string, number: number, decision: Decision): void
  /** Writes a `started` or `progress` event: still running after half a second, then every 10 s or 16 MiB. */
  progress(sessionId: string, number: number, at: number, progress: Progress): void
  /** Written at the latest in the same turn of the event loop, without commit. A refused command has intent and outcome in one commit. */
  /** `decision`: what ended it, where that is not the intent's (a cut, a refusal at Execute). */
  outcome(sessionId: string, number: number, at: number, result: CommandResult, decision?: Decision): void
  sessionClosed(
    sessionId: string,
    at: number,
    decision: Decision,
    detail: string,
    totals: SessionTotals,
  ): void
  commit(): undefined | Promise<void>
}
