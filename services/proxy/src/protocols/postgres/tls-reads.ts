/**
 * Reads a socket inside TLS into one buffer again and again, records joined: what a peer sends in pieces of 8 or 16 KiB
 * is handed on, and so written on, in pieces of 64. Node makes a buffer for every record and an event for each, which
 * costs several times what decrypting does. A short record is handed on at once, with what came before it: it is a query,
 * or the end of one; after a long one more is waited for until the loop has seen to what is ready.
 *
 * A TLS socket over a socket that spoke in the clear takes no `onread`: it is given as the fields that Node keeps it in,
 * which are not documented, and here only; where they are not as expected the socket is read the ordinary way.
 */
import type { Socket } from 'node:net'
import { createBuffers, ordinaryReads, type ReusingSource, smallBytes } from './reused-reads.ts'

/** `socket`: with TLS agreed, paused or not listened to yet. */
export function joinRecords(socket: Socket): ReusingSource {
  /**
   * TLS hands over what it has decrypted even where reading has stopped: that waits here. Not in the socket, which would
   * start to read again to fill its own queue.
   */
  const waiting: Buffer[] = []
  const early: Buffer | null = socket.read()
  if (early) waiting.push(early)
  const buffers = createBuffers()
  let buffer = buffers.take()
  /** `buffer[handed, filled)` is to be handed on; Node writes behind it. */
  let filled = 0
  let handed = 0
  /** What was handed on of this buffer may still be needed. */
  let needed = false
  let isDue = false
  let isEnded = false
  let listener: ((chunk: Buffer) => void) | undefined

  function callback(length: number): boolean {
    filled += length
    buffers.adapt(length)
    if (length < smallBytes || filled === buffer.length) handOn()
    else if (!isDue) {
      isDue = true
      setImmediate(handOnLate)
    }
    if (handed === filled) rewind()
    return true
  }

  function handOnLate(): void {
    isDue = false
    handOn()
  }

  function handOn(): void {
    if (handed === filled) return
    const chunk = buffer.subarray(handed, filled)
    handed = filled
    if (waiting.length === 0 && !socket.isPaused()) return listener?.(chunk)
    needed = true
    waiting.push(chunk)
  }

  function rewind(): void {
    if (needed) {
      if (filled < buffer.length) return
      buffers.keep(buffer)
      buffer = buffers.take()
      needed = false
    } else if (!buffers.fits(buffer)) buffer = buffers.take()
    filled = 0
    handed = 0
  }

  function resumed(): void {
    for (let [chunk] = waiting; chunk && !socket.isPaused(); [chunk] = waiting) {
      listener?.(chunk)
      waiting.shift()
    }
    if (isEnded && waiting.length === 0) end()
  }

  function end(): void {
    isEnded = false
    pushed(null)
    socket.read(0)
  }

  const isNeeded = (one: Buffer) => waiting.some((chunk) => chunk.buffer === one.buffer)
  const pushed = socket.push.bind(socket)
  const onread = { buffer: () => (filled === 0 ? buffer : buffer.subarray(filled)), callback }
  if (!useOnread(socket, onread)) {
    if (early) socket.unshift(early)
    return ordinaryReads(socket)
  }
  // The end is told behind what came before it.
  socket.push = (chunk: unknown) => {
    handOn()
    if (waiting.length === 0) return pushed(chunk)
    isEnded = true
    return false
  }
  socket.on('resume', resumed)
  return {
    socket,
    listen(onChunk) {
      listener = onChunk
      if (onChunk && waiting.length > 0 && !socket.isPaused()) socket.resume()
    },
    keep() {
      needed = true
    },
    release() {
      needed = isNeeded(buffer)
      buffers.release(isNeeded)
    },
  }
}

/** Does what net.Socket does with its option `onread`. */
function useOnread(
  socket: Socket,
  onread: { readonly buffer: () => Buffer; readonly callback: (length: number) => boolean },
): boolean {
  const fields = socket as unknown as Record<symbol, unknown> & {
    readonly _handle?: { readonly useUserBuffer?: (buffer: Buffer) => void } | null
  }
  const symbols = Object.getOwnPropertySymbols(socket)
  const [buffer, callback, generator] = ['kBuffer', 'kBufferCb', 'kBufferGen'].map((name) =>
    symbols.find(({ description }) => description === name),
  )
  const handle = fields._handle
  if (!buffer || !callback || !generator || typeof handle?.useUserBuffer !== 'function') return false
  fields[buffer] = onread.buffer()
  fields[generator] = onread.buffer
  fields[callback] = onread.callback
  handle.useUserBuffer(fields[buffer] as Buffer)
  return true
}
