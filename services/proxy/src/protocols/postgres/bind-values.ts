/**
 * The values of a Bind as far as they can be told: NULL or not, and of common types what they are, in text or binary
 * (PostgreSQL manual, "Message Formats"; the send functions of its types). Pure. It refuses to guess: a value of another
 * type is `unread`, and one that the message's beginning does not reach is not even known to be there.
 */
import { isUtf8 } from 'node:buffer'
import { type BindValue, unread } from '@portcullis/sql'

/** Longer ones are not looked at: what they could widen is unknown then. */
const valueBytesMax = 4096
const valuesMax = 1000

/** `buffer[at, end)` begins behind the names; `types`: OIDs of the parameters, 0 or absent where they are not known. */
export function bindValuesOf(
  buffer: Buffer,
  at: number,
  end: number,
  types: readonly number[],
): readonly BindValue[] {
  const reader = new Reader(buffer, at, end)
  const formats = Array.from({ length: Math.min(reader.int16() ?? 0, valuesMax) }, () => reader.int16() ?? 0)
  const count = Math.min(reader.int16() ?? 0, valuesMax)
  const values: BindValue[] = []
  for (let index = 0; index < count; index++) {
    const bytes = reader.value()
    if (bytes === undefined) return values
    const isBinary = (formats.length === 1 ? formats[0] : formats[index]) === 1
    values.push(bytes === null ? null : valueFrom(bytes, isBinary, types[index] ?? 0))
  }
  return values
}

/** What a Parse says of its parameters' types: `buffer[at, end)` behind the text. */
export function parameterTypesOf(buffer: Buffer, at: number, end: number): readonly number[] {
  const reader = new Reader(buffer, at, end)
  const types: number[] = []
  for (let left = reader.int16() ?? 0; left > 0 && types.length < valuesMax; left--)
    types.push(reader.int32() ?? 0)
  return types
}

class Reader {
  readonly #buffer: Buffer
  readonly #end: number
  #at: number

  constructor(buffer: Buffer, at: number, end: number) {
    this.#buffer = buffer
    this.#at = at
    this.#end = end
  }

  int16(): number | undefined {
    if (this.#at + 2 > this.#end) return undefined
    this.#at += 2
    return this.#buffer.readUInt16BE(this.#at - 2)
  }

  int32(): number | undefined {
    if (this.#at + 4 > this.#end) return undefined
    this.#at += 4
    return this.#buffer.readInt32BE(this.#at - 4)
  }

  /** With its length before it; null: NULL; undefined: not all of it is there. */
  value(): Buffer | null | undefined {
    const length = this.int32()
    if (length === undefined || length < 0) return length === undefined ? undefined : null
    if (this.#at + length > this.#end) return undefined
    this.#at += length
    return this.#buffer.subarray(this.#at - length, this.#at)
  }
}

function valueFrom(bytes: Buffer, isBinary: boolean, type: number): BindValue {
  if (bytes.length > valueBytesMax) return unread
  if (!isBinary) return textValue(bytes, type)
  return binary[type]?.(bytes) ?? arrayOf(bytes, type) ?? unread
}

/** As the same literal would be read; a number where the type says that it is one. */
function textValue(bytes: Buffer, type: number): BindValue {
  const text = textOf(bytes)
  const isNumber = numberTypes.has(type) && typeof text === 'string' && /^\s*[-+]?\d+(\.\d+)?\s*$/.test(text)
  return isNumber ? Number(text) : text
}

function textOf(bytes: Buffer): BindValue {
  return isUtf8(bytes) ? bytes.toString('utf8') : unread
}

function arrayOf(bytes: Buffer, type: number): BindValue | undefined {
  const element = arrayTypes[type]
  if (element === undefined || bytes.length < 12) return undefined
  const dimensions = bytes.readInt32BE(0)
  if (dimensions === 0) return []
  if (dimensions !== 1) return undefined
  const reader = new Reader(bytes, 12, bytes.length)
  const count = reader.int32() ?? 0
  reader.int32()
  if (count > valuesMax) return undefined
  const values = Array.from({ length: count }, () => reader.value())
  if (values.includes(undefined)) return undefined
  return values.map((value) =>
    value === null || value === undefined ? null : valueFrom(value, true, element),
  )
}

type Read = (bytes: Buffer) => BindValue | undefined

const sized =
  (length: number, read: Read): Read =>
  (bytes) =>
    bytes.length === length ? read(bytes) : undefined

/** By the OIDs of pg_type.dat. */
const binary: Readonly<Record<number, Read>> = {
  16: sized(1, (bytes) => bytes[0] !== 0),
  20: sized(8, (bytes) => Number(bytes.readBigInt64BE(0))),
  21: sized(2, (bytes) => bytes.readInt16BE(0)),
  23: sized(4, (bytes) => bytes.readInt32BE(0)),
  26: sized(4, (bytes) => bytes.readUInt32BE(0)),
  700: sized(4, (bytes) => finite(bytes.readFloatBE(0))),
  701: sized(8, (bytes) => finite(bytes.readDoubleBE(0))),
  1700: numericOf,
  19: textOf,
  25: textOf,
  1042: textOf,
  1043: textOf,
  705: textOf,
}

const numberTypes: ReadonlySet<number> = new Set([20, 21, 23, 26, 700, 701, 1700])

/** Array types, with the type of their elements. */
const arrayTypes: Readonly<Record<number, number>> = {
  ...{ 1000: 16, 1005: 21, 1007: 23, 1016: 20, 1021: 700, 1022: 701, 1231: 1700 },
  ...{ 1009: 25, 1014: 1042, 1015: 1043, 1003: 19, 1028: 26 },
  // Of their elements no more is known than that there are some.
  ...{ 2951: 2950, 1115: 1114, 1185: 1184, 1182: 1082, 1001: 17, 199: 114, 3807: 3802 },
}

function finite(value: number): BindValue {
  return Number.isFinite(value) ? value : unread
}

/** Groups of four decimal digits: their number, the weight of the first, sign, scale, and the groups (numeric_send). */
function numericOf(bytes: Buffer): BindValue | undefined {
  if (bytes.length < 8) return undefined
  const [groups, weight, sign] = [bytes.readInt16BE(0), bytes.readInt16BE(2), bytes.readUInt16BE(4)]
  if ((sign !== 0 && sign !== 0x4000) || groups < 0 || bytes.length !== 8 + 2 * groups) return undefined
  let value = 0
  for (let at = 0; at < groups; at++) value += bytes.readInt16BE(8 + 2 * at) * 10_000 ** (weight - at)
  return finite(sign === 0 ? value : -value)
}
