/**
 * Values of the types that are no texts, read from and written in both of their formats, so that the same value is the
 * same whichever way it came: numbers as decimals, uuid as it is printed, bytes in hexadecimal. Refuses what is no value
 * of its type: it is then not shown at all.
 */
import type { Format, Kind } from './kinds.ts'

/** How values of one kind are read and written. */
export interface Codec {
  /** undefined: not one that a form can be given for (NaN, infinity, or no value of the type). */
  read(bytes: Buffer, start: number, end: number, format: Format): string | undefined
  write(value: string, format: Format): Buffer
}

/** Also of `bool`, dates and the like there are none: what little they can be hides nothing. */
export const codecs: Readonly<Partial<Record<Kind, Codec>>> = {
  int2: integer(
    2,
    (bytes, at) => String(bytes.readInt16BE(at)),
    (value, to) => to.writeInt16BE(Number(value)),
  ),
  int4: integer(
    4,
    (bytes, at) => String(bytes.readInt32BE(at)),
    (value, to) => to.writeInt32BE(Number(value)),
  ),
  oid: integer(
    4,
    (bytes, at) => String(bytes.readUInt32BE(at)),
    (value, to) => to.writeUInt32BE(Number(value)),
  ),
  int8: integer(
    8,
    (bytes, at) => String(bytes.readBigInt64BE(at)),
    (value, to) => to.writeBigInt64BE(BigInt(value)),
  ),
  float4: float(4),
  float8: float(8),
  numeric: {
    read: (bytes, start, end, format) =>
      normal(format === 0 ? bytes.toString('latin1', start, end) : readNumeric(bytes, start, end)),
    write: (value, format) => (format === 0 ? Buffer.from(value) : writeNumeric(value)),
  },
  uuid: {
    read(bytes, start, end, format) {
      const digits =
        format === 1
          ? bytes.toString('hex', start, end)
          : bytes.toString('latin1', start, end).replaceAll('-', '')
      return /^[0-9a-f]{32}$/i.test(digits) ? digits.toLowerCase() : undefined
    },
    write: (value, format) =>
      format === 1
        ? Buffer.from(value, 'hex')
        : Buffer.from(value.replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')),
  },
  bytea: {
    read(bytes, start, end, format) {
      if (format === 1) return bytes.toString('hex', start, end)
      // The older form, bytea_output = escape, is as good a name for the value: it is printed one way only.
      const isHex = bytes[start] === 0x5c && bytes[start + 1] === 0x78
      return isHex ? bytes.toString('latin1', start + 2, end) : bytes.toString('hex', start, end)
    },
    write: (value, format) => (format === 1 ? Buffer.from(value, 'hex') : Buffer.from(`\\x${value}`)),
  },
}

function integer(
  size: number,
  readBinary: (bytes: Buffer, at: number) => string,
  writeBinary: (value: string, to: Buffer) => number,
): Codec {
  return {
    read(bytes, start, end, format) {
      if (format === 1) return end - start === size ? readBinary(bytes, start) : undefined
      const text = bytes.toString('latin1', start, end)
      return /^-?\d+$/.test(text) ? text : undefined
    },
    write(value, format) {
      if (format === 0) return Buffer.from(value)
      const to = Buffer.alloc(size)
      writeBinary(value, to)
      return to
    },
  }
}

function float(size: 4 | 8): Codec {
  return {
    read(bytes, start, end, format) {
      let value = Number.NaN
      if (format === 0) value = Number(bytes.toString('latin1', start, end))
      else if (end - start === size) value = size === 4 ? bytes.readFloatBE(start) : bytes.readDoubleBE(start)
      if (size === 4) value = Math.fround(value)
      return Number.isFinite(value) ? String(value) : undefined
    },
    write(value, format) {
      if (format === 0) return Buffer.from(value)
      const to = Buffer.alloc(size)
      if (size === 4) to.writeFloatBE(Number(value))
      else to.writeDoubleBE(Number(value))
      return to
    },
  }
}

/** Without zeros that say only how it is printed. */
function normal(text: string | undefined): string | undefined {
  if (text === undefined || !/^-?\d+(\.\d+)?$/.test(text)) return undefined
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text
}

const negative = 0x4000
/** A digit of the binary form stands for four decimal ones. */
const base = 10_000

/** numeric_send: digits, weight of the first, sign, digits after the point. */
function readNumeric(bytes: Buffer, start: number, end: number): string | undefined {
  if (end - start < 8) return undefined
  const count = bytes.readUInt16BE(start)
  const weight = bytes.readInt16BE(start + 2)
  const sign = bytes.readUInt16BE(start + 4)
  if ((sign !== 0 && sign !== negative) || end - start !== 8 + 2 * count || Math.abs(weight) > 40_000)
    return undefined
  const digit = (place: number) =>
    place >= 0 && place < count ? String(bytes.readUInt16BE(start + 8 + 2 * place)).padStart(4, '0') : '0000'
  let whole = ''
  for (let place = 0; place <= weight; place++) whole += digit(place)
  let part = ''
  for (let place = weight + 1; place < count; place++) part += digit(place)
  const text = `${whole.replace(/^0+(?=.)/, '') || '0'}${part === '' ? '' : `.${part}`}`
  return sign === negative ? `-${text}` : text
}

function writeNumeric(value: string): Buffer {
  const isNegative = value.startsWith('-')
  const [whole = '0', part = ''] = value.replace('-', '').split('.')
  const wholePadded = whole.padStart(Math.ceil(whole.length / 4) * 4, '0')
  const all = wholePadded + part.padEnd(Math.ceil(part.length / 4) * 4, '0')
  const digits = Array.from(all.matchAll(/\d{4}/g), ([four]) => Number(four) % base)
  const out = Buffer.alloc(8 + 2 * digits.length)
  out.writeUInt16BE(digits.length, 0)
  out.writeInt16BE(wholePadded.length / 4 - 1, 2)
  out.writeUInt16BE(isNegative ? negative : 0, 4)
  out.writeUInt16BE(part.length, 6)
  for (const [place, digit] of digits.entries()) out.writeUInt16BE(digit, 8 + 2 * place)
  return out
}
