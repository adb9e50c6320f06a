/**
 * Lines of COPY's text and csv formats, field by field. Quoting and escapes are undone before a value is masked and done
 * anew after, so that a form sees the value and nothing else. Refuses lines that have not the fields they should have.
 *
 * Source: PostgreSQL manual, "COPY", "File Formats". The bytes that matter are ASCII, in an encoding where no other
 * character has them.
 */
import type { CopyLayout } from '@portcullis/kernel'
import type { Rewrite } from './piece.ts'
import { bytesMaxOf, type MaskedColumn, unreadable } from './rows.ts'

/** Masks the fields of the line `from[start, end)`, which has its newline no more. */
export type MaskLine = (rewrite: Rewrite, start: number, end: number) => void

/** Bytes of one value after the other. */
interface Scratch {
  bytes: Buffer
  length: number
}

export function lineMasker(layout: CopyLayout, columns: readonly (MaskedColumn | undefined)[]): MaskLine {
  const { read, write } = layout.format === 'csv' ? csv(layout) : text(layout)
  const nullBytes = Buffer.from(layout.null)
  const delimiter = layout.delimiter.charCodeAt(0)
  const plain: Scratch = { bytes: Buffer.alloc(1024), length: 0 }
  let shown = Buffer.alloc(1024)

  function maskField(column: MaskedColumn, rewrite: Rewrite, start: number, end: number): void {
    const { form } = column
    const bytesMax = bytesMaxOf(form, plain.bytes, 0, plain.length)
    if (bytesMax < 0) return
    if (shown.length < bytesMax) shown = Buffer.alloc(2 * bytesMax)
    const length = form.write(plain.bytes, 0, plain.length, shown, 0)
    rewrite.replace(start, end, length < 0 ? nullBytes.length : 2 * length + 2)
    const { to, at } = rewrite
    const written = length < 0 ? nullBytes.copy(to, at) : write(shown, length, to, at, nullBytes)
    rewrite.replaced(end, written)
    column.values++
  }

  return (rewrite, start, end) => {
    const { from } = rewrite
    let at = start
    for (let index = 0; index < columns.length; index++) {
      if (index > 0) {
        if (from[at] !== delimiter || at >= end) throw unreadable()
        at++
      }
      const column = columns[index]
      const fieldEnd = read(from, at, end, column === undefined ? undefined : plain)
      const isNull =
        fieldEnd - at === nullBytes.length && from.compare(nullBytes, 0, nullBytes.length, at, fieldEnd) === 0
      if (column !== undefined && !isNull) maskField(column, rewrite, at, fieldEnd)
      at = fieldEnd
    }
    if (at !== end) throw unreadable()
  }
}

interface FieldFormat {
  /** Where the field that begins at `start` ends; its value goes to `plain`. */
  read(from: Buffer, start: number, end: number, plain: Scratch | undefined): number
  /** The value `shown[0, length)` as a field at `to[at...]`; its bytes, at most twice as many and two. */
  write(shown: Buffer, length: number, to: Buffer, at: number, nullBytes: Buffer): number
}

const backslash = 0x5c
/** What stands behind a backslash for a byte that would end a field or a line, or be hard to see. */
const escapes: ReadonlyMap<number, number> = new Map([
  [0x62, 0x08],
  [0x66, 0x0c],
  [0x6e, 0x0a],
  [0x72, 0x0d],
  [0x74, 0x09],
  [0x76, 0x0b],
])
const escaped: ReadonlyMap<number, number> = new Map(Array.from(escapes, ([letter, byte]) => [byte, letter]))

function text({ delimiter: sign }: CopyLayout): FieldFormat {
  const delimiter = sign.charCodeAt(0)
  return {
    read(from, start, end, plain) {
      let at = start
      if (plain) reserve(plain, end - start)
      for (; at < end && from[at] !== delimiter; at++) {
        let byte = from[at] as number
        if (byte === backslash) {
          at++
          if (at >= end) throw unreadable()
          byte = escapes.get(from[at] as number) ?? (from[at] as number)
        }
        if (plain) plain.bytes[plain.length++] = byte
      }
      return at
    },
    write(shown, length, to, at) {
      let out = at
      for (let index = 0; index < length; index++) {
        const byte = shown[index] as number
        const letter = escaped.get(byte)
        if (letter !== undefined || byte === backslash || byte === delimiter) to[out++] = backslash
        to[out++] = letter !== undefined && byte !== delimiter ? letter : byte
      }
      return out - at
    },
  }
}

function csv({ delimiter: sign, quote: quoteSign, escape: escapeSign }: CopyLayout): FieldFormat {
  const [delimiter, quote, escaping] = [sign, quoteSign, escapeSign].map((one) => one.charCodeAt(0))
  const isSpecial = (byte: number) => byte === delimiter || byte === quote || byte === 0x0a || byte === 0x0d
  return {
    read(from, start, end, plain) {
      let at = start
      if (plain) reserve(plain, end - start)
      let isQuoted = false
      for (; at < end && (isQuoted || from[at] !== delimiter); at++) {
        let byte = from[at] as number
        if (
          isQuoted &&
          byte === escaping &&
          at + 1 < end &&
          (from[at + 1] === quote || from[at + 1] === escaping)
        ) {
          at++
          byte = from[at] as number
        } else if (byte === quote) {
          isQuoted = !isQuoted
          continue
        }
        if (plain) plain.bytes[plain.length++] = byte
      }
      if (isQuoted) throw unreadable()
      return at
    },
    write(shown, length, to, at, nullBytes) {
      const isLikeNull = length === nullBytes.length && shown.compare(nullBytes, 0, length, 0, length) === 0
      let isQuoted = isLikeNull
      for (let index = 0; index < length && !isQuoted; index++) isQuoted = isSpecial(shown[index] as number)
      if (!isQuoted) return shown.copy(to, at, 0, length)
      let out = at
      to[out++] = quote as number
      for (let index = 0; index < length; index++) {
        const byte = shown[index] as number
        if (byte === quote || byte === escaping) to[out++] = escaping as number
        to[out++] = byte
      }
      to[out++] = quote as number
      return out - at
    },
  }
}

function reserve(scratch: Scratch, length: number): void {
  scratch.length = 0
  if (scratch.bytes.length < length) scratch.bytes = Buffer.alloc(2 * length)
}
