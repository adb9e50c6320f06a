/** What is to be written to one side: original chunks as they came, never joined or framed anew, adjacent pieces as one. */
import type { Socket } from 'node:net'

export class Output {
  #pieces: { buffer: Buffer; start: number; end: number }[] = []
  #withheld: Buffer[] = []

  /** `buffer[start, end)`, kept by reference until `flush`. */
  add(buffer: Buffer, start = 0, end = buffer.length): void {
    if (start === end) return
    this.#release()
    const last = this.#pieces.at(-1)
    if (last && last.buffer === buffer && last.end === start) last.end = end
    else this.#pieces.push({ buffer, start, end })
  }

  /** Goes before what is added next, and not without it. Copied. */
  withhold(buffer: Buffer, start: number, end: number): void {
    this.#withheld.push(Buffer.from(buffer.subarray(start, end)))
  }

  /** How many pieces are withheld. */
  get withheld(): number {
    return this.#withheld.length
  }

  #release(): void {
    if (this.#withheld.length === 0) return
    for (const buffer of this.#withheld) this.#pieces.push({ buffer, start: 0, end: buffer.length })
    this.#withheld = []
  }

  /** Returns false where the socket asks to wait for 'drain'. */
  flush(socket: Socket): boolean {
    const pieces = this.#pieces
    if (pieces.length === 0) return true
    this.#pieces = []
    if (pieces.length > 1) socket.cork()
    let room = true
    for (const { buffer, start, end } of pieces) {
      room = socket.write(start === 0 && end === buffer.length ? buffer : buffer.subarray(start, end))
    }
    if (pieces.length > 1) socket.uncork()
    return room
  }

  get isEmpty(): boolean {
    return this.#pieces.length === 0
  }
}
