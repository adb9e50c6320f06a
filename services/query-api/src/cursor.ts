/**
 * Opaque cursors: where a page ended, as the sort key of its last row, so that pages stay stable while rows come in. A
 * cursor belongs to one list with one set of filters; with others it is refused rather than silently misread.
 */
import { createHash } from 'node:crypto'
import { z } from 'zod'
import { invalid } from './input.ts'

/** The sort key of the last row: a time in microseconds, and the id that breaks ties. */
export interface Position {
  readonly us: number
  readonly id: string
}

const shape = z.tuple([z.string(), z.int(), z.string()])

export function encodeCursor(list: string, filters: unknown, { us, id }: Position): string {
  return Buffer.from(JSON.stringify([digest(list, filters), us, id])).toString('base64url')
}

/** @throws ApiError invalid_request */
export function decodeCursor(
  list: string,
  filters: unknown,
  cursor: string | undefined,
): Position | undefined {
  if (cursor === undefined) return undefined
  const read = shape.safeParse(parse(Buffer.from(cursor, 'base64url').toString('utf8')))
  if (!read.success)
    throw invalid([
      { in: 'query', field: 'cursor', message: 'is not a cursor of this API; leave it out to start anew' },
    ])
  const [made, us, id] = read.data
  if (made !== digest(list, filters))
    throw invalid([
      {
        in: 'query',
        field: 'cursor',
        message: 'was made for other filters; keep them the same from page to page',
      },
    ])
  return { us, id }
}

/** One page out of `limit + 1` rows: whether there is more is seen from the extra one, never by counting. */
export function pageOf<Row>(
  rows: readonly Row[],
  limit: number,
  cursorOf: (last: Row) => string,
): { items: Row[]; nextCursor: string | null } {
  const items = rows.slice(0, limit)
  const last = items.at(-1)
  return { items, nextCursor: rows.length > limit && last !== undefined ? cursorOf(last) : null }
}

function digest(list: string, filters: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify([list, filters]))
    .digest('base64url')
    .slice(0, 12)
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    if (error instanceof SyntaxError) return undefined
    throw error
  }
}
