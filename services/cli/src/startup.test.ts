import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { asUser, readFirstMessage, sslRequest, writeStartup } from './startup.ts'

const name = fc.stringMatching(/^[a-z_]{1,12}$/)
const parameters = fc
  .dictionary(
    name,
    fc.string({ maxLength: 20 }).map((text) => text.replaceAll('\0', '')),
  )
  .map((all) => new Map(Object.entries(all)))

test('a start-up reads as it is written, whole, byte by byte and with more behind it', () => {
  fc.assert(
    fc.property(parameters, fc.uint8Array({ maxLength: 8 }), (given, behind) => {
      const bytes = writeStartup(0x30002, given)
      for (let length = 0; length < bytes.length; length++)
        assert.equal(readFirstMessage(bytes.subarray(0, length)), undefined)
      const read = readFirstMessage(Buffer.concat([bytes, behind]))
      assert.deepEqual(read, { kind: 'startup', bytes: bytes.length, version: 0x30002, parameters: given })
    }),
    { numRuns: 200 },
  )
})

test('requests for encryption and cancels are told apart; what is none of these is malformed at once', () => {
  assert.deepEqual(readFirstMessage(sslRequest), { kind: 'ssl', bytes: 8 })
  const cancel = Buffer.from([0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 1, 0, 0, 0, 2])
  assert.deepEqual(readFirstMessage(cancel), { kind: 'cancel', bytes: 16, message: cancel })
  for (const text of [
    'GET / HTTP/1.1\r\n\r\n',
    '\x16\x03\x01\x02\x00\x01\x00\x01',
    '\0\0\0\x07\0\x03\0\0',
    '\0\0\0\x09\0\x02\0\0\0',
    '\0\0\0\x0b\0\x03\0\0a\0\0',
    '\0\0\0\x0a\0\x03\0\0ab',
  ])
    assert.equal(readFirstMessage(Buffer.from(text, 'latin1')), 'malformed', JSON.stringify(text))
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      readFirstMessage(Buffer.from(bytes))
    }),
  )
})

test("the gate's user comes in place of the client's, whose database stays unless it is only the user's name", () => {
  const as = (given: object, database?: string) =>
    Object.fromEntries(asUser(new Map(Object.entries(given)), 'shop+reader', database))
  assert.deepEqual(as({ user: 'ann' }), { user: 'shop+reader' })
  assert.deepEqual(as({ user: 'ann', database: 'ann' }), { user: 'shop+reader' })
  assert.deepEqual(as({ user: 'ann', database: 'ann' }, 'orders'), {
    user: 'shop+reader',
    database: 'orders',
  })
  assert.deepEqual(as({ user: 'ann', database: 'x', options: '-c a=b' }, 'orders'), {
    ...{ user: 'shop+reader', database: 'x', options: '-c a=b' },
  })
})
