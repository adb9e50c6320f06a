/**
 * Rules and a command's lineage -> what is done to each column that it returns. Refuses what would carry a masked column's
 * content to a place where it is no masked column any more, and errs to the safe side: a column is shown only where it is
 * known that nothing masked is in it.
 */
import type {
  Analysis,
  AskLimit,
  ColumnMask,
  ColumnRef,
  ContentMask,
  Effect,
  Lineage,
  MaskedAsk,
  MaskPlan,
  RemoteFinds,
  Sources,
} from '@portcullis/kernel'
import { columnsOf } from './columns.ts'
import { contentMaskOf, type ContentRule } from './detect/content-rules.ts'

/** One rule that masks, as the policy has it. */
export interface MaskRule extends ContentRule {
  /** Patterns of columns; may be empty where it looks for content. */
  readonly columns: readonly string[]
  readonly lost: 'mask' | 'refuse'
  readonly predicates?: AskLimit | undefined
}

/** Why a command cannot be let pass, and by which rule. */
export interface Unmaskable {
  readonly refusedBy: string
  readonly why: string
}

/** What some rules say together. */
export interface Masks {
  /**
   * Also where nothing of it is masked: what the target then says of its answer may be something else. The same for the
   * same lineage and analysis.
   */
  planFor(lineage: Lineage, analysis: Analysis): MaskPlan | Unmaskable
}

/** Of several rules for one column the strictest holds, whatever their order. */
const strictness = { partial: 0, fake: 1, hash: 2, redact: 3, null: 4 } as const

/** `rules` has at least one. */
export function createMasks(
  rules: readonly MaskRule[],
  presidio?: (entities: readonly string[]) => RemoteFinds,
): Masks {
  const asking = presidio ? undefined : rules.find((rule) => rule.presidio.length > 0)
  if (asking) {
    const refusal = { refusedBy: asking.rule, why: 'it needs proxy.presidio, which is not configured' }
    return { planFor: () => refusal }
  }
  const strictest = rules.toSorted((one, other) => strictness[other.method] - strictness[one.method])
  const content = contentMaskOf(strictest, presidio)
  const byColumn = rules.filter(({ columns }) => columns.length > 0)
  const [first] = byColumn
  if (first) return columnMasks(strictest, byColumn, first, content)
  const plan: MaskPlan = {
    columns: [],
    others: undefined,
    rule: content?.rule ?? '',
    of: () => undefined,
    quotes: false,
    literals: false,
    asks: [],
    content,
  }
  return { planFor: () => plan }
}

function columnMasks(
  strictest: readonly MaskRule[],
  rules: readonly MaskRule[],
  any: MaskRule,
  content: ContentMask | undefined,
): Masks {
  const tests = strictest.map((rule) => ({ rule, means: columnsOf(rule.columns) }))
  const refusing = rules.find(({ lost }) => lost === 'refuse')
  const first = refusing ?? any
  const plans = new WeakMap<Lineage, WeakMap<object, MaskPlan | Unmaskable>>()

  const of = (column: ColumnRef): ColumnMask | undefined => {
    const rule = tests.find(({ means }) => means(column))?.rule
    return (
      rule && {
        method: rule.method,
        keep: rule.keep,
        rule: rule.rule,
        column: nameOf(column),
        source: column,
      }
    )
  }
  const strictestOf = (sources: readonly ColumnRef[]): ColumnMask | undefined => {
    const [found, ...more] = sources.flatMap((column) => of(column) ?? [])
    return found && more.reduce((a, b) => (strictness[b.method] > strictness[a.method] ? b : a), found)
  }
  const isSure = (sources: Sources): boolean => sources !== 'lost' && strictestOf(sources) !== undefined
  const touches = (sources: Sources): boolean => sources === 'lost' || strictestOf(sources) !== undefined
  const lost: ColumnMask = { method: 'redact', keep: 0, rule: first.rule, column: '' }

  function shownAs({ sources, exact }: Lineage['others']): ColumnMask | undefined {
    if (sources === 'lost') return lost
    const mask = strictestOf(sources)
    // Ends and hashes of parts of a value would give it away, part by part.
    if (mask === undefined || exact) return mask
    const { source: _, ...derived } = mask
    return derived.method === 'null' ? derived : { ...derived, method: 'redact' }
  }

  function make(lineage: Lineage, analysis: Analysis): MaskPlan | Unmaskable {
    const { columns, others, reads, copies, raises } = lineage
    const copied = copies === 'lost' ? undefined : strictestOf(copies)
    if (copied)
      return { refusedBy: copied.rule, why: `it would store what is masked (${copied.column}) elsewhere` }
    if (copies === 'lost' && !analysis.effects.every((effect) => isHarmless(effect, analysis)))
      return { refusedBy: first.rule, why: analysis.effects.includes('unknown') ? unread : mayCopy }
    const isLost = columns.some(({ sources }) => sources === 'lost')
    const mayBeLost = columns.length === 0 && others.sources === 'lost' && analysis.returnsRows
    if (refusing && (isLost || mayBeLost))
      return { refusedBy: refusing.rule, why: 'nobody can tell whether what is masked is in its answer' }
    return {
      columns: columns.map(shownAs),
      others: refusing && others.sources === 'lost' ? 'refuse' : shownAs(others),
      rule: first.rule,
      of,
      quotes: touches(raises),
      literals: isSure(reads) || (isSure(raises) && analysis.effects.some((effect) => effect !== 'read')),
      content,
      asks: rules.flatMap((rule) => asked(rule, lineage, analysis)),
    }
  }

  return {
    planFor(lineage, analysis) {
      const known = plans.get(lineage) ?? new WeakMap()
      plans.set(lineage, known)
      const key = analysis.alike ?? analysis
      const plan = known.get(key) ?? make(lineage, analysis)
      known.set(key, plan)
      return plan
    },
  }
}

const unread = 'it cannot be understood, perhaps for a mistake in it'
const mayCopy = 'it may store what is masked elsewhere, and nobody can tell'

/** What is exported to the client is its answer. */
function isHarmless(effect: Effect, { verb, returnsRows }: Analysis): boolean {
  return effect === 'read' || (effect === 'export' && verb === 'COPY' && returnsRows)
}

/** To read on in a cursor asks nothing anew. */
const readsOn = /^(FETCH|MOVE)$/

function asked(
  { rule, columns, predicates }: MaskRule,
  { reads, timesRead }: Lineage,
  { effects, verb }: Analysis,
): readonly MaskedAsk[] {
  if (predicates === undefined || columns.length === 0 || readsOn.test(verb)) return []
  // What changes and reads nothing (SET, BEGIN) answers nothing.
  if (reads === 'lost') return effects.length > 0 ? [{ ...predicates, rule, column: '?', times: 1 }] : []
  const means = columnsOf(columns)
  // One more than there may be says it all, and is a number that can be written down.
  const most = predicates.perHour + 1
  const times = new Map<string, number>()
  for (const column of reads.filter(means)) {
    const name = nameOf(column)
    times.set(name, Math.max(times.get(name) ?? 0, timesRead?.get(column) ?? 1))
  }
  return [...times].map(([column, count]) => ({ ...predicates, rule, column, times: Math.min(count, most) }))
}

function nameOf({ schema, table, column }: ColumnRef): string {
  return `${schema}.${table}.${column}`
}
