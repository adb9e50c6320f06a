/**
 * One segment file as its writer sees it: frames are appended whole or not at all. Refuses to go on behind bytes that
 * could not be cut back: such a segment takes nothing more.
 */
import {
  closeSync,
  fsyncSync,
  ftruncateSync,
  openSync,
  readdirSync,
  renameSync,
  unlinkSync,
  writeSync,
} from 'node:fs'
import { join } from 'node:path'

export interface SegmentFile {
  readonly fd: number
  readonly number: number
  /** Bytes of whole frames. */
  bytes(): number
  /** Throws the system's error after cutting back what was written in part. */
  append(buffer: Buffer, bytes: number): void
  close(): void
  enter(): void
  /** Removes a file that was not entered. */
  remove(): void
}

const namePattern = /^seg-(\d{8,})\.log$/

export function segmentPath(dir: string, number: number): string {
  return join(dir, `seg-${String(number).padStart(8, '0')}.log`)
}

export function segmentNumber(fileName: string): number | undefined {
  const match = namePattern.exec(fileName)
  return match ? Number(match[1]) : undefined
}

/** Numbers of the segments in a recorder's directory, ascending. */
export function listSegments(dir: string): number[] {
  return readdirSync(dir)
    .map(segmentNumber)
    .filter((number) => number !== undefined)
    .sort((a, b) => a - b)
}

/**
 * A new segment under a name that nobody reads yet. It gets its own name by `enter`, once its head stands in it, so that
 * the mere existence of a segment tells that the one before it is finished.
 */
export function createSegment(dir: string, number: number): SegmentFile {
  const path = segmentPath(dir, number)
  const coming = `${path}.new`
  const fd = openSync(coming, 'w', 0o600)
  let end = 0
  let torn = false
  return {
    fd,
    number,
    bytes: () => end,
    append(buffer, length) {
      if (torn) cut()
      let written = 0
      try {
        // A full disk shows first as a short write, and as an error only on the next.
        while (written < length) written += writeSync(fd, buffer, written, length - written, end + written)
      } catch (error) {
        torn = true
        cut()
        throw error
      }
      end += length
    },
    close: () => closeSync(fd),
    enter: () => renameSync(coming, path),
    remove: () => unlinkSync(coming),
  }

  function cut(): void {
    ftruncateSync(fd, end)
    torn = false
  }
}

/** Makes the names in a directory durable. */
export function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}
