/**
 * Signs of life between a consumer and its brokers: the watchdog that notices when answers stop coming, the heartbeats
 * that go on while a handler works, and the health that is told to others.
 */
import type { GroupConsumerOptions } from './group-consumer.ts'

export interface Pulse {
  beat(): void
  joining(yes: boolean): void
  working(change: 1 | -1): void
  stop(): void
}

export function createPulse(options: GroupConsumerOptions, end: (why: string) => void): Pulse {
  const stallMs = options.stallMs ?? stallMsDefault
  let lastMs = performance.now()
  let isJoining = true
  let working = 0
  const timer = setInterval(() => {
    // A join waits for the other members. A batch in hand heartbeats, and is answered, too.
    const patienceMs = isJoining && options.commits ? Math.max(stallMs, rebalanceTimeoutMs + 5_000) : stallMs
    const silentMs = performance.now() - lastMs
    if (silentMs > patienceMs + (working > 0 ? options.sessionTimeoutMs : 0))
      end(`no answer from a broker for ${Math.round(silentMs)} ms`)
  }, stallMs / 8)
  return {
    beat() {
      lastMs = performance.now()
    },
    joining(yes) {
      isJoining = yes
    },
    working(change) {
      working += change
    },
    stop: () => clearInterval(timer),
  }
}

export interface Beating {
  /** Aborted by the first heartbeat that failed. */
  readonly signal: AbortSignal
  /** Rejects with what the first failing heartbeat threw. */
  readonly failed: Promise<never>
  /** Throws it. */
  check(): void
  stop(): void
}

/** Heartbeats while a handler works, however long that takes; remembers the first failure. */
export function keepBeating(heartbeat: () => Promise<void>, everyMs: number): Beating {
  const broken = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => undefined)
  const timer = setInterval(() => {
    heartbeat().catch((error) => {
      broken.abort(error)
      failed.reject(error)
    })
  }, everyMs)
  return {
    signal: broken.signal,
    failed: failed.promise,
    check: () => broken.signal.throwIfAborted(),
    stop: () => clearInterval(timer),
  }
}

export function createHealth(options: GroupConsumerOptions): { set(healthy: boolean): void } {
  let last: boolean | undefined
  return {
    set(healthy) {
      if (healthy === last) return
      last = healthy
      options.onHealth?.(healthy)
    },
  }
}

/** Also a sign of life to the watchdog, so well below its patience. */
export function heartbeatMs({ sessionTimeoutMs }: GroupConsumerOptions): number {
  return Math.min(Math.floor(sessionTimeoutMs / 4), 2_000)
}

export const rebalanceTimeoutMs = 30_000
const stallMsDefault = 8_000
