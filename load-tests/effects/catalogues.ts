/**
 * The catalogue as a tapped session sees it before each statement: its search path, and what was defined so far. Read
 * anew where something may have changed it.
 */
import {
  type Catalogue,
  type CatalogueData,
  catalogueOf,
  catalogueQuery,
  type Refiner,
  type SqlAnalyzer,
  type StatementAnalysis,
} from '@portcullis/sql'
import type { Traced } from './lineage.ts'
import type { Asking } from './tap.ts'

export interface Known {
  /** With all that the catalogue tells. */
  readonly refined: readonly StatementAnalysis[]
  /** The same, but for what stands in the bodies of functions: a plan shows only some of these. */
  readonly withoutBodies: readonly StatementAnalysis[]
  /** Where the columns of each come from, as a refiner of its own tells. */
  readonly traced: readonly Traced[]
}

export interface Catalogues {
  refine(analyses: readonly StatementAnalysis[], asking: Asking): Promise<Known>
  /** What is forwarded now may change the catalogue, of every session. */
  changed(analyses: readonly StatementAnalysis[]): void
}

interface Session {
  version: number
  full: Catalogue
  withoutBodies: Catalogue
  /** `schema.table.column` of all. */
  columns: ReadonlySet<string>
}

const changing = new Set(['define', 'grant', 'execute', 'unknown'])

export function createCatalogues(analyzer: SqlAnalyzer, serverVersion: number): Catalogues {
  const sessions = new WeakMap<Asking, Session>()
  const query = catalogueQuery(serverVersion)
  let version = 0

  async function load(asking: Asking, before: Session | undefined): Promise<Session> {
    const inside = asking.status === 'T'
    await asking.ask(inside ? 'savepoint portcullis_catalogue' : 'begin')
    await asking.ask('set local search_path = pg_catalog')
    const { rows, code, message } = await asking.ask(query)
    await asking.ask(inside ? 'rollback to portcullis_catalogue; release portcullis_catalogue' : 'rollback')
    if (code !== '') throw new Error(`the catalogue's query failed: ${code} ${message}`)
    const data = catalogueOf(rows)
    return {
      version,
      full: analyzer.catalogue(data, before?.full),
      withoutBodies: analyzer.catalogue(without(data), before?.withoutBodies),
      columns: new Set(
        data.tables.flatMap(({ schema, name, columns = [] }) =>
          columns.map((column) => `${schema}.${name}.${column}`),
        ),
      ),
    }
  }

  return {
    async refine(analyses, asking) {
      if (asking.status === 'E' || analyses.every(({ facts }) => facts === undefined))
        return { refined: analyses, withoutBodies: analyses, traced: [] }
      let session = sessions.get(asking)
      if (session?.version !== version) {
        session = await load(asking, session)
        sessions.set(asking, session)
      }
      const { rows } = await asking.ask('select array_to_json(current_schemas(false))')
      const path: string[] = JSON.parse(rows[0]?.[0] ?? '[]')
      const { full, withoutBodies } = session
      return {
        refined: analyses.map((one) => full.under(path).refine(one)),
        withoutBodies: analyses.map((one) => withoutBodies.under(path).refine(one)),
        traced: analyses.map((one) => tracedBy(session, full.under(path), one)),
      }
    },
    changed(analyses) {
      const changes = analyses.some(
        ({ effects, undoes, objects }) =>
          undoes ||
          effects.some((effect) => changing.has(effect)) ||
          // SET ROLE and SESSION AUTHORIZATION change which policies hold; temporary tables go with DISCARD.
          objects.some(({ kind }) => kind === 'setting' || kind === 'role'),
      )
      if (changes || analyses.some(({ verb }) => /^(DISCARD|COMMIT|ROLLBACK)/.test(verb))) version++
    },
  }
}

function tracedBy({ columns }: Session, refiner: Refiner, analysis: StatementAnalysis): Traced {
  const sinceMs = performance.now()
  const lineage = refiner.lineage(analysis)
  return {
    lineage,
    ms: performance.now() - sinceMs,
    columnAt: (table, attribute) => refiner.columnAt(table, attribute),
    isColumn: ({ schema, table, column }) => columns.has(`${schema}.${table}.${column}`),
  }
}

function without(data: CatalogueData): CatalogueData {
  return { ...data, functions: data.functions.map(({ body: _body, ...one }) => one) }
}
