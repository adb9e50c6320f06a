/**
 * Reads the audit trail for the API. Every query is made of constant text and parameters, has a LIMIT and a time limit,
 * and only so many run at once; input never becomes part of a statement. Lists go back through time in growing windows,
 * so that the latest rows are found without reading all of history, and only the rows of the page are read whole.
 */
import type { AuditStore, QueryParams } from '@portcullis/platform/audit'
import { type Column, nest } from './columns.ts'
import type { Position } from './cursor.ts'
import { ApiError } from './problems.ts'

/** A condition: constant SQL and its parameters. Names of parameters are unique within a query. */
export interface Clause {
  readonly sql: string
  readonly params?: QueryParams
}

export interface Listing {
  /** A public table. */
  readonly table:
    | 'commands'
    | 'sessions'
    | 'findings'
    | 'verdicts'
    | 'approvals'
    | 'control_events'
    | 'sign_ins'
  readonly columns: readonly Column[]
  /** Further outer expressions by field, over the columns named in `reads`. */
  readonly computed?: Readonly<Record<string, { readonly sql: string; readonly reads: readonly string[] }>>
  /** Column of the time that the list is sorted by, latest first, and the id that breaks ties. */
  readonly timeColumn: string
  readonly idColumn: string
}

export interface PageRequest {
  readonly where: readonly Clause[]
  readonly fromUs: number | undefined
  readonly toUs: number | undefined
  readonly after: Position | undefined
  readonly limit: number
}

export type Row = Record<string, unknown>
export interface Found {
  readonly row: Row
  readonly position: Position
}

export interface Trail {
  /** Up to `limit + 1` rows, latest first: the extra one says that there is more. */
  page(listing: Listing, request: PageRequest): Promise<Found[]>
  one(listing: Listing, id: string): Promise<Row | undefined>
  /** For a constant statement with its own LIMIT. */
  rows(sql: string, params: QueryParams): Promise<Row[]>
}

export interface TrailOptions {
  readonly store: Pick<AuditStore, 'query'>
  readonly nowUs: () => number
  /** Over all queries of one request; default 10 000. */
  readonly timeoutMs?: number
  /** Queries that run at once; as many again may wait eightfold. Default 8. */
  readonly concurrency?: number
}

export function createTrail({ store, nowUs, timeoutMs = 10_000, concurrency = 8 }: TrailOptions): Trail {
  const gate = createGate(concurrency)

  async function query(sql: string, params: QueryParams, signal: AbortSignal): Promise<Row[]> {
    const leave = await gate.enter(signal)
    try {
      return await store.query<Row>(sql, params, {
        signal,
        settings: {
          max_execution_time: Math.ceil(timeoutMs / 1000),
          output_format_json_quote_64bit_integers: 1,
        },
      })
    } finally {
      leave()
    }
  }

  return {
    async page(listing, request) {
      const signal = AbortSignal.timeout(timeoutMs)
      const wanted = request.limit + 1
      const keys: Position[] = []
      for (const window of windows(request, nowUs())) {
        const { sql, params } = keysQuery(listing, request, window, wanted - keys.length)
        for (const { _us, _id } of await query(sql, params, signal))
          keys.push({ us: Number(_us), id: String(_id) })
        if (keys.length >= wanted) break
      }
      const found: Found[] = []
      for (let start = 0; start < keys.length; start += keysAtOnce) {
        const { sql, params } = rowsQuery(listing, keys.slice(start, start + keysAtOnce))
        for (const row of await query(sql, params, signal)) found.push(foundOf(row))
      }
      return found
    },
    async one(listing, id) {
      const sql = `${selectOuter(listing)} FROM (SELECT ${innerColumns(listing)} FROM ${listing.table} WHERE ${listing.idColumn} = {id:String} ORDER BY ${listing.timeColumn} DESC LIMIT 1)`
      const [row] = await query(sql, { id }, AbortSignal.timeout(timeoutMs))
      return row && foundOf(row).row
    },
    rows: (sql, params) => query(sql, params, AbortSignal.timeout(timeoutMs)),
  }
}

/** Parameters travel in the URL, and servers take only so much of one. */
const keysAtOnce = 100

interface Window {
  readonly startUs: number
  readonly endUs: number
}

const hourUs = 3_600_000_000
/** Clocks of proxies may be ahead of ours. */
const aheadUs = 24 * hourUs

/** From the newest backwards: a day, a month, the rest. Together exactly the range asked for. */
export function* windows(
  { fromUs = 0, toUs, after }: Pick<PageRequest, 'fromUs' | 'toUs' | 'after'>,
  nowUs: number,
): Generator<Window> {
  // Rows of the cursor's own microsecond may still follow, so the window reaches one further.
  let endUs = Math.min(toUs ?? Number.MAX_SAFE_INTEGER, after ? after.us + 1 : Number.MAX_SAFE_INTEGER)
  if (endUs === Number.MAX_SAFE_INTEGER) endUs = nowUs + aheadUs
  for (const lengthUs of [aheadUs + 25 * hourUs, 750 * hourUs, Number.MAX_SAFE_INTEGER]) {
    if (endUs <= fromUs) return
    const startUs = Math.max(fromUs, endUs - lengthUs)
    yield { startUs, endUs }
    endUs = startUs
  }
}

