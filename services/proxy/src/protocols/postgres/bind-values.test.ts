import assert from 'node:assert/strict'
import { test } from 'node:test'
import { unread } from '@portcullis/sql'
import { bindValuesOf, parameterTypesOf } from './bind-values.ts'

const int16 = (...values: number[]) =>
  Buffer.concat(values.map((value) => Buffer.from([(value >> 8) & 255, value & 255])))
const int32 = (value: number) => {
  const bytes = Buffer.alloc(4)
  bytes.writeInt32BE(value)
  return bytes
}
const sized = (bytes: Buffer) => Buffer.concat([int32(bytes.length), bytes])
const message = (formats: number[], ...values: (Buffer | null)[]) =>
  Buffer.concat([
    int16(formats.length, ...formats, values.length),
    ...values.map((value) => (value === null ? int32(-1) : sized(value))),
    int16(0),
  ])
const read = (bytes: Buffer, types: number[], end = bytes.length) => bindValuesOf(bytes, 0, end, types)
const array = (element: number, ...values: Buffer[]) =>
  values.length === 0
    ? Buffer.concat([int32(0), int32(0), int32(element)])
    : Buffer.concat([
        int32(1),
        int32(0),
        int32(element),
        int32(values.length),
        int32(1),
        ...values.map(sized),
      ])

test('text is what the same literal would be, a number where the type says so', () => {
  const bytes = message([], Buffer.from('%'), Buffer.from('0'), Buffer.from('0'), null, Buffer.from([0xff]))
  assert.deepEqual(read(bytes, [25, 0, 23]), ['%', '0', 0, null, unread])
})

test('binary values of common types; others are there, and no more is known of them', () => {
  const numeric = (weight: number, sign: number, ...groups: number[]) =>
    int16(groups.length, weight, sign, 0, ...groups)
  const float8 = Buffer.alloc(8)
  float8.writeDoubleBE(1.5)
  const values: [number, Buffer, unknown][] = [
    [16, Buffer.of(1), true],
    [16, Buffer.of(0), false],
    [21, int16(-2 & 0xffff), -2],
    [23, int32(-7), -7],
    [20, Buffer.concat([int32(0), int32(9)]), 9],
    [701, float8, 1.5],
    [1700, numeric(0, 0), 0],
    [1700, numeric(1, 0x4000, 1, 2345), -12_345],
    [1700, numeric(-1, 0, 5000), 0.5],
    [1700, numeric(0, 0xc000), unread],
    [25, Buffer.from('%'), '%'],
    [1043, Buffer.from('ä'), 'ä'],
    [1007, array(23), []],
    [1007, array(23, int32(1), int32(2)), [1, 2]],
    [2951, array(2950, Buffer.alloc(16)), [unread]],
    [1184, Buffer.alloc(8), unread],
    [0, Buffer.from('%'), unread],
    [23, Buffer.of(1), unread],
    [25, Buffer.alloc(5000, 'a'), unread],
  ]
  for (const [type, bytes, value] of values)
    assert.deepEqual(
      read(message([1], bytes), [type]),
      [value],
      `${type} ${bytes.toString('hex').slice(0, 40)}`,
    )
  assert.deepEqual(read(message([0, 1], Buffer.from('7'), int32(7)), [0, 23]), ['7', 7])
})

test('what does not reach here is not known at all, and nothing is read beyond the end', () => {
  const bytes = message([0], Buffer.from('a'), Buffer.from('%%%'), null)
  for (let end = 0; end <= bytes.length; end++) {
    const values = read(bytes, [], end)
    assert.deepEqual(values, ['a', '%%%', null].slice(0, values.length))
  }
  assert.equal(read(bytes, [], bytes.length - 7).length, 1)
})

test('types as a Parse names them', () => {
  assert.deepEqual(parameterTypesOf(Buffer.concat([int16(2), int32(23), int32(0)]), 0, 10), [23, 0])
  assert.deepEqual(parameterTypesOf(Buffer.alloc(0), 0, 0), [])
})
