import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AuditError } from './errors.ts'
import { rowEncoder } from './rowbinary.ts'

function bytesOf(type: string, value: unknown): string {
  const table = { name: 't', columns: [{ name: 'c', type, of: (row: unknown) => row }] }
  return rowEncoder(table).encode([value]).toString('hex')
}

// Expected bytes: ClickHouse documentation, "RowBinary", and what a server writes for the same values.
test('values become the bytes that ClickHouse documents', () => {
  const cases: readonly [string, unknown, string][] = [
    ['UInt8', 255, 'ff'],
    ['Int32', -2, 'feffffff'],
    ['UInt64', 2 ** 53 - 1, 'ffffffffffff1f00'],
    ['Int64', -1, 'ffffffffffffffff'],
    ['Int64', -(2 ** 32), '00000000ffffffff'],
    ['DateTime64(6)', 1_000_000, '40420f0000000000'],
    ['Float64', 1.5, '000000000000f83f'],
    ['Bool', true, '01'],
    ['String', 'é', '02c3a9'],
    ['String', 'plain then é', '0d706c61696e207468656e20c3a9'],
    ['String', 'y'.repeat(49), `31${'79'.repeat(49)}`],
    ['String', Buffer.from([0xff]), '01ff'],
    ['String', 'x'.repeat(200), `c801${'78'.repeat(200)}`],
    ['LowCardinality(String)', '', '00'],
    ['FixedString(2)', Buffer.from([1, 2]), '0102'],
    ['Nullable(UInt8)', null, '01'],
    ['Nullable(UInt8)', 7, '0007'],
    ['Array(Array(UInt8))', [[1], []], '02010100'],
    ['Map(LowCardinality(String), String)', { a: 'b' }, '0101610162'],
    ['Tuple(a String, b Array(UInt8))', ['x', [1]], '01780101'],
  ]
  for (const [type, value, hex] of cases) assert.equal(bytesOf(type, value), hex, `${type} ${String(value)}`)
})

test('a value that does not fit names its column and shows nothing of itself', () => {
  const cases: readonly [string, unknown][] = [
    ['UInt8', 256],
    ['UInt8', -1],
    ['Int64', 2 ** 53],
    ['Int32', 2 ** 31],
    ['UInt64', -1],
    ['Int64', 0.5],
    ['Int64', '1'],
    ['String', undefined],
    ['Bool', 1],
    ['FixedString(2)', Buffer.from([1])],
    ['Array(UInt8)', 'secret'],
    ['Tuple(String, String)', ['a']],
    ['Nullable(UInt8)', undefined],
  ]
  for (const [type, value] of cases)
    assert.throws(
      () => bytesOf(type, value),
      (error) =>
        error instanceof AuditError &&
        error.code === 'invalid_data' &&
        /^t\.c: expected (?!.*secret)/.test(error.message),
      `${type} ${String(value)}`,
    )
  assert.throws(() => bytesOf('Decimal(9, 2)', 1), /cannot write columns of type Decimal/)
})

test('a large batch grows its buffer and stays whole', () => {
  const table = { name: 't', columns: [{ name: 'c', type: 'String', of: (row: string) => row }] }
  const rows = Array.from({ length: 3000 }, (_, n) => String(n % 10).repeat(n))
  const bytes = rowEncoder(table).encode(rows)
  assert.equal(
    bytes.length,
    rows.reduce((sum, { length }) => sum + length + (length < 128 ? 1 : 2), 0),
  )
  assert.equal(bytes.subarray(-2999).toString(), rows.at(-1))
})
