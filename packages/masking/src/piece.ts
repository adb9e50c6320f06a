/** Bytes with a place for what is masked in them. Written where the input lies as long as there is room. */

/** `buffer[start, end)`. */
export interface Piece {
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

/**
 * Takes an input `from[start, end)` over, message by message, and gives what became of it. It compacts in place, which takes
 * half of what writing it all anew does, and moves to a buffer of its own where something grows.
 */
export class Rewrite {
  readonly from: Buffer
  readonly end: number
  to: Buffer
  /** Where `to` is written next. */
  at: number
  /** Up to where `from` has been taken. */
  #taken: number
  readonly #start: number
  #origin: number
  /** Where the message begins: in `from`, and in `to` once something in it is replaced. */
  #message = 0
  #header = -1
  #growth = 0

  constructor(from: Buffer, start: number, end: number) {
    this.from = from
    this.end = end
    this.to = from
    this.at = start
    this.#taken = start
    this.#start = start
    this.#origin = start
  }

  /** A message begins here: a byte, and its length in four, without that byte. */
  begin(place: number): void {
    this.#message = place
    this.#header = -1
    this.#growth = 0
  }

  /** What lies before `place` stays; `from[place, end)` is to be replaced by at most `bytesMax` bytes, written at `at`. */
  replace(place: number, end: number, bytesMax: number): void {
    if (this.#header < 0) this.#header = this.at + this.#message - this.#taken
    this.#keep(place)
    if (this.to !== this.from) this.#reserve(bytesMax)
    else if (this.at + bytesMax > end) this.#move(bytesMax)
  }

  /** It was replaced by so many. */
  replaced(end: number, bytes: number): void {
    this.#growth += bytes - (end - this.#taken)
    this.at += bytes
    this.#taken = end
  }

  /** The message ends here. */
  finish(place: number): void {
    if (this.#growth !== 0) this.to.writeInt32BE(place - this.#message - 1 + this.#growth, this.#header + 1)
  }

  done(): Piece {
    this.#keep(this.end)
    return { buffer: this.to, start: this.#origin, end: this.at }
  }

  #keep(place: number): void {
    const length = place - this.#taken
    if (this.to !== this.from) {
      this.#reserve(length)
      this.from.copy(this.to, this.at, this.#taken, place)
    } else if (this.at !== this.#taken) this.from.copyWithin(this.at, this.#taken, place)
    this.at += length
    this.#taken = place
  }

  #move(bytes: number): void {
    const written = this.at - this.#start
    const to = Buffer.allocUnsafeSlow(written + bytes + (this.end - this.#start) + growthBytes)
    this.from.copy(to, 0, this.#start, this.at)
    this.to = to
    this.at = written
    this.#header -= this.#start
    this.#origin = 0
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
