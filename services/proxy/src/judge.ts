/**
 * What is to become of a unit: let through, refused, made to wait, or held for a person. One order for all of it: whether it
 * can be recorded, the session's own end, control state, verdicts, policy, rates and caps. It changes nothing but what rates
 * and caps count, records nothing, and asks nobody.
 */
import {
  type Action,
  type Decision,
  type Reason,
  type Refusal,
  SessionEnded,
  type Unit,
  type Verdict,
} from '@portcullis/kernel'
import type { Unmaskable } from '@portcullis/masking'
import type { Judged } from '@portcullis/policy'
import type { Gated, GatedCommand, GateDeps } from './gate.ts'
import type { Estimates } from './estimates.ts'
import { covers, type Held, type Pass } from './holds.ts'
import { createMaskMaker, type MaskedUnit } from './masks.ts'
import { decision, refusal, refusalByVerdict } from './refusals.ts'
import { against, asksRows, holdsOf, judgeUnit } from './ruling.ts'

const refusalsAtOnce = 20
const refusalWaitMs = 100

export type Ruling =
  | (ByRules & {
      readonly kind: 'allow'
      readonly decision?: Decision
      readonly masked?: MaskedUnit | undefined
      readonly defers?: () => void
    })
  | (ByRules & {
      readonly kind: 'refuse'
      readonly refusal: Refusal
      readonly masked?: MaskedUnit | undefined
    })
  | (Waiting & { readonly kind: 'wait'; readonly waitMs: number })
  | (ByRules & Held & { readonly kind: 'hold'; readonly masked?: MaskedUnit | undefined })
  /** The target is to be asked first how many rows it is about. */
  | { readonly kind: 'estimate' }

/** A unit that waits for a person. */
export type Holding = Extract<Ruling, { kind: 'hold' }>

export type Ready = Exclude<Ruling, { kind: 'wait' | 'hold' | 'estimate' }>

/** What a unit has been through so far. */
export interface Past {
  /** For rates and throttles. */
  waitedMs: number
  /** For a person. */
  heldMs: number
  waitedFor?: Waiting
  pass?: Pass
  /** Numbers of its commands, where they were recorded when it began to wait for a person. */
  begun?: readonly number[]
}

/** What the policy makes of each analysis of the unit; absent where nobody asked it. */
export interface ByRules {
  readonly judged?: readonly Judged[] | undefined
}

/** What a command waits for; its decision says so once it has passed. */
interface Waiting {
  readonly reason: Reason
  readonly verdictId: string
  readonly rule: string
}

/** What speaks about a unit. */
interface Known extends ByRules {
  readonly planned: MaskedUnit | Unmaskable | undefined
  readonly verdict: Verdict | undefined
}

export interface Judge {
  decide(session: Gated, unit: Unit, past: Past): Ruling
  /** Where nobody can be asked about what is held. */
  plainly(session: Gated, held: Held, delayUs: number): Refusal
  refuse(
    session: Pick<Gated, 'allow'>,
    reason: Exclude<Reason, `verdict_${string}`>,
    parts?: { rule?: string; retryAfterMs?: number; detail?: string; delayUs?: number; action?: Action },
  ): Refusal
}

