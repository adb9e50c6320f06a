/**
 * The gate: decide -> record -> forward or refuse. `pass` is the only function in the product that lets a command
 * through, and it reads like that sentence. It refuses to know any protocol, and to forward what is not recorded.
 */
import {
  type Caps,
  type Clock,
  type Command,
  type CommandResult,
  type Decision,
  type MaskPlan,
  type Meter,
  type Reason,
  type Recorder,
  type Refusal,
  type Road,
  type SessionBudget,
  SessionEnded,
  type Unit,
} from '@portcullis/kernel'
import type { Unmaskable } from '@portcullis/masking'
import { type Judged, whereAttribute } from '@portcullis/policy'
import type { IdSource } from './ids.ts'
import { createMaskMaker, type MaskedUnit } from './masks.ts'
import { type CapReason, type CommandMeter, createAsideMeter, createMeter, type Pool } from './meter.ts'
import { decision, refusal, refusalByVerdict } from './refusals.ts'
import { against, allowedBy, cappedBy, judgeUnit, type Ruled, type Rules, ruleOfCap } from './ruling.ts'
import type { VerdictTable } from './verdicts.ts'

const refusalsAtOnce = 20
const refusalWaitMs = 100
const refusedTextMax = 4096

export interface GateDeps {
  readonly recorder: Recorder
  readonly verdicts: VerdictTable
  readonly clock: Clock
  readonly ids: IdSource
  readonly settings: GateSettings
  readonly rules: Rules
  /** False once the folded control state is older than allowed. */
  readonly controlFresh: () => boolean
}

export interface GateSettings {
  /** As it is now: for what is no session's. A session is held to the version that it was opened under. */
  readonly policyVersion: () => string
  readonly mode: 'enforce' | 'observe'
  readonly throttleDelayMsMax: number
  readonly sessionMsMax: number
}

/** What the gate needs to know of a session; the session module owns it. */
export interface Gated extends Ruled {
  readonly id: string
  readonly target: string
  readonly verdictKeys: readonly string[]
  readonly caps: Caps
  readonly budget: SessionBudget
  readonly pool: Pool
  readonly openedMs: number
  /** Go with the session's first command. */
  readonly attributes: Readonly<Record<string, string>>
  /** Commands recorded so far; the next one's number is one more. */
  commands: number
  /** Refusals since a command was let through. */
  refusals: number
  /** Set once the session must not go on. */
  ended: Refusal | undefined
  /** Resolves after the time, or earlier when a verdict or the session's end may change the answer. */
  sleep(ms: number): Promise<void>
}

/** A command with what the gate keeps of it. */
export interface GatedCommand extends Command {
  readonly meter: CommandMeter
  mask: MaskPlan | undefined
}

type Ruling =
  | (ByRules & {
      readonly kind: 'allow'
      readonly decision?: Decision
      readonly masked?: MaskedUnit | undefined
    })
  | (ByRules & { readonly kind: 'refuse'; readonly refusal: Refusal })
  | (Waiting & { readonly kind: 'wait'; readonly waitMs: number })

/** What the policy makes of each analysis of the unit; absent where nobody asked it. */
interface ByRules {
  readonly judged?: readonly Judged[] | undefined
}

/** What a command waits for; its decision says so once it has passed. */
interface Waiting {
  readonly reason: Reason
  readonly verdictId: string
  readonly rule: string
}

export interface Gate {
  pass(session: Gated, road: Road): undefined | Promise<void>
  /** Meters what belongs to no command: the window's caps alone. */
  unasked(session: Pick<Gated, 'pool' | 'budget' | 'caps' | 'allow'>): Meter
  /** The refusal for an answer that cannot be masked as this rule says. */
  unmaskable(session: Pick<Gated, 'allow'>, rule: string, detail: string): Refusal
  /** A refusal for what the protocol itself must refuse (an order from outside, a text that is too long). */
  refuse(reason: Exclude<Reason, `verdict_${string}`>, detail?: string): Refusal
}

/** How long one session's input may keep the others of its worker waiting. */
const turnMsMax = 10

