/**
 * Groups of digits as people write numbers: `4111 1111 1111 1111`, `078-05-1120`. Reads them once for all detectors of
 * numbers. Refuses to allocate: one object serves a whole detection.
 */
import { endsClean, isDigit, isLetter, separatorLength } from './bytes.ts'

const digitsMax = 24
const groupsMax = 8

export class DigitGroups {
  /** Values 0-9. */
  readonly digits: Uint8Array = new Uint8Array(digitsMax + 1)
  /** Digits up to and with group n. */
  readonly counts: Uint8Array = new Uint8Array(groupsMax)
  /** Byte offset behind group n. */
  readonly ends: Float64Array = new Float64Array(groupsMax)
  /** First byte of what stands before group n; 0 for the first. */
  readonly separators: Uint8Array = new Uint8Array(groupsMax)
  groups = 0
  #bytes: Uint8Array = new Uint8Array(0)
  #from = 0
  #start = 0
  #limit = 0

  /**
   * Reads from `start`, which has a digit, to the end of the last whole group within `bytes[from, limit)`. One that is too
   * long or followed by a letter is left out.
   */
  read(bytes: Uint8Array, from: number, start: number, limit: number): void {
    this.#from = from
    this.#start = start
    this.groups = 0
    this.#bytes = bytes
    this.#limit = limit
    let count = 0
    let index = start
    let separator = 0
    while (this.groups < groupsMax) {
      while (index < limit && count <= digitsMax && isDigit(bytes[index]))
        this.digits[count++] = (bytes[index++] as number) - 0x30
      // No number has a group of one behind others; a row of small numbers has nothing else.
      if (this.groups > 0 && count - (this.counts[this.groups - 1] as number) === 1) return
      if (count > digitsMax || (index < limit && isLetter(bytes[index]))) return
      this.separators[this.groups] = separator
      this.counts[this.groups] = count
      this.ends[this.groups++] = index
      if (index >= limit) return
      const skip = separatorLength(bytes, index)
      if (skip === 0 || index + skip >= limit || !isDigit(bytes[index + skip])) return
      separator = bytes[index] as number
      index += skip
    }
  }

  /** Whether these are `count` groups and no more: a row of numbers has groups of any kind somewhere. */
  standsAlone(count: number): boolean {
    if (this.groups !== count) return false
    const before = this.#start - 1
    const isRow = before > this.#from && this.#bytes[before] === 0x20 && isDigit(this.#bytes[before - 1])
    const end = this.ends[count - 1] as number
    const goesOn = end + 1 < this.#limit && this.#bytes[end] === 0x20 && isDigit(this.#bytes[end + 1])
    return !isRow && !goesOn
  }

  /** Digits of group n alone. */
  length(group: number): number {
    return (this.counts[group] as number) - (group === 0 ? 0 : (this.counts[group - 1] as number))
  }

  /** Where these groups end when the text begins with them and nothing of the number follows, else -1. */
  layout(lengths: readonly number[], separator?: number): number {
    if (this.groups < lengths.length) return -1
    for (let group = 0; group < lengths.length; group += 1) {
      if (this.length(group) !== lengths[group]) return -1
      if (separator !== undefined && group > 0 && this.separators[group] !== separator) return -1
    }
    const end = this.ends[lengths.length - 1] as number
    return endsClean(this.#bytes, end, this.#limit) ? end : -1
  }
}
