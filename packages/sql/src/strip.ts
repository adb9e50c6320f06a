// A statement's key without its plain literals: '…' becomes one byte, a short whole number another. Everything else
// stays byte for byte, so two texts with one key differ in nothing but what stands in those literals. Refuses every text
// with something that takes more than a look at the byte before to tell (comments, dollar quotes, E'…', U&'…'): it is
// on the way of each command, and such a text is kept by its exact bytes.

const stringMark = 0x01
const numberMark = 0x02
const bytesMax = 4096

export class Stripper {
  /** Of the same class as what it is made of: the engine then compiles their readers once. */
  readonly key: Uint8Array = Buffer.alloc(bytesMax)
  keyBytes = 0
  /** How many stand in the key as one byte. */
  literals = 0
  /** Some literal holds a byte without which none can give a credential away. */
  suspicious = false

  /** True where `key[0, keyBytes)` now holds the key. */
  strip(sql: Uint8Array, start: number, end: number): boolean {
    if (end - start > bytesMax) return false
    const { key } = this
    let length = 0
    let literals = 0
    this.suspicious = false
    for (let at = start; at < end; ) {
      const byte = sql[at] as number
      if (isPlain[byte] === 1) {
        // Most of a text, in one loop that asks one thing of a byte: it is the questions that cost.
        let plain = byte
        do {
          key[length++] = plain
          at += 1
          plain = at < end ? (sql[at] as number) : 0
        } while (isPlain[plain] === 1)
      } else if (byte === quote) {
        // Two literals in a row may be one; behind an & it may be U&'…', behind a word or number E'…'.
        if (at > start && isWordPart(sql[at - 1] as number)) return false
        const before = lastSign(sql, start, at)
        if (before === quote || before === ampersand) return false
        at = this.#string(sql, at + 1, end)
        if (at === -1) return false
        key[length++] = stringMark
        literals += 1
      } else if (at > start && wordParts[sql[at - 1] as number] === wordStart && isWordPart(byte)) {
        // The rest of a word with a digit or a $ in it.
        for (let part = byte; wordParts[part] !== 0; part = at < end ? (sql[at] as number) : space) {
          key[length++] = part
          at += 1
        }
      } else if (isDigit(byte)) {
        const from = at
        while (at < end && isDigit(sql[at] as number)) at += 1
        const next = at < end ? (sql[at] as number) : space
        // 1e3, 0x1F: one token that ends before a $ (which may open a dollar quote) or a quote, and goes on in 1e-3.
        while (at < end && isWordPart(sql[at] as number) && sql[at] !== dollar) at += 1
        if (at < end && isWordPart(next) && behindNumber.has(sql[at] as number)) return false
        const prior = from > start ? (sql[from - 1] as number) : space
        if (prior !== dot && prior !== dollar && next !== dot && !isWordPart(next) && at - from <= 9) {
          key[length++] = numberMark
          literals += 1
        } else for (let copy = from; copy < at; copy += 1) key[length++] = sql[copy] as number
      } else {
        const next = at + 1 < end ? (sql[at + 1] as number) : space
        if (byte === doubleQuote) {
          if (lastSign(sql, start, at) === ampersand) return false
          const close = sql.indexOf(doubleQuote, at + 1)
          if (close === -1 || close >= end) return false
          while (at < close) {
            if ((sql[at] as number) <= numberMark) return false
            key[length++] = sql[at++] as number
          }
        } else if (
          byte <= numberMark ||
          (byte === dash && next === dash) ||
          (byte === slash && next === star) ||
          (byte === dollar && !isDigit(next))
        )
          return false
        key[length++] = sql[at] as number
        at += 1
      }
    }
    this.keyBytes = length
    this.literals = literals
    return true
  }

  /** Offset behind the closing quote, -1 where the literal is not plain ASCII or never closes. */
  #string(sql: Uint8Array, inside: number, end: number): number {
    for (let at = inside; at < end; at += 1) {
      const byte = sql[at] as number
      if (tellsNothing[byte] === 1) continue
      if (byte === quote) {
        if (at + 1 >= end || sql[at + 1] !== quote) return at + 1
        this.suspicious = true
        at += 1
      } else if (byte === 0 || byte >= 0x80) return -1
      // What every pattern of credentials.ts has: = or $ or ://, a colon behind a word, eyJ, -----.
      else if (byte === equals || byte === dollar || byte === capitalJ) this.suspicious = true
      else if (byte === colon && !isDigit(sql[at - 1] as number)) this.suspicious = true
      else if (byte === colon && sql[at + 1] === slash) this.suspicious = true
      else if (byte === dash && sql[at - 1] === dash) this.suspicious = true
    }
    return -1
  }
}

const space = 0x20
const quote = 0x27
const doubleQuote = 0x22
const ampersand = 0x26
const dollar = 0x24
const dash = 0x2d
const slash = 0x2f
const star = 0x2a
const dot = 0x2e
const colon = 0x3a
const equals = 0x3d
const capitalJ = 0x4a

/** Behind a number with letters in it these take more than a look to tell. */
const behindNumber: ReadonlySet<number> = new Set([dollar, quote, dash, 0x2b])

/** The last byte before `at` that is no white space. */
function lastSign(sql: Uint8Array, start: number, at: number): number {
  let before = at - 1
  while (before >= start && isSpace(sql[before] as number)) before -= 1
  return before < start ? space : (sql[before] as number)
}

function isSpace(byte: number): boolean {
  return byte === space || (byte >= 0x09 && byte <= 0x0d)
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isWordPart(byte: number): boolean {
  return wordParts[byte] !== 0
}

/** 1: a byte that stands for itself whatever is around it. */
const isPlain = Uint8Array.from({ length: 256 }, (_, byte) => {
  const told = byte <= numberMark || [quote, doubleQuote, dollar, dash, slash].includes(byte)
  return told || isDigit(byte) ? 0 : 1
})

/** 1: a byte that neither ends a literal nor gives a credential away. */
const tellsNothing = Uint8Array.from({ length: 256 }, (_, byte) =>
  byte === 0 || byte >= 0x80 || [quote, equals, dollar, capitalJ, colon, dash].includes(byte) ? 0 : 1,
)

const wordStart = 2

/** 0: no part of a word. 1: a part but not the first (digits, $). wordStart: may begin one. */
const wordParts = Uint8Array.from({ length: 256 }, (_, byte) => {
  const letter = (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a)
  if (letter || byte === 0x5f || byte >= 0x80) return wordStart
  return isDigit(byte) || byte === dollar ? 1 : 0
})
