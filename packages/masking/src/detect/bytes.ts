/** Bytes by what a scan does at them; 0 for all that it passes over. ASCII only: any other byte ends a word. */
export const digit = 1
export const at = 2
export const dash = 3
const joint = 4
/** Keys of AWS, alone among those with a prefix, may have neither digit nor joint. */
export const capitalA = 5

export const classes: Uint8Array = classify()

export function isDigit(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x39
}

export function isLetter(byte: number | undefined): boolean {
  return byte !== undefined && ((byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a))
}

export function isUpper(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x41 && byte <= 0x5a
}

export function isWord(byte: number | undefined): boolean {
  return isDigit(byte) || isLetter(byte)
}

/** A letter's value as IBAN and its like have it (A = 10), a digit's own; any case. */
export function base36(byte: number): number {
  return byte <= 0x39 ? byte - 0x30 : (byte & 0x5f) - 0x37
}

/** Whether what ends before `end` is not cut out of something longer: a word, a decimal number, a chain of groups. */
export function endsClean(bytes: Uint8Array, end: number, limit: number): boolean {
  if (end >= limit) return true
  const next = bytes[end]
  if (isWord(next)) return false
  return !((next === 0x2d || next === 0x2e) && end + 1 < limit && isDigit(bytes[end + 1]))
}

/** Length in bytes of what may stand between two groups of digits, 0 where it is none: space, `-`, `.`, hard spaces. */
export function separatorLength(bytes: Uint8Array, index: number): number {
  const byte = bytes[index]
  if (byte === 0x20 || byte === 0x2d || byte === 0x2e) return 1
  if (byte === 0xc2 && bytes[index + 1] === 0xa0) return 2
  if (byte === 0xe2 && bytes[index + 1] === 0x80) {
    const last = bytes[index + 2]
    return last === 0xaf || last === 0x91 ? 3 : 0
  }
  return 0
}

const introductionBytesMax = 48

/** Whether one of these words stands shortly before and no other number after it, as in `"bsn": "…"` or `tel. …`. */
export function isIntroduced(bytes: Uint8Array, start: number, index: number, by: RegExp): boolean {
  const least = Math.max(start, index - introductionBytesMax)
  let from = index
  while (from > least && !isDigit(bytes[from - 1])) from -= 1
  return by.test(Buffer.from(bytes.buffer, bytes.byteOffset + from, index - from).toString('latin1'))
}

function classify(): Uint8Array {
  const table = new Uint8Array(256).fill(digit, 0x30, 0x3a)
  table[0x40] = at
  table[0x2d] = dash
  table[0x2e] = table[0x5f] = joint
  table[0x41] = capitalA
  return table
}
