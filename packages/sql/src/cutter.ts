// Copies a text byte for byte but for what is to be replaced, and reads what a quoted token says once its escapes are
// undone, so that `E'p\141ssword='` hides nothing. Refuses to decide what is replaced.
import { Kind } from './lexer.ts'

/** The same bytes as a Buffer, which decodes short pieces several times faster than a TextDecoder. */
export function view(bytes: Uint8Array): Buffer {
  return bytes instanceof Buffer ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
}

/** Neither a slice nor from the pool: either would keep a larger buffer alive. */
export function copyOf(bytes: Uint8Array, start: number, end: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(end - start)
  copy.set(bytes.subarray(start, end))
  return copy
}

export class Cutter {
  readonly bytes: Buffer
  readonly #start: number
  readonly #end: number
  readonly #cuts = new Map<number, { readonly end: number; readonly by: string }>()

  constructor(bytes: Buffer, start: number, end: number) {
    this.bytes = bytes
    this.#start = start
    this.#end = end
  }

  replace(start: number, end: number, by: string): void {
    this.#cuts.set(start, { end, by })
  }

  has(start: number): boolean {
    return this.#cuts.has(start)
  }

  finish(): string {
    const starts = [...this.#cuts.keys()].sort((left, right) => left - right)
    const parts: string[] = []
    let at = this.#start
    for (const start of starts) {
      const cut = this.#cuts.get(start)
      if (cut === undefined || start < at) continue
      parts.push(this.bytes.toString('utf8', at, start), cut.by)
      at = cut.end
    }
    parts.push(this.bytes.toString('utf8', at, this.#end))
    return parts.join('')
  }
}

/** What stands between the quotes of a token of this kind, its escapes undone. */
export function contentOf(bytes: Buffer, kind: Kind, innerStart: number, innerEnd: number): string {
  const raw = bytes.toString('utf8', innerStart, innerEnd)
  if (kind === Kind.escapeString) return unescaped(raw)
  if (kind === Kind.unicodeString || kind === Kind.unicodeWord) return unicodeUnescaped(raw)
  return raw
}

function unescaped(raw: string): string {
  return raw.replaceAll(
    /\\(?:x([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-7]{1,3})|(.))/gs,
    (_, hex?: string, four?: string, eight?: string, octal?: string, plain?: string) => {
      const code = hex ?? four ?? eight
      if (code !== undefined) return codePoint(Number.parseInt(code, 16))
      if (octal !== undefined) return codePoint(Number.parseInt(octal, 8) & 0xff)
      return plain ?? ''
    },
  )
}

// Any sign may be the escape sign (UESCAPE '!'), so every one that four or six digits follow is read as one.
function unicodeUnescaped(raw: string): string {
  return raw.replaceAll(
    /[^0-9a-fA-F\s'"+](?:\+([0-9a-fA-F]{6})|([0-9a-fA-F]{4}))/g,
    (_, six?: string, four?: string) => codePoint(Number.parseInt(six ?? four ?? '', 16)),
  )
}

function codePoint(code: number): string {
  return code <= 0x10ffff ? String.fromCodePoint(code) : '?'
}
