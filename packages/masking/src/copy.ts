/**
 * CopyData messages with some of their values masked, in each of COPY's formats. A server sends a row in a message, the
 * binary format's beginning and end as well: what is laid out in another way is refused, for nobody could tell where a
 * value ends.
 */
import type { CopyLayout } from '@portcullis/kernel'
import { lineMasker } from './lines.ts'
import { type Piece, Rewrite } from './piece.ts'
import { type MaskedColumn, maskValues, type ResultMasker, unreadable } from './rows.ts'

const headerBytes = 5
const newline = 0x0a

/** `columns`: one for each that is copied. One masker for each COPY: it knows what came first. */
export function createCopyMasker(
  layout: CopyLayout,
  columns: readonly (MaskedColumn | undefined)[],
): ResultMasker {
  const maskLine = layout.format === 'binary' ? undefined : lineMasker(layout, columns)
  let isFirst = true

  function maskData(rewrite: Rewrite, start: number, end: number): void {
    if (maskLine === undefined)
      maskTuples(columns, rewrite, isFirst ? behindSignature(rewrite.from, start, end) : start, end)
    else if (!(isFirst && layout.header)) {
      if (end === start || rewrite.from[end - 1] !== newline) throw unreadable()
      maskLine(rewrite, start, end - 1)
    }
    isFirst = false
  }

  return {
    columns,
    mask(buffer, start, end): Piece {
      const rewrite = new Rewrite(buffer, start, end)
      for (let at = start; at < end; ) {
        const dataEnd = at + 1 + buffer.readInt32BE(at + 1)
        if (dataEnd > end) throw unreadable()
        rewrite.begin(at)
        maskData(rewrite, at + headerBytes, dataEnd)
        rewrite.finish(dataEnd)
        at = dataEnd
      }
      return rewrite.done()
    },
  }
}

const signature = Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1')

function behindSignature(from: Buffer, start: number, end: number): number {
  const flagsAt = start + signature.length
  const isThere =
    end - start >= signature.length + 8 && from.compare(signature, 0, signature.length, start, flagsAt) === 0
  // A flag would say that rows have something before their columns.
  if (!isThere || from.readInt32BE(flagsAt) !== 0) throw unreadable()
  return flagsAt + 8 + from.readInt32BE(flagsAt + 4)
}

/** Rows up to the end of a message, or a number of -1 columns, which ends the data. */
function maskTuples(
  columns: readonly (MaskedColumn | undefined)[],
  rewrite: Rewrite,
  start: number,
  end: number,
): void {
  let at = start
  while (at < end) {
    if (at + 2 === end && rewrite.from.readInt16BE(at) === -1) return
    at = maskValues(columns, rewrite, at, end)
  }
  if (at !== end) throw unreadable()
}
