/**
 * Verdicts that hold now: the analyzer's, and those by hand, minus what was lifted and what is over by this clock. And
 * the two changes a person can make. It writes to the control log alone; the analyzer's topic is the analyzer's.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { Clock, ControlState, Identity, Verdict, VerdictEvent } from '@portcullis/kernel'
import { keysOfVerdict, verdictKey, verdictKeys } from '@portcullis/kernel'
import { type ControlLog, ControlError } from '@portcullis/platform/control'
import type { Caller } from './auth.ts'
import type { Books } from './live/books.ts'
import { invalid } from './input.ts'
import { ApiError } from './problems.ts'
import { isoMicros, isoMicrosOrNull } from './time.ts'

/** What a person asks for; `until` follows from when it is issued, or stands by itself. */
export type HandAction = Omit<Verdict, 'verdictId' | 'issuedAt' | 'until'> & {
  readonly end: { readonly durationUs: number } | { readonly untilUs: number }
}

export interface Verdicts {
  /** Latest first. */
  active(): VerdictEvent[]
  /** Issues by hand. With a key, trying again gives the first answer instead of a second verdict. */
  issue(
    action: HandAction,
    caller: Caller,
    idempotencyKey: string | undefined,
  ): Promise<{ verdict: VerdictEvent; replayed: boolean }>
  lift(verdictId: string, reason: string, caller: Caller): Promise<Lifted>
  lifted(verdictId: string): Lifted | undefined
}

export interface Lifting {
  readonly verdictId: string
  readonly at: number
  readonly by: string
  readonly reason: string
}

export interface Lifted extends Lifting {
  readonly replayed: boolean
}

export interface VerdictsOptions {
  readonly control: Pick<ControlLog, 'state' | 'caughtUp' | 'write'>
  readonly books: Books
  readonly clock: Clock
}

export function createVerdicts({ control, books, clock }: VerdictsOptions): Verdicts {
  function active(): VerdictEvent[] {
    const nowUs = clock.nowUs()
    const state = control.state()
    const all = [...books.verdicts.values(), ...[...state.verdicts.values()].map(handVerdictEvent)]
    return all
      .filter(({ verdictId, until }) => until > nowUs && !state.lifted.has(verdictId))
      .sort((a, b) => b.issuedAt - a.issuedAt || (a.verdictId < b.verdictId ? 1 : -1))
  }

  function requireLog(): void {
    if (!control.caughtUp())
      throw new ApiError('control_unavailable', 'The control log is still being read.', { retryAfterSec: 2 })
  }

  return {
    active,
    async issue({ end, ...action }, caller, idempotencyKey) {
      requireLog()
      const verdictId = idempotencyKey === undefined ? `hand-${randomUUID()}` : idOf(caller, idempotencyKey)
      const issuedAt = clock.nowUs()
      const until = 'untilUs' in end ? end.untilUs : issuedAt + end.durationUs
      if (until <= issuedAt)
        throw invalid([{ in: 'body', field: 'until', message: 'must lie in the future' }])
      const verdict: Verdict = { ...action, verdictId, issuedAt, until }
      const replay = replayOf(control.state(), verdict)
      if (replay) return { verdict: replay, replayed: true }
      try {
        await control.write({ type: 'verdict.issued', verdict }, caller.actor, { expectedVersion: 0 })
        return { verdict: handVerdictEvent({ ...verdict, issuedBy: by(caller) }), replayed: false }
      } catch (error) {
        // A first try may have been on its way: another process, or one that timed out.
        const first =
          error instanceof ControlError && error.code === 'conflict' && replayOf(control.state(), verdict)
        if (first) return { verdict: first, replayed: true }
        throw error
      }
    },
    async lift(verdictId, reason, caller) {
      requireLog()
      const before = liftedIn(control.state(), verdictId)
      if (before) return replayOrConflict(before, reason, caller)
      if (!books.verdicts.has(verdictId) && !control.state().verdicts.has(verdictId))
        throw new ApiError(
          'not_found',
          'No verdict of this id holds. It may be over; see /v1/verdicts?state=all.',
        )
      try {
        const { at } = await control.write({ type: 'verdict.lifted', verdictId, reason }, caller.actor)
        return { verdictId, at, by: by(caller), reason, replayed: false }
      } catch (error) {
        const first = error instanceof ControlError && error.rejection === 'already_lifted'
        const now = first ? liftedIn(control.state(), verdictId) : undefined
        if (now) return replayOrConflict(now, reason, caller)
        throw error
      }
    },
    lifted: (verdictId) => liftedIn(control.state(), verdictId),
  }
}

