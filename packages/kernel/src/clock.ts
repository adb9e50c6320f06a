/** The only source of time. Event time is microseconds since 1970 UTC, a safe integer until the year 2255. */
export interface Clock {
  /** Wall clock in microseconds since 1970 UTC. */
  nowUs(): number
  /** Monotonic milliseconds, for durations and token buckets. */
  monotonicMs(): number
}

/** Beyond this the wall clock was set, or the machine slept, since the anchor was taken. */
const strayMsMax = 20
/** Reading the wall clock costs more than all the rest. */
const lookEveryMs = 100

export const systemClock: Clock = createClock(Date.now, () => performance.now())

/** The wall clock's time with the monotonic clock's resolution: the anchor between the two is taken anew where they part. */
export function createClock(wallMs: () => number, monotonicMs: () => number): Clock {
  let anchorMs = wallMs() - monotonicMs()
  let lookAtMs = 0
  return {
    nowUs() {
      const sinceMs = monotonicMs()
      if (sinceMs >= lookAtMs) {
        lookAtMs = sinceMs + lookEveryMs
        const nowMs = wallMs()
        if (Math.abs(anchorMs + sinceMs - nowMs) > strayMsMax) anchorMs = nowMs - sinceMs
      }
      return Math.round((anchorMs + sinceMs) * 1000)
    },
    monotonicMs,
  }
}
