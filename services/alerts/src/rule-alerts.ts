/**
 * Commands of which a rule says that people are to be told (`policy.alerts` among their attributes), in the form of findings, so that
 * every sink tells them alike. Pure. It reads of the millions of others no more than that they are none.
 */
import type { CommandEvent, FindingEvent, Severity } from '@portcullis/kernel'

/** Whether an encoded command may have such an attribute; the rest need not be decoded. */
export function mayAlert(value: Uint8Array): boolean {
  return Buffer.from(value.buffer, value.byteOffset, value.byteLength).includes(attribute)
}

const attribute = 'policy.alerts'

/** One for each rule, named as its feature. Phases of one command give the same. */
export function ruleAlerts(event: CommandEvent): readonly FindingEvent[] {
  const { commandId, startedAt, identity, sessionId, target } = event
  return alertsOf(event).map(({ rule, severity }) => ({
    findingId: `${commandId}/${rule}`,
    at: startedAt,
    ...{ identity, sessionId, target, severity },
    detector: ruleDetector,
    feature: rule,
    ...{ score: 0, observed: 1, expected: 0, unit: 'commands' },
    explanation: `rule ${rule}: ${what(event)}`,
    commandIds: [commandId],
    ...{ windowStart: startedAt, windowEnd: startedAt },
  }))
}

/** In place of a detector's name. */
export const ruleDetector = 'policy'

/** Never its text: a message goes where not everybody may see a target's data. */
function what({ verb, objects, target, decision }: CommandEvent): string {
  const names = [
    ...new Set(objects.map(({ namespace, name }) => (namespace ? `${namespace}.${name}` : name))),
  ]
  const of =
    names.length === 0
      ? ''
      : ` of ${names.slice(0, namesMax).join(', ')}${names.length > namesMax ? ', …' : ''}`
  const { action, reason, enforced } = decision
  const became = reason === '' ? action : `${action} (${reason}${enforced ? '' : ', not enforced'})`
  return `${verb}${of} at ${target}: ${became}`
}

const namesMax = 5

interface RuleAlert {
  readonly rule: string
  readonly severity: Severity
}

function alertsOf({ attributes }: CommandEvent): readonly RuleAlert[] {
  const text = attributes[attribute]
  if (text === undefined) return []
  const alerts: unknown = JSON.parse(text)
  return Array.isArray(alerts) ? alerts.filter(isAlert) : []
}

const severities: readonly unknown[] = ['info', 'warning', 'error', 'critical']

function isAlert(value: unknown): value is RuleAlert {
  if (typeof value !== 'object' || value === null || !('rule' in value) || !('severity' in value))
    return false
  return typeof value.rule === 'string' && severities.includes(value.severity)
}
