import assert from 'node:assert/strict'
import { createHmac, randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { createKeyed } from './keyed.ts'

test("is Node's own HMAC, whatever the lengths of key and value", () => {
  for (const keyBytes of [32, 63, 64, 65, 200]) {
    const key = randomBytes(keyBytes)
    const keyed = createKeyed(key)
    for (const length of [0, 1, 55, 64, 4096, 10_000, 40, 3]) {
      const bytes = randomBytes(length + 7)
      const wanted = createHmac('sha256', key)
        .update(bytes.subarray(3, 3 + length))
        .digest('hex')
      assert.equal(keyed(bytes, 3, 3 + length), wanted)
    }
  }
  assert.throws(() => createKeyed(randomBytes(31)), /at least 32 bytes/)
})
