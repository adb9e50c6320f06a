/** The bytes of one record in a topic's log: flags (1: tombstone), when it was taken, key length, key, value. Pure. */
import type { Received, TopicPartition } from '@portcullis/kernel'

export function encodeStored(publishedMs: number, key: string, value: Uint8Array | null): Buffer {
  const keyBytes = Buffer.byteLength(key)
  const stored = Buffer.allocUnsafe(headBytes + keyBytes + (value?.byteLength ?? 0))
  stored.writeUInt8(value === null ? tombstone : 0, 0)
  stored.writeDoubleLE(publishedMs, 1)
  stored.writeUInt32LE(keyBytes, 9)
  stored.write(key, headBytes)
  if (value) stored.set(value, headBytes + keyBytes)
  return stored
}

export function decodeStored({ topic, partition }: TopicPartition, offset: number, stored: Buffer): Received {
  const valueAt = headBytes + stored.readUInt32LE(9)
  return {
    topic,
    partition,
    offset,
    key: stored.toString('utf8', headBytes, valueAt),
    value: stored[0] === tombstone ? null : stored.subarray(valueAt),
    publishedMs: publishedMsOf(stored),
  }
}

export function publishedMsOf(stored: Buffer): number {
  return stored.readDoubleLE(1)
}

const headBytes = 13
const tombstone = 1
