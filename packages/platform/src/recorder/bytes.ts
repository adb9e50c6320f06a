/**
 * A growing buffer to write records into and a bounded cursor to read them from. Exists so that the hot path makes no
 * string, object or small buffer per command. Refuses negative, fractional and unsafe numbers by clamping them: a count
 * that is wrong by a hair must not stop a command from being recorded.
 */
import { RecorderError } from './error.ts'

const twoTo32 = 0x1_0000_0000
const shortString = 64

export class ByteWriter {
  buffer: Buffer
  at = 0

  constructor(initialBytes: number) {
    this.buffer = Buffer.allocUnsafeSlow(initialBytes)
  }

  reserve(bytes: number): void {
    if (this.at + bytes <= this.buffer.length) return
    const grown = Buffer.allocUnsafeSlow(Math.max(this.buffer.length * 2, this.at + bytes))
    this.buffer.copy(grown, 0, 0, this.at)
    this.buffer = grown
  }

  byte(value: number): void {
    this.reserve(1)
    this.buffer[this.at++] = value
  }

  u32At(at: number, value: number): void {
    this.buffer[at] = value
    this.buffer[at + 1] = value >>> 8
    this.buffer[at + 2] = value >>> 16
    this.buffer[at + 3] = value >>> 24
  }

  /** Eight bytes; for times, which would need as many as a varint. */
  fixed53(value: number): void {
    this.reserve(8)
    const safe = clamp(value)
    this.u32At(this.at, safe >>> 0)
    this.u32At(this.at + 4, Math.floor(safe / twoTo32))
    this.at += 8
  }

  /** LEB128, at most eight bytes. */
  varint(value: number): void {
    this.reserve(8)
    let rest = clamp(value)
    while (rest >= 0x1000_0000) {
      this.buffer[this.at++] = (rest & 0x7f) | 0x80
      rest = Math.floor(rest / 128)
    }
    while (rest > 0x7f) {
      this.buffer[this.at++] = (rest & 0x7f) | 0x80
      rest >>>= 7
    }
    this.buffer[this.at++] = rest
  }

  /** UTF-8 with its length before it. Short ASCII is copied here: the crossing into C++ costs more than the copy. */
  string(text: string): void {
    const { length } = text
    if (length < shortString) {
      this.reserve(length * 3 + 8)
      if (this.shortAscii(text)) return
    }
    const bytes = Buffer.byteLength(text)
    this.reserve(bytes + 8)
    this.varint(bytes)
    this.at += this.buffer.write(text, this.at, 'utf8')
  }

  private shortAscii(text: string): boolean {
    const { buffer } = this
    const { length } = text
    let at = this.at
    buffer[at++] = length
    for (let i = 0; i < length; i++) {
      const code = text.charCodeAt(i)
      if (code > 0x7f) return false
      buffer[at++] = code
    }
    this.at = at
    return true
  }
}

/** Reads what ByteWriter wrote, never past `end`. Throws RecorderError('corrupt'). */
export class ByteReader {
  readonly buffer: Buffer
  at: number
  end: number

  constructor(buffer: Buffer, at: number, end: number) {
    this.buffer = buffer
    this.at = at
    this.end = end
  }

  byte(): number {
    if (this.at >= this.end) throw new RecorderError('corrupt', `record ends too early at byte ${this.at}`)
    return this.buffer[this.at++] ?? 0
  }

  u32(): number {
    return (this.byte() | (this.byte() << 8) | (this.byte() << 16) | (this.byte() << 24)) >>> 0
  }

  fixed53(): number {
    const low = this.u32()
    return this.u32() * twoTo32 + low
  }

  varint(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      const byte = this.byte()
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 128
    }
    throw new RecorderError('corrupt', `number without end at byte ${this.at}`)
  }

  string(): string {
    const bytes = this.varint()
    if (bytes > this.end - this.at)
      throw new RecorderError('corrupt', `string of ${bytes} bytes runs over its record at byte ${this.at}`)
    this.at += bytes
    return this.buffer.toString('utf8', this.at - bytes, this.at)
  }
}

function clamp(value: number): number {
  if (Number.isSafeInteger(value) && value >= 0) return value
  if (!(value > 0)) return 0
  return value > Number.MAX_SAFE_INTEGER ? Number.MAX_SAFE_INTEGER : Math.round(value)
}
