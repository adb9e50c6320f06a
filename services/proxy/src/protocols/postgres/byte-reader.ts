/** Reads a socket in exact pieces, for the start-up, where nothing is large or hot. Handed over with `release` after that. */
import type { Socket } from 'node:net'

/** The other side closed, failed, or said something that cannot be. */
export class StreamEnded extends Error {}

/** A peer that sends more than is asked for waits in the kernel's buffers, not in ours. */
const heldBytesMax = 65_536

export class ByteReader {
  readonly #socket: Socket
  #held: Buffer
  #wanted: { length: number; resolve(bytes: Buffer): void; reject(error: Error): void } | undefined
  #ended: Error | undefined

  constructor(socket: Socket, head: Uint8Array = Buffer.alloc(0)) {
    this.#socket = socket
    this.#held = Buffer.from(head)
    socket.on('data', this.#onData)
    socket.on('end', this.#onEnd)
    socket.on('close', this.#onEnd)
    socket.on('error', this.#onEnd)
  }

  /** Bytes that have come and were not taken. */
  get buffered(): number {
    return this.#held.length
  }

  /** Rejects with StreamEnded where the socket ends first. One call at a time. */
  take(length: number): Promise<Buffer> {
    if (this.#socket.isPaused()) this.#socket.resume()
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve, reject }
      this.#serve()
    })
  }

  /** Stops listening, leaves the socket paused, and puts back what was read too far. */
  release(): Socket {
    const socket = this.#socket
    socket.off('data', this.#onData)
    socket.off('end', this.#onEnd)
    socket.off('close', this.#onEnd)
    socket.off('error', this.#onEnd)
    socket.pause()
    if (this.#held.length > 0) socket.unshift(this.#held)
    this.#held = Buffer.alloc(0)
    return socket
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#held = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    if (this.#held.length > heldBytesMax) this.#socket.pause()
    this.#serve()
  }

  readonly #onEnd = (error?: unknown): void => {
    this.#ended ??= new StreamEnded('the connection ended', error instanceof Error ? { cause: error } : {})
    this.#serve()
  }

  #serve(): void {
    const wanted = this.#wanted
    if (!wanted) return
    if (this.#held.length >= wanted.length) {
      this.#wanted = undefined
      const bytes = this.#held.subarray(0, wanted.length)
      this.#held = this.#held.subarray(wanted.length)
      wanted.resolve(bytes)
    } else if (this.#ended) {
      this.#wanted = undefined
      wanted.reject(this.#ended)
    }
  }
}
