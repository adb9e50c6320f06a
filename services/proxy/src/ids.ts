/** Ids that sort by time: 48 bits of milliseconds and 80 random bits in Crockford's base 32 (github.com/ulid/spec). */
import { randomFillSync } from 'node:crypto'
import type { Clock } from '@portcullis/kernel'

export type IdSource = () => string

const alphabet = Buffer.from('0123456789ABCDEFGHJKMNPQRSTVWXYZ')

export function createIds(clock: Clock): IdSource {
  const pool = Buffer.alloc(1600)
  const id = Buffer.alloc(26)
  let used = pool.length
  return () => {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    let ms = Math.floor(clock.nowUs() / 1000)
    for (let digit = 9; digit >= 0; digit--) {
      id[digit] = alphabet[ms % 32] ?? 0
      ms = Math.floor(ms / 32)
    }
    for (let digit = 10; digit < 26; digit++) id[digit] = alphabet[(pool[used++] ?? 0) & 31] ?? 0
    // In one piece: a string that is put together digit by digit stays the pieces it was made of.
    return id.toString('latin1')
  }
}
