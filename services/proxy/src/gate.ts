/**
 * The gate: decide -> record -> forward or refuse. `pass` is the only function in the product that lets a command
 * through, and it reads like that sentence. It refuses to know any protocol, and to forward what is not recorded.
 */
import {
  type AskLimit,
  type Caps,
  type Clock,
  type Command,
  type CommandResult,
  type Decision,
  type MaskedAsk,
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
import { type Judged, whereAttribute } from '@portcullis/policy'
import { createEstimates } from './estimates.ts'
import type { Holds, Pass } from './holds.ts'
import type { IdSource } from './ids.ts'
import { createJudge, delayOf, type Holding, type Past, type Ready, type Ruling } from './judge.ts'
import type { MaskedUnit } from './masks.ts'
import { type CapReason, type CommandMeter, createAsideMeter, createMeter, type Pool } from './meter.ts'
import type { AskPresidio } from './presidio.ts'
import { decision, refusal } from './refusals.ts'
import { allowedBy, asksRows, cappedBy, isMasking, type Ruled, type Rules, ruleOfCap } from './ruling.ts'
import type { VerdictTable } from './verdicts.ts'

const refusedTextMax = 4096

export interface GateDeps {
  readonly recorder: Recorder
  readonly verdicts: VerdictTable
  readonly clock: Clock
  readonly ids: IdSource
  readonly settings: GateSettings
  readonly rules: Rules
  /** Who is asked for what rules want of it; absent where nobody is. */
  readonly presidio?: AskPresidio | undefined
  /** False once the folded control state is older than allowed. */
  readonly controlFresh: () => boolean
  /** Absent: nobody is asked, and what is held is refused. */
  readonly holds?: Holds | undefined
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
  /** The connection is gone, by nobody's order. */
  isGone: boolean
  /** What waits for a person, and stands recorded already. `abandon`: it will not run. */
  held: { readonly approvalId: string; abandon(): void } | undefined
  /** Resolves after the time (a second at most), or earlier when a verdict or the session's end may change the answer. */
  sleep(ms: number): Promise<void>
  /** Ends the sleep. */
  wake(): void
}

/** A command with what the gate keeps of it. */
export interface GatedCommand extends Command {
  readonly meter: CommandMeter
  mask: MaskPlan | undefined
  /** A person let it pass. */
  pass?: Pass | undefined
}

export interface Gate {
  pass(session: Gated, road: Road): undefined | Promise<void>
  /** Meters what belongs to no command: the window's caps alone. */
  unasked(session: Pick<Gated, 'pool' | 'budget' | 'caps' | 'allow'>): Meter
  asksRows(session: Gated): boolean
  isMasking(session: Gated): boolean
  /** The refusal for an answer that cannot be masked as this rule says. */
  unmaskable(session: Pick<Gated, 'allow'>, rule: string, detail: string): Refusal
  /** A refusal for what the protocol itself must refuse (an order from outside, a text that is too long). */
  refuse(reason: Exclude<Reason, `verdict_${string}`>, detail?: string): Refusal
}

/** How long one session's input may keep the others of its worker waiting. */
const turnMsMax = 10

export function createGate(deps: GateDeps): Gate {
  const { recorder, clock, ids, settings } = deps
  const estimates = createEstimates({ recorder, clock, ids })
  const { decide, plainly, refuse } = createJudge(deps, estimates)

  function pass(session: Gated, road: Road): undefined | Promise<void> {
    const sinceMs = clock.monotonicMs()
    for (let unit = road.next(); unit; unit = road.next()) {
      const ruling = unit instanceof Promise ? undefined : decide(session, unit, atOnce)
      if (unit instanceof Promise || !ruling || (ruling.kind !== 'allow' && ruling.kind !== 'refuse'))
        return passLater(session, road, unit, ruling)
      record(session, road, unit, ruling, atOnce)
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
    const past: Past = { waitedMs: 0, heldMs: 0 }
    let ruling = first ?? decide(session, unit, past)
    while (ruling.kind !== 'allow' && ruling.kind !== 'refuse') {
      const sinceMs = clock.monotonicMs()
      if (ruling.kind === 'estimate') {
        await estimates.ask(session, unit)
        ruling = decide(session, unit, past)
      } else if (ruling.kind === 'wait') {
        past.waitedFor = ruling
        road.waiting?.(unit, ruling.reason, ruling.waitMs)
        await session.sleep(ruling.waitMs)
        past.waitedMs += clock.monotonicMs() - sinceMs
        ruling = decide(session, unit, past)
      } else {
        const answer = await askPeople(session, road, unit, ruling, past)
        past.heldMs += clock.monotonicMs() - sinceMs
        ruling = 'key' in answer ? decide(session, unit, { ...past, pass: answer }) : answer
        if ('key' in answer) past.pass = answer
      }
    }
    record(session, road, unit, ruling, past)
    session.held = undefined
    await pass(session, road)
  }

  /** Where they let it pass, it is decided again: verdicts and rules may be others by now. */
  async function askPeople(
    session: Gated,
    road: Road,
    unit: Unit,
    held: Holding,
    past: Past,
  ): Promise<Pass | Extract<Ruling, { kind: 'refuse' }>> {
    const { judged } = held
    if (estimates.known(unit) === 'unasked') await estimates.ask(session, unit)
    const estimated = estimates.known(unit)
    const estimatedRows = typeof estimated === 'number' ? estimated : -1
    const number = past.begun?.[0] ?? unit.adopts?.number ?? session.commands + 1
    const answer = await deps.holds?.settle(
      {
        ...{ session, unit, commandId: `${session.id}.${number}`, estimatedRows },
        begin: (approvalId) => beginWaiting(session, road, unit, held, past, approvalId),
        tell: (hold) => road.holding?.(unit, hold),
      },
      held,
    )
    if (answer && 'key' in answer) return answer
    const delayUs = delayOf(past)
    const refused = answer ?? (await plainly(session, held, delayUs))
    const decision = { ...refused.decision, delayUs: Math.max(refused.decision.delayUs, delayUs) }
    return { kind: 'refuse', refusal: { ...refused, decision }, judged }
  }

  /** Whoever looks at the trail finds what waits: its commands stand there from now on, held. */
  function beginWaiting(
    session: Gated,
    road: Road,
    unit: Unit,
    held: Holding,
    past: Past,
    approvalId: string,
  ): undefined | Promise<void> {
    const { rule, verdictId, reason, policyVersion } = held
    const parts = { action: 'hold', reason, rule, verdictId, approvalId, policyVersion } as const
    const waits = decision({ id: ids(), ...parts })
    const numbers: number[] = []
    if (unit.adopts) {
      recorder.redecided(session.id, unit.adopts.number, waits)
      numbers.push(unit.adopts.number)
    } else {
      past.begun ??= unit.analyses.map((_, index) =>
        intend(session, unit, index, held.judged?.[index], waits, held.masked),
      )
      numbers.push(...past.begun)
    }
    for (const number of numbers) recorder.progress(session.id, number, clock.nowUs(), nothingYet)
    session.held = {
      approvalId,
      abandon() {
        const at = clock.nowUs()
        for (const number of past.begun ?? [])
          recorder.outcome(session.id, number, at, nothingPassed('cancelled'))
      },
    }
    return forward(session, road)
  }

  function record(session: Gated, road: Road, unit: Unit, ruling: Ready, past: Past): void {
    if (ruling.kind === 'allow') {
      // What is let through to everybody does not make up for what was refused.
      if (!unit.undoes) session.refusals = 0
      ruling.defers?.()
      road.allowed(unit, letIn(session, unit, ruling, past))
      return
    }
    session.refusals++
    const at = clock.nowUs()
    const errorCode = road.refused(unit, ruling.refusal)
    const blamed = Math.max(
      0,
      unit.analyses.findIndex((analysis) => !analysis.undoes),
    )
    const { judged, masked } = ruling
    unit.analyses.forEach((_, index) => {
      const { decision } = ruling.refusal
      const before = unit.adopts?.number ?? past.begun?.[index]
      const number = before ?? intend(session, clipped(unit), index, judged?.[index], decision, masked)
      const result = index === blamed ? { ...nothingPassed('refused'), errorCode } : nothingPassed('skipped')
      recorder.outcome(session.id, number, at, result, before === undefined ? undefined : decision)
    })
  }

  /** The commands of what is let through, which stand recorded. */
  function letIn(
    session: Gated,
    unit: Unit,
    { judged, decision, masked }: Extract<Ruling, { kind: 'allow' }>,
    { pass, begun }: Past,
  ): readonly Command[] {
    if (unit.adopts) {
      const adopted: GatedCommand = unit.adopts as GatedCommand
      // What the rules say now counts, not when it was prepared.
      adopted.mask = masked?.plans[0]
      if (pass) {
        adopted.pass = pass
        if (decision) recorder.redecided(session.id, adopted.number, decision)
      }
      return [adopted]
    }
    if (unit.describes) return []
    return unit.analyses.map((_, index) => {
      const before = begun?.[index]
      if (before !== undefined && decision) recorder.redecided(session.id, before, decision)
      const number = before ?? intend(session, unit, index, judged?.[index], decision, masked)
      return { ...commandOf(session, unit, index, number, judged?.[index], masked), ...(pass && { pass }) }
    })
  }

  function intend(
    session: Gated,
    unit: Unit,
    index: number,
    judged: Judged | undefined,
    given?: Decision,
    masked?: MaskedUnit,
  ): number {
    const analysis = unit.analyses[index] as Unit['analyses'][number]
    const number = ++session.commands
    const wouldMask = masked?.observed[index] ?? []
    const asks = masked?.plans[index]?.asks ?? []
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
        ...(asks.length > 0 && { 'mask.predicates': JSON.stringify(asks.map(askOf)) }),
      },
      mask: masked?.plans[index],
    })
    return number
  }

  function commandOf(
    session: Gated,
    unit: Unit,
    index: number,
    number: number,
    judged: Judged | undefined,
    masked: MaskedUnit | undefined,
  ): GatedCommand {
    const analysis = unit.analyses[index] as Unit['analyses'][number]
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

  return {
    pass,
    unasked,
    asksRows: (session) => asksRows(deps.rules, session),
    isMasking: (session) => isMasking(deps.rules, session),
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

const atOnce: Past = { waitedMs: 0, heldMs: 0 }
const nothingYet = { rowsIn: 0, rowsOut: 0, bytesIn: 0, bytesOut: 0 }

function askOf({ rule, column, times }: MaskedAsk): Omit<MaskedAsk, keyof AskLimit> {
  return { rule, column, times }
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
