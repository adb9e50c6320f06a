// Cuts SQL bytes into tokens as PostgreSQL's scanner does, for what the grammar's tree cannot give: where literals and
// comments stand, in text that parses and in text that does not. It survives what never closes (the token then runs
// to the end) and makes no strings. Refuses to judge what a statement does.
// Source: src/backend/parser/scan.l of PostgreSQL 18; lexer.test.ts compares with that scanner.

export const Kind = {
  end: 0,
  space: 1,
  comment: 2,
  word: 3,
  quotedWord: 4,
  unicodeWord: 5,
  string: 6,
  escapeString: 7,
  unicodeString: 8,
  bitString: 9,
  dollarString: 10,
  number: 11,
  param: 12,
  other: 13,
} as const
export type Kind = (typeof Kind)[keyof typeof Kind]

export function isStringKind(kind: Kind): boolean {
  return kind >= Kind.string && kind <= Kind.dollarString
}

/** A cursor: `next()` moves it to the next token of `bytes[position, limit)` and returns its kind. */
export class Lexer {
  start = 0
  end = 0
  /** The token never closed. */
  open = false
  bytes: Uint8Array
  limit: number

  constructor(bytes: Uint8Array, start: number, limit: number) {
    this.bytes = bytes
    this.end = start
    this.limit = limit
  }

  reset(bytes: Uint8Array, start: number, limit: number): void {
    this.bytes = bytes
    this.end = start
    this.limit = limit
  }

  next(): Kind {
    const { bytes, limit } = this
    const start = this.end
    this.start = start
    this.open = false
    if (start >= limit) return Kind.end
    const byte = bytes[start] as number
    const after = start + 1 < limit ? (bytes[start + 1] as number) : 0
    if (isWordStart(byte)) return this.#word(byte, after)
    if (isSpace(byte)) {
      let at = start + 1
      while (at < limit && isSpace(bytes[at] as number)) at += 1
      this.end = at
      return Kind.space
    }
    if (byte === quote) return this.#string(start + 1, Kind.string)
    if (isDigit(byte) || (byte === dot && isDigit(after))) return this.#number(byte, after)
    if (byte === doubleQuote) return this.#delimited(start + 1, doubleQuote, Kind.quotedWord)
    if (byte === dash && after === dash) {
      this.end = this.#lineEnd(start + 2)
      return Kind.comment
    }
    if (byte === slash && after === star) return this.#blockComment()
    if (byte === dollar) return this.#dollar(after)
    this.end = start + (byte === dot && after === dot ? 2 : 1)
    return Kind.other
  }

  /** The token's delimiters: offsets of what stands between its quotes. Only for quoted and string kinds. */
  innerStart(kind: Kind): number {
    const { bytes, start } = this
    if (kind === Kind.dollarString) {
      let at = start + 1
      while (bytes[at] !== dollar) at += 1
      return at + 1
    }
    let at = start
    while (bytes[at] !== quote && bytes[at] !== doubleQuote) at += 1
    return at + 1
  }

  innerEnd(kind: Kind): number {
    if (this.open) return this.end
    return kind === Kind.dollarString ? this.end - (this.innerStart(kind) - this.start) : this.end - 1
  }

