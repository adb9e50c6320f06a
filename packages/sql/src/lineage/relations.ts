// Tables and views as rows: each column with the column that it is, and of views what stands behind.
import type { ColumnRef } from '@portcullis/kernel'
import type { Index } from '../catalogue.ts'
import { only } from '../walk.ts'
import { flowOf } from './expressions.ts'
import {
  type Column,
  derived,
  either,
  type Flow,
  lost,
  lostRelation,
  relationOf,
  type Relation,
} from './flow.ts'
import { queryRelation } from './queries.ts'
import { levelIn } from './scope.ts'
import type { StoredTable, Tables } from './tables.ts'
import type { Trace } from './trace.ts'

const depthMax = 32

interface Shown {
  readonly relation: Relation
  /** What its definition touches beside: conditions of a view, which nobody who asks it has chosen. */
  readonly raises: Flow
  /** What functions in it gave, which planning may show. */
  readonly called: Flow
}

export interface Relations {
  readonly tables: Tables
  /** By where functions look that stand in views. */
  readonly shown: Map<string, Map<StoredTable, Shown>>
}

const lostShown: Shown = { relation: lostRelation, raises: lost, called: lost }

/** Whatever the name may mean. */
export function storedRelation(trace: Trace, schema: string, name: string): Relation {
  const meant = trace.index.lineage.tables.named(schema, name, trace.path)
  const [first, ...others] = meant.map((one) => tableRelation(trace, one))
  if (first === undefined) {
    trace.raises.add(lost)
    return lostRelation
  }
  return others.reduce(alike, first)
}

function tableRelation(trace: Trace, stored: StoredTable): Relation {
  const shown = shownUnder(trace)
  let found = shown.get(stored)
  if (found === undefined) {
    // A view that stands in itself, by way of a function, is lost.
    shown.set(stored, lostShown)
    found = trace.depth < depthMax ? show(trace, stored) : lostShown
    shown.set(stored, found)
  }
  trace.raises.add(found.raises)
  trace.called.add(found.called)
  return found.relation
}

function shownUnder({ index, sessionPath }: Trace): Map<StoredTable, Shown> {
  const key = JSON.stringify(sessionPath ?? null)
  const known = index.lineage.shown.get(key) ?? new Map<StoredTable, Shown>()
  index.lineage.shown.set(key, known)
  return known
}

/** Of two that one name may mean: whichever it is. */
function alike(one: Relation, other: Relation): Relation {
  const names = ({ columns, rest }: Relation) =>
    JSON.stringify([columns.map(({ name }) => name), rest !== undefined])
  if (names(one) !== names(other)) return lostRelation
  return relationOf(
    one.columns.map(({ name, flow }, at) => ({
      name,
      flow: either([flow, other.columns[at]?.flow ?? lost]),
    })),
    one.rest && either([one.rest, other.rest ?? lost]),
  )
}

function show(outer: Trace, stored: StoredTable): Shown {
  const { table, refs } = stored
  const trace = outer.inside()
  const query = table.query ?? viewQuery(outer.index, stored)
  const behind = query === undefined ? undefined : queryOf(trace, query)
  const isLost = query === undefined && table.kind === 'v' && !isSystem(stored)
  const relation: Relation = {
    columns: refs.flatMap((ref, at): readonly Column[] => {
      if (ref === undefined) return []
      const own = ownFlow(trace, stored, ref)
      const more = behind && (behind.columns[at]?.flow ?? behind.rest ?? lost)
      return [
        {
          name: ref.column,
          flow: isLost
            ? lost
            : more === undefined
              ? own
              : { ...both(own, more), ...(more.row && { row: more.row }) },
        },
      ]
    }),
  }
  for (const uses of [trace.reads, trace.copies, trace.called]) trace.raises.add(uses.flow)
  return { relation, raises: trace.raises.flow, called: trace.called.flow }
}

function both(own: Flow, more: Flow): Flow {
  return { ...either([own, more]), exact: more.exact }
}

function ownFlow(trace: Trace, { table }: StoredTable, ref: ColumnRef): Flow {
  const own: Flow = { refs: new Set([ref]), lost: false, exact: true }
  if (sampled.has(`${table.schema}.${table.name}.${ref.column}`)) return { ...own, lost: true, exact: false }
  const expression = table.generated?.[ref.column]
  if (expression === undefined) return own
  const level = levelIn(undefined)
  const columns = (table.columns ?? []).flatMap((name) =>
    name === null || name === ref.column ? [] : [name],
  )
  const { tables } = trace.index.lineage
  const stored = tables.byId(table.id)
  level.leaves.push({
    alias: table.name,
    schema: table.schema,
    isStored: true,
    isOpen: true,
    relation: {
      columns: columns.map((name) => {
        const base = stored?.refs.find((one) => one?.column === name)
        return { name, flow: base ? { refs: new Set([base]), lost: false, exact: true } : lost }
      }),
    },
  })
  const [select] = trace.index.stored.trees('condition', expression)
  const [target] = (only(select, 'SelectStmt')?.targetList ?? []) as readonly never[]
  return derived([own, target === undefined ? lost : flowOf(trace, level, target)])
}

function viewQuery(index: Index, { table }: StoredTable): string | undefined {
  const [known, ...others] = index.relations(table.schema, table.name, [])
  // Views of that name in several sessions' own schemas.
  return others.length === 0 ? known?.query : undefined
}

function queryOf(trace: Trace, query: string): Relation {
  const [tree, ...more] = trace.index.stored.trees('statements', query)
  const select = only(tree, 'SelectStmt')
  return select === undefined || more.length > 0
    ? lostRelation
    : queryRelation(trace, select, levelIn(undefined))
}

function isSystem({ table }: StoredTable): boolean {
  return table.schema === 'pg_catalog' || table.schema === 'information_schema'
}

/** Columns of PostgreSQL's own that hold values of any table's, or texts of other sessions with such values in them. */
const sampled = new Set(
  [
    'pg_statistic.stavalues1',
    'pg_statistic.stavalues2',
    'pg_statistic.stavalues3',
    'pg_statistic.stavalues4',
    'pg_statistic.stavalues5',
    'pg_statistic_ext_data.stxdmcv',
    'pg_statistic_ext_data.stxdexpr',
    'pg_stats.most_common_vals',
    'pg_stats.histogram_bounds',
    'pg_stats.most_common_elems',
    'pg_stats.range_bounds_histogram',
    'pg_stats_ext.most_common_vals',
    'pg_stats_ext_exprs.most_common_vals',
    'pg_stats_ext_exprs.histogram_bounds',
    'pg_stats_ext_exprs.most_common_elems',
    'pg_stats_ext_exprs.range_bounds_histogram',
    'pg_attribute.attmissingval',
    'pg_largeobject.data',
    'pg_stat_activity.query',
  ].map((name) => `pg_catalog.${name}`),
)
