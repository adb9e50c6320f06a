/**
 * A held command asks people, and waits for what they say. It ends in leave to pass, spent in the log before anything is
 * forwarded, or in a refusal that says what to do. It refuses to ask for what a person could not judge or no digest could
 * bind, and to let anything pass that it does not know to be approved.
 *
 *   held -> approved before? spend it -> pass
 *        -> denied, and still in its time? -> refused
 *        -> ask (what is being asked already is shared) -> wait -> approved, denied, expired, given up, or out of time
 */
import {
  type ApprovalReason,
  approversMax,
  type Clock,
  type CommandRequest,
  type Hold,
  type Reason,
  type Refusal,
  SessionEnded,
  statementCharsMax,
  type Unit,
} from '@portcullis/kernel'
import type { Judged } from '@portcullis/policy'
import type { ApprovalBook } from './approval-book.ts'
import type { AgentLine } from './agent/client.ts'
import { type ApprovalSettings, digestOf, hidesWhatRuns, type Terms, termsOf } from './approval-terms.ts'
import type { Gated } from './gate.ts'
import type { IdSource } from './ids.ts'
import { refusal } from './refusals.ts'

/** What holds a command: rules, a verdict, or both. */
export interface Held {
  readonly reason: 'policy_hold' | 'verdict_hold'
  /** The first; empty where none does. */
  readonly rule: string
  /** Empty where none does. */
  readonly verdictId: string
  readonly holds: Judged['holds']
  readonly policyVersion: string
}

/** Leave for one command, as long as the same holds it under the same rules. */
export interface Pass {
  readonly approvalId: string
  readonly key: string
}

export interface HoldsDeps {
  readonly settings: ApprovalSettings
  readonly book: ApprovalBook
  readonly line: AgentLine
  readonly clock: Clock
  readonly ids: IdSource
  /** Counts what came of them. */
  readonly onSettled: (result: Reason | 'passed') => void
}

/** The gate's side of a wait. */
export interface Waiter {
  readonly session: Gated
  readonly unit: Unit
  /** Of its first command, which is recorded already or will be. */
  readonly commandId: string
  /** How many rows it would change or return, as the target's planner says; -1: nobody can tell. */
  readonly estimatedRows: number
  /** It stands recorded that this waits for the approval; called before the first wait. */
  begin(approvalId: string): void | Promise<void>
  /** Tells the client, again and again; undefined: it is over. */
  tell(hold: Hold | undefined): void
}

export interface Holds {
  /** undefined: nobody can be asked about this, whoever asks. */
  settle(waiter: Waiter, held: Held): Promise<Pass | Refusal> | undefined
}

export function passFor(approvalId: string, held: Held): Pass {
  return { approvalId, key: keyOf(held) }
}

/** Whether what was let through once is what holds it now. */
export function covers(pass: Pass | undefined, held: Held): boolean {
  return pass !== undefined && pass.key === keyOf(held)
}

