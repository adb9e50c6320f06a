import assert from 'node:assert/strict'
import { test } from 'node:test'
import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { ByteCache } from './cache.ts'

const bytes = (text: string): Buffer => Buffer.from(text)

test('only a key with every byte the same is the same key', () => {
  const cache = new ByteCache<string>(100, 1 << 20, 7)
  cache.set(bytes('abc'), 0, 3, 'abc', 0)
  assert.equal(cache.get(bytes('xabcx'), 1, 4), 'abc')
  assert.equal(cache.get(bytes('abd'), 0, 3), undefined)
  assert.equal(cache.get(bytes('abcd'), 0, 4), undefined)
  assert.equal(cache.get(bytes('ab'), 0, 2), undefined)
})

test('a map of strings answers the same, whatever is put in and asked, and the bounds hold', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'c'), maxLength: 9 })
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), text), { maxLength: 300 }), fc.integer(), (steps, seed) => {
      const cache = new ByteCache<string>(20, 1 << 20, seed)
      // A JavaScript map keeps the order of insertion: deleting and setting again makes it least recently used first.
      const model = new Map<string, string>()
      for (const [put, key] of steps) {
        const found = cache.get(bytes(key), 0, key.length)
        assert.equal(found, model.get(key))
        if (found === undefined && put) {
          cache.set(bytes(key), 0, key.length, key, 0)
          model.set(key, key)
          if (model.size > 20) model.delete(model.keys().next().value ?? '')
        } else if (found !== undefined) {
          model.delete(key)
          model.set(key, key)
        }
      }
      assert.equal(cache.entries, model.size)
    }),
    { numRuns: 300 },
  )
})

test('bytes are bounded too, and one large value does not push out the rest', () => {
  const cache = new ByteCache<number>(1000, 10_000, 3)
  for (let at = 0; at < 500; at += 1) cache.set(bytes(`key ${at}`), 0, bytes(`key ${at}`).length, at, 100)
  assert.ok(cache.bytes <= 10_000 && cache.entries > 10)
  const { entries } = cache
  cache.set(bytes('large'), 0, 5, 1, 9_000)
  assert.equal(cache.get(bytes('large'), 0, 5), undefined)
  assert.equal(cache.entries, entries)
})

test('texts made to fall into few buckets still find their own value', () => {
  const cache = new ByteCache<number>(5000, 64 << 20, 1)
  for (let at = 0; at < 5000; at += 1) {
    const key = Buffer.alloc(16)
    key.writeUInt32LE(at, 12)
    cache.set(key, 0, 16, at, 0)
  }
  for (let at = 0; at < 5000; at += 1) {
    const key = Buffer.alloc(16)
    key.writeUInt32LE(at, 12)
    assert.equal(cache.get(key, 0, 16), at)
  }
})

test('long texts with one and the same checksum push each other out, and never pass for one another', () => {
  const cache = new ByteCache<number>(5000, 64 << 20, 1)
  const made = Array.from({ length: 40 }, (_, number) => {
    const text = Buffer.alloc(2000, 'x')
    // CRC-32's own polynomial, its bits in the order of the wire: no checksum begun anywhere sees it.
    for (const [at, byte] of [0x41, 0x06, 0x71, 0xdb, 0x01].entries())
      text[10 * number + at] = 'x'.charCodeAt(0) ^ byte
    return text
  })
  assert.equal(new Set(made.map((text) => crc32(text))).size, 1)
  for (const [number, text] of made.entries()) cache.set(text, 0, text.length, number, 0)
  assert.equal(cache.entries, 8)
  const found = made.map((text) => cache.get(text, 0, text.length))
  assert.deepEqual(found.slice(-8), [32, 33, 34, 35, 36, 37, 38, 39])
  assert.ok(found.slice(0, -8).every((value) => value === undefined))
})
