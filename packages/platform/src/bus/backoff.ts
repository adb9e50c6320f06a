/** Waiting between attempts: doubles up to a limit, ends at once when it is told to. */

export interface Backoff {
  /** Resolves after the next delay, or at once after `signal` aborted. Never rejects. */
  wait(signal: AbortSignal): Promise<void>
  reset(): void
}

export function createBackoff(firstMs: number, lastMs: number): Backoff {
  let nextMs = firstMs
  return {
    wait(signal) {
      const delayMs = nextMs
      nextMs = Math.min(nextMs * 2, lastMs)
      return sleep(delayMs, signal)
    },
    reset() {
      nextMs = firstMs
    },
  }
}

export function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    const timer = setTimeout(done, delayMs)
    signal.addEventListener('abort', done)
  })
}
