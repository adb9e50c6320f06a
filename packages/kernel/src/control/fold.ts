/**
 * Control state: a fold over the control topic. One partition, so every service that folds the same events holds the
 * same state, and of two writers the log's order decides. Pure: it reads no clock and no bus.
 *
 * It refuses what is not well-formed, what was conditioned on a version that has moved on, and what says the same
 * thing twice. It never refuses by a clock: expiry is the reader's own, so that a writer's wrong clock can neither end a
 * verdict nor make two readers differ. An answer to an approval that carries a time after the deadline is refused, since
 * both times stand in the log.
 */
import type { ControlEvent } from '../events.gen.ts'
import type { Rejection } from './aggregate.ts'
import { approvalAggregate, pruneApprovals } from './approvals.ts'
import { aggregateOf, applyChange, checkChange, type ControlParts, initialParts } from './change.ts'

/** A view: whoever folds (`ControlFold`) changes it in place, so read it again rather than keep it. */
export type ControlState = Viewed<ControlParts> & {
  /** Offset after the last event folded in. */
  readonly nextOffset: number
  /**
   * Version of each aggregate: how many events met its version condition, whether or not this reader knew their kind
   * and took their payload, so that an older service beside a newer one counts alike.
   */
  readonly versions: ReadonlyMap<string, number>
  /** Ids of at least the latest `seenMax` events, accepted or not, oldest first, so that a repeated one changes nothing. */
  readonly seen: ReadonlySet<string>
  /** Events of a kind this reader does not know. */
  readonly skipped: number
  /** Events that were refused, repetitions not counted. */
  readonly rejected: number
}

/** What `evolveControl` changes in place: events are folded without copying what came before. */
export type ControlFold = ControlParts & {
  nextOffset: number
  readonly versions: Map<string, number>
  readonly seen: Set<string>
  skipped: number
  rejected: number
}

type Viewed<Parts> = {
  readonly [K in keyof Parts]: Parts[K] extends Map<infer Id, infer One> ? ReadonlyMap<Id, One> : never
}

export interface Evolved {
  /** The state that was handed in, changed. */
  readonly state: ControlFold
  readonly accepted: boolean
  readonly rejection?: Rejection
}

/** A repetition comes within the retries of one producer; this many events back is far more than that. */
export const seenMax = 100_000
const forgottenAtOnce = 10_000

export function initialControl(): ControlFold {
  return {
    ...initialParts(),
    nextOffset: 0,
    versions: new Map(),
    seen: new Set(),
    skipped: 0,
    rejected: 0,
  }
}

/** Folds one event in. Deterministic; never throws, whatever the event holds; folding a prefix again changes nothing. */
export function evolveControl(
  state: ControlFold,
  { event, offset }: { readonly event: ControlEvent; readonly offset: number },
): Evolved {
  if (offset < state.nextOffset)
    return {
      state,
      accepted: false,
      rejection: { code: 'duplicate', why: `offset ${offset} was folded before` },
    }
  state.nextOffset = offset + 1
  if (state.seen.has(event.eventId))
    return {
      state,
      accepted: false,
      rejection: { code: 'duplicate', why: `event ${event.eventId} came before` },
    }
  remember(state.seen, event.eventId)
  const rejection = take(state, event)
  if (!rejection) return { state, accepted: true }
  if (rejection.code === 'unknown_type') state.skipped += 1
  else state.rejected += 1
  return { state, accepted: false, rejection }
}

/**
 * Lets go of verdicts that ended before `beforeUs`, and of approvals that can be of no use after it; returns how many. What
 * the fold accepts never depends on the verdicts. Of an approval the version goes too, since there are as many as commands
 * that were held: asked for once more under the same id, it is over all the same.
 */
export function pruneControl(state: ControlFold, beforeUs: number): number {
  const over = pruneApprovals(state, beforeUs)
  for (const id of over) state.versions.delete(approvalAggregate(id))
  let pruned = over.length
  for (const [id, verdict] of state.verdicts) {
    if (verdict.until >= beforeUs) continue
    state.verdicts.delete(id)
    pruned += 1
  }
  return pruned
}

function take(state: ControlFold, event: ControlEvent): Rejection | undefined {
  const version = state.versions.get(event.aggregateId) ?? 0
  if (event.expectedVersion !== -1 && event.expectedVersion !== version)
    return {
      code: 'conflict',
      why: `${event.aggregateId} is at version ${version}, the writer saw ${event.expectedVersion}: read it again and decide anew`,
    }
  state.versions.set(event.aggregateId, version + 1)
  const checked = checkChange(event.type, event.payload)
  if ('code' in checked) return checked
  const aggregate = aggregateOf(checked)
  if (aggregate !== event.aggregateId)
    return { code: 'invalid', why: `aggregateId is ${event.aggregateId}, the payload is about ${aggregate}` }
  return applyChange(state, checked, { at: event.at, by: actorKey(event.actor), version })
}

/** Who made a change, as one string, in the form of an identity key. */
export function actorKey(actor: { readonly issuer: string; readonly subject: string }): string {
  return `${actor.issuer}|${actor.subject}`
}

/** Forgets many at once: taking the oldest out of a large set one by one costs a walk over all that was taken before. */
function remember(seen: Set<string>, eventId: string): void {
  seen.add(eventId)
  if (seen.size < seenMax + forgottenAtOnce) return
  let left = forgottenAtOnce
  for (const oldest of seen) {
    seen.delete(oldest)
    left -= 1
    if (left === 0) return
  }
}
