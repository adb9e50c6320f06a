/** Ids that sort by time: 48 bits of milliseconds and 80 random bits in Crockford's base 32 (github.com/ulid/spec). */
import { randomFillSync } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'

export type IdSource = () => string

const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

export function createIds(clock: Clock): IdSource {
  const pool = Buffer.alloc(1600)
  let used = pool.length
  return () => {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    let out = ''
    let ms = Math.floor(clock.nowUs() / 1000)
    for (let digit = 0; digit < 10; digit++) {
      out = alphabet[ms % 32] + out
      ms = Math.floor(ms / 32)
    }
    for (let digit = 0; digit < 16; digit++) out += alphabet[(pool[used++] ?? 0) & 31]
    return out
  }
}
