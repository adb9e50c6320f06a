/**
 * Rules -> what may run. Of all rules that apply the most restrictive wins, whatever their order: block, then hold, then
 * (where no rule allows) deny, then allow with every mask and the least of each cap. A rule that needs what cannot be known
 * errs to the safe side: it blocks, holds, masks, caps and alerts, and never allows.
 *
 * Compiled once. What a session can never meet is left out when it opens; what a decision rests on is kept with it, so that
 * a statement that comes again is looked up. Kept only under `Analysis.alike`, or the analysis itself: texts whose literals
 * matter never share one.
 */
import { hash } from 'node:crypto'
import type { Analysis } from '@portcullis/kernel'
import {
  commandValues,
  estimatedRows,
  isLive,
  isOnEvents,
  liveValues,
  subjectValues,
  type Values,
} from './attributes.ts'
import { type Matcher, matcherOf, mayBeFor, type TimeMatcher, timeMatcherOf } from './match.ts'
import type { ParsedRule } from './parse.ts'
import { fold } from './precedence.ts'
import { readsOf } from './reads.ts'
import { both, type Judged, type Live, type RuleMask, type Subject, type Tri } from './types.ts'

/** One version of the rules. Immutable but for what it keeps. */
export interface Policy {
  /** Changes with every rule. */
  readonly version: string
  /** For one session, or as many as there are of whom no rule tells apart. */
  rulesFor(subject: Subject): Ruleset
}

export interface Ruleset {
  judge(analysis: Analysis, live: () => Live): Judged
  /** Some rule reads how many rows a command would change. */
  readonly asksRows: boolean
  /** Some rule may mask, whether it is enforced or observed. */
  readonly isMasking: boolean
  /** Anew, by what was recorded of it. What is the same of a command comes in the same object. */
  judgeRecorded(command: Values, moment: Moment, missing: ReadonlySet<string>): JudgedAnew
}

/** When a command was judged. */
export interface Moment {
  /** Milliseconds since 1970 UTC. */
  readonly nowMs: number
  /** By variable. */
  readonly live: Readonly<Record<string, Values>>
}

export interface JudgedAnew {
  readonly judged: Judged
  /** What was not recorded and might have made it come out otherwise. Such rules err to the safe side here too. */
  readonly doubts: readonly string[]
}

interface Compiled {
  readonly rule: ParsedRule
  readonly index: number
  readonly matcher: Matcher
  readonly time: TimeMatcher | undefined
  readonly isLive: boolean
}

/** A rule that may apply to a session's commands, with what is known of its match. */
interface Candidate extends Compiled {
  readonly match: Tri
}

export function createPolicy(rules: readonly ParsedRule[]): Policy {
  const compiled = rules.map((rule, index): Compiled => {
    const { time, ...match } = rule.match ?? {}
    return {
      rule,
      index,
      matcher: matcherOf(match),
      time: time && timeMatcherOf(time),
      isLive: rule.condition?.reads.some(isLive) ?? false,
    }
  })
  const readsSubject = compiled.some(({ rule }) =>
    rule.condition?.reads.some((read) => !read.startsWith('command.') && !isLive(read)),
  )
  const readsLabels = readsOf(rules).has('target.labels')
  const kept = new Map<string, Ruleset>()
  const plain = rules.map(({ condition: _, entry: __, ...rule }) => rule)
  return {
    version: hash('sha256', JSON.stringify(plain)).slice(0, 12),
    rulesFor(subject) {
      const candidates = compiled
        .map((one): Candidate => ({ ...one, match: one.matcher(subject) }))
        .filter(({ match }) => match !== false)
      const isOpen = !isRuled(rules, subject)
      const values = subjectValues(subject)
      const key = JSON.stringify(
        [
          isOpen,
          candidates.map(({ index, match }) => [index, match ?? null]),
          readsSubject && values,
          readsLabels && subject.labels,
        ],
        (_, value) => (typeof value === 'bigint' ? `${value}` : value),
      )
      const known = kept.get(key)
      if (known) return known
      if (kept.size >= rulesetsMax) kept.clear()
      const ruleset = createRuleset(candidates, values, isOpen, readsLabels)
      kept.set(key, ruleset)
      return ruleset
    },
  }
}

/** A target is the rules' business as soon as one that is enforced is for anybody there; without one it is open. */
export function isRuled(
  rules: readonly ParsedRule[],
  target: Pick<Subject, 'protocol' | 'target' | 'labels'>,
): boolean {
  return rules.some(({ observe, match }) => !observe && mayBeFor(match ?? {}, target))
}

/** Sessions keep theirs; this bounds what is found again by others. */
const rulesetsMax = 1000

/** What is the same whenever a command comes: the rules that apply, those yet to be asked, and what they read. */
interface Entry {
  readonly applying: readonly Compiled[]
  readonly open: readonly (Candidate & { readonly known: Tri })[]
  readonly attributes: Readonly<Record<string, string>>
  /** Where none is open. */
  readonly judged: Judged | undefined
}

