/**
 * The sign-ins topic at the edge: follows it from its start and appends to it. What must happen once (an assertion is used,
 * a device is answered) is appended and then read back, and the first in the log has it: so several replicas, and one after
 * a restart, agree. It refuses to guess: where the log cannot be read, nobody is told that they were first.
 */
import { createHash, randomUUID } from 'node:crypto'
import type { UsedOnce } from '@portcullis/identity/people'
import {
  type Bus,
  type Clock,
  type Received,
  type SignInEvent,
  type Started,
  topics,
} from '@portcullis/kernel'
import type { Codecs } from '@portcullis/platform/codec'
import type { Log } from '@portcullis/platform/service'
import { ApiError } from '../problems.ts'
import { evolveSignIns, initialSignIns, pruneSignIns, type SignInState } from './state.ts'

export type SignInFact = Partial<Omit<SignInEvent, 'kind' | 'eventId' | 'at'>> & Pick<SignInEvent, 'kind'>

export interface SignInLog {
  /** As folded so far; changes in place. */
  state(): SignInState
  /** Whether all that stood in the log at the start was folded. */
  caughtUp(): boolean
  /** Why what it knows may be old, or undefined. */
  problem(): string | undefined
  /** Resolves with whether this one counts, once it was read back. @throws ApiError unconfirmed, overloaded */
  append(fact: SignInFact): Promise<boolean>
  /** For the trail alone. Never rejects: where it cannot be published the log of this process has it. */
  record(fact: SignInFact): Promise<void>
  readonly used: UsedOnce
}

export interface SignInLogOptions {
  readonly bus: Bus
  readonly codecs: Pick<Codecs, 'signin'>
  readonly clock: Clock
  readonly log: Pick<Log, 'error'>
  readonly onUnreadable: (record: Received, error: unknown) => void
  /** How long an append waits for its own event; default 5 000. */
  readonly timeoutMs?: number
}

/** One key for all, so that they are in one partition, in one order. */
const key = 'sign-ins'
const pruneEveryUs = 10_000_000

export async function startSignInLog(options: SignInLogOptions): Promise<Started<SignInLog>> {
  const { bus, codecs, clock, log, timeoutMs = 5_000 } = options
  const state = initialSignIns()
  const seen = new Set<string>()
  const waiting = new Map<string, (first: boolean) => void>()
  let caughtUp = false
  let healthy = true
  let prunedAtUs = 0

  function fold(record: Received): void {
    if (record.value === null) return
    try {
      const event = codecs.signin.decode(record.value)
      // At least once: of an event that comes again only the first counts.
      if (seen.has(event.eventId)) return
      remember(seen, event.eventId)
      const first = evolveSignIns(state, event)
      waiting.get(event.eventId)?.(first)
    } catch (error) {
      options.onUnreadable(record, error)
    }
  }

  const tail = await bus.tail({
    topics: [topics.signIns],
    from: 'earliest',
    onBatch(records) {
      for (const record of records) fold(record)
      const nowUs = clock.nowUs()
      if (nowUs - prunedAtUs < pruneEveryUs) return
      prunedAtUs = nowUs
      pruneSignIns(state, nowUs)
    },
    onCaughtUp() {
      caughtUp = true
    },
    onHealth(now) {
      healthy = now
    },
  })

  const publish = (event: SignInEvent) =>
    bus.publish([{ topic: topics.signIns, key, value: codecs.signin.encode(event) }])
  const eventOf = (fact: SignInFact): SignInEvent => ({
    ...nothing,
    ...fact,
    eventId: randomUUID(),
    at: clock.nowUs(),
  })

  async function append(fact: SignInFact): Promise<boolean> {
    if (!caughtUp) throw new ApiError('overloaded', 'Sign-ins are still being read.', { retryAfterSec: 2 })
    const event = eventOf(fact)
    const { promise, resolve, reject } = Promise.withResolvers<boolean>()
    const timer = setTimeout(() => {
      const message = `The sign-in log did not answer within ${timeoutMs} ms.`
      reject(new ApiError('unconfirmed', message, { retryAfterSec: 5 }))
    }, timeoutMs)
    waiting.set(event.eventId, resolve)
    try {
      publish(event).catch(reject)
      return await promise
    } finally {
      clearTimeout(timer)
      waiting.delete(event.eventId)
    }
  }

  return {
    value: {
      state: () => state,
      caughtUp: () => caughtUp,
      problem() {
        if (!caughtUp) return 'sign-ins were not read yet'
        return healthy ? undefined : 'the bus cannot be read'
      },
      append,
      async record(fact) {
        const event = eventOf(fact)
        await publish(event).catch((error: unknown) =>
          log.error({ err: error, ...event, sealed: '' }, 'a sign-in event could not be published'),
        )
      },
      used: {
        claim: (id, untilUs) =>
          append({ kind: 'claimed', ref: createHash('sha256').update(id).digest('hex'), until: untilUs }),
      },
    },
    stop: () => tail.stop(),
  }
}

const seenMax = 10_000

/** A repetition comes soon after the first, if at all. */
function remember(seen: Set<string>, id: string): void {
  seen.add(id)
  const [oldest] = seen
  if (seen.size > seenMax && oldest !== undefined) seen.delete(oldest)
}

const nothing: Omit<SignInEvent, 'kind' | 'eventId' | 'at'> = {
  ...{ provider: '', issuer: '', subject: '', groups: [], instance: '', address: '', client: '', scope: '' },
  ...{ ref: '', userCode: '', until: 0, reason: '', detail: '', requestId: '', sealed: '' },
}
