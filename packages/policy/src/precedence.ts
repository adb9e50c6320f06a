/** The rules that apply to one command -> what becomes of it. The one place with the order of actions. */
import type { ParsedRule } from './parse.ts'
import type { Judged } from './types.ts'

/** `rules` in the order of the file. `isOpen`: no rule that is enforced is for this target, so that none needs to allow. */
export function fold(
  rules: readonly ParsedRule[],
  isOpen: boolean,
  attributes: Judged['attributes'],
): Judged {
  const enforced = rules.filter(({ observe }) => !observe)
  const decided = decide(enforced, isOpen)
  const mayPass = decided.action === 'allow' || decided.action === 'hold'
  const wouldBe = strictest(rules)
  const alerts = enforced.flatMap(({ name, alert }) => (alert ? [{ rule: name, severity: alert }] : []))
  return {
    ...decided,
    holds: decided.action === 'hold' ? holdsOf(enforced) : none,
    caps: mayPass ? leastCaps(enforced) : {},
    masks: mayPass ? masksOf(enforced) : [],
    observedMasks: mayPass ? masksOf(rules.filter(({ observe }) => observe)) : [],
    alerts,
    observed: wouldBe && ranks[wouldBe.action] > ranks[decided.action] ? wouldBe : undefined,
    attributes: alerts.length === 0 ? attributes : { ...attributes, 'policy.alerts': JSON.stringify(alerts) },
  }
}

const ranks = { allow: 0, deny: 2, hold: 1, block: 2 } as const

function decide(rules: readonly ParsedRule[], isOpen: boolean): Pick<Judged, 'action' | 'rule'> {
  const restricted = strictest(rules)
  if (restricted) return restricted
  if (isOpen) return { action: 'allow', rule: '' }
  const allowing = rules.find(({ action }) => action === 'allow')
  return allowing ? { action: 'allow', rule: allowing.name } : { action: 'deny', rule: '' }
}

function strictest(rules: readonly ParsedRule[]): { action: 'hold' | 'block'; rule: string } | undefined {
  for (const action of ['block', 'hold'] as const) {
    const found = rules.find((rule) => rule.action === action)
    if (found) return { action, rule: found.name }
  }
  return undefined
}

function masksOf(rules: readonly ParsedRule[]): Judged['masks'] {
  return rules.flatMap(({ name, mask }) => (mask ? [{ ...mask, rule: name }] : []))
}

const none: Judged['holds'] = []

function holdsOf(rules: readonly ParsedRule[]): Judged['holds'] {
  return rules
    .filter(({ action }) => action === 'hold')
    .map(({ name, approval }) => ({ rule: name, approval }))
}

function leastCaps(rules: readonly ParsedRule[]): Judged['caps'] {
  const least: { -readonly [Cap in keyof Judged['caps']]: Judged['caps'][Cap] } = {}
  for (const { name, cap } of rules)
    for (const kind of ['rowsPerStatement', 'bytesPerStatement'] as const) {
      const most = cap?.[kind]
      if (most !== undefined && most < (least[kind]?.most ?? Number.POSITIVE_INFINITY))
        least[kind] = { most, rule: name }
    }
  return least
}
