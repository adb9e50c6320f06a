/** Reads a peer in exact pieces, for the start-up, where nothing is large or hot. Handed over with `release` after that. */
import type { Socket } from 'node:net'

/** The other side closed, failed, or said something that cannot be. */
export class StreamEnded extends Error {}

/** Where bytes come from: a socket's `data`, or a reader of its own. */
export interface ByteSource {
  readonly socket: Socket
  /** One listener at a time; the chunk may be overwritten once it returns. */
  listen(onChunk: ((chunk: Buffer) => void) | undefined): void
}

/** A peer that sends more than is asked for waits in the kernel's buffers, not in ours. */
const heldBytesMax = 65_536

export class ByteReader {
  readonly #source: ByteSource
  #held: Buffer
  #wanted: { length: number; resolve(bytes: Buffer): void; reject(error: Error): void } | undefined
  #ended: Error | undefined

  constructor(source: ByteSource, head: Uint8Array = Buffer.alloc(0)) {
    const { socket } = source
    this.#source = source
    this.#held = Buffer.from(head)
    source.listen(this.#onData)
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
    const { socket } = this.#source
    if (socket.isPaused()) socket.resume()
    return new Promise((resolve, reject) => {
      this.#wanted = { length, resolve, reject }
      this.#serve()
    })
  }

  /** What has come already, without a turn of its own; undefined where that is less. */
  takeHeld(length: number): Buffer | undefined {
    if (this.#held.length < length) return undefined
    const bytes = this.#held.subarray(0, length)
    this.#held = this.#held.subarray(length)
    return bytes
  }

  /** Stops listening and leaves the socket paused; returns what was read too far. */
  release(): Buffer {
    const { socket } = this.#source
    this.#source.listen(undefined)
    socket.off('end', this.#onEnd)
    socket.off('close', this.#onEnd)
    socket.off('error', this.#onEnd)
    socket.pause()
    const left = this.#held
    this.#held = Buffer.alloc(0)
    return left
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#held = Buffer.concat([this.#held, chunk])
    if (this.#held.length > heldBytesMax) this.#source.socket.pause()
    this.#serve()
  }

  readonly #onEnd = (error?: unknown): void => {
    this.#ended ??= new StreamEnded('the connection ended', error instanceof Error ? { cause: error } : {})
    this.#serve()
  }

  #serve(): void {
    const wanted = this.#wanted
    if (!wanted) return
    const bytes = this.takeHeld(wanted.length)
    if (bytes) {
      this.#wanted = undefined
      wanted.resolve(bytes)
    } else if (this.#ended) {
      this.#wanted = undefined
      wanted.reject(this.#ended)
    }
  }
}

/** The ordinary way to read a socket: each chunk is a buffer of its own. */
export function sourceOf(socket: Socket): ByteSource {
  let listener: ((chunk: Buffer) => void) | undefined
  return {
    socket,
    listen(onChunk) {
      if (listener) socket.off('data', listener)
      listener = onChunk
      if (onChunk) socket.on('data', onChunk)
    },
  }
}
