// A statement's key without its plain literals: '…' becomes one byte, a short whole number another. Everything else
// stays byte for byte. Refuses whatever could make two texts with one key differ in structure.
import { Kind, Lexer } from './lexer.ts'

const stringMark = 0x01
const numberMark = 0x02
const bytesMax = 4096

export class Stripper {
  readonly key = new Uint8Array(bytesMax)
  keyBytes = 0
  readonly #lexer = new Lexer(this.key, 0, 0)

  /** True where `key[0, keyBytes)` now holds the key. */
  strip(sql: Uint8Array, start: number, end: number): boolean {
    if (end - start > bytesMax) return false
    const { key } = this
    const lexer = this.#lexer
    lexer.reset(sql, start, end)
    let length = 0
    for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
      if (lexer.open) return false
      if (kind === Kind.string && sql[lexer.start] === 0x27) {
        for (let at = lexer.start; at < lexer.end; at += 1) {
          const byte = sql[at] as number
          // Not valid text, or not to be known without a look at the whole.
          if (byte === 0 || byte >= 0x80) return false
        }
        key[length++] = stringMark
      } else if (kind === Kind.number && isShortWhole(sql, lexer.start, lexer.end)) {
        key[length++] = numberMark
      } else {
        for (let at = lexer.start; at < lexer.end; at += 1) {
          const byte = sql[at] as number
          if (byte <= numberMark) return false
          key[length++] = byte
        }
      }
    }
    this.keyBytes = length
    return true
  }
}

/** At most nine digits and nothing else: always an integer constant to the grammar. */
function isShortWhole(sql: Uint8Array, start: number, end: number): boolean {
  if (end - start > 9) return false
  for (let at = start; at < end; at += 1) {
    const byte = sql[at] as number
    if (byte < 0x30 || byte > 0x39) return false
  }
  return true
}
