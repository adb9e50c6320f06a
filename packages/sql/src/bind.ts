// What bind values make of a prepared statement: they are put into its conditions as constants, and those are folded like
// any other (where.ts), so that `name like $1` with `%` is what `name like '%'` is. Refuses to guess: a value that could not
// be read stays a parameter, and what it may widen is unknown.
import type { Where } from '@portcullis/kernel'
import { isTree, type Tree, type TreeNode } from './grammar.ts'
import type { Tables } from './shape.ts'
import type { OpenCondition, OpenConditions, StatementAnalysis } from './types.ts'
import { list, only, widest } from './walk.ts'
import { conditionOf } from './where.ts'

/** A value as the client sent it; `unread`: not NULL, and nobody here can say more; undefined: not even that. */
export type BindValue = undefined | null | boolean | number | string | typeof unread | readonly BindValue[]

export const unread: unique symbol = Symbol('unread')

/** Analyses as they are with bind values, one for each `where` that they come to. */
export class Binder {
  readonly #bound = new WeakMap<StatementAnalysis, Map<string, StatementAnalysis>>()

  bind(analysis: StatementAnalysis, values: readonly BindValue[] | undefined): StatementAnalysis {
    const { open } = analysis
    if (open === undefined) return analysis
    return this.#with(analysis, values ? whereOf(open, values.map(treeOf)) : widest(open.closed, 'some'))
  }

  /** EXECUTE's own arguments; of any number. */
  execute(analysis: StatementAnalysis, args: readonly Tree[]): StatementAnalysis {
    return analysis.open === undefined ? analysis : this.#with(analysis, whereOf(analysis.open, args), true)
  }

  /** `isClosed`: no other values are to come. */
  #with(analysis: StatementAnalysis, where: Where | undefined, isClosed = false): StatementAnalysis {
    // No rows at all is less than some, and not worth a command of its own.
    const leaves = where === undefined || where === 'never' ? 'some' : where
    const known = this.#bound.get(analysis) ?? new Map<string, StatementAnalysis>()
    this.#bound.set(analysis, known)
    const key = `${leaves} ${isClosed}`
    let bound = known.get(key)
    if (bound === undefined) {
      const { facts, open, alike: _, ...rest } = analysis
      bound = Object.freeze({
        ...rest,
        where: leaves,
        ...(facts && { facts: { ...facts, where: leaves } }),
        ...(open && !isClosed && { open }),
      })
      known.set(key, bound)
    }
    return bound
  }
}

function whereOf({ closed, conditions }: OpenConditions, values: readonly (Tree | undefined)[]): Where {
  return conditions.reduce<Where>(
    (where, { clause, tables }) =>
      widest(where, conditionOf(substituted(clause, values), tables).where) ?? where,
    closed ?? 'never',
  )
}

/** undefined where it is too long to be kept for every execution: its values are then not looked at. */
export function openCondition(clause: Tree | undefined, tables: Tables): OpenCondition | undefined {
  const kept = clause === undefined ? undefined : keptOf(clause)
  return kept === undefined ? undefined : { clause: kept, tables }
}

/** Arguments of an EXECUTE: all of them, or none where they are too long. */
export function keptArguments(args: readonly Tree[]): readonly Tree[] {
  const kept = keptOf(args)
  return kept === undefined ? [] : list(kept)
}

function keptOf(tree: Tree): Tree | undefined {
  const kept = withoutPlaces(tree)
  return JSON.stringify(kept).length > keptCharactersMax ? undefined : kept
}

const keptCharactersMax = 16_384

/** What is kept of a statement in memory, an estimate. */
export function openBytes({ open, named }: Pick<StatementAnalysis, 'open' | 'named'>): number {
  const conditions = open?.conditions ?? []
  return [...conditions.map(({ clause }) => clause), ...(named?.args ?? [])].reduce<number>(
    (sum, tree) => sum + bytesOf(tree),
    0,
  )
}

function bytesOf(tree: Tree | undefined): number {
  if (typeof tree === 'string') return 16 + tree.length
  if (typeof tree !== 'object' || tree === null) return 8
  return Object.values(tree).reduce((sum: number, part) => sum + bytesOf(part as Tree), 48)
}

function withoutPlaces(tree: Tree): Tree {
  return mapped(tree, (part) =>
    Object.fromEntries(Object.entries(part).filter(([field]) => !/location$|_list_(start|end)$/.test(field))),
  )
}

function substituted(clause: Tree, values: readonly (Tree | undefined)[]): Tree {
  return mapped(clause, (part) => {
    const parameter = only(part, 'ParamRef')
    const value = parameter && values[Number(parameter.number ?? 0) - 1]
    if (!parameter || value === undefined) return part
    return isTree(value) ? value : part
  })
}

/** The same tree with every node changed, those below first. */
function mapped(tree: Tree, change: (node: TreeNode) => TreeNode): Tree {
  if (Array.isArray(tree)) return list(tree).map((part) => mapped(part, change))
  if (!isTree(tree)) return tree
  const parts = Object.entries(tree).map(([field, part]) => [field, part && mapped(part, change)])
  return change(Object.fromEntries(parts))
}

/** As it would stand in the text. */
function treeOf(value: BindValue, at: number): Tree | undefined {
  if (value === undefined) return undefined
  if (value === unread) return { ParamRef: { number: at + 1, notNull: true } }
  if (value === null) return { A_Const: { isnull: true } }
  if (typeof value === 'boolean') return { A_Const: { boolval: value ? { boolval: true } : {} } }
  if (typeof value === 'number') return { A_Const: { fval: { fval: String(value) } } }
  if (typeof value === 'string') return { A_Const: { sval: { sval: value } } }
  return {
    A_ArrayExpr: { elements: value.map((item) => treeOf(item, at) ?? { ParamRef: { number: at + 1 } }) },
  }
}
