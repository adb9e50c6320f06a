/**
 * Payment cards: a known range of issuers (ISO/IEC 7812), its length, the groups that people write, and Luhn's digit.
 * Refuses to take any number with a right check digit for a card: every tenth number has one.
 */
import { luhn } from './checksums.ts'
import type { DigitGroups } from './digit-groups.ts'

/** [from, to, least length, most]; ranges are of the first six digits. */
const ranges: readonly (readonly [from: number, to: number, least: number, most: number])[] = [
  [220000, 220499, 16, 19], // Mir
  [222100, 272099, 16, 16], // Mastercard
  [300000, 305999, 14, 14], // Diners Club
  [309500, 309599, 14, 14],
  [340000, 349999, 15, 15], // American Express
  [352800, 358999, 16, 19], // JCB
  [360000, 369999, 14, 14], // Diners Club
  [370000, 379999, 15, 15], // American Express
  [380000, 399999, 14, 14], // Diners Club
  [400000, 499999, 16, 16], // Visa
  [501800, 501899, 12, 19], // Maestro, Dankort, Elo, Verve
  [501900, 501999, 16, 16],
  [502000, 502099, 12, 19],
  [503800, 503899, 12, 19],
  [506000, 506199, 16, 19],
  [506700, 506799, 16, 16],
  [508500, 508999, 16, 16], // RuPay
  [510000, 559999, 16, 16], // Mastercard
  [561000, 561099, 16, 16],
  [589300, 589399, 12, 19], // Maestro
  [601100, 601199, 16, 19], // Discover
  [606282, 606282, 16, 16], // Hipercard
  [607000, 608999, 16, 16], // RuPay
  [620000, 629999, 16, 19], // UnionPay
  [630400, 630499, 12, 19], // Maestro
  [636368, 636369, 16, 16], // Elo
  [644000, 659999, 16, 19], // Discover
  [675900, 676399, 12, 19], // Maestro
  [817200, 817299, 16, 19], // RuPay, UnionPay
]

const layouts: readonly (readonly number[])[] = [
  [4, 4, 4, 4],
  [4, 6, 5],
  [4, 6, 4],
  [4, 4, 4, 4, 3],
  [4, 4, 4, 4, 2],
  [4, 4, 4, 2],
  [4, 4, 4, 3],
  [6, 13],
  [8, 8],
  [5, 5, 6],
]

/** Where a card ends that begins at the first group, else -1. */
export function card(groups: DigitGroups): number {
  const first = groups.length(0)
  if (first >= 12) {
    const end = groups.layout([first])
    return end !== -1 && isCard(groups.digits, first) ? end : -1
  }
  if (first < 4 || groups.groups < 2) return -1
  for (const layout of layouts) {
    const end = groups.layout(layout)
    if (end !== -1 && isCard(groups.digits, groups.counts[layout.length - 1] as number)) return end
  }
  return -1
}

function isCard(digits: Uint8Array, count: number): boolean {
  if (!luhn(digits, count)) return false
  let issuer = 0
  for (let index = 0; index < 6; index += 1) issuer = issuer * 10 + (digits[index] as number)
  for (const [from, to, least, most] of ranges)
    if (issuer >= from && issuer <= to) return count >= least && count <= most && hasVariety(digits, count)
  return false
}

/** `4000000000000002` is a card for tests, `4444444444444448` a hand on a key. */
function hasVariety(digits: Uint8Array, count: number): boolean {
  const most = digits[1]
  for (let index = 2; index < count - 1; index += 1) if (digits[index] !== most) return true
  return most === 0
}
