/**
 * Rows to ClickHouse's RowBinary: exact bytes (hashes and recordings are no text), and no value ever becomes part of a
 * statement. Writes only; a value that does not fit its column throws with the column's name before anything is sent.
 */
import { AuditError, messageOf } from './errors.ts'

/** One column of a table and where its value is in a row. */
export interface Column<Row> {
  readonly name: string
  /** ClickHouse's own name of the type; see `writerFor` for those that are known. */
  readonly type: string
  readonly of: (row: Row) => unknown
}

export interface Table<Row> {
  readonly name: string
  readonly columns: readonly Column<Row>[]
}

export interface RowEncoder<Row> {
  /** `INSERT INTO` this, with the columns named, so that columns added later take their defaults. */
  readonly into: string
  encode(rows: readonly Row[]): Buffer
}

/** Throws AuditError('invalid_data') for a type it does not know. */
export function rowEncoder<Row>(table: Table<Row>): RowEncoder<Row> {
  const columns = table.columns.map((column) => ({ ...column, write: writerFor(column.type) }))
  const names = table.columns.map(({ name }) => `\`${name}\``).join(', ')
  return {
    into: `\`${table.name}\` (${names})`,
    encode(rows) {
      const out = new Output(Math.max(1024, rows.length * 512))
      for (const row of rows) {
        for (const column of columns) {
          try {
            column.write(out, column.of(row))
          } catch (cause) {
            throw new AuditError('invalid_data', `${table.name}.${column.name}: ${messageOf(cause)}`, {
              cause,
            })
          }
        }
      }
      return out.bytes()
    },
  }
}

type Writer = (out: Output, value: unknown) => void

function writerFor(type: string): Writer {
  const simple = simpleWriters[type]
  if (simple) return simple
  const [, name, inner] = /^(\w+)\((.*)\)$/s.exec(type) ?? []
  const args = inner === undefined ? [] : splitArguments(inner)
  const first = args[0] ?? ''
  if (name === 'LowCardinality') return writerFor(first)
  if (name === 'DateTime64' && first === '6') return integer(8, 'signed', 'microseconds since 1970')
  if (name === 'FixedString') return fixed(Number(first))
  if (name === 'Nullable') return nullable(writerFor(first))
  if (name === 'Array') return array(writerFor(first))
  if (name === 'Map') return map(writerFor(first), writerFor(args[1] ?? ''))
  if (name === 'Tuple') return tuple(args.map((arg) => writerFor(arg.replace(/^\w+ (?=\w)/, ''))))
  throw new AuditError('invalid_data', `cannot write columns of type ${type}`)
}

const simpleWriters: Readonly<Record<string, Writer>> = {
  String: (out, value) => {
    if (typeof value === 'string') out.text(value)
    else if (value instanceof Uint8Array) out.blob(value)
    else throw unfit(value, 'text or bytes')
  },
  Bool: (out, value) => {
    if (typeof value !== 'boolean') throw unfit(value, 'true or false')
    out.byte(value ? 1 : 0)
  },
  Float64: (out, value) => {
    if (typeof value !== 'number') throw unfit(value, 'a number')
    out.double(value)
  },
  UInt8: integer(1, 'unsigned'),
  UInt16: integer(2, 'unsigned'),
  UInt32: integer(4, 'unsigned'),
  Int32: integer(4, 'signed'),
  UInt64: integer(8, 'unsigned'),
  Int64: integer(8, 'signed'),
}

/** Little-endian two's complement, of the safe integers among those that the type holds. */
function integer(
  bytes: 1 | 2 | 4 | 8,
  sign: 'signed' | 'unsigned',
  wanted = 'a whole number that fits',
): Writer {
  const span = 2 ** (8 * bytes)
  const min = sign === 'signed' ? Math.max(-span / 2, Number.MIN_SAFE_INTEGER) : 0
  const max = Math.min(sign === 'signed' ? span / 2 - 1 : span - 1, Number.MAX_SAFE_INTEGER)
  return (out, value) => {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max)
      throw unfit(value, wanted)
    out.integer(value, bytes)
  }
}

