/** What the lists have in common: filters to conditions, cursors, and one page as the answer. */
import type { z } from 'zod'
import { decodeCursor, encodeCursor, pageOf } from '../cursor.ts'
import type { Clause, Listing, Row, Trail } from '../trail.ts'

export interface ListQuery {
  readonly limit: number
  readonly cursor?: string | undefined
  readonly from?: number | undefined
  readonly to?: number | undefined
}

/** SQL for each filter that may be given; the filter's value is the parameter of the same name. */
export type Conditions<Q> = { readonly [K in Exclude<keyof Q, keyof ListQuery>]-?: string }

/** A page of rows, latest first, within the filters that were given. */
export async function listPage<Q extends ListQuery>(
  trail: Trail,
  listing: Listing,
  conditions: Conditions<Q>,
  query: Q,
): Promise<{ items: Row[]; nextCursor: string | null }> {
  const { limit, cursor, from, to, ...filters } = query
  const position = decodeCursor(listing.table, { from, to, filters }, cursor)
  const where = Object.entries(filters).flatMap(([name, value]) => clauseFor(conditions, name, value))
  const found = await trail.page(listing, { where, fromUs: from, toUs: to, after: position, limit })
  const page = pageOf(found, limit, (last) =>
    encodeCursor(listing.table, { from, to, filters }, last.position),
  )
  return { items: page.items.map(({ row }) => row), nextCursor: page.nextCursor }
}

export type Output<S extends z.ZodType> = z.output<S>

function clauseFor(conditions: Readonly<Record<string, string>>, name: string, value: unknown): Clause[] {
  const sql = conditions[name]
  if (value === undefined) return []
  if (sql === undefined) throw new Error(`no condition for the filter ${name}`)
  return [{ sql, params: { [name]: paramOf(value) } }]
}

function paramOf(value: unknown): string | number | boolean | string[] {
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  if (Array.isArray(value)) return value.map(String)
  throw new Error('a filter must be text, a number, true or false, or a list of texts')
}