/** A verdict as the API shows it: the columns of the table `verdicts`, from what holds in memory. */
export function verdictRow(verdict: VerdictEvent, lifted: Lifting | undefined) {
  return {
    ...verdict,
    state: lifted ? 'lifted' : verdict.state,
    issuedAt: isoMicros(verdict.issuedAt),
    until: isoMicros(verdict.until),
    causeReceivedAt: isoMicrosOrNull(verdict.causeReceivedAt),
    liftedAt: lifted ? isoMicros(lifted.at) : null,
    liftedBy: lifted?.by ?? '',
    liftReason: lifted?.reason ?? '',
  }
}

/** The verdict by which this identity, or what its token descends from, gets nothing from us at all. */
export function stoppedBy(active: readonly VerdictEvent[], identity: Identity): VerdictEvent | undefined {
  const keys = verdictKeys({ identity, sessionId: '', target: '' })
  return active.find(
    (verdict) =>
      (verdict.action === 'kill' || verdict.action === 'block') &&
      verdict.target === '' &&
      keysOfVerdict(verdict).some((key) => keys.includes(key)),
  )
}

export function handVerdictEvent(verdict: Verdict & { readonly issuedBy: string }): VerdictEvent {
  return { ...verdict, state: 'active', findings: [], causeCommandId: '', causeReceivedAt: 0 }
}

/** The same caller and key give the same verdict id, in every process and after every restart: the log itself tells a repetition. */
function idOf(caller: Caller, idempotencyKey: string): string {
  const digest = createHash('sha256')
    .update(`${by(caller)}\n${idempotencyKey}`)
    .digest('hex')
  return `hand-${digest.slice(0, 32)}`
}

function replayOf(state: ControlState, wanted: Verdict): VerdictEvent | undefined {
  const first = state.verdicts.get(wanted.verdictId)
  if (!first) return undefined
  // Asked for as a length of time, a repetition ends later than the first; asked for as a moment, it is shorter.
  const sameEnd = first.until === wanted.until || lengthUs(first) === lengthUs(wanted)
  if (sameEnd && contentOf(first) === contentOf(wanted)) return handVerdictEvent(first)
  throw new ApiError(
    'idempotency_key_reused',
    `It made verdict ${wanted.verdictId} out of another request. Use a new key for a new verdict.`,
  )
}

function lengthUs({ until, issuedAt }: Verdict): number {
  return until - issuedAt
}

function contentOf({
  action,
  subject,
  target,
  ratePerMinute,
  cancelRunning,
  reason,
  explanation,
}: Verdict): string {
  return JSON.stringify([
    action,
    verdictKey(subject),
    target,
    ratePerMinute,
    cancelRunning,
    reason,
    explanation,
  ])
}

function liftedIn(state: ControlState, verdictId: string): Lifted | undefined {
  const lifted = state.lifted.get(verdictId)
  return lifted && { verdictId, ...lifted, replayed: true }
}

function replayOrConflict(before: Lifted, reason: string, caller: Caller): Lifted {
  if (before.by === by(caller) && before.reason === reason) return before
  throw new ApiError('conflict', `It was lifted before, by ${before.by} at ${isoMicros(before.at)}.`)
}

function by({ actor }: Caller): string {
  return `${actor.issuer}|${actor.subject}`
}
