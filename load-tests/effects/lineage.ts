/**
 * What the server says of where a result's columns come from, beside what the lineage says. Two judges: the table and
 * number that a RowDescription has for each column that is a stored one, and the columns that `EXPLAIN (VERBOSE)` names in
 * what its topmost node puts out. What they name must be among the sources (of the plan's: or among what is read); a lineage
 * that is lost is counted, not judged.
 */
import type { ColumnRef, Lineage, Sources } from '@portcullis/kernel'
import type { Asking } from './tap.ts'

export interface LineageOpinion {
  /** Columns that the server's RowDescription says are stored ones, by number. */
  readonly described: number
  /** The output of the plan was looked through. */
  readonly isPlanned: boolean
  readonly isLost: boolean
  /** What the server says and the lineage does not. */
  readonly missed: readonly string[]
  readonly ms: number
}

export interface Traced {
  readonly lineage: Lineage
  readonly ms: number
  columnAt(table: number, attribute: number): ColumnRef | undefined
  isColumn(column: ColumnRef): boolean
}

/** Runs it, and undoes it. undefined: it failed, or gave no rows. */
export async function lineageOpinionOf(
  sql: string,
  { lineage, ms, columnAt, isColumn }: Traced,
  asking: Asking,
): Promise<LineageOpinion | undefined> {
  const inside = asking.status === 'T'
  await asking.ask(inside ? 'savepoint portcullis_lineage' : 'begin')
  try {
    const plan = await asking.ask(`explain (verbose, format json) ${sql}`)
    await asking.ask(inside ? 'rollback to portcullis_lineage' : 'rollback; begin')
    await asking.ask("set local transaction_read_only = on; set local statement_timeout = '20s'")
    const { code, fields } = await asking.ask(sql)
    if (code !== '' || fields.length === 0) return undefined
    const sources = fields.map((_, at) => (lineage.columns[at] ?? lineage.others).sources)
    const described = fields.flatMap(({ table, attribute }, at) => {
      if (table === 0 || attribute <= 0) return []
      return [{ at, column: columnAt(table, attribute) }]
    })
    const planned =
      plan.code === '' && !renaming.test(sql) ? outputOf(JSON.parse(plan.rows[0]?.[0] ?? '[]')) : []
    const missed = [
      ...described.filter(({ at, column }) => column && !has(sources[at], column)),
      ...planned
        .slice(0, fields.length)
        .flatMap((columns, at) => columns.map((column) => ({ at, column })))
        // A plan shows what is only counted, too, like arguments of functions that look for themselves.
        .filter(
          ({ at, column }) => isColumn(column) && !has(sources[at], column) && !has(lineage.reads, column),
        ),
    ]
    return {
      described: described.length,
      isPlanned: planned.length > 0,
      isLost: sources.includes('lost'),
      missed: missed.map(({ at, column }) => `${at}: ${column?.schema}.${column?.table}.${column?.column}`),
      ms,
    }
  } finally {
    await asking.ask(inside ? 'rollback to portcullis_lineage; release portcullis_lineage' : 'rollback')
  }
}

/** A view stands for the tables behind it, and a table for those that it is made of. */
function has(sources: Sources | undefined, { schema, table, column }: ColumnRef): boolean {
  if (sources === undefined || sources === 'lost') return true
  const isOne = (one: { readonly schema: string; readonly table: string }) =>
    one.schema === schema && one.table === table
  return sources.some((one) => one.column === column && (isOne(one) || one.kin?.some(isOne)))
}

interface Plan {
  readonly Output?: readonly string[]
  readonly Plans?: readonly Plan[]
  readonly Alias?: string
  readonly Schema?: string
  readonly 'Relation Name'?: string
}

/** The stored columns in each output of the topmost node, as far as its names lead to tables. */
function outputOf([first]: readonly { readonly Plan: Plan }[]): readonly (readonly ColumnRef[])[] {
  if (first === undefined) return []
  const tables = new Map<string, { readonly schema: string; readonly table: string }>()
  const visit = ({ Alias: alias, Schema: schema, 'Relation Name': table, Plans: plans = [] }: Plan): void => {
    if (alias && schema && table)
      tables.set(alias, { schema: schema.startsWith('pg_temp') ? 'pg_temp' : schema, table })
    for (const plan of plans) visit(plan)
  }
  visit(first.Plan)
  return (first.Plan.Output ?? []).map((output) =>
    Array.from(
      output.replaceAll(/'(?:[^']|'')*'/g, "''").matchAll(qualified),
      ([, alias = '', column = '']) => {
        const of = tables.get(unquoted(alias))
        // Views of PostgreSQL's own are not looked into.
        return of &&
          !/^(pg_catalog|information_schema)$/.test(of.schema) &&
          !systemColumns.has(unquoted(column))
          ? [{ ...of, column: unquoted(column) }]
          : []
      },
    ).flat(),
  )
}

const qualified = /\b(\w+|"(?:[^"]|"")+")\.(\w+|"(?:[^"]|"")+")(?![\w(])/g
/** An alias that gives a table's columns other names, which a plan then shows. */
const renaming = /\b(from|join|,)\s+[\w.]+\s+(as\s+)?\w+\s*\(/i
const systemColumns = new Set(['tableoid', 'ctid', 'xmin', 'xmax', 'cmin', 'cmax'])

function unquoted(name: string): string {
  return name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name
}
