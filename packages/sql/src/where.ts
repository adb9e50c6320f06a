// Which rows a condition leaves: `true`, `id = id` and a hundred other spellings leave all of them. Folds constants, and
// knows what holds for every row whatever is in it. Refuses to guess: what is the same for all rows and cannot be told from
// the text (a function, another table) is unknown, and never some; and so is what some bind value would widen to that.
import type { Where } from '@portcullis/kernel'
import { type Constant, castOf, compare, foldCall, likesEverything } from './constants.ts'
import {
  arithmetic,
  columnOf,
  comparisons,
  constantOf,
  elementsOf,
  equality,
  isNeverNull,
  mirrored,
  opposites,
  reflexive,
} from './conditions.ts'
import { covers, mayCover } from './covers.ts'
import type { Tree, TreeNode } from './grammar.ts'
import { Shape, type Tables } from './shape.ts'
import { inner, list, names, node, nodeType, only, qualified, text } from './walk.ts'

export interface Condition {
  readonly where: Where
  /** With other literals in the same places it could be another. */
  readonly literalsMatter: boolean
  /** With bind values it may be another; without it is `unknown`. */
  readonly isOpen: boolean
}

/** `clause` undefined: there is none. Bind values stand in it as constants where they are known (bind.ts). */
export function conditionOf(clause: Tree | undefined, tables: Tables): Condition {
  if (clause === undefined) return { where: 'none', literalsMatter: false, isOpen: false }
  const folder = new Folder(tables)
  const where = answers[folder.truth(clause)]
  const isOpen = where === 'unknown' && folder.namesParameter(clause)
  return { where, literalsMatter: where !== 'some' || folder.literalsMatter, isOpen }
}

/** What an expression comes to. `all`, `no`: true, or not true, for whatever row; NULLs in a row may be left out. */
type Folded =
  | { readonly kind: 'constant'; readonly value: Constant }
  | { readonly kind: 'all' | 'no' | 'row' | 'few' | 'outside' }

/**
 * As a condition. `null` is neither true nor false, and stays so when it is negated. `few` is `row` or `no`, as a bind
 * value will have it: what it is negated nobody knows.
 */
type Truth = 'all' | 'no' | 'null' | 'row' | 'few' | 'outside'

const answers: Readonly<Record<Truth, Where>> = {
  all: 'always',
  no: 'never',
  null: 'never',
  row: 'some',
  few: 'some',
  outside: 'unknown',
}

const all = { kind: 'all' } as const
const no = { kind: 'no' } as const
const row = { kind: 'row' } as const
const few = { kind: 'few' } as const
const outside = { kind: 'outside' } as const
const constant = (value: Constant): Folded => ({ kind: 'constant', value })

class Folder {
  literalsMatter = false
  readonly #tables: Tables
  readonly #shape: Shape
  readonly #folded = new Map<TreeNode, Folded>()

  constructor(tables: Tables) {
    this.#tables = tables
    this.#shape = new Shape(tables)
  }

  namesParameter(clause: Tree): boolean {
    return this.#shape.namesParameter(clause)
  }

  truth(clause: Tree | undefined): Truth {
    return this.#truthOf(this.#value(clause))
  }

