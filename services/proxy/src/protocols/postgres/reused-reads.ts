/**
 * Reads a socket into one buffer again and again: no buffer of 64 KiB made and shrunk for every read, which is a quarter
 * of what a tiny query costs. The buffer is small while little comes, so that an idle session holds little.
 *
 * A socket that connects takes such a buffer publicly (`onread`). An accepted one does not: its handle is moved into a
 * socket of our own, which is what net.Server does itself, but through fields that Node does not document. This is the
 * only place that touches them; where they are not as expected the socket is read the ordinary way.
 */
import { Socket } from 'node:net'
import { type ByteSource, sourceOf } from './byte-reader.ts'

/** Reads into one buffer again and again: no garbage, however large a result. */
export interface ReusingSource extends ByteSource {
  /** The last chunk is still needed: read into another buffer from now on. */
  keep(): void
  /** No chunk that was handed over is needed any more. */
  release(): void
}

const sizes = [1024, 4096, 65_536] as const
/** A read that is shorter fits a small buffer: it is a query, or the end of something longer. */
export const smallBytes = sizes[1]
/** So many reads in a row that the next smaller buffer would have held. */
const smallReadsMax = 32
/** A side that reads slowly holds one or two; more are left over from a burst. */
const sparesMax = 2

/** The buffers that one source reads into: small while little comes, and one that was kept is used again. */
export function createBuffers() {
  let size = 0
  let smallReads = 0
  let kept: Buffer[] = []
  let spares: Buffer[] = []
  const bytes = () => sizes[size] as number
  return {
    /** After each read, of its length. */
    adapt(length: number): void {
      if (length === bytes() && size < sizes.length - 1) {
        size++
        spares = []
      } else if (size === 0) return
      else if (length <= (sizes[size - 1] as number)) {
        if (++smallReads <= smallReadsMax) return
        size--
        spares = []
      }
      smallReads = 0
    },
    fits: (buffer: Buffer) => buffer.length === bytes(),
    take: (): Buffer => spares.pop() ?? Buffer.allocUnsafeSlow(bytes()),
    /** Not to be used again before `release`. What is kept beyond a few is let go: a side that never reads holds no more. */
    keep(buffer: Buffer): void {
      if (kept.length < sparesMax) kept.push(buffer)
    },
    /** What was kept may be used again, but for what `isNeeded` says. */
    release(isNeeded?: (buffer: Buffer) => boolean): void {
      if (kept.length === 0) return
      const still: Buffer[] = []
      for (const buffer of kept) {
        if (isNeeded?.(buffer)) still.push(buffer)
        else if (size > 0 && buffer.length === bytes() && spares.length < sparesMax) spares.push(buffer)
      }
      kept = still
    },
  }
}

/** What `net.Socket` takes as `onread`, and the source that listens to it. */
export function createReads(): {
  readonly onread: { buffer(): Buffer; callback(length: number): boolean }
  readonly over: (socket: Socket) => ReusingSource
} {
  const buffers = createBuffers()
  let buffer = buffers.take()
  let listener: ((chunk: Buffer) => void) | undefined

  return {
    onread: {
      buffer: () => buffer,
      callback(length) {
        const chunk = buffer.subarray(0, length)
        buffers.adapt(length)
        listener?.(chunk)
        if (!buffers.fits(buffer)) buffer = buffers.take()
        return true
      },
    },
    over: (socket) => ({
      socket,
      listen(onChunk) {
        listener = onChunk
      },
      keep() {
        buffers.keep(buffer)
        buffer = buffers.take()
      },
      release: () => buffers.release(),
    }),
  }
}

/** Each chunk is a buffer of its own already. */
export function ordinaryReads(socket: Socket): ReusingSource {
  return { ...sourceOf(socket), keep: () => undefined, release: () => undefined }
}

const nothing = Buffer.alloc(0)

interface Handle {
  readonly readStop: () => number
  readonly useUserBuffer: (buffer: Uint8Array) => void
  reading: boolean
}

/**
 * Takes over an accepted plain socket that is paused and has nothing left to write. The socket given is a shell from then
 * on, which closes with the one that took its place and closes that. `early`: what had been read from it.
 */
export function reuseReads(accepted: Socket): { readonly source: ReusingSource; readonly early: Buffer } {
  const early: Buffer = accepted.read() ?? nothing
  const holder = accepted as Socket & { _handle?: Handle | null }
  const handle = holder._handle
  if (!handle || !isAsExpected(handle) || accepted.writableLength > 0 || accepted.readableEnded)
    return { source: ordinaryReads(accepted), early }
  handle.reading = false
  handle.readStop()
  holder._handle = null
  const { onread, over } = createReads()
  const options: object = { handle, onread, pauseOnCreate: true }
  const socket = new Socket(options)
  socket.once('close', () => accepted.destroy())
  accepted.once('close', () => socket.destroy())
  return { source: over(socket), early }
}

function isAsExpected(handle: Handle): boolean {
  return typeof handle.readStop === 'function' && typeof handle.useUserBuffer === 'function'
}
