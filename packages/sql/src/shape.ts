// What parts of one condition look like: which are the same although they are written differently, which name a row of the
// changed table. Each part is looked at once, since what nests asks again and again. Refuses to say what they come to.
import { columnOf, isNeutral, isNullConstant, volatiles } from './conditions.ts'
import { isTree, type Tree, type TreeNode } from './grammar.ts'
import { list, only, qualified, stringOf } from './walk.ts'

/** The tables of one UPDATE, DELETE or MERGE: alias (or name) -> name. */
export interface Tables {
  /** What the changed table is called there. */
  readonly target: string
  readonly all: ReadonlyMap<string, string>
}

export class Shape {
  readonly #tables: Tables
  readonly #keys = new Map<object, string>()
  readonly #ofRow = new Map<object, boolean>()
  readonly #bound = new Map<object, boolean>()
  readonly #volatile = new Map<object, boolean>()

  constructor(tables: Tables) {
    this.#tables = tables
  }

  isSame(left: Tree | undefined, right: Tree | undefined): boolean {
    return left !== undefined && this.key(left) === this.key(right) && !this.#isVolatile(left)
  }

  /** The same column of the same table under two names. */
  isJoinedToItself(left: Tree | undefined, right: Tree | undefined): boolean {
    const [a, b] = [columnOf(left), columnOf(right)]
    if (a === undefined || b === undefined || a.name !== b.name) return false
    const table = this.#tables.all.get(a.of || this.#tables.target)
    return table !== undefined && table === this.#tables.all.get(b.of || this.#tables.target)
  }

  /** A column that by its name is a key, or the system's own: never null, and where it counts, it counts from 1. */
  isKey(side: Tree | undefined): boolean {
    const cast = only(side, 'TypeCast')
    if (cast !== undefined) return this.isKey(cast.arg)
    const column = columnOf(side)
    if (column === undefined || !this.isOfTarget(column.of)) return false
    const table = this.#tables.all.get(this.#tables.target) ?? ''
    return (
      keyNames.has(column.name) ||
      column.name === `${table}_id` ||
      column.name === `${table.replace(/ies$/, 'y').replace(/(?<!s)s$/, '')}_id`
    )
  }

  isOfTarget(alias: string): boolean {
    return alias === '' || alias === this.#tables.target
  }

  /** Whether it may differ from row to row of the changed table. */
  namesRow(tree: Tree | undefined): boolean {
    return seen(this.#ofRow, tree, false, (whole) => {
      const fields = list(only(whole, 'ColumnRef')?.fields).map(stringOf)
      if (fields.length > 0) return this.isOfTarget(fields.length > 1 ? (fields.at(-2) ?? '') : '')
      return partsOf(whole).some((part) => this.namesRow(part))
    })
  }

  /** Whether a bind value that is not known here stands in it. */
  namesParameter(tree: Tree | undefined): boolean {
    return seen(this.#bound, tree, false, (whole) => {
      if (only(whole, 'ParamRef') !== undefined) return true
      return partsOf(whole).some((part) => this.namesParameter(part))
    })
  }

  #isVolatile(tree: Tree): boolean {
    return seen(this.#volatile, tree, false, (whole) => {
      const call = only(whole, 'FuncCall')
      if (call !== undefined && volatiles.test(qualified(call.funcname)[1])) return true
      return partsOf(whole).some((part) => this.#isVolatile(part))
    })
  }

  /** Equal for what is the same: whatever its place, its casts, `+ 0`, and the name of the one table. */
  key(tree: Tree | undefined): string {
    if (typeof tree !== 'object' || tree === null) return JSON.stringify(tree ?? null)
    return seen(this.#keys, tree, '', (whole) => {
      if (!isTree(whole)) return `[${partsOf(whole).map((part) => this.key(part))}]`
      const cast = only(whole, 'TypeCast')
      if (cast !== undefined) return this.key(cast.arg)
      const expression = only(whole, 'A_Expr')
      if (expression !== undefined && isNeutral(expression)) return this.key(expression.lexpr)
      const [single, ...others] = list(only(whole, 'CoalesceExpr')?.args).filter(
        (part) => !isNullConstant(part),
      )
      if (single !== undefined && others.length === 0) return this.key(single)
      const column = columnOf(whole)
      if (column !== undefined)
        return JSON.stringify([this.isOfTarget(column.of) ? '' : column.of, column.name])
      const fields = Object.entries(whole).filter(([field]) => !places.test(field))
      return `{${fields.map(([field, value]) => `${field}:${this.key(value)}`)}}`
    })
  }
}

function seen<T>(
  known: Map<object, T>,
  tree: Tree | undefined,
  none: T,
  look: (tree: object & Tree) => T,
): T {
  if (typeof tree !== 'object' || tree === null) return none
  let found = known.get(tree)
  if (found === undefined) {
    found = look(tree)
    known.set(tree, found)
  }
  return found
}

function partsOf(tree: Tree): readonly Tree[] {
  if (Array.isArray(tree)) return tree as readonly Tree[]
  return isTree(tree) ? Object.values(tree as TreeNode).filter((part) => part !== undefined) : []
}

/** Fields that say where in the text something stands. */
const places = /location$|_list_(start|end)$/

const keyNames = new Set(['id', 'uuid', 'oid', 'ctid', 'tableoid', 'xmin', 'xmax', 'cmin', 'cmax'])
