/** Verdicts by hand, and liftings of verdicts of any source. */
import type { Verdict, VerdictAction, VerdictSubject } from '../verdict.ts'
import type { Aggregate } from './aggregate.ts'
import { type Fields, fieldReader, idCharsMax, textCharsMax } from './fields.ts'

export type VerdictChange =
  | { readonly type: 'verdict.issued'; readonly verdict: Verdict }
  | { readonly type: 'verdict.lifted'; readonly verdictId: string; readonly reason: string }

export type HandVerdict = Verdict & { readonly issuedBy: string }
export interface Lifting {
  readonly at: number
  readonly by: string
  readonly reason: string
}

export interface VerdictParts {
  /** Verdicts by hand that are not lifted; expiry is the reader's own clock. */
  readonly verdicts: Map<string, HandVerdict>
  /** Verdicts of any source lifted by hand: id -> when lifted, microseconds. Every reader ignores the verdict from then on. */
  readonly lifted: Map<string, Lifting>
}

/** The aggregate that changes to a verdict are written under. */
export function verdictAggregate(verdictId: string): string {
  return `verdict/${verdictId}`
}

const actions: readonly [VerdictAction, ...VerdictAction[]] = ['throttle', 'hold', 'block', 'kill']
const kinds: readonly [VerdictSubject['kind'], ...VerdictSubject['kind'][]] = [
  'identity',
  'instance',
  'session',
  'token',
  'delegation',
]

export const verdictControl: Aggregate<VerdictChange, VerdictParts> = {
  readers: {
    'verdict.issued': (read, problems) => ({
      type: 'verdict.issued',
      verdict: readVerdict(read.object('verdict'), problems),
    }),
    'verdict.lifted': (read) => ({
      type: 'verdict.lifted',
      verdictId: read.text('verdictId', 1, idCharsMax),
      reason: read.text('reason', 0, textCharsMax),
    }),
  },
  idOf: (change) =>
    verdictAggregate(change.type === 'verdict.issued' ? change.verdict.verdictId : change.verdictId),
  apply(state, change, { at, by, version }) {
    switch (change.type) {
      case 'verdict.issued':
        if (version > 0)
          return {
            code: 'exists',
            why: `verdict ${change.verdict.verdictId} was issued or lifted before: use a new id`,
          }
        state.verdicts.set(change.verdict.verdictId, { ...change.verdict, issuedBy: by })
        return undefined
      case 'verdict.lifted':
        if (state.lifted.has(change.verdictId))
          return { code: 'already_lifted', why: `verdict ${change.verdictId} was lifted before` }
        state.verdicts.delete(change.verdictId)
        state.lifted.set(change.verdictId, { at, by, reason: change.reason })
        return undefined
    }
  },
}

function readVerdict(fields: Fields, problems: string[]): Verdict {
  const read = fieldReader(fields, 'verdict.', problems)
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
  const read = fieldReader(fields, 'verdict.subject.', problems)
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
