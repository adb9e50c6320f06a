/**
 * Forms of texts, UTF-8, over bytes in place: they see every value of a result, so that they make nothing for one. A text
 * and its binary form are the same bytes.
 */
import { always, type Form } from './form.ts'
import type { Keyed } from './keyed.ts'

const star = 0x2a
const starsMax = 4

/** Stars, and the last `keep` characters of a text that has at least twice as many; else `plain`. */
export function partialText(keep: number, plain: Buffer): Form {
  const whole = always(plain)
  const stars = Math.min(keep, starsMax)
  return {
    // The stars are no more than the characters that they stand for.
    bytesMax: (length) => Math.max(plain.length, length),
    write(from, start, end, to, at) {
      const tail = tailOf(from, start, end, keep)
      // More than UTF-8 has: in another encoding characters are not told apart by their bytes.
      if (tail < 0 || end - tail > 4 * keep) return whole.write(from, start, end, to, at)
      // First what is kept: the stars may lie over it.
      from.copy(to, at + stars, tail, end)
      for (let index = 0; index < stars; index++) to[at + index] = star
      return stars + end - tail
    },
  }
}

/** Where the last `keep` characters begin; -1 where they are more than half. */
function tailOf(bytes: Buffer, start: number, end: number, keep: number): number {
  let at = end
  let tail = end
  for (let characters = 0; characters < 2 * keep; characters++) {
    if (at <= start) return -1
    at--
    while (at > start && ((bytes[at] as number) & 0xc0) === 0x80) at--
    if (characters === keep - 1) tail = at
  }
  return tail
}

/** Hexadecimal digits of the HMAC: 128 bits of it tell values apart, and fit where a text may be short. */
const hashDigits = 32

/** `trims`: blanks at the end are no part of the value (bpchar). */
export function hashText(keyed: Keyed, charsMax: number, trims: boolean): Form {
  const digits = Math.min(hashDigits, charsMax)
  return {
    bytesMax: () => digits,
    write(from, start, end, to, at) {
      to.write(keyed(from, start, trims ? trimmed(from, start, end) : end), at, digits, 'latin1')
      return digits
    },
  }
}

/** A JSON string of the HMAC. `version` bytes stand before the text (jsonb's binary form has one). */
export function hashJson(keyed: Keyed, version: number): Form {
  return {
    bytesMax: () => version + hashDigits + 2,
    write(from, start, end, to, at) {
      const digest = keyed(from, start + version, end)
      if (version === 1) to[at] = 1
      return version + to.write(`"${digest.slice(0, hashDigits)}"`, at + version, 'latin1')
    },
  }
}

/**
 * A letter for a letter, of the same case, a digit for a digit; other ASCII stays, anything beyond becomes a letter. The
 * same text always becomes the same; what becomes of a letter depends on the whole text.
 */
export function fakeText(keyed: Keyed): Form {
  return {
    bytesMax: (length) => length,
    write(from, start, end, to, at) {
      const stream = streamOf(keyed, from, start, end)
      let out = at
      for (let index = start; index < end; index++) {
        const byte = from[index] as number
        if ((byte & 0xc0) === 0x80) continue
        to[out++] = fakeByte(byte, stream)
      }
      return out - at
    },
  }
}

function fakeByte(byte: number, stream: () => number): number {
  if (byte >= 0x30 && byte <= 0x39) return 0x30 + (stream() % 10)
  if (byte >= 0x41 && byte <= 0x5a) return 0x41 + (stream() % 26)
  if ((byte >= 0x61 && byte <= 0x7a) || byte >= 0x80) return 0x61 + (stream() % 26)
  return byte
}

/** Bytes that follow from the value: its HMAC, then the HMAC of that, and so on. */
export function streamOf(keyed: Keyed, from: Buffer, start: number, end: number): () => number {
  const digest = Buffer.from(keyed(from, start, end), 'hex')
  let at = 0
  return () => {
    if (at === digest.length) {
      digest.write(keyed(digest, 0, digest.length), 'hex')
      at = 0
    }
    return digest[at++] as number
  }
}

function trimmed(bytes: Buffer, start: number, end: number): number {
  let last = end
  while (last > start && bytes[last - 1] === 0x20) last--
  return last
}
