/**
 * DataRow messages with some of their values masked (PostgreSQL manual, "Message Formats"):
 *
 *   'D' int32 length, int16 columns, for each: int32 length or -1, bytes
 *
 * Sees every row of a result: nothing is made for one. Refuses rows that are not of the columns that were described.
 */
import type { ColumnMask, RemoteFinds } from '@portcullis/kernel'
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
  /** Who is to be asked for its values first, and how many bytes stand before the text of each. */
  readonly asks?: { readonly remote: RemoteFinds; readonly skip: number } | undefined
}

const headerBytes = 5

/** What masks one result. */
export interface ResultMasker {
  /** One for each of the result; undefined for those that are shown. */
  readonly columns: readonly (MaskedColumn | undefined)[]
  /**
   * Masks whole messages, `buffer[start, end)`, which may be written over.
   *
   * @throws MaskingError `unreadable`, or RangeError: they are not as they should be.
   */
  mask(buffer: Buffer, start: number, end: number): Piece
  /** Asks for what another service finds in these messages; undefined where there is nothing to ask. */
  ask?(buffer: Buffer, start: number, end: number): Promise<void> | undefined
}

export function createRowMasker(columns: ResultMasker['columns']): ResultMasker {
  const remote = columns.find((column) => column?.asks)?.asks?.remote
  return {
    columns,
    ...(remote && {
      ask(buffer, start, end) {
        const texts = unanswered(columns, buffer, start, end)
        return texts.length > 0 ? remote.ask(texts) : undefined
      },
    }),
    mask(buffer, start, end) {
      const rewrite = new Rewrite(buffer, start, end)
      let row = start
      while (row < end) row = maskRow(columns, rewrite, row)
      return rewrite.done()
    },
  }
}

/** Texts of columns that somebody is to be asked for, each once. */
function unanswered(columns: ResultMasker['columns'], buffer: Buffer, start: number, end: number): string[] {
  const texts = new Set<string>()
  for (let row = start; row < end; row += 1 + buffer.readInt32BE(row + 1)) {
    let at = row + headerBytes + 2
    for (const column of columns) {
      const length = buffer.readInt32BE(at)
      const valueEnd = at + 4 + Math.max(length, 0)
      if (valueEnd > end) throw unreadable()
      if (column?.asks && length > 0) {
        const text = buffer.toString('utf8', at + 4 + column.asks.skip, valueEnd)
        if (column.asks.remote.finds(text) === undefined) texts.add(text)
      }
      at = valueEnd
    }
  }
  return [...texts]
}

/** Returns where the next row begins. */
function maskRow(columns: readonly (MaskedColumn | undefined)[], rewrite: Rewrite, row: number): number {
  const { from } = rewrite
  const end = row + 1 + from.readInt32BE(row + 1)
  if (end > rewrite.end) throw unreadable()
  rewrite.begin(row)
  if (maskValues(columns, rewrite, row + headerBytes, end) !== end) throw unreadable()
  rewrite.finish(end)
  return end
}

/** A row's columns, from their number on, which end at `end` at most. Returns where they do. */
export function maskValues(
  columns: readonly (MaskedColumn | undefined)[],
  rewrite: Rewrite,
  start: number,
  end: number,
): number {
  const { from } = rewrite
  if (start + 2 > end || from.readInt16BE(start) !== columns.length) throw unreadable()
  let at = start + 2
  for (let index = 0; index < columns.length; index++) {
    if (at + 4 > end) throw unreadable()
    const length = from.readInt32BE(at)
    const column = columns[index]
    const valueEnd = at + 4 + Math.max(length, 0)
    if (valueEnd > end) throw unreadable()
    const bytesMax = column === undefined || length < 0 ? -1 : bytesMaxOf(column.form, from, at + 4, valueEnd)
    if (column !== undefined && bytesMax >= 0) {
      rewrite.replace(at, valueEnd, 4 + bytesMax)
      const written = column.form.write(from, at + 4, valueEnd, rewrite.to, rewrite.at + 4)
      rewrite.to.writeInt32BE(written, rewrite.at)
      rewrite.replaced(valueEnd, 4 + Math.max(written, 0))
      column.values++
    }
    at = valueEnd
  }
  return at
}

/** -1: the value is shown. */
export function bytesMaxOf(form: Form, from: Buffer, start: number, end: number): number {
  return form.weigh === undefined ? form.bytesMax(end - start) : form.weigh(from, start, end)
}

export function unreadable(): MaskingError {
  return new MaskingError('unreadable', 'a row that is not of the columns that were described')
}
