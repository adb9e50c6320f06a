// What a name in an expression stands for: a column of what stands in FROM here or further out, a whole row, an argument of
// the function whose body this is. Refuses to take a name that it does not find for clean.
import type { Tree } from '../grammar.ts'
import { only, stringOf } from '../walk.ts'
import { callRowFunction } from './calls.ts'
import { clean, type Flow, lost, oneOf, type Relation, whole, fieldFlow } from './flow.ts'
import type { Ctes, Leaf, Level, Trace } from './trace.ts'

/** `outer`: the level whose columns the new one sees, too. */
export function levelIn(outer: Level | undefined, ctes = outer?.ctes): Level {
  return { leaves: [], outer, ctes, arguments: undefined }
}

/** What a column reference in an expression is made of. */
export function columnFlow(trace: Trace, level: Level, fields: readonly Tree[]): Flow {
  const names = fields.map((field) => (only(field, 'A_Star') === undefined ? stringOf(field) : '*'))
  return trace.touch(found(trace, level, names) ?? lost)
}

function found(trace: Trace, level: Level, names: readonly string[]): Flow | undefined {
  const [first = '', second, third] = names
  if (names.length > 4) return lost
  if (second === undefined) return unqualified(level, first)
  // A database in front names this one.
  if (names.length === 4) return found(trace, level, names.slice(1))
  const name = names.at(-1) ?? ''
  const leaf = third === undefined ? leafNamed(level, first) : leafNamed(level, second, first)
  if (leaf !== undefined) return name === '*' ? whole(leaf.relation) : fieldOf(trace, leaf, name)
  return third === undefined ? argument(level, first, second) : undefined
}

/** The leaf that a name in front of a column or a star means. */
export function leafNamed(from: Level, alias: string, schema?: string): Leaf | undefined {
  for (let level: Level | undefined = from; level !== undefined; level = level.outer) {
    const leaf = level.leaves.find(
      (one) => one.alias === alias && (schema === undefined || one.schema === schema || one.schema === ''),
    )
    if (leaf !== undefined) return leaf
  }
  return undefined
}

function fieldOf(trace: Trace, leaf: Leaf, name: string): Flow {
  const columns = leaf.relation.columns.filter((column) => column.name === name)
  if (columns.length > 0) return oneOf(columns.map(({ flow }) => flow))
  if (leaf.isStored && systemColumns.has(name)) return clean
  // `t.f` may call f(t), as long as no column has the name.
  return callRowFunction(trace, name, whole(leaf.relation))
}

function unqualified(from: Level, name: string): Flow | undefined {
  const flows: Flow[] = []
  for (let level: Level | undefined = from; level !== undefined; level = level.outer) {
    const open = level.leaves.filter((leaf) => leaf.isOpen)
    const columns = open.flatMap(({ relation }) => relation.columns.filter((column) => column.name === name))
    // Those that USING has made one are found under each of its names.
    if (columns.length > 0) return oneOf([...flows, ...columns.map(({ flow }) => flow)])
    // It may be a column of what has columns that nobody here knows, or else of a level further out.
    flows.push(...open.flatMap(({ relation }) => relation.rest ?? []))
    if (systemColumns.has(name) && open.some(({ isStored }) => isStored)) return oneOf([...flows, clean])
    const row = level.leaves.find((leaf) => leaf.alias === name)
    if (row !== undefined)
      return flows.length === 0 ? whole(row.relation) : oneOf([...flows, whole(row.relation)])
    const given = level.arguments?.get(name)
    if (given !== undefined) return oneOf([...flows, given])
  }
  return flows.length === 0 ? undefined : oneOf(flows)
}

/** `f.a`: the argument `a` of the function `f`, or a field of the argument `f`. */
function argument(from: Level, first: string, second: string): Flow | undefined {
  for (let level: Level | undefined = from; level !== undefined; level = level.outer) {
    const given = level.arguments
    if (given === undefined) continue
    const row = given.get(first)
    return row === undefined ? given.get(second) : fieldFlow(row, second)
  }
  return undefined
}

export function cteNamed(from: Ctes | undefined, name: string): Relation | undefined {
  for (let cte = from; cte !== undefined; cte = cte.outer) if (cte.name === name) return cte.relation
  return undefined
}

const systemColumns = new Set(['tableoid', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax'])
