/**
 * The policy's place in the gate: which version of it is in force, what it makes of a session's commands, and how that is
 * said. A new version is taken between two commands of every session, whole. Refuses to decide anything but by the rules:
 * verdicts and caps are the gate's.
 */
import type { Analysis, Caps, Decision, Reason, Unit } from '@portcullis/kernel'
import type { Judged, Live, Policy, Ruleset, Subject } from '@portcullis/policy'
import { decision } from './refusals.ts'

/** What is in force. */
export interface Rules {
  /** Undefined: there are none, and whoever may connect may run anything. */
  readonly policy: Policy | undefined
  /** From now on. */
  replace(policy: Policy | undefined): void
  /** With the version of the targets, so that an event names both. */
  versionWith(targetsVersion: string): string
}

export function createRules(first: Policy | undefined): Rules {
  let policy = first
  return {
    get policy() {
      return policy
    },
    replace(next) {
      policy = next
    },
    versionWith: (targets) => (policy ? `${targets}.${policy.version}` : targets),
  }
}

/** What the rules need to know of a session. */
export interface Ruled {
  readonly subject: Subject
  readonly targetsVersion: string
  /** Of the commands that have ended. */
  totals(): Live['totals']
  /** Of the identity at this target, as the verdicts that stand say. */
  risk(): number
  /** The plain one, of the version in force. */
  allow: Decision
  /** What the version in force comes to for this session. */
  rules:
    | { readonly policy: Policy; readonly ruleset: Ruleset; readonly allows: Map<string, Decision> }
    | undefined
}

/** One for each analysis of a unit; undefined where there are no rules. */
export function judgeUnit(
  rules: Rules,
  session: Ruled,
  unit: Pick<Unit, 'analyses'>,
  nowMs: () => number,
  estimatedRows?: number,
): readonly Judged[] | undefined {
  const ruleset = rulesetOf(rules, session)
  if (ruleset === undefined) return undefined
  const live = () => ({ nowMs: nowMs(), totals: session.totals(), risk: session.risk(), estimatedRows })
  return unit.analyses.map((analysis: Analysis) => ruleset.judge(analysis, live))
}

/** Of the rules that are in force for its next command. */
export function asksRows(rules: Rules, session: Ruled): boolean {
  return rulesetOf(rules, session)?.asksRows === true
}

/** Whether rules in force mask what its next command shows, or observe that. */
export function isMasking(rules: Rules, session: Ruled): boolean {
  return rulesetOf(rules, session)?.isMasking === true
}

function rulesetOf(rules: Rules, session: Ruled): Ruleset | undefined {
  if (session.rules?.policy !== rules.policy) renew(rules, session)
  return session.rules?.ruleset
}

function renew(rules: Rules, session: Ruled): void {
  const { policy } = rules
  session.allow = { ...session.allow, policyVersion: rules.versionWith(session.targetsVersion) }
  session.rules = policy && { policy, ruleset: policy.rulesFor(session.subject), allows: new Map() }
}

/** What is forwarded or refused together is judged by the strictest of it; undefined: all of it may pass, what is held once a person lets it. */
export function against(
  judged: readonly Judged[] | undefined,
): { readonly reason: PolicyReason; readonly rule: string } | undefined {
  if (judged === undefined) return undefined
  for (const action of ['block', 'deny'] as const) {
    const found = judged.find((one) => one.action === action)
    if (found) return { reason: reasons[action], rule: found.rule }
  }
  return undefined
}

/** All rules that hold any of it, each once. */
export function holdsOf(judged: readonly Judged[] | undefined): Judged['holds'] {
  const holds = judged?.flatMap((one) => one.holds) ?? []
  return holds.length < 2 ? holds : [...new Map(holds.map((one) => [one.rule, one])).values()]
}

const reasons = { block: 'policy_block', hold: 'policy_hold', deny: 'policy_default' } as const

type PolicyReason = Extract<Reason, `policy_${string}`>

/** How a command's event says that it may pass. */
export function allowedBy(session: Ruled, judged: Judged | undefined, id: () => string): Decision {
  if (judged === undefined) return session.allow
  const { rule, observed } = judged
  if (observed) {
    const { action } = observed
    return decision({
      ...{ id: id(), action, reason: reasons[action], rule: observed.rule, enforced: false },
      policyVersion: session.allow.policyVersion,
    })
  }
  if (rule === '') return session.allow
  const allows = session.rules?.allows
  let allow = allows?.get(rule)
  if (allow === undefined) {
    allow = { ...session.allow, rule }
    allows?.set(rule, allow)
  }
  return allow
}

/** The lesser of what the target and what the rules give one command. */
export function cappedBy(caps: Caps, judged: Judged | undefined): Caps {
  const { rowsPerStatement, bytesPerStatement } = judged?.caps ?? {}
  if (rowsPerStatement === undefined && bytesPerStatement === undefined) return caps
  const least = (cap: 'rowsPerStatement' | 'bytesPerStatement') => {
    const most = Math.min(
      caps[cap] ?? Number.POSITIVE_INFINITY,
      judged?.caps[cap]?.most ?? Number.POSITIVE_INFINITY,
    )
    return Number.isFinite(most) ? { [cap]: most } : {}
  }
  return { ...caps, ...least('rowsPerStatement'), ...least('bytesPerStatement') }
}

/** The rule whose cap is less than the target's own. */
export function ruleOfCap(caps: Caps, judged: Judged | undefined, cap: string): string {
  const own = cap === 'rowsPerStatement' || cap === 'bytesPerStatement' ? judged?.caps[cap] : undefined
  const targets = caps[cap as 'rowsPerStatement'] ?? Number.POSITIVE_INFINITY
  return own !== undefined && own.most < targets ? own.rule : cap
}
