// Parts of conditions: which operator is another's contrary, which column stands there, what is written differently and
// is the same. Refuses to say what a condition comes to: that is where.ts.
import { type Constant, castOf } from './constants.ts'
import type { Tree, TreeNode } from './grammar.ts'
import { list, node, only, qualified, stringOf, text } from './walk.ts'

export const comparisons = new Set(['=', '<>', '<', '>', '<=', '>='])
export const reflexive = new Set(['=', '<=', '>='])
export const mirrored: Readonly<Record<string, string>> = {
  '<': '>',
  '>': '<',
  '<=': '>=',
  '>=': '<=',
  '<>': '<>',
}
export const opposites: Readonly<Record<string, string>> = {
  '=': '<>',
  '<>': '=',
  '<': '>=',
  '>=': '<',
  '>': '<=',
  '<=': '>',
  '~~': '!~~',
  '!~~': '~~',
  '~~*': '!~~*',
  '!~~*': '~~*',
  '~': '!~',
  '!~': '~',
}
export const arithmetic: Readonly<Record<string, (a: number, b: number) => number | undefined>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => (b === 0 ? undefined : Math.trunc(a / b)),
  '%': (a, b) => (b === 0 ? undefined : a % b),
}

export function constantOf(one: TreeNode): Constant {
  if (one.isnull === true) return null
  if (one.boolval !== undefined) return node(one.boolval).boolval === true
  if (one.ival !== undefined) return Number(node(one.ival).ival ?? 0)
  if (one.fval !== undefined) return Number(node(one.fval).fval)
  return text(node(one.sval ?? one.bsval ?? null).sval)
}

export function columnOf(side: Tree | undefined): { readonly of: string; readonly name: string } | undefined {
  const fields = list(only(side, 'ColumnRef')?.fields)
  const name = stringOf(fields.at(-1))
  return name === '' ? undefined : { of: fields.length > 1 ? stringOf(fields.at(-2)) : '', name }
}

export function rangeOf(part: Tree): { side: Tree; isAbove: boolean; bound: number } | undefined {
  const expression = only(part, 'A_Expr')
  const [, operator] = qualified(expression?.name)
  const bound = only(expression?.rexpr, 'A_Const')
  const side = expression?.lexpr
  if (side === undefined || bound === undefined || !/^[<>]=?$/.test(operator)) return undefined
  const value = castOf(constantOf(bound), 'numeric')
  if (typeof value !== 'number') return undefined
  return { side, isAbove: operator.startsWith('>'), bound: value }
}

/** `x + 0`, `x * 1`, `x || ''`. */
export function isNeutral(expression: TreeNode): boolean {
  const right = only(expression.rexpr, 'A_Const')
  if (right === undefined || expression.lexpr === undefined || expression.kind !== 'AEXPR_OP') return false
  const value = constantOf(right)
  const [, operator] = qualified(expression.name)
  if (operator === '||') return value === ''
  // Beside a number `'0'` is one.
  if (value === null || value === '' || typeof value === 'boolean') return false
  const neutral =
    operator === '+' || operator === '-' ? 0 : operator === '*' || operator === '/' ? 1 : undefined
  return Number(value) === neutral
}

export function isNullConstant(side: Tree | undefined): boolean {
  const cast = only(side, 'TypeCast')
  return cast === undefined ? only(side, 'A_Const')?.isnull === true : isNullConstant(cast.arg)
}

/** A constant other than NULL, or a bind value that is known not to be it, whatever it is made into. */
export function isNeverNull(side: Tree | undefined): boolean {
  const cast = only(side, 'TypeCast')
  if (cast !== undefined) return isNeverNull(cast.arg)
  const constant = only(side, 'A_Const')
  return constant === undefined ? only(side, 'ParamRef')?.notNull === true : constant.isnull !== true
}

/** The elements of an array that is written out; undefined where it is not, or cannot be told. */
export function elementsOf(side: Tree | undefined): readonly Tree[] | undefined {
  const cast = only(side, 'TypeCast')
  if (cast !== undefined) return elementsOf(cast.arg)
  const array = only(side, 'A_ArrayExpr')
  if (array !== undefined) return list(array.elements)
  const constant = only(side, 'A_Const')
  const value = constant === undefined ? undefined : constantOf(constant)
  if (typeof value !== 'string') return undefined
  return elementsIn(value)
}

/** Of an array's text of one dimension (PostgreSQL manual, "Array Input and Output Syntax"). */
function elementsIn(text: string): readonly Tree[] | undefined {
  const inside = /^\s*\{(.*)\}\s*$/s.exec(text)?.[1]
  if (inside === undefined) return undefined
  if (inside.trim() === '') return []
  const element = /\s*(?:"((?:[^"\\]|\\.)*)"|([^,"{}\\]+))\s*(,|$)/sy
  const elements: Tree[] = []
  for (let found = element.exec(inside); found !== null; found = element.exec(inside)) {
    const [, quoted, plain = '', end] = found
    elements.push(
      quoted === undefined
        ? elementOf(plain.trim())
        : { A_Const: { sval: { sval: quoted.replace(/\\(.)/gs, '$1') } } },
    )
    if (end === '') return elements
  }
  return undefined
}

function elementOf(item: string): Tree {
  return { A_Const: /^null$/i.test(item) ? { isnull: true } : { sval: { sval: item } } }
}

export function equality(left: Tree, right: Tree): TreeNode {
  return { A_Expr: { kind: 'AEXPR_OP', name: [{ String: { sval: '=' } }], lexpr: left, rexpr: right } }
}

export function swappedTest(test: string): string {
  return /_NOT_/.test(test) ? test.replace('_NOT_', '_') : test.replace('IS_', 'IS_NOT_')
}

export const volatiles = /^(random(_normal)?|clock_timestamp|timeofday|nextval|gen_random_uuid|uuid.*)$/
