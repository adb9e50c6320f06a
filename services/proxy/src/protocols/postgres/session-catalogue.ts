/**
 * What the target's catalogue makes of a session's statements: which catalogue, and where the session looks for names.
 * Servers from 18 on report the search path; of others it is known until something may have changed it. While it is not
 * known a name stands for whatever has it in any schema.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Analysis, type ColumnRef, type Lineage, lostLineage } from '@portcullis/kernel'
import {
  type ColumnType,
  changedTables,
  mayDefine,
  mayMoveSearchPath,
  type Refiner,
  type SearchPath,
  schemasOf,
  type StatementAnalysis,
} from '@portcullis/sql'
import type { CatalogueSeat, Known } from './catalogues.ts'

export interface SessionCatalogue {
  /** The same objects where it adds nothing. `analyses` are the statements of one text. */
  refine(analyses: readonly StatementAnalysis[]): readonly StatementAnalysis[]
  /**
   * The statements of one text; lost from the first on that may change what names stand for. `sights`: of those that were
   * planned before, what names stood for then.
   */
  lineagesOf(analyses: readonly Analysis[], sights?: readonly (Sight | undefined)[]): readonly Lineage[]
  /** Ends, soon, when the lineages of these may be known, which are lost now; undefined: a wait would not tell more. */
  coming(analyses: readonly StatementAnalysis[]): Promise<void> | undefined
  /** What names stand for now; the same object as long as that is the same. */
  sight(): Sight | undefined
  /** The column behind the numbers that a RowDescription gives, where the catalogue has it. */
  columnAt(table: number, attribute: number): ColumnRef | undefined
  /** The type of a stored column, by its number, and its modifier. */
  typeOf(column: ColumnRef): ColumnType | undefined
  /** Where the session looks for names; `default`: it has set nothing; undefined: not known. */
  searchPath(): SearchPath | 'default'
  /** The server reported a setting. */
  setting(name: string, value: string): void
  /** A statement is forwarded to be run. */
  runs(analysis: Parameters<typeof mayMoveSearchPath>[0]): void
  /** The server has answered everything. */
  sure(): void
  /** No transaction is open. */
  settled(): void
  leave(): void
}

/** A portal or cursor is planned once: what its names stood for then is what it shows, whatever they stand for later. */
export interface Sight {
  readonly known: Known
  readonly path: SearchPath
  /** Nothing had been defined that the catalogue does not have. */
  readonly isSure: boolean
}

/** `parameters` are those that the session was opened with; `user` is its role. */
export function createSessionCatalogue(
  seat: CatalogueSeat | undefined,
  parameters: Readonly<Record<string, string>>,
  user: string,
): SessionCatalogue {
  if (seat === undefined) return noCatalogue
  /** undefined: not known; 'default': as a session has it that sets nothing. */
  let path: SearchPath | 'default' = 'default'
  let isReported = false
  let isMoving = false
  let isRoleKept = true
  if (parameters.search_path !== undefined) path = pathOf(parameters.search_path)
  else if (/search_path/i.test(parameters.options ?? '')) path = undefined
  let lastSight: Sight | undefined
  /** What the default was when the session was opened, as far as that is known: it keeps it, whatever is set since. */
  let defaultPath = seat.known?.path
  let current: { refiner: Refiner; known: Known; path: SearchPath; outdated: boolean } | undefined

  function pathOf(value: string): SearchPath {
    const schemas = schemasOf(value)
    // Whose schema "$user" is the server does not report.
    if (!isRoleKept && schemas.includes('$user')) return undefined
    return schemas.map((schema) => (schema === '$user' ? user : schema))
  }

  function pathHere(known: Known, isSure: boolean): SearchPath {
    if (!isSure || isMoving) return undefined
    if (path !== 'default') return path
    defaultPath ??= known.path
    return isDeepStrictEqual(defaultPath, known.path) ? known.path : undefined
  }

  function sightNow(): Sight | undefined {
    const { known, outdated } = seat as CatalogueSeat
    if (known === undefined) return undefined
    const here = pathHere(known, true)
    if (lastSight?.known !== known || lastSight.path !== here || lastSight.isSure === outdated)
      lastSight = { known, path: here, isSure: !outdated }
    return lastSight
  }

  function refinerFor(isSure: boolean): Refiner | undefined {
    const { known, outdated } = seat as CatalogueSeat
    if (known === undefined) return undefined
    const here = pathHere(known, isSure)
    if (current?.known !== known || current.path !== here || current.outdated !== outdated)
      current = { refiner: known.catalogue.under(here, outdated), known, path: here, outdated }
    return current.refiner
  }

  const session: SessionCatalogue = {
    refine(analyses) {
      // A statement of the same text may be what moves the path.
      const refiner = refinerFor(analyses.length < 2 || !analyses.some(mayMoveSearchPath))
      if (refiner === undefined) return analyses
      const [first] = analyses
      if (first && analyses.length === 1) {
        const refined = refiner.refine(first)
        return refined === first ? analyses : [refined]
      }
      return analyses.map((one) => refiner.refine(one))
    },
    lineagesOf(analyses, sights = []) {
      const now = sightNow()
      if (now === undefined) return analyses.map(() => lostLineage)
      let isKnown = true
      return analyses.map((analysis, at) => {
        const then = sights[at]
        const { known, path: here, isSure } = then ?? now
        // What was defined since says nothing of other tables; what was when this was planned nobody can tell any more.
        const isLost = !isKnown || (then && then !== now && !isSure) || seat.isRedefined(tablesIn(analysis))
        if (mayDefine(analysis) || mayMoveSearchPath(analysis)) isKnown = false
        return isLost ? lostLineage : known.catalogue.under(here).lineage(analysis)
      })
    },
    coming: (analyses) => seat.coming(() => session.refine(analyses).flatMap(tablesIn)),
    sight: sightNow,
    columnAt: (table, attribute) => refinerFor(true)?.columnAt(table, attribute),
    typeOf: (column) => refinerFor(true)?.typeOf(column),
    searchPath: () => (isMoving ? undefined : path),
    setting(name, value) {
      if (name !== 'search_path') return
      isReported = true
      path = pathOf(value)
    },
    runs(analysis) {
      if (mayDefine(analysis)) seat.defines(changedTables(analysis))
      if (!mayMoveSearchPath(analysis)) return
      isMoving = true
      if (analysis.objects.some(({ kind, name }) => kind === 'role' || roleSettings.has(name)))
        isRoleKept = false
    },
    sure() {
      if (isMoving && !(isReported && isRoleKept)) path = undefined
      isMoving = false
    },
    settled: () => seat.settled(),
    leave: () => seat.leave(),
  }
  return session
}

/** By their bare names, those behind views and functions included. */
function tablesIn({ objects }: Analysis): readonly string[] {
  return objects.flatMap(({ kind, name }) => (kind === 'table' ? name : []))
}

const roleSettings = new Set(['role', 'session_authorization'])

export const noCatalogue: SessionCatalogue = {
  refine: (analyses) => analyses,
  lineagesOf: (analyses) => analyses.map(() => lostLineage),
  coming: () => undefined,
  sight: () => undefined,
  columnAt: () => undefined,
  typeOf: () => undefined,
  searchPath: () => undefined,
  setting: () => undefined,
  runs: () => undefined,
  sure: () => undefined,
  settled: () => undefined,
  leave: () => undefined,
}
