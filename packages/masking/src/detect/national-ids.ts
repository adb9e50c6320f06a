/**
 * National ids by their check digits and, where those are weak, by how they are written or what is said before them.
 * Each function takes a number that begins at the first group (or at `start`) and returns where it ends, else -1.
 * Bare digits of an id with one check digit need a voucher: a rule that names this kind, or a word before them; every
 * tenth order number would be one otherwise. Refuses to ask any register.
 */
import { endsClean, isDigit, isLetter, isUpper } from './bytes.ts'
import { luhn, mod11of10, verhoeff, weighed } from './checksums.ts'
import type { DigitGroups } from './digit-groups.ts'

/** Ids whose bare digits say too little. */
export type VouchedKind = keyof typeof introductions

export interface Voucher {
  /** Whether bare digits at the place that is looked at may be taken for this kind. */
  vouches(kind: VouchedKind): boolean
}

const hyphen = 0x2d
const dot = 0x2e
const space = 0x20

/** Social Security Administration: no area 000, 666 or 9xx, no group 00, no serial 0000. There is no check digit. */
export function usSsn(groups: DigitGroups, voucher: Voucher): number {
  let end = groups.layout([3, 2, 4], hyphen)
  if (
    end === -1 &&
    (groups.layout([3, 2, 4]) !== -1 || groups.layout([9]) !== -1) &&
    voucher.vouches('us-ssn')
  )
    end = Math.max(groups.layout([3, 2, 4]), groups.layout([9]))
  if (end === -1) return -1
  const area = numberAt(groups, 0, 3)
  const isIssued = area !== 0 && area !== 666 && area < 900
  return isIssued && numberAt(groups, 3, 5) !== 0 && numberAt(groups, 5, 9) !== 0 ? end : -1
}

/** NHS number: modulus 11, written 3-3-4. */
export function ukNhs(groups: DigitGroups, voucher: Voucher): number {
  const written = groups.standsAlone(3) ? groups.layout([3, 3, 4], space) : -1
  const end = written === -1 ? Math.max(groups.layout([3, 3, 4]), groups.layout([10])) : written
  if (end === -1 || groups.digits[0] === 0) return -1
  const check = 11 - (weighed(groups.digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) % 11)
  return (check === 11 ? 0 : check) === groups.digits[9] && (written !== -1 || voucher.vouches('uk-nhs'))
    ? end
    : -1
}

/** Steueridentifikationsnummer: of the first ten digits exactly one stands there twice or thrice. */
export function deSteuerId(groups: DigitGroups): number {
  const end = Math.max(groups.layout([11]), groups.layout([2, 3, 3, 3]))
  if (end === -1 || groups.digits[0] === 0 || !mod11of10(groups.digits, 11)) return -1
  const times = new Uint8Array(10)
  for (let index = 0; index < 10; index += 1) {
    const value = groups.digits[index] as number
    times[value] = (times[value] as number) + 1
  }
  let repeated = 0
  for (const count of times)
    if (count > 3) return -1
    else if (count > 1) repeated += 1
  return repeated === 1 ? end : -1
}

/** INSEE number with its key: 97 less the rest by 97. Corsica's 2A and 2B are in `frNirCorsican`. */
export function frNir(groups: DigitGroups): number {
  const end = Math.max(
    groups.layout([15]),
    groups.layout([13, 2]),
    groups.layout([1, 2, 2, 2, 3, 3, 2]),
    groups.layout([1, 2, 2, 2, 3, 3], space),
  )
  if (end === -1 || (groups.groups > 1 && groups.length(0) === 1 && groups.groups < 7)) return -1
  return isNir(
    groups.digits[0] as number,
    numberAt(groups, 3, 5),
    numberAt(groups, 0, 13),
    numberAt(groups, 13, 15),
  )
    ? end
    : -1
}

/** The same as one word of fifteen with A or B in sixth place. */
export function frNirCorsican(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== 15) return false
  const place = (bytes[start + 6] as number) & 0x5f
  if (place !== 0x41 && place !== 0x42) return false
  let number = 0
  for (let index = 0; index < 13; index += 1) {
    const byte = bytes[start + index]
    if (index !== 6 && !isDigit(byte)) return false
    number = number * 10 + (index === 6 ? 0 : (byte as number) - 0x30)
  }
  if (bytes[start + 5] !== 0x32 || !isDigit(bytes[start + 13]) || !isDigit(bytes[start + 14])) return false
  const month = two(bytes, start + 3)
  // 2A counts as 19, 2B as 18.
  return isNir(
    (bytes[start] as number) - 0x30,
    month,
    number - (place === 0x41 ? 1_000_000 : 2_000_000),
    two(bytes, start + 13),
  )
}

