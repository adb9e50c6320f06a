/**
 * The values of a Bind, for people to read and for the digest of what they approve. It reads nothing in place of the server:
 * what is not as the manual says is no Bind that a person could judge, and undefined.
 *
 * Source: PostgreSQL manual, "Message Formats", Bind.
 */

export interface ShownValues {
  /** Their formats and bytes: all of the message between the names and the formats of the result. */
  readonly piece: Buffer
  /** Text in quotes, binary as hex, NULL; cut where long. */
  readonly shown: readonly string[]
}

const shownMax = 200
const shownCharsMax = 256

/** `buffer[start, end)`: the payload behind the two names. */
export function shownValuesOf(buffer: Buffer, start: number, end: number): ShownValues | undefined {
  const bytes = buffer.subarray(start, end)
  const formats = shortsAt(bytes, 0)
  if (!formats) return undefined
  let at = 2 + 2 * formats.length
  if (at + 2 > bytes.length) return undefined
  const count = bytes.readUInt16BE(at)
  if (formats.length > 1 && formats.length !== count) return undefined
  at += 2
  const shown: string[] = []
  for (let index = 0; index < count; index++) {
    if (at + 4 > bytes.length) return undefined
    const length = bytes.readInt32BE(at)
    at += 4
    if (length < -1 || at + Math.max(0, length) > bytes.length) return undefined
    const format = formats.length === 1 ? formats[0] : formats[index]
    if (index < shownMax)
      shown.push(shownValue(length < 0 ? undefined : bytes.subarray(at, at + length), format))
    at += Math.max(0, length)
  }
  const results = shortsAt(bytes, at)
  if (!results || at + 2 + 2 * results.length !== bytes.length) return undefined
  if (count > shownMax) shown.push(`and ${count - shownMax} more`)
  return { piece: bytes.subarray(0, at), shown }
}

function shownValue(value: Buffer | undefined, format: number | undefined): string {
  if (value === undefined) return 'NULL'
  const text = format === 1 ? `\\x${value.toString('hex', 0, shownCharsMax)}` : `'${value.toString('utf8')}'`
  return text.length > shownCharsMax ? `${text.slice(0, shownCharsMax)}… (${value.length} bytes)` : text
}

function shortsAt(bytes: Buffer, at: number): number[] | undefined {
  if (at + 2 > bytes.length) return undefined
  const count = bytes.readUInt16BE(at)
  if (at + 2 + 2 * count > bytes.length) return undefined
  return Array.from({ length: count }, (_, index) => bytes.readUInt16BE(at + 2 + 2 * index))
}
