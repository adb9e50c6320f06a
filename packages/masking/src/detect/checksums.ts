/** Check digits, over values 0-9 in `digits[0, count)`. Pure; what a number is otherwise is for others to say. */

/** ISO/IEC 7812-1 annex B. */
export function luhn(digits: Uint8Array, count: number, from = 0): boolean {
  let sum = 0
  for (let index = count - 1, double = false; index >= from; index -= 1, double = !double) {
    const value = digits[index] as number
    sum += double ? (value > 4 ? value * 2 - 9 : value * 2) : value
  }
  return sum % 10 === 0
}

/** Sum of digit times weight. */
export function weighed(digits: Uint8Array, weights: readonly number[], from = 0): number {
  let sum = 0
  for (const [index, weight] of weights.entries()) sum += (digits[from + index] as number) * weight
  return sum
}

/** ISO/IEC 7064 MOD 11,10: what the German tax id ends with. */
export function mod11of10(digits: Uint8Array, count: number): boolean {
  let product = 10
  for (let index = 0; index < count - 1; index += 1) {
    const sum = ((digits[index] as number) + product) % 10
    product = ((sum === 0 ? 10 : sum) * 2) % 11
  }
  return (11 - product) % 10 === digits[count - 1]
}

/** J. Verhoeff, Error Detecting Decimal Codes (1969): the dihedral group D5. */
export function verhoeff(digits: Uint8Array, count: number): boolean {
  let check = 0
  for (let index = 0; index < count; index += 1) {
    const permuted = permutations[index % 8]?.[digits[count - 1 - index] as number] as number
    check = product(check, permuted)
  }
  return check === 0
}

function product(left: number, right: number): number {
  if (left < 5) return right < 5 ? (left + right) % 5 : ((left + right) % 5) + 5
  return right < 5 ? ((left - right) % 5) + 5 : (left - right + 5) % 5
}

const permutations: readonly (readonly number[])[] = [
  [0, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  [1, 5, 7, 6, 2, 8, 3, 0, 9, 4],
  [5, 8, 0, 3, 7, 9, 6, 1, 4, 2],
  [8, 9, 1, 6, 0, 4, 3, 5, 2, 7],
  [9, 4, 5, 3, 1, 2, 6, 8, 7, 0],
  [4, 2, 8, 6, 5, 7, 3, 9, 0, 1],
  [2, 7, 9, 3, 8, 0, 6, 4, 1, 5],
  [7, 0, 4, 6, 9, 1, 3, 2, 5, 8],
]