function fixed(length: number): Writer {
  return (out, value) => {
    if (!(value instanceof Uint8Array) || value.length !== length) throw unfit(value, `${length} bytes`)
    out.raw(value)
  }
}

function nullable(write: Writer): Writer {
  return (out, value) => {
    out.byte(value === null ? 1 : 0)
    if (value !== null) write(out, value)
  }
}

function array(write: Writer): Writer {
  return (out, value) => {
    if (!Array.isArray(value)) throw unfit(value, 'an array')
    out.length(value.length)
    for (const item of value) write(out, item)
  }
}

function map(writeKey: Writer, writeValue: Writer): Writer {
  return (out, value) => {
    if (typeof value !== 'object' || value === null) throw unfit(value, 'an object')
    const entries = Object.entries(value)
    out.length(entries.length)
    for (const [key, item] of entries) {
      writeKey(out, key)
      writeValue(out, item)
    }
  }
}

function tuple(writers: readonly Writer[]): Writer {
  return (out, value) => {
    if (!Array.isArray(value) || value.length !== writers.length)
      throw unfit(value, `a tuple of ${writers.length}`)
    for (const [index, write] of writers.entries()) write(out, value[index])
  }
}

function unfit(value: unknown, wanted: string): TypeError {
  const shown = value instanceof Uint8Array ? `${value.length} bytes` : typeof value
  return new TypeError(`expected ${wanted}, got ${value === null ? 'null' : shown}`)
}

function splitArguments(inner: string): string[] {
  const parts: string[] = []
  let depth = 0
  let from = 0
  for (let at = 0; at <= inner.length; at++) {
    const char = inner[at]
    if (char === '(') depth++
    else if (char === ')') depth--
    else if (at === inner.length || (char === ',' && depth === 0)) {
      parts.push(inner.slice(from, at).trim())
      from = at + 1
    }
  }
  return parts
}

/** Below 128, so that the length is one byte. */
const shortTextMax = 48

class Output {
  #buffer: Buffer
  #at = 0
  constructor(bytes: number) {
    this.#buffer = Buffer.allocUnsafe(bytes)
  }
  bytes(): Buffer {
    return this.#buffer.subarray(0, this.#at)
  }
  byte(value: number): void {
    this.#room(1)
    this.#buffer[this.#at++] = value
  }
  integer(value: number, bytes: 1 | 2 | 4 | 8): void {
    this.#room(8)
    this.#buffer.writeInt32LE(value | 0, this.#at)
    if (bytes === 8) this.#buffer.writeInt32LE(Math.floor(value / 2 ** 32) | 0, this.#at + 4)
    this.#at += bytes
  }
  double(value: number): void {
    this.#room(8)
    this.#at = this.#buffer.writeDoubleLE(value, this.#at)
  }
  /** LEB128, as every length in RowBinary. */
  length(value: number): void {
    this.#room(8)
    let rest = value
    while (rest >= 0x80) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80
      rest = Math.floor(rest / 0x80)
    }
    this.#buffer[this.#at++] = rest
  }
  text(value: string): void {
    if (value.length <= shortTextMax && this.#ascii(value)) return
    const bytes = Buffer.byteLength(value)
    this.length(bytes)
    this.#room(bytes)
    this.#at += this.#buffer.write(value, this.#at, 'utf8')
  }
  blob(value: Uint8Array): void {
    this.length(value.length)
    this.raw(value)
  }
  raw(value: Uint8Array): void {
    this.#room(value.length)
    this.#buffer.set(value, this.#at)
    this.#at += value.length
  }
  /** Most texts are short and plain; for those a loop is three times as fast as two calls into Node. */
  #ascii(value: string): boolean {
    this.#room(shortTextMax + 1)
    const buffer = this.#buffer
    const start = this.#at + 1
    for (let index = 0; index < value.length; index++) {
      const code = value.charCodeAt(index)
      if (code > 0x7f) return false
      buffer[start + index] = code
    }
    buffer[this.#at] = value.length
    this.#at = start + value.length
    return true
  }
  #room(bytes: number): void {
    if (this.#at + bytes <= this.#buffer.length) return
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#at + bytes))
    this.#buffer.copy(larger, 0, 0, this.#at)
    this.#buffer = larger
  }
}
