/**
 * One session: what the gate, the verdict table and the recorder share about one connection. It holds no socket and
 * knows no protocol; orders from outside reach the protocol through `SessionOrders`.
 */
import {
  type Caps,
  type Clock,
  type Command,
  type CommandResult,
  type Decision,
  type Identity,
  type Recorder,
  type Refusal,
  type Session,
  type SessionBudget,
  type SessionOrders,
  type SessionRecord,
  type TargetAccess,
  type TimeoutReason,
  type Verdict,
  verdictKeys,
} from '@portcullis/kernel'
import type { Subject } from '@portcullis/policy'
import type { Gate, Gated, GatedCommand } from './gate.ts'
import { createPool } from './meter.ts'
import { refusal, refusalByVerdict } from './refusals.ts'
import type { SignIn } from './targets.ts'
import type { VerdictTable } from './verdicts.ts'

export interface SessionDeps {
  readonly gate: Gate
  readonly recorder: Recorder
  readonly verdicts: VerdictTable
  readonly clock: Clock
  readonly ids: () => string
  readonly mode: 'enforce' | 'observe'
  readonly log: { warn(fields: object, message: string): void }
}

export interface SessionParts {
  readonly record: SessionRecord
  readonly identity: Identity
  readonly access: TargetAccess
  readonly signIn?: SignIn | undefined
  readonly caps: Caps
  readonly budget: SessionBudget
  readonly labels: Readonly<Record<string, string>>
  readonly targetsVersion: string
  readonly allow: Decision
  /** The access that it rests on, where people gave it for a while. */
  readonly grantId?: string | undefined
  /** For the first command's event. */
  readonly attributes: Readonly<Record<string, string>>
}

/** A session as the worker keeps it. */
export interface LiveSession extends Session {
  readonly grantId: string | undefined
  /** Ends it at once: cancel, tell, close. */
  kill(refusal: Refusal): void
  /** Ends it as soon as it is idle. */
  drain(refusal: Refusal): void
  /** Writes `started` and `progress` events where they are due. Called every quarter of a second. */
  tick(): void
}

const startedAfterUs = 500_000
const progressEveryUs = 10_000_000
const progressEveryBytes = 16 * 1024 * 1024

/** By the names that the operators know. */
const timeoutKeys: Record<TimeoutReason, string> = {
  statement_timeout: 'statementTimeoutMs',
  idle_session_timeout: 'idleSessionTimeoutMs',
  idle_in_transaction_timeout: 'idleInTransactionTimeoutMs',
}

