/** Bytes with a place for what is masked in them. Written where the input lies as long as there is room. */

/** `buffer[start, end)`. */
export interface Piece {
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

/**
 * Takes an input `from[start, end)` over, span by span and value by value, and gives what became of it. It compacts in
 * place, which takes half of what writing it all anew does, and moves to a buffer of its own where something grows.
 */
export class Rewrite {
  readonly from: Buffer
  readonly end: number
  to: Buffer
  /** Where `to` is written next. */
  at: number
  /** Up to where `from` has been taken. */
  taken: number
  readonly #start: number
  #origin: number

  constructor(from: Buffer, start: number, end: number) {
    this.from = from
    this.end = end
    this.to = from
    this.at = start
    this.taken = start
    this.#start = start
    this.#origin = start
  }

  /** The place in `to` of what stands at `place` in `from`, not taken yet, once it is. */
  placeOf(place: number): number {
    return this.at + place - this.taken
  }

  /** Takes what lies before `place` as it is. */
  keep(place: number): void {
    const length = place - this.taken
    if (this.to !== this.from) {
      this.#reserve(length)
      this.from.copy(this.to, this.at, this.taken, place)
    } else if (this.at !== this.taken) this.from.copyWithin(this.at, this.taken, place)
    this.at += length
    this.taken = place
  }

  /** Makes room at `at` for so many bytes in place of the input up to `place`. What moves then moves by the number that is returned. */
  room(bytes: number, place: number): number {
    if (this.to === this.from && this.at + bytes <= place) return 0
    if (this.to !== this.from) {
      this.#reserve(bytes)
      return 0
    }
    const written = this.at - this.#start
    const to = Buffer.allocUnsafeSlow(written + bytes + (this.end - this.#start) + growthBytes)
    this.from.copy(to, 0, this.#start, this.at)
    this.to = to
    this.at = written
    this.#origin = 0
    return -this.#start
  }

  done(): Piece {
    this.keep(this.end)
    return { buffer: this.to, start: this.#origin, end: this.at }
  }

  #reserve(bytes: number): void {
    const needed = this.at + bytes
    if (needed <= this.to.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(needed, 2 * this.to.length))
    this.to.copy(grown, 0, 0, this.at)
    this.to = grown
  }
}

const growthBytes = 4096
