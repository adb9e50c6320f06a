/**
 * How far one recorder was shipped, kept in its own directory: two slots written in turn, each with a counter and a
 * checksum, so that a death in the middle of a write leaves the other one. Cheap enough to write after each batch; it is
 * synced only before something is deleted on its word. Refuses to hold anything that the segments can tell again.
 */
import { closeSync, fdatasyncSync, openSync, readFileSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'

export interface Position {
  readonly segment: number
  /** First byte of that segment whose events the bus has not acknowledged; always the end of a frame, or 0. */
  readonly offset: number
  /** Sequence number of the next event. */
  readonly seqNext: number
  /** Hash of the last event. */
  readonly prevHash: Buffer
}

export interface PositionFile {
  read(): Position | undefined
  write(position: Position): void
  sync(): void
  close(): void
}

const slotBytes = 512
const fieldsBytes = 4 * 8 + 32
export const positionFileName = 'shipped'
export const positionFileBytes = 2 * slotBytes

export function openPosition(dir: string): PositionFile {
  const found = readSlots(join(dir, positionFileName))
  const fd = openSync(join(dir, positionFileName), found === undefined ? 'w' : 'r+', 0o600)
  let { turn, position } = found ?? { turn: 0, position: undefined }
  const slot = Buffer.alloc(slotBytes)
  return {
    read: () => position,
    write(next) {
      turn++
      slot.writeDoubleLE(turn, 0)
      slot.writeDoubleLE(next.segment, 8)
      slot.writeDoubleLE(next.offset, 16)
      slot.writeDoubleLE(next.seqNext, 24)
      slot.set(next.prevHash, 32)
      slot.writeUInt32LE(crc32(slot.subarray(0, fieldsBytes)), fieldsBytes)
      writeSync(fd, slot, 0, slotBytes, (turn % 2) * slotBytes)
      position = next
    },
    sync: () => fdatasyncSync(fd),
    close: () => closeSync(fd),
  }
}

/** For those who only look. */
export function readPosition(dir: string): Position | undefined {
  return readSlots(join(dir, positionFileName))?.position
}

function readSlots(path: string): { turn: number; position: Position | undefined } | undefined {
  let bytes: Buffer
  try {
    bytes = readFileSync(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  const slots = [0, slotBytes].map((at) => readSlot(bytes, at)).filter((slot) => slot !== undefined)
  slots.sort((a, b) => b.turn - a.turn)
  return slots[0] ?? { turn: 0, position: undefined }
}

function readSlot(bytes: Buffer, at: number): { turn: number; position: Position } | undefined {
  if (bytes.length < at + fieldsBytes + 4) return undefined
  if (crc32(bytes.subarray(at, at + fieldsBytes)) !== bytes.readUInt32LE(at + fieldsBytes)) return undefined
  return {
    turn: bytes.readDoubleLE(at),
    position: {
      segment: bytes.readDoubleLE(at + 8),
      offset: bytes.readDoubleLE(at + 16),
      seqNext: bytes.readDoubleLE(at + 24),
      prevHash: Buffer.from(bytes.subarray(at + 32, at + 64)),
    },
  }
}
