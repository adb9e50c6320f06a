/**
 * The gate's end of a connection without a kernel behind it: what net.Socket promises to the relay, played so that its
 * unpleasant sides come often. A peer that reads slowly holds writes back; a chunk is overwritten as soon as the listener
 * returns unless it was kept; what is written may not change until it is taken.
 */
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import type { ReusingSource } from '../../protocols/postgres/reused-reads.ts'

export interface PeerEvents {
  /** The gate has called write: from here on these bytes are out of its hands. */
  written(bytes: Buffer): void
  /** The peer has them. */
  taken(bytes: Buffer): void
  /** The gate is about to read these of the peer's. */
  read(bytes: Buffer): void
  /** What was written has changed before the peer took it. */
  changed(): void
}

export class GateEnd extends Duplex {
  readonly source: ReusingSource
  /** The longest that the gate has worked on one chunk. */
  turnMsMax = 0
  readonly #peer: PeerEvents
  #listener: ((chunk: Buffer) => void) | undefined
  #incoming: Buffer[] = []
  #paused = true
  #pumping = false
  #buffer: Buffer = Buffer.alloc(0)
  /** Written and not yet taken, as it was when it was written. */
  #inFlight: Buffer[] = []
  #slow = false
  #held: (() => void) | undefined

  constructor(peer: PeerEvents) {
    super({ emitClose: true, autoDestroy: false })
    this.#peer = peer
    // The relay takes only the methods that a Duplex has too.
    const socket = this as unknown as Socket
    this.source = {
      socket,
      listen: (onChunk) => {
        this.#listener = onChunk
      },
      keep: () => {
        this.#buffer = Buffer.alloc(0)
      },
      release: () => undefined,
    }
  }

  /** Bytes from the peer; they wait while the gate does not read. */
  bring(bytes: Buffer): void {
    this.#incoming.push(bytes)
    this.#pump()
  }

  /** Everything that was brought has been read. */
  get allRead(): boolean {
    return this.#incoming.length === 0 || this.destroyed
  }

  set slow(is: boolean) {
    this.#slow = is
    const held = this.#held
    if (is || !held) return
    this.#held = undefined
    held()
  }

  override pause(): this {
    this.#paused = true
    return this
  }

  override resume(): this {
    if (!this.#paused) return this
    this.#paused = false
    setImmediate(() => this.#pump())
    return this
  }

  override isPaused(): boolean {
    return this.#paused
  }

  // The overloads of Writable.write are all served by what Node itself does with the arguments.
  override write(chunk: Buffer, ...rest: never[]): boolean {
    if (!this.destroyed && !this.writableEnded) this.#note(chunk)
    return super.write(chunk, ...rest)
  }

  override end(...args: never[]): this {
    // A chunk given to `end` does not pass through `write`.
    const [last] = args as readonly unknown[]
    if (Buffer.isBuffer(last) && !this.destroyed && !this.writableEnded) this.#note(last)
    return super.end(...args)
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#take([chunk], done)
  }

  override _writev(chunks: readonly { readonly chunk: Buffer }[], done: () => void): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    )
  }

  /** The peer closes its side once it has read all, as clients and servers do. */
  override _final(done: () => void): void {
    done()
    setImmediate(() => this.destroy())
  }

  override _read(): void {}

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#incoming = []
    this.#inFlight = []
    this.#held = undefined
    done(error)
  }

  #note(chunk: Buffer): void {
    this.#inFlight.push(Buffer.from(chunk))
    this.#peer.written(chunk)
  }

  #take(chunks: readonly Buffer[], done: () => void): void {
    if (this.#slow) {
      this.#held = () => this.#take(chunks, done)
      return
    }
    for (const chunk of chunks) {
      const asWritten = this.#inFlight.shift()
      if (!asWritten?.equals(chunk)) this.#peer.changed()
      this.#peer.taken(asWritten ?? chunk)
    }
    done()
  }

  #pump(): void {
    // The listener may resume in its own call, which is not to read within that.
    if (this.#pumping) return
    this.#pumping = true
    while (!this.#paused && !this.destroyed && this.#listener) {
      const bytes = this.#incoming.shift()
      if (!bytes) break
      if (this.#buffer.length < bytes.length) this.#buffer = Buffer.alloc(Math.max(4096, bytes.length))
      const chunk = this.#buffer.subarray(0, bytes.length)
      bytes.copy(chunk)
      this.#peer.read(bytes)
      const startMs = performance.now()
      this.#listener(chunk)
      this.turnMsMax = Math.max(this.turnMsMax, performance.now() - startMs)
      // Overwritten by the next read, unless it was kept.
      if (this.#buffer.length > 0) chunk.fill(0xee)
    }
    this.#pumping = false
  }
}
