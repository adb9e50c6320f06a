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
}

const smallBytes = 4096
const largeBytes = 65_536
/** So many reads in a row that a small buffer would have held. */
const smallReadsMax = 32

/** What `net.Socket` takes as `onread`, and the source that listens to it. */
export function createReads(): {
  readonly onread: { buffer(): Buffer; callback(length: number): boolean }
  readonly over: (socket: Socket) => ReusingSource
} {
  let bytes = smallBytes
  let buffer = Buffer.allocUnsafeSlow(bytes)
  let smallReads = 0
  let listener: ((chunk: Buffer) => void) | undefined

  function adapt(length: number): void {
    if (length > smallBytes) smallReads = 0
    if (length === bytes) bytes = largeBytes
    else if (bytes > smallBytes && length <= smallBytes && ++smallReads > smallReadsMax) bytes = smallBytes
  }

  return {
    onread: {
      buffer: () => buffer,
      callback(length) {
        const chunk = buffer.subarray(0, length)
        adapt(length)
        listener?.(chunk)
        if (buffer.length !== bytes) buffer = Buffer.allocUnsafeSlow(bytes)
        return true
      },
    },
    over: (socket) => ({
      socket,
      listen(onChunk) {
        listener = onChunk
      },
      keep() {
        buffer = Buffer.allocUnsafeSlow(bytes)
      },
    }),
  }
}

/** Each chunk is a buffer of its own already, as it comes out of TLS. */
export function ordinaryReads(socket: Socket): ReusingSource {
  return { ...sourceOf(socket), keep: () => undefined }
}

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
  const early: Buffer = accepted.read() ?? Buffer.alloc(0)
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
