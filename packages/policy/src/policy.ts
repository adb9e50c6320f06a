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
import { commandValues, isLive, isOnEvents, liveValues, subjectValues, type Values } from './attributes.ts'
import { type Matcher, matcherOf, mayBeFor, type TimeMatcher, timeMatcherOf } from './match.ts'
import type { ParsedRule } from './parse.ts'
import { fold } from './precedence.ts'
import { both, type Judged, type Live, type Subject, type Tri } from './types.ts'

/** One version of the rules. Immutable but for what it keeps. */
export interface Policy {
  /** Changes with every rule. */
  readonly version: string
  /** For one session, or as many as there are of whom no rule tells apart. */
  rulesFor(subject: Subject): Ruleset
}

export interface Ruleset {
  judge(analysis: Analysis, live: () => Live): Judged
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
  const kept = new Map<string, Ruleset>()
  const plain = rules.map(({ condition: _, entry: __, ...rule }) => rule)
  return {
    version: hash('sha256', JSON.stringify(plain)).slice(0, 12),
    rulesFor(subject) {
      const candidates = compiled
        .map((one): Candidate => ({ ...one, match: one.matcher(subject) }))
        .filter(({ match }) => match !== false)
      // A target is the rules' business as soon as one that is enforced is for anybody there.
      const isOpen = !compiled.some(({ rule }) => !rule.observe && mayBeFor(rule.match ?? {}, subject))
      const values = subjectValues(subject)
      const key = JSON.stringify(
        [isOpen, candidates.map(({ index, match }) => [index, match ?? null]), readsSubject && values],
        (_, value) => (typeof value === 'bigint' ? `${value}` : value),
      )
      const known = kept.get(key)
      if (known) return known
      if (kept.size >= rulesetsMax) kept.clear()
      const ruleset = createRuleset(candidates, values, isOpen)
      kept.set(key, ruleset)
      return ruleset
    },
  }
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

function createRuleset(candidates: readonly Candidate[], subject: Values, isOpen: boolean): Ruleset {
  const kept = new WeakMap<object, Entry>()
  const reads = [...new Set(candidates.flatMap(({ rule }) => rule.condition?.reads ?? []))]
  const fixedReads = reads.filter((read) => !isLive(read) && !isOnEvents(read))
  const liveReads = reads.filter(isLive)

  function entryOf(analysis: Analysis): Entry {
    const input = { ...subject, command: commandValues(analysis) } as Input
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
      judged:
        open.length > 0
          ? undefined
          : fold(
              applying.map(({ rule }) => rule),
              isOpen,
              attributes,
            ),
    }
  }

  function judgeOpen({ applying, open, attributes }: Entry, analysis: Analysis, live: Live): Judged {
    const session = liveValues(live)
    let input: Input | undefined
    const all = [...applying]
    for (const one of open) {
      if (one.time && !one.time(live.nowMs)) continue
      if (!one.isLive) {
        if (applies(one.rule, one.known)) all.push(one)
        continue
      }
      input ??= { ...subject, command: commandValues(analysis), session } as Input
      if (applies(one.rule, both(one.match, one.rule.condition?.evaluate(input)))) all.push(one)
    }
    all.sort((a, b) => a.index - b.index)
    const moment = open.some(({ time }) => time) ? { 'time.now_ms': String(live.nowMs) } : {}
    return fold(
      all.map(({ rule }) => rule),
      isOpen,
      { ...attributes, ...recorded(liveReads, { session } as Input), ...moment },
    )
  }

  return {
    judge(analysis, live) {
      const key = analysis.alike ?? analysis
      let entry = kept.get(key)
      if (entry === undefined) {
        entry = entryOf(analysis)
        kept.set(key, entry)
      }
      return entry.judged ?? judgeOpen(entry, analysis, live())
    },
  }
}

type Input = Readonly<Record<string, Values>>

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
