/** The only source of time. Event time is microseconds since 1970 UTC, a safe integer until the year 2255. */
export interface Clock {
  /** Wall clock in microseconds since 1970 UTC. */
  nowUs(): number
  /** Monotonic milliseconds, for durations and token buckets. */
  monotonicMs(): number
}

export const systemClock: Clock = {
  nowUs: () => Math.round((performance.timeOrigin + performance.now()) * 1000),
  monotonicMs: () => performance.now(),
}