  #word(byte: number, after: number): Kind {
    const { bytes, start, limit } = this
    if (after === quote) {
      const lower = byte | 0x20
      if (lower === 0x65) return this.#string(start + 2, Kind.escapeString)
      if (lower === 0x62 || lower === 0x78) return this.#string(start + 2, Kind.bitString)
      if (lower === 0x6e) return this.#string(start + 2, Kind.string)
    } else if (after === ampersand && (byte | 0x20) === 0x75 && start + 2 < limit) {
      const third = bytes[start + 2]
      if (third === quote) return this.#string(start + 3, Kind.unicodeString)
      if (third === doubleQuote) return this.#delimited(start + 3, doubleQuote, Kind.unicodeWord)
    }
    let at = start + 1
    while (at < limit && isWordPart(bytes[at] as number)) at += 1
    this.end = at
    return Kind.word
  }

  #number(byte: number, after: number): Kind {
    const { bytes, limit } = this
    let at = this.start
    const radix = byte === 0x30 ? after | 0x20 : 0
    if (radix === 0x78 || radix === 0x6f || radix === 0x62) {
      at += 2
      while (at < limit && isWordPart(bytes[at] as number) && bytes[at] !== dollar) at += 1
      this.end = at
      return Kind.number
    }
    at = this.#digits(at)
    // `1..2` is a range of plpgsql's: the number ends before two dots.
    if (bytes[at] === dot && at < limit && !(at + 1 < limit && bytes[at + 1] === dot))
      at = this.#digits(at + 1)
    if (at < limit && ((bytes[at] as number) | 0x20) === 0x65) {
      const sign = bytes[at + 1]
      const first = sign === 0x2b || sign === dash ? at + 2 : at + 1
      if (first < limit && isDigit(bytes[first] as number)) at = this.#digits(first)
    }
    // Junk behind a number is an error to PostgreSQL; here it stays one token, so that no part of it is left over.
    while (at < limit && isWordPart(bytes[at] as number) && bytes[at] !== dollar) at += 1
    this.end = at
    return Kind.number
  }

  #digits(at: number): number {
    const { bytes, limit } = this
    let next = at
    while (next < limit && (isDigit(bytes[next] as number) || bytes[next] === underscore)) next += 1
    return next
  }

  #dollar(after: number): Kind {
    const { bytes, start, limit } = this
    let at = start + 1
    if (isDigit(after)) {
      while (at < limit && isDigit(bytes[at] as number)) at += 1
      this.end = at
      return Kind.param
    }
    if (isWordStart(after)) {
      at += 1
      while (at < limit && isWordPart(bytes[at] as number) && bytes[at] !== dollar) at += 1
    }
    if (at >= limit || bytes[at] !== dollar) {
      this.end = start + 1
      return Kind.other
    }
    const tagBytes = at + 1 - start
    for (let close = bytes.indexOf(dollar, at + 1); close !== -1; close = bytes.indexOf(dollar, close + 1)) {
      if (close + tagBytes > limit) break
      let same = true
      for (let index = 1; index < tagBytes && same; index += 1)
        same = bytes[close + index] === bytes[start + index]
      if (!same) continue
      this.end = close + tagBytes
      return Kind.dollarString
    }
    this.open = true
    this.end = limit
    return Kind.dollarString
  }

  /** `inside` stands behind the opening quote. Takes the parts that PostgreSQL joins over a line end as one literal. */
  #string(inside: number, kind: Kind): Kind {
    const { bytes, limit } = this
    const escapes = kind === Kind.escapeString
    let at = inside
    for (;;) {
      if (at >= limit) {
        this.open = true
        this.end = limit
        return kind
      }
      const byte = bytes[at] as number
      if (escapes && byte === backslash) at += 2
      else if (byte !== quote) at += 1
      else if (at + 1 < limit && bytes[at + 1] === quote && kind !== Kind.bitString) at += 2
      else {
        const next = this.#continuation(at + 1)
        if (next === -1) {
          this.end = at + 1
          return kind
        }
        at = next
      }
    }
  }

  /** Behind a closing quote: offset inside the literal's next part, -1 where there is none. */
  #continuation(from: number): number {
    const { bytes, limit } = this
    let at = from
    let newline = false
    while (at < limit) {
      const byte = bytes[at] as number
      if (isSpace(byte)) {
        newline ||= byte === lineFeed || byte === carriageReturn
        at += 1
      } else if (byte === dash && bytes[at + 1] === dash && at + 1 < limit) {
        at = this.#lineEnd(at + 2)
      } else {
        return byte === quote && newline ? at + 1 : -1
      }
    }
    return -1
  }

  #delimited(inside: number, delimiter: number, kind: Kind): Kind {
    const { bytes, limit } = this
    let at = inside
    while (at < limit) {
      if (bytes[at] !== delimiter) at += 1
      else if (at + 1 < limit && bytes[at + 1] === delimiter) at += 2
      else {
        this.end = at + 1
        return kind
      }
    }
    this.open = true
    this.end = limit
    return kind
  }

  #lineEnd(from: number): number {
    const { bytes, limit } = this
    let at = from
    while (at < limit && bytes[at] !== lineFeed && bytes[at] !== carriageReturn) at += 1
    return at
  }

  #blockComment(): Kind {
    const { bytes, limit } = this
    let depth = 1
    let at = this.start + 2
    while (at < limit) {
      const byte = bytes[at] as number
      const after = at + 1 < limit ? bytes[at + 1] : 0
      if (byte === star && after === slash) {
        depth -= 1
        at += 2
        if (depth === 0) {
          this.end = at
          return Kind.comment
        }
      } else if (byte === slash && after === star) {
        depth += 1
        at += 2
      } else {
        at += 1
      }
    }
    this.open = true
    this.end = limit
    return Kind.comment
  }
}

const quote = 0x27
const doubleQuote = 0x22
const backslash = 0x5c
const dollar = 0x24
const dash = 0x2d
const slash = 0x2f
const star = 0x2a
const dot = 0x2e
const underscore = 0x5f
const ampersand = 0x26
const lineFeed = 0x0a
const carriageReturn = 0x0d

export function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isWordStart(byte: number): boolean {
  return (
    (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a) || byte === underscore || byte >= 0x80
  )
}

function isWordPart(byte: number): boolean {
  return isWordStart(byte) || isDigit(byte) || byte === dollar
}
