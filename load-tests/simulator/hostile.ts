/**
 * What a hijacked credential or a runaway loop does, as a client that waits for each answer: the gate's verdicts slow
 * or refuse it, so its behaviour depends on them. The gate here is a model of the real one (a token bucket for a
 * throttle, refusal for a block); load-tests/demo.ts drives the real one.
 */
import type { CommandEvent, Origin, Verdict } from '@portcullis/kernel'
import { type Agent, act, minuteUs, type Statement, secondUs } from './agents.ts'
import { allowed, type SimulatedRecorder } from './events.ts'
import { randomFrom } from './random.ts'

export interface Attack {
  readonly agent: Pick<Agent, 'subject' | 'groups'>
  readonly statement: Statement
  readonly origin: Origin
  readonly session: number
  readonly fromUs: number
  /** Commands a minute it would run if nothing held it back. */
  readonly perMinute: number
  readonly seed: number
}

export interface AttackOutcome {
  /** Commands that the gate let through. */
  let: number
  letBeforeThrottle: number
  letBeforeBlock: number
  throttledAfterUs: number | undefined
  blockedAfterUs: number | undefined
}

/** Runs until `toUs` or the tenth refusal. `judge` folds one event and returns the verdict it raised, if any. */
export function attack(
  { agent, statement, origin, session, fromUs, perMinute, seed }: Attack,
  recorder: SimulatedRecorder,
  toUs: number,
  judge: (event: CommandEvent) => Verdict | undefined,
): AttackOutcome {
  const random = randomFrom(seed)
  const outcome: AttackOutcome = {
    let: 0,
    letBeforeThrottle: 0,
    letBeforeBlock: 0,
    throttledAfterUs: undefined,
    blockedAfterUs: undefined,
  }
  let throttle: Verdict | undefined
  let block: Verdict | undefined
  let nextTokenAt = 0
  let refusals = 0
  for (let at = fromUs; at < toUs && refusals < 10; ) {
    const blocked = block !== undefined && block.until > at
    const slowed = !blocked && throttle !== undefined && throttle.until > at ? throttle : undefined
    const delayUs = slowed ? Math.max(0, Math.round(nextTokenAt - at)) : 0
    if (slowed) nextTokenAt = Math.max(at, nextTokenAt) + minuteUs / slowed.ratePerMinute
    const one = act(random, at, session, statement, origin)
    const verdict = slowed ?? (blocked ? block : undefined)
    const event = recorder.record(agent, blocked ? { ...one, rows: 0, bytes: 0 } : one, {
      ...(verdict && {
        decision: {
          ...allowed,
          action: verdict.action,
          reason: verdict.action === 'block' ? 'verdict_block' : 'verdict_throttle',
          verdictId: verdict.verdictId,
          delayUs,
        },
      }),
      ...(blocked && { outcome: 'refused', errorCode: '42501' }),
      durationUs: one.durationUs + delayUs,
    })
    if (blocked) refusals++
    else outcome.let++
    const raised = judge(event)
    if (raised?.action === 'throttle' && outcome.throttledAfterUs === undefined) {
      outcome.throttledAfterUs = event.startedAt + event.durationUs - fromUs
      outcome.letBeforeThrottle = outcome.let
    }
    if (raised?.action === 'block' && outcome.blockedAfterUs === undefined) {
      outcome.blockedAfterUs = event.startedAt + event.durationUs - fromUs
      outcome.letBeforeBlock = outcome.let
    }
    if (raised?.action === 'throttle') throttle = raised
    if (raised?.action === 'block') block = raised
    at += Math.max(delayUs + one.durationUs, minuteUs / perMinute, secondUs / 1000)
  }
  return outcome
}
