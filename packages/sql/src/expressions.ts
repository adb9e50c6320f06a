// What expressions do: function calls, columns, casts, and the constants that make a literal matter. Refuses to know
// statements.
import { isTree, type Tree, type TreeNode } from './grammar.ts'
import { searchPathShadowsCatalog, settingIsPrivileged, settingIsRole } from './settings.ts'
import {
  constantText,
  type FoundObject,
  type Level,
  list,
  names,
  only,
  qualified,
  stringOf,
  text,
  type Walk,
} from './walk.ts'

type Visitor = (walk: Walk, node: TreeNode) => void

export const expressionVisitors: Readonly<Record<string, Visitor>> = {
  FuncCall(walk, call) {
    const [schema, name] = qualified(call.funcname)
    walk.call(schema, name, list(call.args).length)
    if (name === 'set_config') setting(walk, list(call.args))
    walk.fields(call, ['funcname'])
  },
  ColumnRef(walk, reference) {
    column(walk, list(reference.fields))
  },
  A_Expr(walk, expression) {
    const [schema, name] = qualified(expression.name)
    walk.operator(schema, name)
    walk.fields(expression, ['name'])
  },
  TypeCast(walk, cast) {
    const type = names(isTree(cast.typeName) ? cast.typeName.names : undefined)
    if (!plainTypes.has(type.at(-1) ?? '') || (type.length > 1 && type[0] !== 'pg_catalog'))
      walk.literalsMatter = true
    walk.fields(cast)
  },
  RangeTableSample(walk, sample) {
    const [schema, method] = qualified(sample.method)
    if (method !== 'system' && method !== 'bernoulli') {
      walk.add('execute')
      walk.object('function', schema, method, 'execute')
    }
    walk.fields(sample, ['method'])
  },
  SortBy(walk, sort) {
    output(walk, sort.node)
    if (list(sort.useOp).length > 0) walk.operator(...qualified(sort.useOp))
    walk.fields(sort, ['node', 'useOp'])
  },
  SubLink(walk, link) {
    if (list(link.operName).length > 0) walk.operator(...qualified(link.operName))
    walk.fields(link, ['operName'])
  },
  A_Indirection(walk, indirection) {
    for (const name of list(indirection.indirection).map(stringOf)) if (name !== '') walk.attribute(name)
    walk.fields(indirection)
  },
}

/** An item of ORDER BY, GROUP BY or DISTINCT ON: a number is a position, a name may be a name of the select list. */
export function output(walk: Walk, item: Tree | undefined): void {
  if (only(item, 'A_Const') !== undefined) walk.literalsMatter = true
  const fields = list(only(item, 'ColumnRef')?.fields)
  if (fields.length === 1 && walk.level?.outputs.has(stringOf(fields[0]))) return
  walk.tree(item)
}

/** A condition of WHERE, HAVING or ON. A part that names no column is the same for every row, so its literals decide. */
export function condition(walk: Walk, clause: Tree | undefined): void {
  if (clause === undefined) return
  if (!walk.literalsMatter && constantDecides(clause)) walk.literalsMatter = true
  walk.tree(clause)
}

function constantDecides(clause: Tree | undefined): boolean {
  const bool = only(clause, 'BoolExpr')
  if (bool !== undefined) return list(bool.args).some(constantDecides)
  const expression = only(clause, 'A_Expr')
  if (expression === undefined)
    return only(clause, 'NullTest') === undefined && only(clause, 'SubLink') === undefined
  if (!comparisons.has(text(expression.kind)) || !plainOperators.has(qualified(expression.name)[1]))
    return true
  const left = varies(expression.lexpr)
  const right = varies(expression.rexpr)
  // Exactly one side a plain column: `id = 7`; both sides: only where the two differ.
  if (left !== undefined && right !== undefined) return left === right
  const other = left === undefined ? expression.lexpr : expression.rexpr
  return (left ?? right) === undefined || !plainValue(other)
}

/** The name of a plain column, else undefined. */
function varies(side: Tree | undefined): string | undefined {
  const reference = only(side, 'ColumnRef')
  return reference === undefined ? undefined : names(reference.fields).join('.')
}

function plainValue(side: Tree | undefined): boolean {
  if (only(side, 'A_Const') !== undefined || only(side, 'ParamRef') !== undefined) return true
  const cast = only(side, 'TypeCast')
  if (cast !== undefined) return plainValue(cast.arg)
  const items = only(side, 'List')
  return items !== undefined && list(items.items).every(plainValue)
}

const comparisons = new Set(['AEXPR_OP', 'AEXPR_IN', 'AEXPR_BETWEEN'])
const plainOperators = new Set(['=', '<', '>', '<=', '>=', '<>', 'BETWEEN'])

// Casting a literal to one of these runs no code of the database's own and names no object.
const plainTypes = new Set(
  (
    'bool int2 int4 int8 float4 float8 numeric text varchar bpchar date time timetz timestamp timestamptz interval ' +
    'uuid json jsonb bytea inet cidr'
  ).split(' '),
)

function column(walk: Walk, fields: readonly Tree[]): void {
  const last = fields.at(-1)
  const name = only(last, 'A_Star') === undefined ? stringOf(last) : '*'
  if (name === '') return
  if (fields.length > 1 && name !== '*') walk.attribute(name)
  if (fields.length === 1) {
    const level = walk.level
    if (name === '*') {
      if (level !== undefined) for (const range of level.ranges.values()) range?.columns.add('*')
      return
    }
    const whole = find(level, name)
    if (whole !== undefined) whole.columns.add('*')
    else if (level !== undefined) {
      // One table under several names (a self-join, `excluded`) is still one.
      const [range, ...others] = new Set(level.ranges.values())
      if (others.length > 0 || level.outer !== undefined) walk.unplaced.add(name)
      else range?.columns.add(name)
    }
    return
  }
  find(walk.level, stringOf(fields.at(-2)))?.columns.add(name)
}

function find(from: Level | undefined, alias: string): FoundObject | undefined {
  for (let level = from; level !== undefined; level = level.outer) {
    if (level.ranges.has(alias)) return level.ranges.get(alias)
  }
  return undefined
}

/** The arguments of set_config: SET by other means, and judged like it where they are written out. */
function setting(walk: Walk, args: readonly Tree[]): void {
  walk.literalsMatter = true
  const name = constantText(args[0])?.toLowerCase()
  const value = constantText(args[1])
  if (name !== undefined) walk.object('setting', '', name, 'write')
  const shadows =
    name === 'search_path' && (value === undefined || searchPathShadowsCatalog(value.split(',')))
  if (name !== undefined && !settingIsPrivileged(name) && !shadows) return
  walk.add('execute')
  walk.privileged = true
  if (name === undefined || settingIsRole(name)) walk.add('grant')
}
