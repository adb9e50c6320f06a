/**
 * Strict checks of what a control event carries, by hand since kernel has no dependencies. Every problem is named at
 * once, with its place. It refuses to repair: a field that is missing or wrong makes the change invalid. Fields it does
 * not know are let go, so that a newer writer and an older reader agree on the rest.
 */
import type { ControlChange, Rejection } from './control.ts'
import type { Verdict, VerdictAction, VerdictSubject } from './verdict.ts'

const actions: readonly [VerdictAction, ...VerdictAction[]] = ['throttle', 'hold', 'block', 'kill']
const kinds: readonly [VerdictSubject['kind'], ...VerdictSubject['kind'][]] = [
  'identity',
  'instance',
  'session',
  'token',
  'delegation',
]
const idCharsMax = 1024
const textCharsMax = 4000

/** The change that an event carries, holding only known fields, or why it is none. */
export function checkChange(type: string, payload: string): ControlChange | Rejection {
  if (type !== 'verdict.issued' && type !== 'verdict.lifted')
    return { code: 'unknown_type', why: `this version does not know events of type ${type}` }
  const fields = parseObject(payload)
  if (fields === undefined) return { code: 'invalid', why: `${type}: the payload is not a JSON object` }
  const problems: string[] = []
  const read = reader(fields, '', problems)
  const change: ControlChange =
    type === 'verdict.lifted'
      ? {
          type,
          verdictId: read.text('verdictId', 1, idCharsMax),
          reason: read.text('reason', 0, textCharsMax),
        }
      : { type, verdict: readVerdict(read.object('verdict'), problems) }
  return problems.length === 0 ? change : { code: 'invalid', why: `${type}: ${problems.join('; ')}` }
}

function readVerdict(fields: Fields, problems: string[]): Verdict {
  const read = reader(fields, 'verdict.', problems)
  const verdict: Verdict = {
    verdictId: read.text('verdictId', 1, idCharsMax),
    action: read.oneOf('action', actions),
    subject: readSubject(read.object('subject'), problems),
    target: read.text('target', 0, idCharsMax),
    issuedAt: read.micros('issuedAt'),
    until: read.micros('until'),
    ratePerMinute: read.amount('ratePerMinute'),
    cancelRunning: read.flag('cancelRunning'),
    reason: read.text('reason', 1, idCharsMax),
    explanation: read.text('explanation', 0, textCharsMax),
  }
  if (problems.length > 0) return verdict
  if (verdict.until <= verdict.issuedAt) problems.push('verdict.until must be after verdict.issuedAt')
  if (verdict.action === 'throttle' && verdict.ratePerMinute <= 0)
    problems.push('verdict.ratePerMinute must be above 0 for a throttle (to let nothing through, block)')
  return verdict
}

function readSubject(fields: Fields, problems: string[]): VerdictSubject {
  const read = reader(fields, 'verdict.subject.', problems)
  const kind = read.oneOf('kind', kinds)
  const named = kind === 'token' ? 0 : 1
  const ofInstance = kind === 'instance' || kind === 'token' ? 1 : 0
  return {
    kind,
    issuer: read.text('issuer', kind === 'session' ? 0 : 1, idCharsMax),
    id: read.text('id', named, idCharsMax),
    instance: read.text('instance', ofInstance, idCharsMax),
  }
}

type Fields = Readonly<Record<string, unknown>>

/** Reads one object's fields; what is wrong goes to `problems` and a stand-in is returned, so that all are reported. */
function reader(fields: Fields, path: string, problems: string[]) {
  const problem = (name: string, what: string): void => {
    problems.push(`${path}${name} must be ${what}`)
  }
  return {
    text(name: string, charsMin: number, charsMax: number): string {
      const value = fields[name]
      if (typeof value === 'string' && value.length >= charsMin && value.length <= charsMax) return value
      problem(name, `a string of ${charsMin} to ${charsMax} characters`)
      return ''
    },
    oneOf<T extends string>(name: string, choices: readonly [T, ...T[]]): T {
      const found = choices.find((choice) => choice === fields[name])
      if (found === undefined) problem(name, `one of ${choices.join(', ')}`)
      return found ?? choices[0]
    },
    micros(name: string): number {
      const value = fields[name]
      if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
      problem(name, 'microseconds since 1970 UTC, a whole number')
      return 0
    },
    amount(name: string): number {
      const value = fields[name]
      if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value
      problem(name, 'a number of at least 0')
      return 0
    },
    flag(name: string): boolean {
      if (typeof fields[name] === 'boolean') return fields[name]
      problem(name, 'true or false')
      return false
    },
    object(name: string): Fields {
      const value = fields[name]
      if (isFields(value)) return value
      problem(name, 'an object')
      return {}
    },
  }
}

function parseObject(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isFields(value) ? value : undefined
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
