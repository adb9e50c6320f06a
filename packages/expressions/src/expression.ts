/**
 * Expressions that people write into a configuration (CEL, https://cel.dev), compiled once and then evaluated on what a
 * stranger sends. Refuses what would make an evaluation long or its meaning a guess: regular expressions (the library runs
 * the runtime's own, which backtrack: one branch name could hold a worker for minutes), a comprehension inside another,
 * `split` and `join`, expressions above a size, lists above a length, numbers that JSON could not carry exactly. What is
 * not there, or not of its type, is an error and never false, empty or zero.
 */
import { Environment } from '@marcbachmann/cel-js'
import { charsMax, ExpressionError, limits, notServed, requireServed, served, whyOf } from './served.ts'

export { ExpressionError, type ExpressionErrorCode } from './served.ts'

export type ResultType = 'bool' | 'string' | 'strings'

interface Results {
  readonly bool: boolean
  readonly string: string
  /** A string alone is a list of one. */
  readonly strings: readonly string[]
}

export interface Expression<Type extends ResultType> {
  /** As it was written. */
  readonly text: string
  /** Throws ExpressionError `missing` or `unfit`, in words that hold nothing of the values. */
  evaluate(input: ExpressionInput): Results[Type]
}

/** The one variable's value, fit for any number of expressions: see `inputOf`. */
export type ExpressionInput = Readonly<Record<string, Readonly<Record<string, unknown>>>>

export const listItemsMax = 1000

/** Throws ExpressionError('not_served') that says what is wrong and where. `variable` is a map of strings to anything. */
export function compileExpression<Type extends ResultType>(
  text: string,
  variable: string,
  type: Type,
): Expression<Type> {
  if (text.length > charsMax) throw notServed(`is longer than ${charsMax} characters`)
  const environment = new Environment({
    homogeneousAggregateLiterals: false,
    limits,
  }).registerVariable(variable, 'map<string, dyn>')
  const compiled = served(() => environment.parse(text))
  requireServed(compiled.ast, false)
  const checked = compiled.check()
  if (!checked.valid) throw notServed(whyOf(checked.error), checked.error)
  const resultType = checked.type ?? 'dyn'
  if (resultType !== 'dyn' && !resultTypes[type].includes(resultType))
    throw notServed(`gives ${resultType}, where ${named[type]} is needed`)
  return {
    text,
    evaluate(input) {
      const value = evaluated(text, () => compiled(input))
      const result = results[type](value)
      if (result === undefined) throw new ExpressionError('unfit', `does not give ${named[type]}`)
      return result as Results[Type]
    },
  }
}

/** Throws ExpressionError('unfit') where a list is too long to be looked through. Numbers that are not exact cannot be read. */
export function inputOf(variable: string, value: Readonly<Record<string, unknown>>): ExpressionInput {
  return { [variable]: exact(value) as Record<string, unknown> }
}

/** What JSON text could have meant by more than one number. CEL knows no such type, so that to read it is an error. */
class Inexact {}
const inexact = new Inexact()

function exact(value: unknown): unknown {
  if (typeof value === 'number')
    return Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))
      ? value
      : inexact
  if (typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) {
    if (value.length > listItemsMax)
      throw new ExpressionError('unfit', `a list has more than ${listItemsMax} items`)
    return value.map(exact)
  }
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, exact(inner)]))
}

const named: Record<ResultType, string> = {
  bool: 'true or false',
  string: 'a string',
  strings: 'a list of strings',
}

/** What may be left to be seen at evaluation; `list` is one of anything. */
const resultTypes: Record<ResultType, readonly string[]> = {
  bool: ['bool'],
  string: ['string'],
  strings: ['list', 'list<string>', 'list<dyn>', 'string'],
}

const results: { [Type in ResultType]: (value: unknown) => Results[Type] | undefined } = {
  bool: (value) => (typeof value === 'boolean' ? value : undefined),
  string: (value) => (typeof value === 'string' ? value : undefined),
  strings(value) {
    if (typeof value === 'string') return [value]
    if (!Array.isArray(value) || value.length > listItemsMax) return undefined
    return value.every((item) => typeof item === 'string') ? value : undefined
  },
}

function evaluated(text: string, run: () => unknown): unknown {
  try {
    return run()
  } catch (cause) {
    // The library's own words may quote a value, and a value may be a secret.
    const { code, summary } = cause as { code?: unknown; summary?: unknown }
    if (code === 'no_such_key') throw new ExpressionError('missing', keyOf(summary, text), { cause })
    throw new ExpressionError('unfit', `cannot be evaluated (${typeof code === 'string' ? code : 'error'})`, {
      cause,
    })
  }
}

/** Named only where the expression itself names it: a key may be a value too. */
function keyOf(summary: unknown, text: string): string {
  const [, key] = /^No such key: ([\w.-]{1,64})$/.exec(String(summary)) ?? []
  return key === undefined || !text.includes(key)
    ? 'reads what is not there'
    : `reads ${key}, which is not there`
}