export function openSession(
  parts: SessionParts,
  deps: SessionDeps,
  onClosed: (session: LiveSession) => void,
): LiveSession {
  const { record, identity, signIn, budget } = parts
  const { gate, recorder, verdicts, clock } = deps
  const { sessionId: id } = record
  const totals = { rowsOut: 0, bytesIn: 0, bytesOut: 0 }
  const pool = createPool(budget)
  const keys = verdictKeys({ identity, sessionId: id, target: record.target })
  let orders: SessionOrders | undefined
  let draining: Refusal | undefined
  let wake: (() => void) | undefined
  let reported: { number: number; at: number; bytes: number } | undefined
  let closed = false
  let access = deps.mode === 'observe' ? { ...parts.access, timeouts: {} } : parts.access

  const gated: Gated = {
    id,
    target: record.target,
    verdictKeys: keys,
    caps: parts.caps,
    budget,
    pool,
    openedMs: clock.monotonicMs(),
    subject: subjectOf(parts),
    targetsVersion: parts.targetsVersion,
    totals: () => ({
      ...totals,
      commands: gated.commands,
      ageMs: clock.monotonicMs() - gated.openedMs,
    }),
    risk: () => riskOf(verdicts.find(keys, record.target)),
    allow: parts.allow,
    rules: undefined,
    attributes: parts.attributes,
    commands: 0,
    refusals: 0,
    ended: undefined,
    isGone: false,
    held: undefined,
    wake: () => wake?.(),
    sleep: (ms) =>
      new Promise((resolve) => {
        const done = () => {
          clearTimeout(timer)
          wake = undefined
          resolve()
        }
        const timer = setTimeout(done, Math.min(ms, 1000))
        wake = done
      }),
  }

  const unasked = gate.unasked(gated)
  const leave = verdicts.watch({ identity, sessionId: id, target: record.target, changed: verdictChanged })

  function verdictChanged(): void {
    wake?.()
    const verdict = verdicts.find(keys, record.target)
    if (!verdict || deps.mode === 'observe') return
    const byVerdict = () => refusalByVerdict(verdict, deps.ids(), gated.allow.policyVersion, clock.nowUs(), 0)
    if (verdict.action === 'kill') session.kill(byVerdict())
    else if (verdict.action === 'block' && verdict.cancelRunning) orders?.cancelRunning(byVerdict())
  }

  const session: LiveSession = {
    id,
    identity,
    grantId: parts.grantId,
    get target() {
      return access
    },
    ...(signIn && { renewCredentials: () => renewCredentials(signIn) }),
    unasked,
    pass: (road) => gate.pass(gated, road),
    finish(command, result, by) {
      ;(command as GatedCommand).meter.settle()
      totals.rowsOut += result.rowsOut
      totals.bytesIn += result.bytesIn
      totals.bytesOut += result.bytesOut
      recorder.outcome(id, command.number, clock.nowUs(), result, by?.decision)
    },
    onOrder(given) {
      orders = given
      if (gated.ended) given.kill(gated.ended)
      else if (draining) given.drain(draining)
    },
    kill(refusal) {
      const told = gated.held ? pendingStill(refusal, gated.held.approvalId) : refusal
      gated.ended ??= told
      wake?.()
      orders?.kill(told)
    },
    drain(refusal) {
      draining = refusal
      orders?.drain(refusal)
    },
    tick() {
      const running = orders?.running()
      if (running) report(running)
      // Leased long ago and spent later would count in the wrong window.
      else pool.drain()
    },
    asksRows: () => gate.asksRows(gated),
    isMasking: () => gate.isMasking(gated),
    unmaskable: (rule, detail) => gate.unmaskable(gated, rule, detail),
    timedOut: (reason) =>
      refusal(reason, {
        ...{ id: deps.ids(), policyVersion: gated.allow.policyVersion, rule: timeoutKeys[reason] },
      }),
    close(detail, by) {
      if (closed) return
      closed = true
      const ending = gated.ended
      // Whoever still waits in `pass` must find that there is nobody left to forward for.
      gated.ended ??= gate.refuse('draining')
      gated.isGone = ending === undefined
      gated.held?.abandon()
      wake?.()
      leave()
      pool.drain()
      budget.close()
      signIn?.release()
      const decided = (ending ?? by)?.decision ?? parts.allow
      recorder.sessionClosed(id, clock.nowUs(), decided, detail, { commands: gated.commands, ...totals })
      onClosed(session)
    },
  }
  // What was told while the login was being recorded.
  verdictChanged()
  return session

  async function renewCredentials(from: SignIn): Promise<boolean> {
    try {
      const differ = !closed && (await from.renew())
      if (differ) access = { ...access, credentials: from.credentials() }
      return differ
    } catch (error) {
      const why = (error as Error).message
      deps.log.warn({ why, target: record.target, session: id }, 'credentials cannot be read anew')
      return false
    }
  }

  function report({
    command,
    progress,
  }: {
    command: Command
    progress: Pick<CommandResult, 'rowsIn' | 'rowsOut' | 'bytesIn' | 'bytesOut'>
  }): void {
    const nowUs = clock.nowUs()
    const bytes = progress.bytesIn + progress.bytesOut
    const last = reported?.number === command.number ? reported : undefined
    const due = last
      ? nowUs - last.at >= progressEveryUs || bytes - last.bytes >= progressEveryBytes
      : nowUs - command.startedAt >= startedAfterUs
    if (!due) return
    reported = { number: command.number, at: nowUs, bytes }
    recorder.progress(id, command.number, nowUs, progress)
  }
}

/** How much a standing verdict says against who acts, 0 to 100: what a rule can ask before it is as strict itself. */
function riskOf(verdict: Verdict | undefined): number {
  return verdict === undefined ? 0 : { throttle: 50, hold: 75, block: 100, kill: 100 }[verdict.action]
}

/** What it waited for stays asked. */
function pendingStill(refusal: Refusal, approvalId: string): Refusal {
  return { ...refusal, decision: { ...refusal.decision, approvalId } }
}

function subjectOf({ record, identity, labels }: SessionParts): Subject {
  const { protocol, target, role, database, origin } = record
  return { identity, protocol, target, labels, role, database, origin }
}
