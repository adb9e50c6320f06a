/** Damage to bytes, from a seed. `framed` damage leaves every message's header true, so that what follows is still read. */
import type { Random } from '../../../../../load-tests/simulator/random.ts'

const telling = [0, 1, 3, 4, 5, 8, 0x27, 0x5c, 0x7f, 0x80, 0xff]
const lengths = [0, 1, 3, 4, 5, 6, 100, 10_000, 65_537, 1_000_000, 0x7fffffff, 0x80000000, 0xffffffff]

/** One message with its payload damaged and its length made true again. */
export function framedDamage(random: Random, frame: Buffer): Buffer {
  const payload = bytesDamage(random, frame.subarray(5))
  const out = Buffer.alloc(5 + payload.length)
  out[0] = random.next() < 0.1 ? random.whole(0, 255) : (frame[0] ?? 0)
  out.writeUInt32BE(payload.length + 4, 1)
  payload.copy(out, 5)
  return out
}

/** One message damaged anywhere, its length too. */
export function anyDamage(random: Random, frame: Buffer): Buffer {
  const out = Buffer.from(frame)
  switch (random.whole(0, 5)) {
    case 0:
      out.writeUInt32BE(random.pick(lengths as [number, ...number[]]), 1)
      return out
    case 1:
      out.writeUInt32BE(Math.max(0, out.readUInt32BE(1) + random.whole(-3, 3)), 1)
      return out
    case 2:
      out[0] = random.whole(0, 255)
      return out
    case 3:
      return out.subarray(0, random.whole(0, out.length))
    case 4:
      return randomBytes(random, random.whole(1, 40))
    default:
      return bytesDamage(random, out)
  }
}

export function bytesDamage(random: Random, bytes: Buffer): Buffer {
  const out = Buffer.from(bytes)
  const at = random.whole(0, Math.max(0, out.length - 1))
  switch (random.whole(0, 5)) {
    case 0:
      return out.subarray(0, at)
    case 1:
      return Buffer.concat([out.subarray(0, at), randomBytes(random, random.whole(1, 6)), out.subarray(at)])
    case 2:
      return Buffer.concat([out.subarray(0, at), out.subarray(at + random.whole(1, 6))])
    case 3:
      return Buffer.concat([out, randomBytes(random, random.whole(1, 6))])
    default:
      for (let count = random.whole(1, 3); count > 0 && out.length > 0; count--)
        out[random.whole(0, out.length - 1)] =
          random.next() < 0.5 ? random.pick(telling as [number, ...number[]]) : random.whole(0, 255)
      return out
  }
}

export function randomBytes(random: Random, length: number): Buffer {
  return Buffer.from(Array.from({ length }, () => random.whole(0, 255)))
}

/** The same bytes in up to `pieces` parts, cut anywhere. */
export function split(random: Random, bytes: Buffer, pieces: number): Buffer[] {
  const cuts = Array.from({ length: random.whole(0, pieces - 1) }, () => random.whole(0, bytes.length))
  const ends = [...new Set([...cuts, bytes.length])].sort((a, b) => a - b)
  return ends
    .map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end))
    .filter(({ length }) => length > 0)
}