/** Which rows: reads only what is filtered and sorted by, since texts and objects are most of the bytes. */
function keysQuery(listing: Listing, { where, after }: PageRequest, window: Window, limit: number) {
  const { table, timeColumn, idColumn } = listing
  const clauses: Clause[] = [inWindow(timeColumn, window), ...where]
  if (after)
    clauses.push({
      sql: `(${timeColumn}, ${idColumn}) < (${micros('afterUs')}, {afterId:String})`,
      params: { afterUs: after.us, afterId: after.id },
    })
  const sql = `SELECT ${keyColumns(listing)} FROM ${table} WHERE ${clauses
    .map((clause) => `(${clause.sql})`)
    .join(' AND ')} ORDER BY ${timeColumn} DESC, ${idColumn} DESC LIMIT {limit:UInt32}`
  return { sql, params: { ...Object.assign({}, ...clauses.map(({ params }) => params ?? {})), limit } }
}

/** Those rows whole. One that came into the same microsecond meanwhile is not among them. */
function rowsQuery(listing: Listing, keys: readonly Position[]) {
  const { table, timeColumn, idColumn } = listing
  const times = keys.map(({ us }) => us)
  const window = { startUs: Math.min(...times), endUs: Math.max(...times) + 1 }
  const { sql: inRange, params } = inWindow(timeColumn, window)
  const sql = `${selectOuter(listing)} FROM (SELECT ${innerColumns(listing)} FROM ${table} WHERE ${inRange} AND ${idColumn} IN {ids:Array(String)} LIMIT {limit:UInt32}) ORDER BY \`_us\` DESC, \`_id\` DESC`
  return { sql, params: { ...params, ids: keys.map(({ id }) => id), limit: keys.length } }
}

function inWindow(timeColumn: string, { startUs, endUs }: Window): Required<Clause> {
  return {
    sql: `${timeColumn} >= ${micros('startUs')} AND ${timeColumn} < ${micros('endUs')}`,
    params: { startUs, endUs },
  }
}

export function micros(param: string): string {
  return `fromUnixTimestamp64Micro({${param}:Int64}, 'UTC')`
}

function innerColumns({ columns, computed = {}, timeColumn, idColumn }: Listing): string {
  const names = new Set([
    ...columns.map(({ column }) => column),
    ...Object.values(computed).flatMap(({ reads }) => reads),
    timeColumn,
    idColumn,
  ])
  return [...names].map((name) => `\`${name}\``).join(', ')
}

function selectOuter(listing: Listing): string {
  const { columns, computed = {} } = listing
  const expressions = [
    ...columns.map(({ field, column, kind }) => `${expression(column, kind)} AS ${shown(field)}`),
    ...Object.entries(computed).map(([field, { sql }]) => `${sql} AS ${shown(field)}`),
    keyColumns(listing),
  ]
  return `SELECT ${expressions.join(', ')}`
}

function keyColumns({ timeColumn, idColumn }: Listing): string {
  return `toUnixTimestamp64Micro(\`${timeColumn}\`) AS \`_us\`, \`${idColumn}\` AS \`_id\``
}

function expression(column: string, kind: Column['kind']): string {
  if (kind === 'optionalText') return `nullIf(toString(\`${column}\`), '')`
  // Events say 0 where there is no such time.
  if (kind === 'knownTime') return `if(toUnixTimestamp64Micro(\`${column}\`) = 0, NULL, \`${column}\`)`
  return `\`${column}\``
}

/** Marked, since ClickHouse lets an alias stand for the column of the same name in the other expressions too. */
function shown(field: string): string {
  return `\`=${field}\``
}

function foundOf({ _us, _id, ...row }: Row): Found {
  const fields = Object.entries(row).map(([name, value]): [string, unknown] => [name.slice(1), value])
  return { row: nest(Object.fromEntries(fields)), position: { us: Number(_us), id: String(_id) } }
}

/** Lets `limit` in at once; more wait their turn, and beyond eight times as many are sent away. */
function createGate(limit: number) {
  let inside = 0
  const queue: (() => void)[] = []
  const leave = () => {
    const next = queue.shift()
    // The place is handed on, so that nobody slips in between.
    if (next) next()
    else inside -= 1
  }
  return {
    async enter(signal: AbortSignal): Promise<() => void> {
      if (inside < limit) inside += 1
      else if (queue.length < limit * 8) await new Promise<void>((resolve) => queue.push(resolve))
      else
        throw new ApiError('overloaded', 'Too many queries wait already; try again shortly.', {
          retryAfterSec: 2,
        })
      if (!signal.aborted) return leave
      leave()
      throw new ApiError('trail_unavailable', 'The audit trail is too busy; try again shortly.', {
        retryAfterSec: 5,
      })
    },
  }
}
