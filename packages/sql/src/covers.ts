// Parts of an OR of which one always holds, whatever is in the row: `a or not a`, `a > 1 or a <= 1`. Refuses to say what a
// part comes to by itself: that is where.ts.
import { opposites, rangeOf, swappedTest } from './conditions.ts'
import type { Tree } from './grammar.ts'
import type { Shape } from './shape.ts'
import { list, only, qualified, text } from './walk.ts'

/** Of two parts of an OR one is always true: `a or not a`, `a is null or a is not null`, `a > 1 or a <= 1`. */
export function covers(args: readonly Tree[], shape: Shape): boolean {
  const parts = new Set(args.map((argument) => shape.key(argument)))
  if (args.some((argument) => parts.has(opposite(argument, shape)))) return true
  const bounds = new Map<string, { above: number; below: number }>()
  return args.some((argument) => {
    const range = rangeOf(argument)
    if (range === undefined) return false
    const key = shape.key(range.side)
    const known = bounds.get(key) ?? { above: Number.POSITIVE_INFINITY, below: Number.NEGATIVE_INFINITY }
    bounds.set(key, known)
    if (range.isAbove) known.above = Math.min(known.above, range.bound)
    else known.below = Math.max(known.below, range.bound)
    return known.above < known.below
  })
}

/** With the right bind values one of these parts could always be true: `a > $1 or a <= $2`, and never `a = $1 or b = $2`. */
export function mayCover(args: readonly Tree[], shape: Shape): boolean {
  if (!args.some((argument) => shape.namesParameter(argument))) return false
  const sides = new Map<string, { readonly isBound: boolean; readonly isEqual: boolean }>()
  return args.some((argument) => {
    if (only(argument, 'BoolExpr')?.boolop === 'NOT_EXPR') return true
    const expression = only(argument, 'A_Expr')
    if (expression === undefined) return false
    const side = [expression.lexpr, expression.rexpr].find((one) => shape.namesRow(one))
    const key = shape.key(side)
    const here = {
      isBound: shape.namesParameter(argument),
      isEqual: qualified(expression.name)[1] === '=' && !/ALL/.test(text(expression.kind)),
    }
    const before = sides.get(key)
    sides.set(key, {
      isBound: here.isBound || before?.isBound === true,
      isEqual: here.isEqual && before?.isEqual !== false,
    })
    return before !== undefined && !(here.isEqual && before.isEqual) && (here.isBound || before.isBound)
  })
}

function opposite(argument: Tree, shape: Shape): string {
  const not = only(argument, 'BoolExpr')
  if (not?.boolop === 'NOT_EXPR') return shape.key(list(not.args)[0])
  const test = only(argument, 'NullTest') ?? only(argument, 'BooleanTest')
  if (test !== undefined) {
    const field = test.nulltesttype === undefined ? 'booltesttype' : 'nulltesttype'
    const swapped = { ...test, [field]: swappedTest(text(test[field])) }
    return shape.key({ [field === 'nulltesttype' ? 'NullTest' : 'BooleanTest']: swapped })
  }
  const expression = only(argument, 'A_Expr')
  const [schema, operator] = expression === undefined ? ['', ''] : qualified(expression.name)
  const opposite = schema === '' || schema === 'pg_catalog' ? opposites[operator] : undefined
  const kind = text(expression?.kind)
  if (expression !== undefined && opposite !== undefined && !/BETWEEN|ANY|ALL/.test(kind))
    return shape.key({ A_Expr: { ...expression, name: [{ String: { sval: opposite } }] } })
  if (expression !== undefined && /BETWEEN/.test(kind)) {
    const swapped = /NOT_/.test(kind) ? kind.replace('NOT_', '') : kind.replace('AEXPR_', 'AEXPR_NOT_')
    const name = [{ String: { sval: /NOT_/.test(kind) ? operator.slice(4) : `NOT ${operator}` } }]
    return shape.key({ A_Expr: { ...expression, kind: swapped, name } })
  }
  return `not ${shape.key(argument)}`
}