function isNir(sex: number, month: number, number: number, key: number): boolean {
  const isMonth = (month >= 1 && month <= 12) || (month >= 20 && month <= 42) || month >= 50
  return sex >= 1 && sex <= 8 && sex !== 5 && sex !== 6 && isMonth && 97 - (number % 97) === key
}

/** Elfproef: weights 9 to 2 and -1. */
export function nlBsn(groups: DigitGroups, voucher: Voucher): number {
  const end = Math.max(groups.layout([9]), groups.layout([3, 3, 3], dot), groups.layout([4, 2, 3], dot))
  if (end === -1) return -1
  const sum = weighed(groups.digits, [9, 8, 7, 6, 5, 4, 3, 2, -1])
  return sum !== 0 && sum % 11 === 0 && voucher.vouches('nl-bsn') ? end : -1
}

/** PESEL: a date whose month also tells the century, and a check digit. */
export function plPesel(groups: DigitGroups): number {
  const end = groups.layout([11])
  if (end === -1) return -1
  const month = numberAt(groups, 2, 4)
  const isDate = isMonthAndDay(month > 20 ? month - 20 : month, numberAt(groups, 4, 6))
  const sum = weighed(groups.digits, [1, 3, 7, 9, 1, 3, 7, 9, 1, 3])
  return isDate && (10 - (sum % 10)) % 10 === groups.digits[10] ? end : -1
}

/** Personnummer and samordningsnummer (day + 60), written YYMMDD-NNNC or YYYYMMDD-NNNC; Luhn over the last ten. */
export function sePersonnummer(groups: DigitGroups, voucher: Voucher): number {
  const written = Math.max(groups.layout([6, 4], hyphen), groups.layout([8, 4], hyphen))
  const end = written === -1 ? Math.max(groups.layout([10]), groups.layout([12])) : written
  if (end === -1) return -1
  const group = written === -1 ? 0 : 1
  const count = groups.counts[group] as number
  const century = count === 12 ? numberAt(groups, 0, 2) : 19
  const from = count - 10
  const day = numberAt(groups, from + 4, from + 6)
  if (
    century < 18 ||
    century > 20 ||
    !isMonthAndDay(numberAt(groups, from + 2, from + 4), day > 60 ? day - 60 : day)
  )
    return -1
  return luhn(groups.digits, count, from) && (written !== -1 || voucher.vouches('se-personnummer')) ? end : -1
}