export function createGate(deps: GateDeps): Gate {
  const { recorder, verdicts, clock, ids, settings } = deps
  const masks = createMaskMaker()
  const nowMs = () => Math.floor(clock.nowUs() / 1000)
  const refuse = (
    { allow: { policyVersion } }: Pick<Gated, 'allow'>,
    reason: Exclude<Reason, `verdict_${string}`>,
    parts: { rule?: string; retryAfterMs?: number; detail?: string; delayUs?: number } = {},
  ) => refusal(reason, { id: ids(), policyVersion, ...parts })

  function pass(session: Gated, road: Road): undefined | Promise<void> {
    const sinceMs = clock.monotonicMs()
    for (let unit = road.next(); unit; unit = road.next()) {
      const ruling = unit instanceof Promise ? undefined : decide(session, unit, 0)
      if (unit instanceof Promise || !ruling || ruling.kind === 'wait')
        return passLater(session, road, unit, ruling)
      record(session, road, unit, ruling)
      if (clock.monotonicMs() - sinceMs > turnMsMax) return passRest(session, road)
    }
    return forward(session, road)
  }

  /** A pipeline of thousands of statements: others have their turn in between. */
  async function passRest(session: Gated, road: Road): Promise<void> {
    await forward(session, road)
    await new Promise<void>((resolve) => setImmediate(resolve))
    await pass(session, road)
  }

  /** The same for a unit that takes long to read or must wait: what came before it goes at once, what comes after it waits with it. */
  async function passLater(
    session: Gated,
    road: Road,
    coming: Unit | Promise<Unit>,
    first: Ruling | undefined,
  ): Promise<void> {
    await forward(session, road)
    const unit = await coming
    const sinceMs = clock.monotonicMs()
    let ruling = first ?? decide(session, unit, 0)
    while (ruling.kind === 'wait') {
      road.waiting?.(unit, ruling.reason, ruling.waitMs)
      await session.sleep(ruling.waitMs)
      ruling = decide(session, unit, clock.monotonicMs() - sinceMs, ruling)
    }
    record(session, road, unit, ruling)
    await pass(session, road)
  }

  /** What is refused again and again is refused slowly: a storm must not fill the log that everybody needs. */
  function decide(session: Gated, unit: Unit, waitedMs: number, waitedFor?: Waiting): Ruling {
    const ruling = judge(session, unit, waitedMs, waitedFor)
    if (ruling.kind !== 'refuse' || waitedMs > 0 || session.refusals < refusalsAtOnce) return ruling
    const { reason, decision } = ruling.refusal
    return { kind: 'wait', reason, verdictId: decision.verdictId, rule: decision.rule, waitMs: refusalWaitMs }
  }

  function judge(session: Gated, unit: Unit, waitedMs: number, waitedFor: Waiting | undefined): Ruling {
    if (session.ended) throw new SessionEnded(session.ended)
    const delayUs = Math.round(waitedMs * 1000)
    const harmless = unit.undoes === true
    if (!recorder.available)
      return { kind: 'refuse', refusal: refuse(session, 'recording_unavailable', { delayUs }) }
    if (clock.monotonicMs() - session.openedMs > settings.sessionMsMax && !harmless)
      throw new SessionEnded(refuse(session, 'session_expired'))
    if (unit.objection) return { kind: 'refuse', refusal: refuse(session, unit.objection, { delayUs }) }
    const judged = harmless ? undefined : judgeUnit(deps.rules, session, unit, nowMs)
    const planned = masks.plansFor(unit, judged, settings.mode === 'enforce')
    const masked = planned && 'plans' in planned ? planned : undefined
    const objected = harmless ? undefined : objection(session, unit, judged, planned, waitedMs, delayUs)
    if (objected && settings.mode === 'observe')
      return { kind: 'allow', decision: observed(session, objected), judged, masked }
    if (objected) return objected.kind === 'wait' ? objected : { ...objected, judged }
    if (!waitedFor) return { kind: 'allow', judged, masked }
    const { reason, verdictId, rule } = waitedFor
    return {
      kind: 'allow',
      judged,
      masked,
      decision: { ...session.allow, action: 'throttle', reason, verdictId, rule, delayUs },
    }
  }

  /** Why not, in the one order: control state, verdicts, policy, rates and caps. */
  function objection(
    session: Gated,
    unit: Unit,
    judged: readonly Judged[] | undefined,
    planned: MaskedUnit | Unmaskable | undefined,
    waitedMs: number,
    delayUs: number,
  ): Exclude<Ruling, { kind: 'allow' }> | undefined {
    if (!deps.controlFresh())
      return { kind: 'refuse', refusal: refuse(session, 'control_stale', { delayUs }) }
    const verdict = verdicts.find(session.verdictKeys, session.target)
    const byVerdict = () =>
      refusalByVerdict(
        verdict as NonNullable<typeof verdict>,
        ids(),
        session.allow.policyVersion,
        clock.nowUs(),
        delayUs,
      )
    if (verdict && verdict.action !== 'throttle') return { kind: 'refuse', refusal: byVerdict() }
    const byPolicy = against(judged)
    if (byPolicy) {
      const { reason, rule } = byPolicy
      return { kind: 'refuse', refusal: refuse(session, reason, { rule, delayUs }) }
    }
    if (planned && 'refusedBy' in planned) {
      const { refusedBy: rule, why: detail } = planned
      return { kind: 'refuse', refusal: refuse(session, 'mask_unavailable', { rule, detail, delayUs }) }
    }
    if (unit.adopts || unit.describes) return undefined
    if (verdict) {
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
    return overCap(session, unit, waitedMs, delayUs)
  }

  function overCap(
    session: Gated,
    unit: Unit,
    waitedMs: number,
    delayUs: number,
  ): Exclude<Ruling, { kind: 'allow' }> | undefined {
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

  function record(session: Gated, road: Road, unit: Unit, ruling: Exclude<Ruling, { kind: 'wait' }>): void {
    if (ruling.kind === 'allow') {
      // What is let through to everybody does not make up for what was refused.
      if (!unit.undoes) session.refusals = 0
      const commands: Command[] = []
      const { judged, masked } = ruling
      if (unit.adopts) {
        // What the rules say now counts, not when it was prepared.
        ;(unit.adopts as GatedCommand).mask = masked?.plans[0]
        commands.push(unit.adopts)
      } else if (!unit.describes)
        for (let index = 0; index < unit.analyses.length; index++)
          commands.push(intend(session, unit, index, judged?.[index], ruling.decision, masked))
      road.allowed(unit, commands)
      return
    }
    session.refusals++
    const at = clock.nowUs()
    const errorCode = road.refused(unit, ruling.refusal)
    const blamed = Math.max(
      0,
      unit.analyses.findIndex((analysis) => !analysis.undoes),
    )
    unit.analyses.forEach((_, index) => {
      const { number } =
        unit.adopts ?? intend(session, clipped(unit), index, ruling.judged?.[index], ruling.refusal.decision)
      const result = index === blamed ? { ...nothingPassed('refused'), errorCode } : nothingPassed('skipped')
      recorder.outcome(session.id, number, at, result, unit.adopts && ruling.refusal.decision)
    })
  }

  function intend(
    session: Gated,
    unit: Unit,
    index: number,
    judged: Judged | undefined,
    given?: Decision,
    masked?: MaskedUnit,
  ): GatedCommand {
    const analysis = unit.analyses[index] as Unit['analyses'][number]
    const number = ++session.commands
    const wouldMask = masked?.observed[index] ?? []
    recorder.intent({
      sessionId: session.id,
      number,
      analysis,
      decision: given ?? allowedBy(session, judged, ids),
      startedAt: unit.receivedAt,
      attributes: {
        ...(number === 1 && session.attributes),
        ...unit.attributes,
        ...attributesOf(unit, index, number),
        // Only rules that observe would say the same of a command that passed.
        ...(given?.enforced === false && { 'gate.mode': '"observe"' }),
        ...judged?.attributes,
        ...(wouldMask.length > 0 && { 'mask.observed': JSON.stringify(wouldMask) }),
      },
    })
    const charged = unit.charges?.[index] as GatedCommand | undefined
    const meter =
      charged?.meter ?? createMeter(capsOf(session, judged), session.pool, refusalOver(session, judged))
    const mask = masked?.plans[index]
    return { number, id: `${session.id}.${number}`, analysis, startedAt: unit.receivedAt, meter, mask }
  }

  function capsOf({ caps }: Pick<Gated, 'caps'>, judged?: Judged): Caps {
    return settings.mode === 'observe' ? { windowMs: caps.windowMs } : cappedBy(caps, judged)
  }

  function refusalOver(
    session: Pick<Gated, 'budget' | 'allow' | 'caps'>,
    judged?: Judged,
  ): (reason: CapReason) => Refusal {
    const capOf = (reason: CapReason) =>
      reason.replace(
        /^cap_(rows|bytes)_(.)(.*)$/,
        (_match, kind, first, rest) => `${kind}Per${first.toUpperCase()}${rest}`,
      )
    return (reason) =>
      refuse(session, reason, {
        rule: ruleOfCap(session.caps, judged, capOf(reason)),
        ...(reason.endsWith('_window') && { retryAfterMs: session.budget.windowFreesInMs() }),
      })
  }

  function unasked(session: Pick<Gated, 'pool' | 'budget' | 'caps' | 'allow'>): Meter {
    return createAsideMeter(capsOf(session), session.pool, refusalOver(session))
  }

  /** Nothing leaves before the record is durable. */
  function forward(session: Gated, road: Road): undefined | Promise<void> {
    try {
      const durable = recorder.commit()
      if (!durable) return void road.send()
      return durable.then(
        () => {
          if (session.ended) throw new SessionEnded(session.ended)
          road.send()
        },
        (cause) => unrecorded(session, cause),
      )
    } catch (cause) {
      return unrecorded(session, cause)
    }
  }

  /** What was to be forwarded stands nowhere: the session cannot go on as if it did. */
  function unrecorded(session: Gated, cause: unknown): never {
    throw cause instanceof SessionEnded
      ? cause
      : new SessionEnded(refuse(session, 'recording_unavailable'), { cause })
  }

  function observed(session: Gated, against: Exclude<Ruling, { kind: 'allow' }>): Decision {
    if (against.kind === 'refuse') return { ...against.refusal.decision, enforced: false }
    const { reason, verdictId, rule } = against
    return decision({
      id: ids(),
      action: 'throttle',
      reason,
      verdictId,
      rule,
      policyVersion: session.allow.policyVersion,
      enforced: false,
    })
  }

  return {
    pass,
    unasked,
    unmaskable: (session, rule, detail) => refuse(session, 'mask_unavailable', { rule, detail }),
    refuse: (reason, detail) =>
      refusal(reason, {
        ...{ id: ids(), policyVersion: settings.policyVersion() },
        ...(detail !== undefined && { detail }),
      }),
  }
}

/** What rules that are not there yet may ask, so that they can be tried on what was recorded. */
function attributesOf({ analyses }: Unit, index: number, number: number): Readonly<Record<string, string>> {
  const where = whereAttribute(analyses[index] as Unit['analyses'][number])
  const first = number - index
  return {
    ...(where !== undefined && { 'command.where': where }),
    // They pass or are refused together.
    ...(analyses.length > 1 && { 'message.commands': `"${first}-${first + analyses.length - 1}"` }),
  }
}

/** Of a refused text its beginning tells enough. */
function clipped(unit: Unit): Unit {
  if (unit.analyses.every(({ text }) => text.length <= refusedTextMax)) return unit
  const analyses = unit.analyses.map((one) => ({ ...one, text: one.text.slice(0, refusedTextMax) }))
  return { ...unit, analyses }
}

/** The result of a command of which nothing reached the target. */
export function nothingPassed(
  outcome: CommandResult['outcome'],
  stage: CommandResult['stage'] = 'run',
): CommandResult {
  return {
    outcome,
    stage,
    errorCode: '',
    tag: '',
    rowsIn: 0,
    rowsOut: 0,
    rowsAffected: 0,
    bytesIn: 0,
    bytesOut: 0,
  }
}
