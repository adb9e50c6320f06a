// Analyses kept by the exact bytes of their text. Two keys are the same only where every byte is: a hash alone never
// decides. Bounded in entries and bytes; what was used longest ago goes first. Refuses to make strings on a hit, and to
// search long for a text that was made to share its hash with others.
import { crc32 } from 'node:zlib'
import { copyOf, view } from './cutter.ts'

interface Entry<Value> {
  readonly hash: number
  readonly key: Buffer
  readonly value: Value
  readonly bytes: number
  nextInBucket: Entry<Value> | undefined
  newer: Entry<Value> | undefined
  older: Entry<Value> | undefined
}

export class ByteCache<Value> {
  entries = 0
  bytes = 0
  /** Of the text that was asked for last: another hash is another text. */
  lastHash = 0
  readonly #entriesMax: number
  readonly #bytesMax: number
  readonly #seed: number
  readonly #buckets = new Map<number, Entry<Value>>()
  #newest: Entry<Value> | undefined
  #oldest: Entry<Value> | undefined

  /** `seed` differs from process to process, so that nobody can prepare texts that share one bucket. */
  constructor(entriesMax: number, bytesMax: number, seed: number) {
    this.#entriesMax = entriesMax
    this.#bytesMax = bytesMax
    this.#seed = seed | 1
  }

  get(text: Uint8Array, start: number, end: number): Value | undefined {
    this.lastHash = hashOf(text, start, end, this.#seed)
    return this.#find(this.lastHash, text, start, end)
  }

  #find(hash: number, text: Uint8Array, start: number, end: number): Value | undefined {
    let entry = this.#buckets.get(hash)
    while (entry !== undefined && !equal(entry.key, text, start, end)) entry = entry.nextInBucket
    if (entry === undefined) return undefined
    if (entry !== this.#newest) {
      this.#unlink(entry)
      this.#link(entry)
    }
    return entry.value
  }

  /**
   * Copies the key, unless the caller gives `text` away. `valueBytes` is an estimate. A text that is there already keeps its
   * value.
   */
  set(text: Uint8Array, start: number, end: number, value: Value, valueBytes: number, isGiven = false): void {
    const bytes = end - start + valueBytes + entryBytes
    if (this.#entriesMax === 0 || bytes > this.#bytesMax / 4) return
    const hash = hashOf(text, start, end, this.#seed)
    if (this.#find(hash, text, start, end) !== undefined) return
    this.#makeRoomIn(hash)
    const isWhole = isGiven && text.byteLength === text.buffer.byteLength && end - start === text.byteLength
    const key = isWhole ? view(text) : copyOf(text, start, end)
    const entry: Entry<Value> = {
      hash,
      key,
      value,
      bytes,
      nextInBucket: this.#buckets.get(hash),
      newer: undefined,
      older: undefined,
    }
    this.#buckets.set(hash, entry)
    this.#link(entry)
    this.entries += 1
    this.bytes += bytes
    while (this.#oldest !== undefined && (this.entries > this.#entriesMax || this.bytes > this.#bytesMax))
      this.#remove(this.#oldest)
  }

  #makeRoomIn(hash: number): void {
    let length = 0
    for (let entry = this.#buckets.get(hash); entry !== undefined; entry = entry.nextInBucket) {
      length += 1
      if (length === bucketMax) this.#remove(entry)
    }
  }

  #remove(entry: Entry<Value>): void {
    this.#unlink(entry)
    this.entries -= 1
    this.bytes -= entry.bytes
    let at = this.#buckets.get(entry.hash)
    if (at === entry) {
      if (entry.nextInBucket === undefined) this.#buckets.delete(entry.hash)
      else this.#buckets.set(entry.hash, entry.nextInBucket)
      return
    }
    while (at !== undefined && at.nextInBucket !== entry) at = at.nextInBucket
    if (at !== undefined) at.nextInBucket = entry.nextInBucket
  }

  #link(entry: Entry<Value>): void {
    entry.older = this.#newest
    entry.newer = undefined
    if (this.#newest !== undefined) this.#newest.newer = entry
    this.#newest = entry
    this.#oldest ??= entry
  }

  #unlink(entry: Entry<Value>): void {
    if (entry.newer === undefined) this.#newest = entry.older
    else entry.newer.older = entry.older
    if (entry.older === undefined) this.#oldest = entry.newer
    else entry.older.newer = entry.newer
  }
}

// Objects, links and the map's slot, measured on Node 24.
const entryBytes = 250

const bucketMax = 8

/** From here on crossing into native code, which reads ten bytes in the time of one here, costs less than the loop. */
const nativeHashBytesMin = 1024

/**
 * Eight bytes a step, in two halves that the processor reckons at once; a small integer, so that the map keeps it without
 * a box.
 */
function hashOf(text: Uint8Array, start: number, end: number, seed: number): number {
  if (end - start >= nativeHashBytesMin) return crc32(text.subarray(start, end), seed >>> 0) & 0x3fffffff
  let hash = seed ^ (end - start)
  let other = hash
  let at = start
  for (const whole = end - 7; at < whole; at += 8) {
    hash = Math.imul(hash ^ wordAt(text, at), 0x9e3779b1)
    hash ^= hash >>> 15
    other = Math.imul(other ^ wordAt(text, at + 4), 0x85ebca6b)
    other ^= other >>> 13
  }
  for (; at < end; at += 1) {
    hash = Math.imul(hash ^ (text[at] as number), 0x85ebca6b)
    hash ^= hash >>> 13
  }
  hash = Math.imul(hash ^ Math.imul(other, 0x9e3779b1), 0x85ebca6b)
  return (hash ^ (hash >>> 16)) & 0x3fffffff
}

function wordAt(text: Uint8Array, at: number): number {
  return (
    (text[at] as number) |
    ((text[at + 1] as number) << 8) |
    ((text[at + 2] as number) << 16) |
    ((text[at + 3] as number) << 24)
  )
}

function equal(key: Buffer, text: Uint8Array, start: number, end: number): boolean {
  const length = key.length
  if (length !== end - start) return false
  // Crossing into native code costs what a loop over some forty bytes does.
  if (length > 40) return key.compare(text, start, end) === 0
  for (let at = 0; at < length; at += 1) if (key[at] !== text[start + at]) return false
  return true
}
