/** What a backtest found, added up: how many commands would have come out otherwise, by which rule and of whom, with examples. */
import type { Decided, Outcome } from './compare.ts'
import type { JudgedRow } from './judge.ts'
import type { Row } from './query.ts'

export interface Change {
  readonly from: Outcome
  readonly to: Outcome
  /** That makes it so, or where it passes now, that no longer stops it; empty where no rule allows it. */
  readonly rule: string
  readonly identity: string
  readonly target: string
  commands: number
  /** Of them, those that were not judged exactly. */
  doubtful: number
  readonly examples: string[]
}

export interface RuleCount {
  /** Commands whose outcome it makes. */
  decides: number
  caps: number
  masks: number
  alerts: number
}

export interface Report {
  readonly policyVersion: string
  /** All that were recorded in the span. */
  readonly commands: number
  readonly same: number
  /** The same comes of them, by another rule. */
  readonly otherRule: number
  readonly changed: number
  /** By the reason for which they were refused. */
  readonly leftOut: Readonly<Record<string, number>>
  /** By the attribute that was not recorded: commands that might have come out otherwise. */
  readonly doubtful: { readonly commands: number; readonly byAttribute: Readonly<Record<string, number>> }
  /** Commands judged by the labels that their target has now. */
  readonly assumedLabels: number
  /** Most commands first. */
  readonly changes: readonly Change[]
  /** Changes beyond those listed. */
  readonly furtherChanges: number
  /** Of the candidate, by name. */
  readonly rules: Readonly<Record<string, RuleCount>>
}

export interface Tally {
  leftOut(row: Row, reason: string): void
  /** `undefined`: no rule is asked, now as then. */
  compared(row: Row, then: Decided, anew: Decided, judged: JudgedRow | undefined): void
  report(policyVersion: string): Report
}

export function createTally(): Tally {
  const counts = { commands: 0, same: 0, otherRule: 0, changed: 0, doubtful: 0, assumedLabels: 0, further: 0 }
  const leftOut: Record<string, number> = {}
  const byAttribute: Record<string, number> = {}
  const rules: Record<string, RuleCount> = {}
  const changes = new Map<string, Change>()

  function countRules({ n }: Row, anew: Decided, { judged }: JudgedRow): void {
    const count = (rule: string, what: keyof RuleCount) => {
      rules[rule] ??= { decides: 0, caps: 0, masks: 0, alerts: 0 }
      rules[rule][what] += n
    }
    if (anew.rule) count(anew.rule, 'decides')
    for (const rule of new Set(Object.values(judged.caps).map((cap) => cap.rule))) count(rule, 'caps')
    for (const { rule } of judged.masks) count(rule, 'masks')
    for (const { rule } of judged.alerts) count(rule, 'alerts')
  }

  function countDoubts({ n }: Row, { doubts, assumesLabels }: JudgedRow): void {
    if (assumesLabels) counts.assumedLabels += n
    if (doubts.length === 0) return
    counts.doubtful += n
    for (const doubt of new Set(doubts)) byAttribute[doubt] = (byAttribute[doubt] ?? 0) + n
  }

  function change(row: Row, then: Decided, anew: Decided, isDoubtful: boolean): void {
    const { identity, target, n, examples } = row
    const rule = (anew.outcome === 'allow' ? then.rule : anew.rule) ?? ''
    const key = JSON.stringify([then.outcome, anew.outcome, rule, identity, target])
    let known = changes.get(key)
    if (known === undefined) {
      if (changes.size >= changesMax) {
        counts.further += 1
        return
      }
      known = {
        ...{ from: then.outcome, to: anew.outcome, rule, identity, target },
        ...{ commands: 0, doubtful: 0, examples: [] },
      }
      changes.set(key, known)
    }
    known.commands += n
    if (isDoubtful) known.doubtful += n
    known.examples.push(...examples.slice(0, examplesMax - known.examples.length))
  }

  return {
    leftOut({ n }, reason) {
      counts.commands += n
      leftOut[reason] = (leftOut[reason] ?? 0) + n
    },
    compared(row, then, anew, judged) {
      counts.commands += row.n
      if (judged) {
        countRules(row, anew, judged)
        countDoubts(row, judged)
      }
      if (then.outcome !== anew.outcome) {
        counts.changed += row.n
        change(row, then, anew, (judged?.doubts.length ?? 0) > 0)
      } else if (then.rule === undefined || then.rule === anew.rule) counts.same += row.n
      else counts.otherRule += row.n
    },
    report(policyVersion) {
      const listed = Array.from(changes.values()).sort((a, b) => b.commands - a.commands)
      const { commands, same, otherRule, changed } = counts
      return {
        ...{ policyVersion, commands, same, otherRule, changed, leftOut, rules },
        doubtful: { commands: counts.doubtful, byAttribute },
        assumedLabels: counts.assumedLabels,
        changes: listed.slice(0, listedMax),
        furtherChanges: counts.further + Math.max(0, listed.length - listedMax),
      }
    },
  }
}

const examplesMax = 3
const listedMax = 1000
const changesMax = 100_000