/** CPF: two check digits by modulus 11, written 000.000.000-00. */
export function brCpf(groups: DigitGroups, voucher: Voucher): number {
  const dotted = groups.layout([3, 3, 3, 2])
  const written = dotted !== -1 && groups.separators[3] === hyphen ? dotted : -1
  const end = written === -1 ? groups.layout([11]) : written
  if (end === -1) return -1
  const { digits } = groups
  let isSame = true
  for (let index = 1; index < 11; index += 1) if (digits[index] !== digits[0]) isSame = false
  if (isSame) return -1
  const first = (weighed(digits, [10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10) % 11
  const second = (weighed(digits, [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]) * 10) % 11
  return first % 10 === digits[9] &&
    second % 10 === digits[10] &&
    (written !== -1 || voucher.vouches('br-cpf'))
    ? end
    : -1
}

/** Aadhaar: Verhoeff's check digit, begins with 2 to 9, written 4-4-4. */
export function inAadhaar(groups: DigitGroups, voucher: Voucher): number {
  const written = groups.standsAlone(3) ? groups.layout([4, 4, 4]) : -1
  const end = written === -1 ? groups.layout([12]) : written
  if (end === -1 || (groups.digits[0] as number) < 2 || !verhoeff(groups.digits, 12)) return -1
  return written !== -1 || voucher.vouches('in-aadhaar') ? end : -1
}

/** DNI: eight digits, or NIE: X, Y or Z and seven; then a letter by modulus 23. Capitals only, unlike a hash. */
export function esDni(bytes: Uint8Array, start: number, limit: number): number {
  let index = start
  let number = 0
  let digits = 0
  const first = bytes[index] as number
  if (first >= 0x58 && first <= 0x5a) {
    number = first - 0x58
    digits = 1
    index += bytes[index + 1] === hyphen ? 2 : 1
  }
  const isDotted = digits === 0 && bytes[index + 2] === dot && bytes[index + 6] === dot
  for (; digits < 8; digits += 1, index += 1) {
    if (isDotted && (digits === 2 || digits === 5)) index += 1
    if (index >= limit || !isDigit(bytes[index])) return -1
    number = number * 10 + (bytes[index] as number) - 0x30
  }
  if (bytes[index] === hyphen || bytes[index] === space) index += 1
  if (index >= limit || bytes[index] !== 'TRWAGMYFPDXBNJZSQVHLCKE'.charCodeAt(number % 23)) return -1
  return endsClean(bytes, index + 1, limit) ? index + 1 : -1
}

const notFirst = /[DFIQUV]/
const notSecond = /[DFIOQUV]/
const notBoth = /^(BG|GB|KN|NK|NT|TN|ZZ)$/

/** National Insurance number: two letters, six digits, A to D; there is no check digit, so the letters must be allowed. */
export function ukNino(bytes: Uint8Array, start: number, limit: number): number {
  if (!isUpper(bytes[start]) || !isUpper(bytes[start + 1])) return -1
  let index = start + 2
  for (let pair = 0; pair < 3; pair += 1) {
    if (bytes[index] === space) index += 1
    if (index + 2 > limit || !isDigit(bytes[index]) || !isDigit(bytes[index + 1])) return -1
    index += 2
  }
  if (bytes[index] === space) index += 1
  const suffix = bytes[index] as number
  if (index >= limit || suffix < 0x41 || suffix > 0x44 || !endsClean(bytes, index + 1, limit)) return -1
  const letters = String.fromCharCode(bytes[start] as number, bytes[start + 1] as number)
  const isAllowed =
    !notFirst.test(letters[0] ?? '') && !notSecond.test(letters[1] ?? '') && !notBoth.test(letters)
  return isAllowed ? index + 1 : -1
}

const codiceFiscale = /^[A-Z]{6}[0-9LMNP-V]{2}[ABCDEHLMPRST][0-9LMNP-V]{2}[A-Z][0-9LMNP-V]{3}[A-Z]$/

/** What a sign at an odd place counts (Decreto Ministeriale 23.12.1976), by digit or letter; at an even place it counts itself. */
const oddValues = [
  1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23,
]

/** One word of sixteen, in either case; digits may be letters where two people would share a code. */
export function itCodiceFiscale(bytes: Uint8Array, start: number, end: number): boolean {
  if (end - start !== 16) return false
  for (let index = start; index < start + 6; index += 1) if (!isLetter(bytes[index])) return false
  const text = Buffer.from(bytes.subarray(start, end)).toString('latin1').toUpperCase()
  if (!codiceFiscale.test(text)) return false
  let sum = 0
  for (let index = 0; index < 15; index += 1) {
    const code = text.charCodeAt(index)
    const value = code >= 0x41 ? code - 0x41 : code - 0x30
    sum += index % 2 === 0 ? (oddValues[value] as number) : value
  }
  return sum % 26 === text.charCodeAt(15) - 0x41
}

/** Words that vouch for bare digits that follow. */
export const introductions = {
  'us-ssn': /ssn|social.?sec/i,
  'uk-nhs': /nhs/i,
  'nl-bsn': /bsn|burgerservice|sofi/i,
  'se-personnummer': /person_?-?(nummer|nr)|pnr|samordning/i,
  'br-cpf': /cpf/i,
  'in-aadhaar': /aadh?aa?r|uidai/i,
} as const

function numberAt(groups: DigitGroups, from: number, to: number): number {
  let number = 0
  for (let index = from; index < to; index += 1) number = number * 10 + (groups.digits[index] as number)
  return number
}

function two(bytes: Uint8Array, index: number): number {
  return ((bytes[index] as number) - 0x30) * 10 + (bytes[index + 1] as number) - 0x30
}

function isMonthAndDay(month: number, day: number): boolean {
  return month >= 1 && month <= 12 && day >= 1 && day <= 31
}

/** Whether a word of letters and digits may be one of these at all. */
export function mayBeLettered(length: number): boolean {
  return length === 9 || length === 15 || length === 16
}