export function createJudge(deps: GateDeps, estimates: Estimates): Judge {
  const { recorder, verdicts, clock, ids, settings } = deps
  const masks = createMaskMaker(deps.presidio)
  const nowMs = () => Math.floor(clock.nowUs() / 1000)
  const refuse: Judge['refuse'] = ({ allow: { policyVersion } }, reason, parts = {}) =>
    refusal(reason, { id: ids(), policyVersion, ...parts })

  return { decide, plainly, refuse }

  /** Nobody can be asked about this. */
  function plainly(session: Gated, { reason, rule, policyVersion }: Held, delayUs: number): Refusal {
    const verdict = reason === 'verdict_hold' && verdicts.find(session.verdictKeys, session.target)
    return verdict
      ? refusalByVerdict(verdict, ids(), policyVersion, clock.nowUs(), delayUs)
      : refuse(session, 'policy_hold', { rule, delayUs })
  }

  /** What is refused again and again is refused slowly: a storm must not fill the log that everybody needs. */
  function decide(session: Gated, unit: Unit, past: Past): Ruling {
    const ruling = judge(session, unit, past)
    const isNew = past.waitedMs === 0 && past.heldMs === 0
    if (ruling.kind !== 'refuse' && ruling.kind !== 'hold') return ruling
    if (!isNew || session.refusals < refusalsAtOnce) return ruling
    const { reason, verdictId, rule } =
      ruling.kind === 'hold' ? ruling : { ...ruling.refusal.decision, reason: ruling.refusal.reason }
    return { kind: 'wait', reason, verdictId, rule, waitMs: refusalWaitMs }
  }

  function judge(session: Gated, unit: Unit, past: Past): Ruling {
    if (session.ended) throw new SessionEnded(session.ended)
    const delayUs = delayOf(past)
    const harmless = unit.undoes === true
    if (!recorder.available)
      return { kind: 'refuse', refusal: refuse(session, 'recording_unavailable', { delayUs }) }
    if (clock.monotonicMs() - session.openedMs > settings.sessionMsMax && !harmless)
      throw new SessionEnded(refuse(session, 'session_expired'))
    if (unit.objection) return { kind: 'refuse', refusal: refuse(session, unit.objection, { delayUs }) }
    const rows = harmless || !asksRows(deps.rules, session) ? undefined : estimates.known(unit)
    if (rows === 'unasked') return { kind: 'estimate' }
    const judged = harmless ? undefined : judgeUnit(deps.rules, session, unit, nowMs, rows)
    const planned = masks.plansFor(unit, judged, settings.mode === 'enforce')
    const masked = planned && 'plans' in planned ? planned : undefined
    const verdict = harmless ? undefined : verdicts.find(session.verdictKeys, session.target)
    const held = harmless ? undefined : holding(session, judged, verdict)
    const passes = held && settings.mode === 'enforce' ? passOf(unit, held, past) : undefined
    const objected = harmless
      ? undefined
      : objection(session, unit, { judged, planned, verdict }, past, passes ? undefined : held)
    if (objected && settings.mode === 'observe')
      return { kind: 'allow', decision: observed(session, objected), judged, masked }
    if (objected?.kind === 'refuse') return { ...objected, judged, masked }
    if (objected) return objected.kind === 'wait' ? objected : { ...objected, judged, masked }
    if (held) return { kind: 'allow', judged, masked, ...passedOn(session, unit, held, passes, delayUs) }
    if (!past.waitedFor) return { kind: 'allow', judged, masked }
    const { reason, verdictId, rule } = past.waitedFor
    return {
      kind: 'allow',
      judged,
      masked,
      decision: { ...session.allow, action: 'throttle', reason, verdictId, rule, delayUs },
    }
  }

  /** By a verdict, by rules, or by both: then a person answers for both at once. */
  function holding(
    session: Gated,
    judged: readonly Judged[] | undefined,
    verdict: Verdict | undefined,
  ): Held | undefined {
    const byVerdict = verdict?.action === 'hold' ? verdict : undefined
    const holds = holdsOf(judged)
    if (!byVerdict && holds.length === 0) return undefined
    return {
      reason: byVerdict ? 'verdict_hold' : 'policy_hold',
      rule: holds[0]?.rule ?? '',
      verdictId: byVerdict?.verdictId ?? '',
      holds,
      policyVersion: session.allow.policyVersion,
    }
  }

  /** What lets it pass though it is held: a person; or that it only prepares, or asks about, what is held when it runs. */
  function passOf(unit: Unit, held: Held, past: Past): Pass | 'deferred' | undefined {
    const { adopts, charges } = unit
    if (covers(past.pass, held)) return past.pass
    const before = adopts ? [adopts] : unit.analyses.map((_, index) => charges?.[index])
    const passes = before.map((command) => (command as GatedCommand | undefined)?.pass)
    if (passes.every((pass) => covers(pass, held))) return passes[0]
    return deps.holds && (unit.defers || unit.describes) ? 'deferred' : undefined
  }

  /** How what is held and passes all the same is recorded. */
  function passedOn(
    session: Gated,
    { defers }: Unit,
    { reason, rule, verdictId, policyVersion }: Held,
    passes: Pass | 'deferred' | undefined,
    delayUs: number,
  ): Pick<Extract<Ruling, { kind: 'allow' }>, 'decision' | 'defers'> {
    if (passes === 'deferred') {
      const parts = { action: 'hold', reason, rule, verdictId, policyVersion, delayUs } as const
      return { decision: decision({ id: ids(), ...parts }), ...(defers && { defers }) }
    }
    const approvalId = passes?.approvalId ?? ''
    return { decision: { ...session.allow, id: ids(), rule, verdictId, approvalId, delayUs } }
  }

  /** Why not, in the one order: control state, verdicts, policy, rates and caps. */
  function objection(
    session: Gated,
    unit: Unit,
    { judged, planned, verdict }: Known,
    past: Past,
    held: Held | undefined,
  ): Exclude<Ruling, { kind: 'allow' | 'estimate' }> | undefined {
    const { waitedMs } = past
    const delayUs = delayOf(past)
    if (!deps.controlFresh())
      return { kind: 'refuse', refusal: refuse(session, 'control_stale', { delayUs }) }
    const byVerdict = () =>
      refusalByVerdict(
        verdict as NonNullable<typeof verdict>,
        ids(),
        session.allow.policyVersion,
        clock.nowUs(),
        delayUs,
      )
    if (verdict?.action === 'block' || verdict?.action === 'kill')
      return { kind: 'refuse', refusal: byVerdict() }
    const byPolicy = against(judged)
    if (byPolicy) {
      const { reason, rule } = byPolicy
      return { kind: 'refuse', refusal: refuse(session, reason, { rule, delayUs }) }
    }
    if (planned && 'refusedBy' in planned) {
      const { refusedBy: rule, why: detail } = planned
      return { kind: 'refuse', refusal: refuse(session, 'mask_unavailable', { rule, detail, delayUs }) }
    }
    if (held && deps.holds) return { kind: 'hold', ...held }
    if (held) return { kind: 'refuse', refusal: plainly(session, held, delayUs) }
    if (unit.adopts || unit.describes) return undefined
    if (verdict?.action === 'throttle') {
      const waitMs = session.budget.takeThrottled(
        verdict.verdictId,
        verdict.ratePerMinute,
        unit.analyses.length,
      )
      if (waitMs > 0 && waitedMs + waitMs > settings.throttleDelayMsMax)
        return { kind: 'refuse', refusal: { ...byVerdict(), retryAfterMs: waitMs } }
      if (waitMs > 0) {
        return { kind: 'wait', reason: 'verdict_throttle', verdictId: verdict.verdictId, rule: '', waitMs }
      }
    }
    return overCap(session, unit, waitedMs, delayUs) ?? overAsked(session, planned, waitedMs, delayUs)
  }

  /** Masked columns may decide so many answers and no more: what is not shown could be asked for bit by bit. */
  function overAsked(
    session: Gated,
    planned: MaskedUnit | undefined,
    waitedMs: number,
    delayUs: number,
  ): Exclude<Ruling, { kind: 'allow' | 'estimate' }> | undefined {
    for (const { rule, column, perHour, times, over } of planned?.plans.flatMap((plan) => plan?.asks ?? []) ??
      []) {
      const waitMs = session.budget.takeCounted(`${rule}\0${column}`, perHour, times)
      if (waitMs === 0) continue
      // No wait makes room for what is more than there may be in any hour.
      const isTooMany = times > perHour
      if (!isTooMany && over === 'throttle' && waitedMs + waitMs <= settings.throttleDelayMsMax)
        return { kind: 'wait', reason: 'mask_predicates', verdictId: '', rule, waitMs }
      const why = isTooMany ? `, asked more than ${perHour} questions at once` : ''
      const detail = column === '?' ? '' : `${column}${why}`
      const parts = { rule, detail, delayUs, action: over, ...(!isTooMany && { retryAfterMs: waitMs }) }
      return { kind: 'refuse', refusal: refuse(session, 'mask_predicates', parts) }
    }
    return undefined
  }

  function overCap(
    session: Gated,
    unit: Unit,
    waitedMs: number,
    delayUs: number,
  ): Exclude<Ruling, { kind: 'allow' | 'estimate' }> | undefined {
    const { caps, budget, pool } = session
    if (caps.commandsPerSecond !== undefined) {
      const waitMs = budget.takeCommands(unit.analyses.length)
      if (waitMs > 0 && waitedMs + waitMs > settings.throttleDelayMsMax) {
        return {
          kind: 'refuse',
          refusal: refuse(session, 'cap_commands', {
            rule: 'commandsPerSecond',
            retryAfterMs: waitMs,
            delayUs,
          }),
        }
      }
      if (waitMs > 0) {
        return { kind: 'wait', reason: 'cap_commands', verdictId: '', rule: 'commandsPerSecond', waitMs }
      }
    }
    if (caps.rowsPerWindow === undefined && caps.bytesPerWindow === undefined) return undefined
    if (!unit.analyses.some((analysis) => analysis.returnsRows)) return undefined
    for (const kind of ['rows', 'bytes'] as const) {
      const rule = kind === 'rows' ? 'rowsPerWindow' : 'bytesPerWindow'
      if (caps[rule] === undefined) continue
      const taken = pool.take(kind, 1)
      pool.giveBack(kind, taken)
      if (taken === 0)
        return {
          kind: 'refuse',
          refusal: refuse(session, `cap_${kind}_window`, {
            rule,
            retryAfterMs: budget.windowFreesInMs(),
            delayUs,
          }),
        }
    }
    return undefined
  }

  function observed(session: Gated, against: Exclude<Ruling, { kind: 'allow' | 'estimate' }>): Decision {
    if (against.kind === 'refuse') return { ...against.refusal.decision, enforced: false }
    const { reason, verdictId, rule, kind } = against
    return decision({
      id: ids(),
      action: kind === 'hold' ? 'hold' : 'throttle',
      reason,
      verdictId,
      rule,
      policyVersion: session.allow.policyVersion,
      enforced: false,
    })
  }
}

export function delayOf({ waitedMs, heldMs }: Past): number {
  return Math.round((waitedMs + heldMs) * 1000)
}
