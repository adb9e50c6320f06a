/**
 * Telephone numbers: international with `+` or `00` and a calling code (ITU-T E.164), North American with its rules for
 * area and exchange, national with the trunk prefix 0 in several groups, and any digits behind a word that says so.
 * Refuses to know each country's plan, and bare national numbers: those are digits like any others.
 */
import { endsClean, isDigit, isIntroduced, isLetter, isWord, separatorLength } from './bytes.ts'
import type { DigitGroups } from './digit-groups.ts'

const digitsMax = 15

/** Calling codes by their first digits: `1`, `7`, two digits, or three. */
const twoDigits = /^(2[07]|3[0123469]|4[013456789]|5[1-8]|6[0-6]|8[1246]|9[0-58])/
const threeDigits = /^(2[1-6]\d|29[01789]|3[578]\d|42\d|5[09]\d|6[789]\d|8[05]\d|88\d|9[679]\d)/

const words =
  /(tele?(phone|fon)?|phone|fax|mobile?|mobil|cell|handy|call|whatsapp|sms|msisdn)(_?(number|no|nr))?["'\s:.=#-]{0,6}$/i

/** `+49 (0)30 901820` from the `+` on, else -1. */
export function international(bytes: Uint8Array, plus: number, limit: number): number {
  const number = readLoose(bytes, plus + 1, limit)
  return number !== undefined && isInternational(number.digits, 8) ? number.end : -1
}

/** `(415) 555-2671`, `(030) 901820` from the parenthesis on, else -1. */
export function parenthesised(bytes: Uint8Array, open: number, limit: number): number {
  const number = readLoose(bytes, open, limit)
  if (number === undefined) return -1
  const { digits, end } = number
  const area = bytes.indexOf(0x29, open) - open - 1
  if (area === 3 && digits.length === 10 && isNorthAmerican(digits)) return end
  return digits.startsWith('0') && digits[1] !== '0' && area >= 2 && area <= 6 && hasTrunkLength(digits)
    ? end
    : -1
}

/** A national number, or one with `00`, that begins at the first group, else -1. */
export function national(
  groups: DigitGroups,
  bytes: Uint8Array,
  start: number,
  index: number,
  limit: number,
): number {
  const end = northAmerican(groups)
  if (end !== -1) return end
  if (groups.digits[0] === 0 && groups.length(0) >= 2) {
    const number = readLoose(bytes, index, limit)
    if (number?.isGrouped && !isDate(groups)) {
      const { digits } = number
      if (digits.startsWith('00') && isInternational(digits.slice(2), 9)) return number.end
      if (digits[1] !== '0' && hasTrunkLength(digits)) return number.end
    }
  }
  return introduced(bytes, start, index, limit)
}

function northAmerican(groups: DigitGroups): number {
  for (const separator of [0x2d, 0x2e, 0x20]) {
    for (const [layout, country] of [
      [[3, 3, 4], 0],
      [[1, 3, 3, 4], 1],
    ] as const) {
      const end = groups.layout(layout, separator)
      if (end === -1 || (separator === 0x20 && !groups.standsAlone(layout.length))) continue
      if (country === 1 && groups.digits[0] !== 1) continue
      if (isNorthAmerican(digitsOf(groups, country, country + 10))) return end
    }
  }
  return -1
}

function introduced(bytes: Uint8Array, start: number, index: number, limit: number): number {
  let before = index - 1
  while (before > start && index - before < 6 && !isWord(bytes[before])) before -= 1
  if (before < start || !isLetter(bytes[before]) || !isIntroduced(bytes, start, index, words)) return -1
  const number = readLoose(bytes, index, limit)
  return number !== undefined && number.digits.length >= 7 && number.digits.length <= digitsMax
    ? number.end
    : -1
}

interface LooseNumber {
  readonly digits: string
  readonly end: number
  readonly isGrouped: boolean
}

/** Digits with whatever people write between them, up to the first thing that is neither. */
function readLoose(bytes: Uint8Array, from: number, limit: number): LooseNumber | undefined {
  let digits = ''
  let index = from
  let end = from
  let isGrouped = false
  let depth = 0
  while (index < limit && digits.length <= digitsMax + 2) {
    const byte = bytes[index] as number
    if (isDigit(byte)) {
      digits += String.fromCharCode(byte)
      end = ++index
      continue
    }
    if (byte === 0x28 && depth === 0) depth = 1
    else if (byte === 0x29 && depth === 1) depth = 2
    else if (byte !== 0x2f && separatorLength(bytes, index) === 0) break
    index += Math.max(1, separatorLength(bytes, index))
    // At most two signs in a row: `) ` and ` (`.
    if (index - end > 4) break
    if (index < limit && isDigit(bytes[index]) && digits !== '') isGrouped = true
  }
  if (digits === '' || digits.length > digitsMax + 2 || depth === 1 || !endsClean(bytes, end, limit))
    return undefined
  return { digits, end, isGrouped }
}

function isInternational(digits: string, least: number): boolean {
  if (digits.length < least || digits.length > digitsMax + 1) return false
  if (digits.startsWith('1')) return digits.length === 11 && isNorthAmerican(digits.slice(1))
  if (digits.startsWith('7')) return digits.length === 11 && /^7[3-9]/.test(digits)
  const code = twoDigits.exec(digits) ?? threeDigits.exec(digits)
  return code !== null && /[1-9]/.test(digits.slice(code[0].length))
}

function isNorthAmerican(digits: string): boolean {
  return /^[2-9](?!11)\d\d[2-9](?!11)\d{6}$/.test(digits)
}

function hasTrunkLength(digits: string): boolean {
  return digits.length >= 9 && digits.length <= 12
}

/** `01-02-2024 10` is no number. */
function isDate(groups: DigitGroups): boolean {
  if (groups.groups < 3 || groups.length(0) > 2 || groups.length(1) > 2) return false
  const day = (groups.digits[0] as number) * 10 + (groups.digits[1] as number)
  return day <= 31 && groups.length(2) === 4 && groups.separators[1] === groups.separators[2]
}

function digitsOf(groups: DigitGroups, from: number, to: number): string {
  return groups.digits.subarray(from, to).join('')
}
