/**
 * Cuts one direction of the wire into messages without copying: a message that lies whole in the chunk is handed on in
 * place; one that is split is collected, but only where it must be read whole, and never beyond its limit; the rest
 * streams.
 */
import { headerBytes } from './wire.ts'

/** How a message of this type and length (bytes after the type, as on the wire) is to be handed on. */
export type Handling =
  /** Whole, in one buffer. */
  | 'whole'
  /** As it comes; `onStart` gets what is there. */
  | 'stream'
  /** As it comes, but `onStart` waits until `prefixReady` says that enough is there. */
  | 'prefix'

export interface FrameRules {
  handling(type: number, length: number): Handling
  /** For 'prefix': whether `bytes[start, end)` (the payload so far) is enough. */
  prefixReady(bytes: Buffer, start: number, end: number): boolean
}

/** A message (its type is never 0), or the beginning of one: `buffer[start, end)` with its header; `rest` more bytes follow as a stream. */
export interface Frame {
  readonly type: number
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
  readonly rest: number
}

/** Bytes that belong to the message before. */
export interface Continuation {
  readonly type: 0
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
  readonly rest: number
}

const prefixBytesMax = 16_384

/** A length that cannot be, or a prefix that never ends. The connection cannot go on. */
export class FrameError extends Error {}

/** Whole messages of one type that lie behind each other: `buffer[start, end)`. */
export interface Run {
  readonly count: number
  readonly buffer: Buffer
  readonly start: number
  readonly end: number
}

export class Frames {
  readonly #rules: FrameRules
  #chunk: Buffer = Buffer.alloc(0)
  #at = 0
  /** Bytes of the streamed message that are still to come. */
  #rest = 0
  /** A message that must be whole and is not yet: its bytes so far are `#held[0, #heldLength)`. */
  #held: Buffer | undefined
  #heldLength = 0

  constructor(rules: FrameRules) {
    this.#rules = rules
  }

  /** Only when the chunk before is used up. */
  feed(chunk: Buffer): void {
    this.#chunk = chunk
    this.#at = 0
  }

  /** No message is half handed on: something of our own may be put between. */
  get atBoundary(): boolean {
    return this.#rest === 0
  }

  /** Bytes of the message that is half handed on which are still to come. */
  get restBytes(): number {
    return this.#rest
  }

  /** Bytes of the chunk are still to be read. */
  get unread(): boolean {
    return this.#at < this.#chunk.length
  }

  /** The type of the next message where it is known, without taking it. */
  peek(): number | undefined {
    if (this.#rest > 0) return 0
    return this.#heldLength > 0 ? this.#held?.[0] : this.#chunk[this.#at]
  }

  /** The next message or continuation, or undefined when more input is needed. */
  next(): Frame | Continuation | undefined {
    const available = this.#chunk.length - this.#at
    if (available === 0) return undefined
    if (this.#rest > 0) return this.#continue(available)
    if (this.#heldLength > 0) return this.#collect()
    const start = this.#at
    if (available < headerBytes) return this.#hold(start)
    const type = this.#chunk[start] as number
    const length = lengthOf(type, this.#chunk.readUInt32BE(start + 1))
    const total = length + 1
    if (total <= available) {
      this.#at = start + total
      return { type, buffer: this.#chunk, start, end: start + total, rest: 0 }
    }
    if (!this.#mayStart(type, length, this.#chunk, start, this.#chunk.length)) return this.#hold(start)
    this.#at = this.#chunk.length
    this.#rest = total - available
    return { type, buffer: this.#chunk, start, end: this.#chunk.length, rest: this.#rest }
  }

  /**
   * The whole messages of this type that come next in the chunk, at most so many and of at most so many bytes together:
   * a row of a result is too small to make a frame for. Undefined where there is none; what ends the run is left to `next`.
   */
  nextRun(type: number, countMax: number, bytesMax: number): Run | undefined {
    if (this.#rest > 0 || this.#heldLength > 0) return undefined
    const buffer = this.#chunk
    const start = this.#at
    const limit = Math.min(buffer.length, start + bytesMax)
    let end = start
    let count = 0
    while (count < countMax && end + headerBytes <= limit && buffer[end] === type) {
      const length = buffer.readUInt32BE(end + 1)
      if (length < 4 || end + 1 + length > limit) break
      end += 1 + length
      count++
    }
    if (count === 0) return undefined
    this.#at = end
    return { count, buffer, start, end }
  }

  #continue(available: number): Continuation {
    const start = this.#at
    const taken = Math.min(available, this.#rest)
    this.#at += taken
    this.#rest -= taken
    return { type: 0, buffer: this.#chunk, start, end: start + taken, rest: this.#rest }
  }

  #mayStart(type: number, length: number, buffer: Buffer, start: number, end: number): boolean {
    const handling = this.#rules.handling(type, length)
    if (handling === 'stream') return true
    if (handling === 'whole') return false
    if (this.#rules.prefixReady(buffer, start + headerBytes, end)) return true
    if (end - start > prefixBytesMax)
      throw new FrameError(`message type ${type} has a name of over ${prefixBytesMax} bytes`)
    return false
  }

  #hold(start: number): undefined {
    this.#append(start, this.#chunk.length)
    return undefined
  }

  /** Goes on with a held message: first its header, then as much as it needs. */
  #collect(): Frame | undefined {
    if (this.#heldLength < headerBytes && !this.#take(headerBytes)) return undefined
    const held = this.#held as Buffer
    const type = held[0] as number
    const length = lengthOf(type, held.readUInt32BE(1))
    const total = length + 1
    const handling = this.#rules.handling(type, length)
    const wanted =
      handling === 'whole' ? total : Math.min(total, handling === 'stream' ? headerBytes : prefixBytesMax + 1)
    const complete = this.#take(wanted)
    const buffer = this.#held as Buffer
    const length2 = this.#heldLength
    if (length2 === total || (length2 >= headerBytes && this.#mayStart(type, length, buffer, 0, length2))) {
      this.#held = undefined
      this.#heldLength = 0
      this.#rest = total - length2
      return { type, buffer, start: 0, end: length2, rest: this.#rest }
    }
    if (complete && handling !== 'whole')
      throw new FrameError(`message type ${type} has a name of over ${prefixBytesMax} bytes`)
    return undefined
  }

  /** Moves input to the held message until it has `wanted` bytes; false where the input ends first. */
  #take(wanted: number): boolean {
    const missing = Math.max(0, wanted - this.#heldLength)
    const end = Math.min(this.#chunk.length, this.#at + missing)
    this.#append(this.#at, end)
    return this.#heldLength >= wanted
  }

  /** Grows with what has come, never with what a length field promises. */
  #append(start: number, end: number): void {
    const needed = this.#heldLength + end - start
    if (!this.#held || this.#held.length < needed) {
      const grown = Buffer.allocUnsafe(Math.max(needed, Math.min(2 * needed, needed + 4_194_304)))
      this.#held?.copy(grown, 0, 0, this.#heldLength)
      this.#held = grown
    }
    this.#chunk.copy(this.#held, this.#heldLength, start, end)
    this.#heldLength = needed
    this.#at = end
  }
}

/** A type of 0 is none: here it stands for what belongs to the message before. */
function lengthOf(type: number, length: number): number {
  if (type === 0 || length < 4 || length > 0x7fffffff)
    throw new FrameError(`message type ${type} has length ${length}`)
  return length
}
