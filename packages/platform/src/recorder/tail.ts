/**
 * Reads one recorder's segments from a position on, while they are still being written. Stops at the last whole frame;
 * goes to the next segment only when that exists, since the one before is finished then. Refuses to skip silently: bytes
 * that a finished segment holds and that do not read are reported.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { frameHeadBytes } from './format.ts'
import { frameEnd } from './format.ts'
import { readFrame } from './decode.ts'
import { RecorderError } from './error.ts'
import { createSegmentFold, type Draft, type SegmentFold } from './fold.ts'
import type { Position } from './position.ts'
import { listSegments, segmentPath } from './segment-file.ts'

export interface Tail {
  /** Events of at least one frame and of no more than needed for `eventsMax`; none where nothing more is there yet. */
  next(eventsMax: number): Batch
  readonly fold: SegmentFold
  /** Number of the segment that is being read; 0 before the first. */
  segment(): number
  close(): void
}

export interface Batch {
  readonly drafts: readonly Draft[]
  /** Where the next batch begins. */
  readonly at: Pick<Position, 'segment' | 'offset' | 'seqNext'>
  /** waiting: nothing more now. ended: nothing more ever. */
  readonly state: 'more' | 'waiting' | 'ended'
}

/**
 * torn: the last write before a death; nobody was told that it stands. damaged: whole bytes that do not read, to be kept
 * for a person.
 */
export interface UnreadTail {
  readonly kind: 'torn' | 'damaged'
  readonly segment: number
  readonly offset: number
  readonly bytes: number
  readonly why: string
}

const chunkBytes = 256 << 10

export function openTail(
  dir: string,
  from: Pick<Position, 'segment' | 'offset'> | undefined,
  onUnread: (tail: UnreadTail) => void,
): Tail {
  const fold = createSegmentFold()
  let buffer = Buffer.allocUnsafe(chunkBytes)
  let segment = 0
  let offset = 0
  let fd: number | undefined
  let failure: RecorderError | undefined
  if (from) resume(from)

  return { next, fold, segment: () => segment, close }

  function next(eventsMax: number): Batch {
    const drafts: Draft[] = []
    if (fd === undefined && !enter(followingSegment())) return batch(drafts, 'waiting')
    let finished: number | undefined
    for (;;) {
      readFrames(drafts, eventsMax, Number.POSITIVE_INFINITY)
      if (fold.ended()) return batch(drafts, 'ended')
      if (drafts.length > 0) return batch(drafts, 'more')
      if (finished === undefined) {
        finished = followingSegment()
        if (finished === undefined) return batch(drafts, 'waiting')
        // Once more: what is read now is all of a segment that has a successor.
        continue
      }
      reportUnread()
      enter(finished)
      finished = undefined
    }
  }

  function batch(drafts: readonly Draft[], state: Batch['state']): Batch {
    return { drafts, state, at: { segment, offset, seqNext: fold.seqNext() } }
  }

  function resume(position: Pick<Position, 'segment' | 'offset'>): void {
    if (!listSegments(dir).includes(position.segment)) {
      segment = position.segment
      return
    }
    enter(position.segment)
    readFrames([], Number.POSITIVE_INFINITY, position.offset)
    // After a loss of power the bus may have more than the disk. What is missing here was shipped.
    if (offset !== position.offset)
      onUnread({
        kind: 'damaged',
        segment,
        offset,
        bytes: position.offset - offset,
        why: `it was shipped up to byte ${position.offset}, and reads no further than byte ${offset}`,
      })
  }

  function followingSegment(): number | undefined {
    return listSegments(dir).find((number) => number > segment)
  }

  function enter(number: number | undefined): boolean {
    if (number === undefined) return false
    close()
    fd = openSync(segmentPath(dir, number), 'r')
    segment = number
    offset = 0
    failure = undefined
    return true
  }

  /** Whole frames up to `offsetMax`, until there are events enough. */
  function readFrames(drafts: Draft[], eventsMax: number, offsetMax: number): void {
    while (fd !== undefined && !failure && drafts.length < eventsMax && offset < offsetMax) {
      const bytes = readSync(fd, buffer, 0, buffer.length, offset)
      const before = offset
      let at = 0
      while (drafts.length < eventsMax && offset < offsetMax) {
        const end = frameEnd(buffer, at, bytes)
        if (end < 0) break
        if (!apply(at, end, drafts)) return
        offset += end - at
        at = end
      }
      if (offset > before) continue
      if (bytes < buffer.length || !growFor(at, bytes)) return
    }
  }

  function apply(at: number, end: number, drafts: Draft[]): boolean {
    try {
      for (const record of readFrame(buffer, at, end)) {
        const draft = fold.apply(record)
        if (draft) drafts.push(draft)
      }
      return true
    } catch (error) {
      failure =
        error instanceof RecorderError ? error : new RecorderError('corrupt', String(error), { cause: error })
      return false
    }
  }

  /** A frame longer than the buffer: makes room, where the file holds that much at all. */
  function growFor(at: number, bytes: number): boolean {
    if (bytes - at < frameHeadBytes) return false
    const needed = frameHeadBytes + buffer.readUInt32LE(at)
    if (needed <= buffer.length || offset + needed > size()) return false
    buffer = Buffer.allocUnsafe(needed)
    return true
  }

  function reportUnread(): void {
    const bytes = size() - offset
    if (bytes <= 0) return
    const head = Buffer.alloc(frameHeadBytes)
    if (fd !== undefined) readSync(fd, head, 0, frameHeadBytes, offset)
    // A write cut short lacks bytes that its own head promises; after a loss of power the file may end in zeros.
    const torn = !failure && (frameHeadBytes + head.readUInt32LE(0) > bytes || head.readUInt32LE(0) === 0)
    const why = failure ? failure.message : torn ? 'the last write was cut short' : 'checksum differs'
    onUnread({ kind: torn ? 'torn' : 'damaged', segment, offset, bytes, why })
  }

  function size(): number {
    return fd === undefined ? 0 : fstatSync(fd).size
  }

  function close(): void {
    if (fd !== undefined) closeSync(fd)
    fd = undefined
  }
}
