/**
 * DataRow messages with some of their values masked (PostgreSQL manual, "Message Formats"):
 *
 *   'D' int32 length, int16 columns, for each: int32 length or -1, bytes
 *
 * Sees every row of a result: nothing is made for one. Refuses rows that are not of the columns that were described.
 */
import type { ColumnMask } from '@portcullis/kernel'
import { MaskingError } from './errors.ts'
import type { Form } from './form.ts'
import { type Piece, Rewrite } from './piece.ts'

/** What is done to one column of a result, and how often it was. */
export interface MaskedColumn {
  readonly form: Form
  readonly mask: ColumnMask
  /** Values that were masked; NULL is none. */
  values: number
  /** Of a column that is masked by content: how often each kind was found. */
  readonly finds?: ReadonlyMap<string, number>
}

const headerBytes = 5

/**
 * Masks whole messages, `buffer[start, end)`, which may be written over. `columns`: one for each of the result; undefined
 * for those that are shown.
 *
 * @throws MaskingError `unreadable`
 */
export function maskRows(
  columns: readonly (MaskedColumn | undefined)[],
  buffer: Buffer,
  start: number,
  end: number,
): Piece {
  const rewrite = new Rewrite(buffer, start, end)
  let row = start
  while (row < end) row = maskRow(columns, rewrite, row)
  return rewrite.done()
}

/** Returns where the next row begins. */
function maskRow(columns: readonly (MaskedColumn | undefined)[], rewrite: Rewrite, row: number): number {
  const { from } = rewrite
  const rowEnd = row + 1 + from.readInt32BE(row + 1)
  if (rowEnd > rewrite.end || from.readInt16BE(row + headerBytes) !== columns.length) throw unreadable()
  let at = row + headerBytes + 2
  /** Where the row's header lies in what is written, once that is known. */
  let header = -1
  let growth = 0
  for (let index = 0; index < columns.length; index++) {
    if (at + 4 > rowEnd) throw unreadable()
    const length = from.readInt32BE(at)
    const column = columns[index]
    const valueEnd = at + 4 + Math.max(length, 0)
    if (valueEnd > rowEnd) throw unreadable()
    const bytesMax = column === undefined || length < 0 ? -1 : bytesMaxOf(column.form, from, at + 4, valueEnd)
    if (column !== undefined && bytesMax >= 0) {
      if (header < 0) header = rewrite.placeOf(row)
      rewrite.keep(at)
      const moved = rewrite.room(4 + bytesMax, valueEnd)
      header += moved
      const written = column.form.write(from, at + 4, valueEnd, rewrite.to, rewrite.at + 4)
      rewrite.to.writeInt32BE(written, rewrite.at)
      rewrite.at += 4 + Math.max(written, 0)
      rewrite.taken = valueEnd
      growth += Math.max(written, 0) - length
      column.values++
    }
    at = valueEnd
  }
  if (at !== rowEnd) throw unreadable()
  if (growth !== 0) rewrite.to.writeInt32BE(rowEnd - row - 1 + growth, header + 1)
  return rowEnd
}

/** -1: the value is shown. */
function bytesMaxOf(form: Form, from: Buffer, start: number, end: number): number {
  return form.weigh === undefined ? form.bytesMax(end - start) : form.weigh(from, start, end)
}

function unreadable(): MaskingError {
  return new MaskingError('unreadable', 'a row that is not of the columns that were described')
}
