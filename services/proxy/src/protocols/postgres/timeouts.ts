/**
 * The times that a target gives its sessions: for a statement, for doing nothing, for doing nothing inside a transaction.
 * They are kept here and not by the server's own settings, which a client can change. One timer a session, which mostly
 * finds that something has changed since: a statement must not pay for one of its own.
 */
import type { Clock, TimeoutReason, Timeouts as Limits } from '@portcullis/kernel'

/** An object is what the server is at work on, another one each time; undefined is a wait that has no limit here. */
export type Doing = object | 'idle' | 'idle in transaction' | undefined

export interface Timeouts {
  /** Something may have changed. */
  note(): void
  stop(): void
}

/** Undefined where there is nothing to keep. `passed` is called once for each thing that takes too long. */
export function startTimeouts(
  limits: Limits,
  clock: Clock,
  doing: () => Doing,
  passed: (reason: TimeoutReason) => void,
): Timeouts | undefined {
  if (Object.values(limits).every((limit) => limit === undefined)) return undefined
  let now: Doing
  let sinceMs = 0
  let timer: NodeJS.Timeout | undefined
  let dueMs = 0

  function wake(atMs: number): void {
    clearTimeout(timer)
    dueMs = atMs
    timer = setTimeout(look, Math.max(1, Math.ceil(atMs - clock.monotonicMs())))
  }

  function look(): void {
    timer = undefined
    const reason = reasonOf(now)
    const limitMs = reason && limitOf(reason, limits)
    if (!reason || limitMs === undefined) return
    if (sinceMs + limitMs > clock.monotonicMs()) wake(sinceMs + limitMs)
    else passed(reason)
  }

  return {
    note() {
      const next = doing()
      if (next === now) return
      now = next
      const reason = reasonOf(next)
      const limitMs = reason && limitOf(reason, limits)
      if (limitMs === undefined) return
      sinceMs = clock.monotonicMs()
      if (!timer || dueMs > sinceMs + limitMs) wake(sinceMs + limitMs)
    },
    stop: () => clearTimeout(timer),
  }
}

function reasonOf(doing: Doing): TimeoutReason | undefined {
  if (doing === undefined) return undefined
  if (typeof doing === 'object') return 'statement_timeout'
  return doing === 'idle' ? 'idle_session_timeout' : 'idle_in_transaction_timeout'
}

function limitOf(reason: TimeoutReason, limits: Limits): number | undefined {
  if (reason === 'statement_timeout') return limits.statementMs
  return reason === 'idle_session_timeout' ? limits.idleSessionMs : limits.idleInTransactionMs
}
