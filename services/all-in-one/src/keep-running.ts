/**
 * Starts a part and starts it again when it ends by itself, later and later while it keeps ending. The first start is
 * the caller's to judge: a part that cannot start at all is an error, not a loop.
 */
import { setTimeout as delay } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import type { SupervisorLog } from './supervisor-log.ts'

export type Ending = { readonly code: number | null; readonly signal: NodeJS.Signals | null }

/** Anything that runs in a process. */
export type Running = { readonly pid: number; readonly exited: Promise<Ending> }

export type Part<T extends Running> = {
  readonly name: string
  /** Rejects where it did not come up; where `signal` is aborted it gives up at once. */
  start(signal: AbortSignal): Promise<Started<T>>
}

export type KeepOptions = {
  readonly log: SupervisorLog
  /** Gives up the first start. */
  readonly signal?: AbortSignal
  readonly backoffMsMax?: number
  readonly steadyMs?: number
}

/** Resolves once the part is up. `value()` is the part as it runs now. */
export async function keepRunning<T extends Running>(
  part: Part<T>,
  { log, signal, backoffMsMax = 30_000, steadyMs = 60_000 }: KeepOptions,
): Promise<Started<() => T>> {
  const stopping = new AbortController()
  let current = await part.start(signal ? AbortSignal.any([signal, stopping.signal]) : stopping.signal)
  const startAgain = async (failuresSoFar: number): Promise<number> => {
    for (let failures = failuresSoFar; ; failures += 1) {
      const waitMs = Math.min(250 * 2 ** failures, backoffMsMax)
      log.warn({ part: part.name, waitMs }, `${part.name} starts again in ${waitMs} ms`)
      await delay(waitMs, undefined, { signal: stopping.signal })
      try {
        current = await part.start(stopping.signal)
        log.info({ part: part.name, pid: current.value.pid }, `${part.name} is up again`)
        return failures + 1
      } catch (error) {
        if (stopping.signal.aborted) throw error
        log.error({ part: part.name, error: String(error) }, `${part.name} did not come up: ${String(error)}`)
      }
    }
  }
  const watch = async () => {
    for (let failures = 0; ; ) {
      const since = Date.now()
      const { code, signal } = await current.value.exited
      if (stopping.signal.aborted) return
      log.error({ part: part.name, code, signal }, `${part.name} ended with ${signal ?? `exit code ${code}`}`)
      failures = await startAgain(Date.now() - since > steadyMs ? 0 : failures)
    }
  }
  const watching = watch().catch((error: unknown) => {
    if (!stopping.signal.aborted) throw error
  })
  return {
    value: () => current.value,
    stop: async () => {
      stopping.abort()
      await current.stop()
      await watching
    },
  }
}