export function createHolds(deps: HoldsDeps): Holds {
  const { settings, book, line, clock, ids } = deps

  return {
    settle(waiter, held) {
      const asked = requestOf(waiter, held)
      return asked && counted(settleAsked(waiter, held, asked))
    },
  }

  async function counted(settling: Promise<Pass | Refusal>): Promise<Pass | Refusal> {
    const settled = await settling
    deps.onSettled('key' in settled ? 'passed' : settled.reason)
    return settled
  }

  async function settleAsked(waiter: Waiter, held: Held, { request, terms }: Asked): Promise<Pass | Refusal> {
    const { session } = waiter
    const { digest } = request
    const endMs = clock.monotonicMs() + terms.waitMs
    const wait = createWait(waiter, held, request.waiting)
    try {
      for (;;) {
        if (session.ended) throw new SessionEnded(session.ended)
        const decided = book.decided(digest)
        if (decided?.state === 'denied')
          return refuse(held, 'approval_denied', decided.approvalId, { detail: decided.reason })
        if (decided) {
          const { approvalId } = decided
          if (decided.isWindow) return passFor(approvalId, held)
          const spent = await line.ask({ kind: 'spend', approvalId, digest, commandId: waiter.commandId })
          if ('approvalId' in spent) return passFor(approvalId, held)
          if (spent.why === 'away') return refuse(held, 'approval_unavailable', approvalId)
          continue
        }
        const asked = await line.ask({ kind: 'ask', request: { ...request, deadline: deadlineOf(terms) } })
        if (!('approvalId' in asked))
          return refuse(held, asked.why === 'limit' ? 'approval_limit' : 'approval_unavailable', '')
        const outcome = await wait.until(asked.approvalId, endMs)
        if (outcome !== 'answered') return refuse(held, outcome, asked.approvalId)
      }
    } finally {
      wait.over()
    }
  }

  function deadlineOf({ answerUs }: Terms): number {
    return clock.nowUs() + answerUs
  }

  function requestOf({ session, unit, estimatedRows }: Waiter, held: Held): Asked | undefined {
    const original = unit.original?.()
    const statement = unit.analyses.map(({ text }) => text).join(';\n')
    const terms = termsOf(held, settings, unit.inTransaction === true)
    const people = terms.quorum.reduce((sum, { count }) => sum + count, 0)
    if (!original || statement.length > statementCharsMax || people > approversMax) return undefined
    if (hidesWhatRuns(unit.analyses, original.values)) return undefined
    const { identity, protocol, target, role, database } = session.subject
    const { policyVersion, rule, verdictId } = held
    const { quorum, excludesDelegators, perInstance, use, usableUs, waitMs } = terms
    const about = { protocol, target, role, database, policyVersion }
    const causes = causesOf(held)
    const request: CommandRequest = {
      kind: 'command',
      digest: digestOf({ ...about, identity, causes, perInstance, analyses: unit.analyses, original }),
      ...{ identity, quorum, excludesDelegators, use, usableUs, ...about },
      deadline: deadlineOf(terms),
      waiting: waitMs > 0,
      sessionId: session.id,
      statement,
      fingerprint: unit.analyses[0]?.fingerprint ?? '',
      values: original.values,
      ...{ rule, verdictId },
      estimatedRows,
    }
    return { request, terms }
  }

  function refuse(
    { rule, verdictId, policyVersion }: Held,
    reason: ApprovalReason,
    approvalId: string,
    parts: { readonly detail?: string } = {},
  ): Refusal {
    const mark = book.get(approvalId)
    const leftMs = mark ? Math.max(0, (mark.deadline - clock.nowUs()) / 1000) : 0
    const link = linkOf(settings.link, approvalId)
    return refusal(reason, {
      ...{ id: ids(), policyVersion, rule, verdictId, approvalId, ...parts },
      ...(reason === 'approval_pending' && {
        hint: `Send the same again once approval ${approvalId} is given${link && `: ${link}`}.`,
        ...(leftMs > 0 && { retryAfterMs: Math.min(leftMs, retryMs) }),
      }),
    })
  }

  /** One held command's wait, over all that it may ask one after another. */
  function createWait(waiter: Waiter, held: Held, isWaiting: boolean) {
    const { link, noticeSec } = settings
    const { session } = waiter
    let begun = false
    let end: 'approval_cancelled' | 'approval_pending' | undefined

    async function until(
      approvalId: string,
      endMs: number,
    ): Promise<'answered' | 'approval_pending' | 'approval_expired' | 'approval_cancelled'> {
      const unwatch = book.watch(approvalId, session.wake)
      try {
        for (let noticed = Number.NEGATIVE_INFINITY; ; ) {
          const nowMs = clock.monotonicMs()
          if (session.ended) throw new SessionEnded(session.ended)
          if (end) return end
          const mark = book.get(approvalId)
          if (mark && mark.state !== 'pending') return 'answered'
          const expiresMs = mark ? (mark.deadline - clock.nowUs()) / 1000 : Number.POSITIVE_INFINITY
          if (expiresMs <= 0) return 'approval_expired'
          const leftMs = endMs - nowMs
          if (leftMs <= 0) return 'approval_pending'
          if (!begun) {
            begun = true
            await waiter.begin(approvalId)
            continue
          }
          if (nowMs - noticed >= noticeSec * 1000) {
            noticed = nowMs
            tell(approvalId, Math.min(leftMs, expiresMs))
          }
          await session.sleep(Math.min(leftMs, expiresMs, noticeSec * 1000 - (nowMs - noticed)))
        }
      } finally {
        unwatch()
        leave(approvalId)
      }
    }

    /** A gate that stops leaves the question open: its successor may use the answer. */
    function leave(approvalId: string): void {
      if (!isWaiting) return
      const withdraw =
        end === 'approval_cancelled' || session.isGone || session.ended?.reason === 'verdict_kill'
      line.say({ kind: 'leave', approvalId, withdraw })
    }

    function tell(approvalId: string, waitMs: number): void {
      waiter.tell({
        ...{ approvalId, link: linkOf(link, approvalId), waitMs, by: held.rule || held.verdictId },
        end(why) {
          end = why === 'cancelled' ? 'approval_cancelled' : 'approval_pending'
          session.wake()
        },
      })
    }

    return {
      until,
      over() {
        if (begun) waiter.tell(undefined)
      },
    }
  }
}

interface Asked {
  readonly request: CommandRequest
  readonly terms: Terms
}

const retryMs = 30_000

function causesOf({ holds, verdictId }: Held): readonly string[] {
  return [...holds.map(({ rule }) => `rule ${rule}`), ...(verdictId === '' ? [] : [`verdict ${verdictId}`])]
}

function keyOf(held: Held): string {
  return JSON.stringify([held.policyVersion, causesOf(held)])
}

function linkOf(base: string, approvalId: string): string {
  return base === '' || approvalId === '' ? '' : `${base.replace(/\/+$/, '')}/approvals/${approvalId}`
}