function createRuleset(
  candidates: readonly Candidate[],
  subject: Input,
  isOpen: boolean,
  readsLabels: boolean,
): Ruleset {
  const kept = new WeakMap<object, Entry>()
  const reads = [...new Set(candidates.flatMap(({ rule }) => rule.condition?.reads ?? []))]
  // Whose match they decided is not among the candidates any more.
  const labels = readsLabels ? ['target.labels'] : []
  const fixedReads = [...reads.filter((read) => !isLive(read) && !isOnEvents(read)), ...labels]
  const liveReads = reads.filter(isLive)
  const masks = new Map<string, readonly RuleMask[]>()

  /** What is made of the masks is kept by whoever carries them out, for a list. */
  function listed(list: readonly RuleMask[]): readonly RuleMask[] {
    if (list.length === 0) return noMasks
    const key = list.map(({ rule }) => rule).join('\n')
    const known = masks.get(key)
    if (known) return known
    if (masks.size >= listsMax) masks.clear()
    masks.set(key, list)
    return list
  }

  function folded(rules: readonly Compiled[], attributes: Judged['attributes']): Judged {
    const judged = fold(
      rules.map(({ rule }) => rule),
      isOpen,
      attributes,
    )
    return { ...judged, masks: listed(judged.masks), observedMasks: listed(judged.observedMasks) }
  }

  function entryOf(command: Values): Entry {
    const input: Input = { ...subject, command }
    const applying: Compiled[] = []
    const open: Entry['open'][number][] = []
    for (const candidate of candidates) {
      const { rule, match, time } = candidate
      const when = candidate.isLive ? undefined : rule.condition ? rule.condition.evaluate(input) : true
      const known = both(match, when)
      if (known === false) continue
      if (time || candidate.isLive) open.push({ ...candidate, known })
      else if (applies(rule, known)) applying.push(candidate)
    }
    const attributes = recorded(fixedReads, input)
    return {
      ...{ applying, open, attributes },
      judged: open.length > 0 ? undefined : folded(applying, attributes),
    }
  }

  function judgeOpen(
    { applying, open, attributes }: Entry,
    command: () => Values,
    { nowMs, live }: Moment,
  ): Judged {
    let input: Input | undefined
    const all = [...applying]
    for (const one of open) {
      if (one.time && !one.time(nowMs)) continue
      if (!one.isLive) {
        if (applies(one.rule, one.known)) all.push(one)
        continue
      }
      input ??= inputOf(subject, command(), live)
      if (applies(one.rule, both(one.match, one.rule.condition?.evaluate(input)))) all.push(one)
    }
    all.sort((a, b) => a.index - b.index)
    const moment = open.some(({ time }) => time) ? { 'time.now_ms': String(nowMs) } : {}
    return folded(all, { ...attributes, ...recorded(liveReads, live), ...moment })
  }

  return {
    asksRows: reads.includes(estimatedRows),
    isMasking: candidates.some(({ rule }) => rule.mask && rule.condition?.evaluate(subject) !== false),
    judge(analysis, live) {
      const key = analysis.alike ?? analysis
      let entry = kept.get(key)
      if (entry === undefined) {
        entry = entryOf(commandValues(analysis))
        kept.set(key, entry)
      }
      if (entry.judged) return entry.judged
      const now = live()
      return judgeOpen(entry, () => commandValues(analysis), { nowMs: now.nowMs, live: liveValues(now) })
    },
    judgeRecorded(command, moment, missing) {
      let entry = kept.get(command)
      if (entry === undefined) {
        entry = entryOf(command)
        kept.set(command, entry)
      }
      const judged = entry.judged ?? judgeOpen(entry, () => command, moment)
      const isBlind = missing.size > 0 && reads.some((read) => missing.has(read))
      return { judged, doubts: isBlind ? doubtsOf(inputOf(subject, command, moment.live), missing) : [] }
    },
  }

  function doubtsOf(input: Input, missing: ReadonlySet<string>): readonly string[] {
    const doubts = candidates.flatMap(({ rule: { condition } }) => {
      const blind = condition?.reads.filter((read) => missing.has(read)) ?? []
      // Whether something is known is answered, and perhaps wrongly, where it is only not recorded.
      const isSure = condition?.evaluate(input) !== undefined && !/\bhas\(/.test(condition.text)
      return isSure ? [] : blind
    })
    return [...new Set(doubts)]
  }
}

const noMasks: readonly RuleMask[] = []
const listsMax = 1000

type Input = Readonly<Record<string, Values>>

/** What is live of a variable stands beside what is the same for the whole session. */
function inputOf(subject: Input, command: Values, live: Input): Input {
  const input: Record<string, Values> = { ...subject, command }
  for (const [variable, values] of Object.entries(live)) input[variable] = { ...input[variable], ...values }
  return input
}

function applies(rule: ParsedRule, answer: Tri): boolean {
  return rule.action === 'allow' ? answer === true : answer !== false
}

function recorded(reads: readonly string[], input: Input): Readonly<Record<string, string>> {
  return Object.fromEntries(
    reads.map((read) => {
      const [variable = '', field = ''] = read.split('.')
      const value = input[variable]?.[field] ?? null
      return [read, typeof value === 'bigint' ? `${value}` : JSON.stringify(value)]
    }),
  )
}
