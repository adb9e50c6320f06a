/**
 * HMAC-SHA-256 (RFC 2104) of one value after the other, under one key. Two one-shot hashes over buffers that are kept:
 * an Hmac object for each value costs three times as much, and a column has millions.
 */
import { hash } from 'node:crypto'

/** The HMAC of `bytes[start, end)`, in hexadecimal: 64 digits. */
export type Keyed = (bytes: Uint8Array, start: number, end: number) => string

const blockBytes = 64
const digestBytes = 32

/** @throws RangeError where the key is shorter than its strength: 32 bytes. */
export function createKeyed(key: Uint8Array): Keyed {
  if (key.length < digestBytes) throw new RangeError(`a key for masking has at least ${digestBytes} bytes`)
  const block = Buffer.alloc(blockBytes)
  block.set(key.length > blockBytes ? Buffer.from(hash('sha256', key, 'hex'), 'hex') : key)
  const padded = (pad: number) => block.map((byte) => byte ^ pad)
  const outer = Buffer.alloc(blockBytes + digestBytes)
  outer.set(padded(0x5c))
  let inner = Buffer.alloc(blockBytes + 4096)
  inner.set(padded(0x36))
  return (bytes, start, end) => {
    const length = blockBytes + end - start
    if (inner.length < length) inner = Buffer.concat([inner.subarray(0, blockBytes)], 2 * length)
    inner.set(start === 0 && end === bytes.length ? bytes : bytes.subarray(start, end), blockBytes)
    outer.write(hash('sha256', inner.subarray(0, length), 'binary'), blockBytes, 'latin1')
    return hash('sha256', outer, 'hex')
  }
}
