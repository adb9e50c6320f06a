/** The few data types of SSH's wire format (RFC 4251, section 5). Reading never goes past the end, nor stops before it. */
import { SshCaError } from './errors.ts'

export function sshString(value: string | Uint8Array): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value, 'utf8') : value
  const length = Buffer.alloc(4)
  length.writeUInt32BE(bytes.length)
  return Buffer.concat([length, bytes])
}

export function sshUint32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}

export function sshUint64(value: bigint): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64BE(value)
  return bytes
}

/** Strings one after the other, to the last byte. @throws SshCaError('public_key') */
export function readStrings(blob: Buffer): Buffer[] {
  const strings: Buffer[] = []
  for (let at = 0; at < blob.length; ) {
    const end = at + 4 <= blob.length ? at + 4 + blob.readUInt32BE(at) : Number.POSITIVE_INFINITY
    if (end > blob.length) throw new SshCaError('public_key', 'the key is cut short')
    strings.push(blob.subarray(at + 4, end))
    at = end
  }
  return strings
}
