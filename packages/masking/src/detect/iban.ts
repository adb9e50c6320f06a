/** IBANs: ISO 13616, lengths by country of SWIFT's registry (release 99), ISO/IEC 7064 MOD 97-10. */
import { isDigit, isLetter, isWord, separatorLength, base36 } from './bytes.ts'

const lengths = countryLengths(
  'AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 DK18 DO28 EE20 EG29 ES24 ' +
    'FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 ' +
    'LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 ' +
    'RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30',
)

/** Where an IBAN ends that begins at `start`, else -1. With or without spaces between its groups; with hyphens it would be a part of a UUID now and then. */
export function iban(bytes: Uint8Array, start: number, limit: number): number {
  if (!isLetter(bytes[start]) || !isLetter(bytes[start + 1])) return -1
  if (!isDigit(bytes[start + 2]) || !isDigit(bytes[start + 3])) return -1
  const length = lengths[countryIndex(bytes[start] as number, bytes[start + 1] as number)] as number
  if (length === 0 || start + length > limit) return -1
  let remainder = 0
  let head = 0
  let index = start
  for (let count = 0; count < length; count += 1) {
    if (index < limit && !isWord(bytes[index])) {
      const skip = count >= 4 ? separatorLength(bytes, index) : 0
      if (skip === 0 || bytes[index] === 0x2d || bytes[index] === 0x2e) return -1
      index += skip
    }
    if (index >= limit || !isWord(bytes[index])) return -1
    const value = base36(bytes[index++] as number)
    // The first four go behind the rest.
    if (count < 4) head = take(head, value)
    else remainder = take(remainder, value)
  }
  if (index < limit && isWord(bytes[index])) return -1
  // Two letters and two digits: six digits of the number that is divided.
  return (((remainder * (1_000_000 % 97)) % 97) + head) % 97 === 1 ? index : -1
}

function take(remainder: number, value: number): number {
  return (remainder * (value > 9 ? 100 : 10) + value) % 97
}

function countryIndex(first: number, second: number): number {
  return ((first & 0x1f) << 5) | (second & 0x1f)
}

function countryLengths(list: string): Uint8Array {
  const table = new Uint8Array(1024)
  for (const entry of list.split(' '))
    table[countryIndex(entry.charCodeAt(0), entry.charCodeAt(1))] = Number(entry.slice(2))
  return table
}
