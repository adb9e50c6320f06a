/** What is to be written to one side: original chunks as they came, never joined or framed anew, adjacent pieces as one. */
import type { Socket } from 'node:net'

export class Output {
  #pieces: { buffer: Buffer; start: number; end: number }[] = []

  /** `buffer[start, end)`, kept by reference until `flush`. */
  add(buffer: Buffer, start = 0, end = buffer.length): void {
    if (start === end) return
    const last = this.#pieces.at(-1)
    if (last && last.buffer === buffer && last.end === start) last.end = end
    else this.#pieces.push({ buffer, start, end })
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