  #truthOf(folded: Folded): Truth {
    if (folded.kind !== 'constant') return folded.kind
    const value = castOf(folded.value, 'bool')
    if (value === null) return 'null'
    return value === undefined ? 'outside' : value === true ? 'all' : 'no'
  }

  #of(truth: Truth): Folded {
    return truth === 'null' ? constant(null) : { kind: truth }
  }

  /** Each once: what asks twice for what is below it, again and again, took for ever. */
  #value(clause: Tree | undefined): Folded {
    const wrapped = node(clause)
    let folded = this.#folded.get(wrapped)
    if (folded === undefined) {
      folded = this.#fold(wrapped)
      this.#folded.set(wrapped, folded)
    }
    return folded
  }

  #fold(wrapped: TreeNode): Folded {
    const type = nodeType(wrapped) ?? ''
    const one = inner(wrapped, type)
    const visit = this.#visitors[type]
    return visit === undefined ? this.#unread(wrapped) : visit(one, wrapped)
  }

  /**
   * Whatever it is: it may differ from row to row only where it names something of the changed table. With a bind value
   * in it nobody knows: the right one may make all of it a constant (`coalesce($1, name)`).
   */
  #unread(wrapped: TreeNode): Folded {
    return this.#shape.namesRow(wrapped) && !this.#shape.namesParameter(wrapped) ? row : outside
  }

  readonly #visitors: Readonly<Record<string, (one: TreeNode, wrapped: TreeNode) => Folded>> = {
    A_Const: (one) => constant(constantOf(one)),
    BoolExpr: (one) => this.#of(this.#logic(text(one.boolop), list(one.args))),
    NullTest: (one) => this.#nullTest(one),
    BooleanTest: (one) => this.#booleanTest(one),
    A_Expr: (one, wrapped) => this.#expression(one, wrapped),
    TypeCast: (one, wrapped) => {
      const folded = this.#value(one.arg)
      if (folded.kind !== 'constant') return folded
      const value = castOf(folded.value, names(node(one.typeName).names).at(-1) ?? '')
      return value === undefined ? this.#unread(wrapped) : constant(value)
    },
    CollateClause: (one) => this.#value(one.arg),
    CaseExpr: (one) => this.#case(one),
    CoalesceExpr: (one, wrapped) => {
      for (const argument of list(one.args)) {
        const folded = this.#value(argument)
        if (folded.kind === 'constant' && folded.value === null) continue
        return folded.kind === 'constant' || folded.kind === 'all' ? folded : this.#unread(wrapped)
      }
      return constant(null)
    },
    FuncCall: (one, wrapped) => this.#call(one, wrapped),
    SubLink: (one, wrapped) => this.#subquery(one, wrapped),
    CurrentOfExpr: () => row,
  }

  #logic(operator: string, args: readonly Tree[]): Truth {
    const truths = args.map((argument) => this.truth(argument))
    if (operator === 'NOT_EXPR') return negated[truths[0] ?? 'outside']
    if (operator === 'AND_EXPR') {
      const deciding = (['no', 'null', 'row', 'few', 'outside'] as const).find((truth) =>
        truths.includes(truth),
      )
      return deciding ?? 'all'
    }
    // Whether its parts leave anything out is often a matter of their literals alone.
    this.literalsMatter = true
    if (truths.includes('all') || covers(args, this.#shape)) return 'all'
    const deciding = (['outside', 'row', 'few', 'null'] as const).find((truth) => truths.includes(truth))
    return (deciding === 'row' || deciding === 'few') && mayCover(args, this.#shape)
      ? 'outside'
      : (deciding ?? 'no')
  }

  #nullTest(test: TreeNode): Folded {
    const isNull = test.nulltesttype === 'IS_NULL'
    const folded = this.#value(test.arg)
    if (folded.kind === 'constant') return constant((folded.value === null) === isNull)
    if (folded.kind === 'all' || isNeverNull(test.arg)) return isNull ? no : all
    if (folded.kind === 'row' && this.#shape.isKey(test.arg)) return isNull ? no : all
    return this.#unread({ arg: test.arg })
  }

  #booleanTest(test: TreeNode): Folded {
    const truth = this.truth(test.arg)
    const [, not, what = ''] = /^IS_(NOT_)?(.*)$/.exec(text(test.booltesttype)) ?? []
    if (truth === 'row' || truth === 'outside') return { kind: truth }
    if (truth === 'few') return outside
    const value = { all: 'TRUE', no: 'FALSE', null: 'UNKNOWN' }[truth]
    return constant((value === what) !== (not !== undefined))
  }

  #case(one: TreeNode): Folded {
    const results: Truth[] = []
    for (const item of list(one.args)) {
      const when = only(item, 'CaseWhen') ?? {}
      const chosen =
        one.arg === undefined ? this.truth(when.expr) : this.#compared('=', one.arg, when.expr ?? null)
      if (chosen === 'no' || chosen === 'null') continue
      if (chosen === 'all' && results.length === 0) return this.#value(when.result)
      results.push(this.truth(when.result))
      if (chosen === 'all') return this.#oneOf(results, one)
    }
    if (results.length === 0) return one.defresult === undefined ? constant(null) : this.#value(one.defresult)
    results.push(one.defresult === undefined ? 'null' : this.truth(one.defresult))
    return this.#oneOf(results, one)
  }

  #oneOf(results: readonly Truth[], one: TreeNode): Folded {
    const [first] = results
    return first !== undefined && results.every((each) => each === first)
      ? this.#of(first)
      : this.#unread({ ...one })
  }

  #call(call: TreeNode, wrapped: TreeNode): Folded {
    const [schema, name] = qualified(call.funcname)
    const args = list(call.args).map((argument) => this.#value(argument))
    if (
      (schema === '' || schema === 'pg_catalog') &&
      call.over === undefined &&
      args.every((folded) => folded.kind === 'constant')
    ) {
      const value = foldCall(
        name,
        args.map((folded) => (folded as { value: Constant }).value),
      )
      if (value !== undefined) return constant(value)
    }
    if (name === 'starts_with' && args[1]?.kind === 'constant' && args[1].value === '') return all
    return this.#unread(wrapped)
  }

  #expression(one: TreeNode, wrapped: TreeNode): Folded {
    const kind = text(one.kind)
    const [schema, operator] = qualified(one.name)
    if (schema !== '' && schema !== 'pg_catalog') return this.#unread(wrapped)
    const items = list(only(one.rexpr, 'List')?.items ?? null)
    switch (kind) {
      case 'AEXPR_OP':
        return comparisons.has(operator)
          ? this.#of(this.#compared(operator, one.lexpr, one.rexpr ?? null))
          : this.#computed(operator, one, wrapped)
      case 'AEXPR_IN': {
        const equal = items.map((item) => this.#compared('=', one.lexpr, item))
        const truth = equal.includes('all')
          ? 'all'
          : ((['outside', 'row', 'null'] as const).find((each) => equal.includes(each)) ?? 'no')
        return this.#of(operator === '<>' ? negated[truth] : truth)
      }
      case 'AEXPR_OP_ANY':
      case 'AEXPR_OP_ALL':
        return this.#quantified(kind === 'AEXPR_OP_ALL', operator, one, wrapped)
      case 'AEXPR_BETWEEN':
      case 'AEXPR_BETWEEN_SYM':
      case 'AEXPR_NOT_BETWEEN':
      case 'AEXPR_NOT_BETWEEN_SYM': {
        const [low = null, high = null] = items
        const both = [this.#compared('>=', one.lexpr, low), this.#compared('<=', one.lexpr, high)]
        const truth = (['no', 'null', 'row', 'outside'] as const).find((each) => both.includes(each)) ?? 'all'
        if (kind.endsWith('SYM') && truth === 'no') return this.#unread(wrapped)
        return this.#of(kind.includes('NOT') ? negated[truth] : truth)
      }
      case 'AEXPR_DISTINCT':
      case 'AEXPR_NOT_DISTINCT':
        return this.#distinct(kind === 'AEXPR_DISTINCT', one, wrapped)
      case 'AEXPR_LIKE':
      case 'AEXPR_ILIKE':
      case 'AEXPR_SIMILAR':
        return this.#matched(operator, one, wrapped)
      case 'AEXPR_NULLIF': {
        const equal = this.#compared('=', one.lexpr, one.rexpr ?? null)
        return equal === 'all'
          ? constant(null)
          : equal === 'no'
            ? this.#value(one.lexpr)
            : this.#unread(wrapped)
      }
      default:
        return this.#unread(wrapped)
    }
  }

  /** `x = any (array)`: of none it is false, and `x <> all (array)` is then true. */
  #quantified(isAll: boolean, operator: string, one: TreeNode, wrapped: TreeNode): Folded {
    const elements = elementsOf(one.rexpr)
    if (elements === undefined) {
      // No array makes `name = any (…)` hold for all rows.
      const isEqual = operator === '=' && !isAll && !this.#shape.namesParameter(one.lexpr)
      if (!isEqual || !this.#shape.namesRow(one.lexpr)) return this.#unread(wrapped)
      return this.#shape.namesParameter(one.rexpr) ? few : row
    }
    this.literalsMatter = true
    if (elements.length === 0) return isAll ? all : no
    const each = elements.map((item) =>
      comparisons.has(operator)
        ? this.#compared(operator, one.lexpr, item)
        : this.#truthOf(
            this.#matched(operator, { ...one, rexpr: item }, { A_Expr: { ...one, rexpr: item } }),
          ),
    )
    const [deciding, other] = isAll ? (['no', 'all'] as const) : (['all', 'no'] as const)
    if (each.includes(deciding)) return this.#of(deciding)
    if (each.every((truth) => truth === other)) return this.#of(other)
    // Different from one of two is every value.
    const isSpread =
      !isAll && operator === '<>' && new Set(elements.map((item) => this.#shape.key(item))).size > 1
    if (isSpread) return all
    return each.includes('outside') ? outside : this.#unread(wrapped)
  }

  #distinct(isDistinct: boolean, one: TreeNode, wrapped: TreeNode): Folded {
    const [left, right] = [this.#value(one.lexpr), this.#value(one.rexpr)]
    const isNull = (folded: Folded) => folded.kind === 'constant' && folded.value === null
    if (isNull(left) || isNull(right)) {
      const arg = isNull(left) ? one.rexpr : one.lexpr
      return this.#nullTest({ arg, nulltesttype: isDistinct ? 'IS_NOT_NULL' : 'IS_NULL' })
    }
    const equal = this.#compared('=', one.lexpr, one.rexpr ?? null)
    const truth = isDistinct ? negated[equal] : equal
    // Keys are distinct from NULL, all of them.
    const mayBeNull = [one.lexpr, one.rexpr].some(
      (side) => this.#shape.namesParameter(side) && !isNeverNull(side),
    )
    if (isDistinct && mayBeNull) return outside
    return truth === 'null' ? this.#unread(wrapped) : this.#of(truth)
  }

  #matched(operator: string, one: TreeNode, wrapped: TreeNode): Folded {
    const right = this.#value(one.rexpr)
    const isNot = operator.startsWith('!')
    if (right.kind === 'constant' && right.value === null) return constant(null)
    const pattern = right.kind === 'constant' ? String(right.value) : this.#pattern(one.rexpr)
    const isAll = pattern !== undefined && likesEverything(operator, pattern)
    const isOfRow = this.#shape.namesRow(one.rexpr) && !this.#shape.namesParameter(one.rexpr)
    if (pattern === undefined && !isOfRow) return outside
    if (isAll || this.#shape.isSame(one.lexpr, one.rexpr)) return isNot ? no : all
    return this.#unread(wrapped)
  }

  /** A pattern that similar_to_escape wraps. */
  #pattern(pattern: Tree | undefined): string | undefined {
    const folded = this.#value(list(only(pattern, 'FuncCall')?.args)[0])
    return folded.kind === 'constant' && typeof folded.value === 'string' ? folded.value : undefined
  }

  /** Arithmetic and the like; `x - x` is 0, whatever x. */
  #computed(operator: string, one: TreeNode, wrapped: TreeNode): Folded {
    if (/^!?~/.test(operator)) return this.#matched(operator, one, wrapped)
    const right = this.#value(one.rexpr)
    if (one.lexpr === undefined) {
      if (right.kind === 'constant' && typeof right.value === 'number')
        return constant(operator === '-' ? -right.value : right.value)
      return this.#unread(wrapped)
    }
    const left = this.#value(one.lexpr)
    if (operator === '-' && this.#shape.isSame(one.lexpr, one.rexpr)) return constant(0)
    if ((operator === '*' || operator === '%') && [left, right].some(isZero)) return constant(0)
    if (left.kind !== 'constant' || right.kind !== 'constant')
      // Whatever is added to what a row has, another row has another.
      return /^(\+|-|\|\|)$/.test(operator) && [left, right].some(({ kind }) => kind === 'row')
        ? row
        : this.#unread(wrapped)
    const [a, b] = [left.value, right.value]
    if (a === null || b === null) return constant(null)
    if (operator === '||') return constant(`${a}${b}`)
    const [x, y] = [castOf(a, 'numeric'), castOf(b, 'numeric')]
    const value = typeof x === 'number' && typeof y === 'number' ? arithmetic[operator]?.(x, y) : undefined
    return value === undefined ? this.#unread(wrapped) : constant(value)
  }

  #compared(operator: string, left: Tree | undefined, right: Tree): Truth {
    const [a, b] = [this.#value(left), this.#value(right)]
    if (a.kind === 'constant' && b.kind === 'constant') {
      if (a.value === null || b.value === null) return 'null'
      const value = compare(operator, a.value, b.value)
      return value === undefined ? 'outside' : value ? 'all' : 'no'
    }
    if ([a, b].some((each) => each.kind === 'constant' && each.value === null)) return 'null'
    const rows = [only(left, 'RowExpr'), only(right, 'RowExpr')].map((each) => list(each?.args))
    if (operator === '=' && rows[0] && rows[0].length > 0 && rows[0].length === rows[1]?.length)
      return this.#logic(
        'AND_EXPR',
        rows[0].map((item, at) => equality(item, rows[1]?.[at] ?? null)),
      )
    // A condition compared with true or false is that condition, or its contrary.
    for (const [condition, other] of [
      [a, b],
      [b, a],
    ] as const)
      if ((condition.kind === 'all' || condition.kind === 'no') && other.kind === 'constant') {
        const value = castOf(other.value, 'bool')
        if (typeof value === 'boolean')
          return value === (operator === '=') ? condition.kind : negated[condition.kind]
      }
    const isOneConstant = a.kind === 'constant' || b.kind === 'constant'
    if (!isOneConstant && this.#shape.isSame(left, right)) return reflexive.has(operator) ? 'all' : 'no'
    if (operator === '=' && this.#shape.isJoinedToItself(left, right)) return 'all'
    const turned = mirrored[operator] ?? ''
    if (this.#isWide(operator, left, b) || this.#isWide(turned, right, a)) return 'all'
    if (this.#isWide(opposites[operator] ?? '', left, b) || this.#isWide(opposites[turned] ?? '', right, a))
      return 'no'
    return this.#differs(operator, [left, a], [right, b])
  }

  /** No two rows are known to be alike here; but the right bind value may make them so. */
  #differs(
    operator: string,
    ...sides: readonly (readonly [Tree | undefined, Folded])[]
  ): 'row' | 'few' | 'outside' {
    const ofRow = sides.filter(([side, { kind }]) => !isFixed.has(kind) && this.#shape.namesRow(side))
    if (ofRow.length === 0) return 'outside'
    if (!sides.some(([side]) => this.#shape.namesParameter(side))) return 'row'
    if (ofRow.length === 2 || ofRow.some(([, { kind }]) => kind === 'outside' || kind === 'few'))
      return 'outside'
    const [[side]] = ofRow as [(typeof ofRow)[number]]
    if (!/^[<>]=?$/.test(operator) || this.#least(side) === undefined) return 'row'
    return operator.startsWith('>') === (side === sides[0]?.[0]) ? 'outside' : 'few'
  }

  /** What numbers that count from 1, and lengths, always are. */
  #isWide(operator: string, side: Tree | undefined, bound: Folded): boolean {
    // Not of `=`, and so not of `<>` either: that nothing has the key 0 is no matter here.
    if (bound.kind !== 'constant' || bound.value === null || !/^[<>]=?$/.test(operator)) return false
    const value = Number(bound.value === '' ? Number.NaN : bound.value)
    const from = this.#least(side)
    if (from === undefined) return false
    this.literalsMatter = true
    return operator === '>' ? value < from : operator === '>=' && value <= from
  }

  /** The least that it can be. */
  #least(side: Tree | undefined): number | undefined {
    if (this.#shape.isKey(side)) return 1
    const [, name] = qualified(only(side, 'FuncCall')?.funcname ?? null)
    return neverNegative.has(name) && this.#shape.namesRow(side) ? 0 : undefined
  }

  #subquery(link: TreeNode, wrapped: TreeNode): Folded {
    const query = only(link.subselect, 'SelectStmt') ?? {}
    const isBare = [
      'valuesLists',
      'groupClause',
      'havingClause',
      'limitCount',
      'limitOffset',
      'larg',
      'withClause',
    ].every((field) => query[field] === undefined)
    const from = list(query.fromClause)
    const target = only(list(query.targetList)[0], 'ResTarget')?.val
    const holds = query.whereClause === undefined ? 'all' : this.truth(query.whereClause)
    const kind = text(link.subLinkType)
    if (isBare && (holds === 'no' || holds === 'null') && !isAggregate(query.targetList)) {
      if (kind === 'EXISTS_SUBLINK' || kind === 'ANY_SUBLINK') return constant(false)
      if (kind === 'ALL_SUBLINK') return constant(true)
    }
    if (!isBare || holds !== 'all') return this.#unread(wrapped)
    if (from.length === 0) {
      if (kind === 'EXISTS_SUBLINK') return constant(true)
      if (kind === 'EXPR_SUBLINK') return this.#value(target)
      if (kind === 'ANY_SUBLINK' && list(link.operName).length === 0)
        return this.#of(this.#compared('=', link.testexpr, target ?? null))
    }
    // `id in (select id from t)` of the changed table itself.
    const table = text(only(from[0], 'RangeVar')?.relname)
    const isOwn = from.length === 1 && table === this.#tables.all.get(this.#tables.target)
    const column = columnOf(link.testexpr)
    if (kind === 'ANY_SUBLINK' && list(link.operName).length === 0 && isOwn && column !== undefined)
      if (columnOf(target)?.name === column.name) return all
    return this.#unread(wrapped)
  }
}

const negated: Readonly<Record<Truth, Truth>> = {
  all: 'no',
  no: 'all',
  null: 'null',
  row: 'row',
  few: 'outside',
  outside: 'outside',
}

/** The same for every row. */
const isFixed: ReadonlySet<string> = new Set(['constant', 'all', 'no'])

const neverNegative = new Set([
  ...['length', 'char_length', 'character_length', 'octet_length', 'bit_length', 'abs', 'cardinality'],
])

/** Whatever is called may be one, and then there is a row where there was none. */
function isAggregate(targets: Tree | undefined): boolean {
  return list(targets).some((target) => {
    const value = only(target, 'ResTarget')?.val
    return only(value, 'A_Const') === undefined && columnOf(value) === undefined
  })
}

function isZero(folded: Folded): boolean {
  return folded.kind === 'constant' && folded.value !== null && castOf(folded.value, 'numeric') === 0
}
