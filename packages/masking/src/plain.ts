/**
 * What stands for a value that is not shown: the same for all of a type, so that it says nothing. Refuses to tell even a
 * value's length.
 */
import type { Format, Kind } from './kinds.ts'

/** A value of this kind that says nothing. */
export function plainOf(kind: Kind, format: Format, charsMax: number, element: number): Buffer {
  const [text, binary] = plain[kind]
  if (format === 0) return Buffer.from(Number.isFinite(charsMax) ? text.slice(0, charsMax) : text)
  if (kind === 'text' || kind === 'bpchar') return Buffer.from(text.slice(0, Math.min(charsMax, text.length)))
  const bytes = Buffer.from(binary, 'hex')
  if (kind === 'array') bytes.writeUInt32BE(element, 8)
  return bytes
}

/** Text, and binary in hexadecimal. */
const plain: Readonly<Record<Kind, readonly [text: string, binary: string]>> = {
  text: ['***', ''],
  bpchar: ['***', ''],
  json: ['"***"', '222a2a2a22'],
  jsonb: ['"***"', '01222a2a2a22'],
  int2: ['0', '0000'],
  int4: ['0', '00000000'],
  int8: ['0', '0000000000000000'],
  oid: ['0', '00000000'],
  numeric: ['0', '0000000000000000'],
  float4: ['0', '00000000'],
  float8: ['0', '0000000000000000'],
  uuid: ['00000000-0000-0000-0000-000000000000', '00000000000000000000000000000000'],
  bytea: ['\\x', ''],
  bool: ['f', '00'],
  date: ['2000-01-01', '00000000'],
  time: ['00:00:00', '0000000000000000'],
  timetz: ['00:00:00+00', '000000000000000000000000'],
  timestamp: ['2000-01-01 00:00:00', '0000000000000000'],
  timestamptz: ['2000-01-01 00:00:00+00', '0000000000000000'],
  interval: ['00:00:00', '00000000000000000000000000000000'],
  inet: ['0.0.0.0', '0220000400000000'],
  cidr: ['0.0.0.0/32', '0220010400000000'],
  macaddr: ['00:00:00:00:00:00', '000000000000'],
  array: ['{}', '000000000000000000000000'],
}
