/**
 * The control log at the edge: follows the control topic from its start, folds every event, and writes changes. A write
 * answers only after its own event was read back from the log and the fold accepted it, so that what it reports holds
 * for every service. It refuses to guess: where the answer does not come in time it says that it is not known.
 */
import {
  aggregateOf,
  type Bus,
  type Clock,
  type ControlChange,
  type ControlEvent,
  type ControlState,
  checkChange,
  type Evolved,
  evolveControl,
  initialControl,
  pruneControl,
  type Received,
  type RejectionCode,
  type Started,
  topics,
} from '@portcullis/kernel'
import type { Codecs } from '../codec.ts'
import { ControlError } from './errors.ts'

export interface ControlLogOptions {
  readonly bus: Bus
  readonly codecs: Pick<Codecs, 'control'>
  readonly clock: Clock
  /** A new id, unique over all processes. */
  readonly ids: () => string
  /** Told of an event that this version cannot read; it is skipped, as by every reader of this version. */
  readonly onUnreadable?: (at: { readonly offset: number; readonly error: unknown }) => void
  /** After each event that was folded in, accepted or not, in the log's order. Must not throw. */
  readonly onEvolved?: (event: ControlEvent, evolved: Evolved) => void
  /** How long a write waits for its own event; default 10 000. */
  readonly writeTimeoutMs?: number
}

export interface WriteOptions {
  /** Write only if the aggregate is at this version; -1 (the default): whatever it is. */
  readonly expectedVersion?: number
}

export interface Written {
  readonly eventId: string
  readonly aggregateId: string
  /** Where the event stands in the log. */
  readonly offset: number
  /** Version of the aggregate when this event was folded in. */
  readonly version: number
  /** When it was written, microseconds since 1970 UTC. */
  readonly at: number
}

export interface ControlLog {
  /** As folded so far; changes in place as events come. */
  state(): ControlState
  /** Whether all that stood in the log at the start was folded in. */
  caughtUp(): boolean
  /** Resolves when `caughtUp` becomes true; never where the bus stays away. */
  readonly whenCaughtUp: Promise<void>
  /** Whether the log can be read now. */
  healthy(): boolean
  /** @throws ControlError, always with what to do. */
  write(change: ControlChange, actor: ControlEvent['actor'], options?: WriteOptions): Promise<Written>
}

/** Resolves at once; `caughtUp` tells when the state can be relied on. `write` waits for nothing but its own event. */
export async function startControlLog(options: ControlLogOptions): Promise<Started<ControlLog>> {
  const { bus, codecs, clock, ids, writeTimeoutMs = 10_000 } = options
  const state = initialControl()
  const waiting = new Map<string, (evolved: Evolved, offset: number) => void>()
  const stopping = new AbortController()
  const caughtUp = Promise.withResolvers<void>()
  let isCaughtUp = false
  let healthy = true
  let prunedAtUs = clock.nowUs()

  function fold(record: Received): void {
    const event = decode(record, codecs, options.onUnreadable)
    if (!event) return
    const evolved = evolveControl(state, { event, offset: record.offset })
    waiting.get(event.eventId)?.(evolved, record.offset)
    waiting.delete(event.eventId)
    options.onEvolved?.(event, evolved)
  }

  function prune(): void {
    const nowUs = clock.nowUs()
    if (nowUs - prunedAtUs < pruneEveryUs) return
    prunedAtUs = nowUs
    pruneControl(state, nowUs - keptAfterEndUs)
  }

  const tail = await bus.tail({
    topics: [topics.control],
    from: 'earliest',
    onBatch(records) {
      for (const record of records) fold(record)
      prune()
    },
    onCaughtUp() {
      isCaughtUp = true
      caughtUp.resolve()
    },
    onHealth(now) {
      healthy = now
    },
  })

  async function write(
    change: ControlChange,
    actor: ControlEvent['actor'],
    { expectedVersion = -1 }: WriteOptions = {},
  ): Promise<Written> {
    if (stopping.signal.aborted) throw stoppedError()
    const { type, ...payload } = change
    const event: ControlEvent = {
      eventId: ids(),
      aggregateId: aggregateOf(change),
      type,
      at: clock.nowUs(),
      actor,
      expectedVersion,
      payload: JSON.stringify(payload),
    }
    const checked = checkChange(type, event.payload)
    if ('code' in checked)
      throw new ControlError('rejected', `${checked.why}. Nothing was written.`, { rejection: checked.code })
    const outcome = Promise.withResolvers<Written>()
    // It may fail while the publishing below is still awaited; the race is what observes it.
    outcome.promise.catch(() => undefined)
    waiting.set(event.eventId, ({ rejection }, offset) => {
      if (rejection) return outcome.reject(rejectionError(rejection.code, rejection.why))
      const version = state.versions.get(event.aggregateId) ?? 0
      outcome.resolve({
        eventId: event.eventId,
        aggregateId: event.aggregateId,
        offset,
        version,
        at: event.at,
      })
    })
    const timer = setTimeout(() => outcome.reject(timeoutError(writeTimeoutMs)), writeTimeoutMs)
    const onStop = () => outcome.reject(stoppedError())
    stopping.signal.addEventListener('abort', onStop, { once: true })
    try {
      const record = { topic: topics.control, key: event.aggregateId, value: codecs.control.encode(event) }
      // Reading it back is the proof; publishing only matters where it fails, and even then the event may be in the log.
      const published = bus.publish([record]).then(
        () => outcome.promise,
        (cause: unknown) => {
          throw timeoutError(writeTimeoutMs, cause)
        },
      )
      return await Promise.race([outcome.promise, published])
    } finally {
      clearTimeout(timer)
      stopping.signal.removeEventListener('abort', onStop)
      waiting.delete(event.eventId)
    }
  }

  return {
    value: {
      state: () => state,
      caughtUp: () => isCaughtUp,
      whenCaughtUp: caughtUp.promise,
      healthy: () => healthy,
      write,
    },
    async stop() {
      stopping.abort()
      await tail.stop()
    },
  }
}

const pruneEveryUs = 60_000_000
/** Readers whose clocks are behind still see the end of a verdict for this long. */
const keptAfterEndUs = 86_400_000_000

function decode(
  record: Received,
  codecs: Pick<Codecs, 'control'>,
  onUnreadable: ControlLogOptions['onUnreadable'],
): ControlEvent | undefined {
  try {
    if (record.value !== null) return codecs.control.decode(record.value)
    onUnreadable?.({
      offset: record.offset,
      error: new Error('a tombstone does not belong on the control log'),
    })
  } catch (error) {
    onUnreadable?.({ offset: record.offset, error })
  }
  return undefined
}

function rejectionError(rejection: RejectionCode, why: string): ControlError {
  return rejection === 'conflict'
    ? new ControlError('conflict', why, { rejection })
    : new ControlError('rejected', why, { rejection })
}

function timeoutError(timeoutMs: number, cause?: unknown): ControlError {
  const what =
    cause === undefined ? `did not come back within ${timeoutMs} ms` : 'was not acknowledged by the bus'
  return new ControlError(
    'timeout',
    `the change ${what}: it may still take effect. Read the state before trying again; with the same id a second try changes nothing.`,
    { cause },
  )
}

function stoppedError(): ControlError {
  return new ControlError(
    'stopped',
    'this service is stopping: a change on its way may still take effect. Try another replica.',
  )
}
