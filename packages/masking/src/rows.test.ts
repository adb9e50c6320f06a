import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formOf } from './forms.ts'
import { createKeyed } from './keyed.ts'
import { createRowMasker, type MaskedColumn } from './rows.ts'

const keyed = createKeyed(Buffer.alloc(32, 7))
const text = { type: 25, modifier: -1, format: 0 } as const

function masked(method: 'redact' | 'partial' | 'hash' | 'null' | 'fake'): MaskedColumn {
  const mask = { method, keep: 4, column: 'a.b.c', rule: 'r' }
  return { form: formOf(text, mask, keyed), mask, values: 0 }
}

type Value = Uint8Array | null

function rowOf(values: readonly Value[]): Buffer {
  const parts = values.map((value) => {
    const head = Buffer.alloc(4)
    head.writeInt32BE(value === null ? -1 : value.length)
    return Buffer.concat([head, value ?? Buffer.alloc(0)])
  })
  const body = Buffer.concat(parts)
  const head = Buffer.alloc(7)
  head[0] = 0x44
  head.writeInt32BE(6 + body.length, 1)
  head.writeInt16BE(values.length, 5)
  return Buffer.concat([head, body])
}

/** One value by itself, in a buffer of its own. */
function shown(column: MaskedColumn | undefined, value: Value): Value {
  if (column === undefined || value === null) return value
  const from = Buffer.from(value)
  const to = Buffer.alloc(column.form.bytesMax(from.length))
  const length = column.form.write(from, 0, from.length, to, 0)
  return length < 0 ? null : to.subarray(0, length)
}

test('rows masked in place are what each value by itself gives, whatever shrinks or grows', () => {
  const value = fc.option(fc.uint8Array({ maxLength: 90 }), { freq: 5 })
  const method = fc.option(
    fc.constantFrom('redact' as const, 'partial' as const, 'hash' as const, 'null' as const, 'fake' as const),
  )
  const result = fc.array(method, { minLength: 1, maxLength: 6 }).chain((methods) =>
    fc.tuple(
      fc.constant(methods),
      fc.array(fc.array(value, { minLength: methods.length, maxLength: methods.length }), {
        maxLength: 12,
      }),
      fc.nat(20),
    ),
  )
  fc.assert(
    fc.property(result, ([methods, rows, before]) => {
      const columns = methods.map((one) => (one === null ? undefined : masked(one)))
      const wanted = Buffer.concat(rows.map((row) => rowOf(row.map((one, at) => shown(columns[at], one)))))
      const input = Buffer.concat([Buffer.alloc(before, 1), ...rows.map(rowOf), Buffer.alloc(5, 2)])
      const piece = createRowMasker(columns).mask(input, before, input.length - 5)
      assert.deepEqual(piece.buffer.subarray(piece.start, piece.end), wanted)
      // What lies beside them is somebody else's.
      assert.deepEqual(input.subarray(0, before), Buffer.alloc(before, 1))
      assert.deepEqual(input.subarray(-5), Buffer.alloc(5, 2))
      for (const [at, column] of columns.entries())
        if (column) assert.equal(column.values, rows.filter((row) => row[at] !== null).length)
    }),
    { numRuns: 300 },
  )
})

test('what does not grow is written where it came from', () => {
  const row = rowOf([Buffer.from('one'), Buffer.from('someone@example.com'), Buffer.from('two')])
  const rows = Buffer.concat([row, row, row])
  const piece = createRowMasker([undefined, masked('partial'), undefined]).mask(rows, 0, rows.length)
  assert.equal(piece.buffer, rows)
  assert.ok(piece.buffer.toString('latin1', 0, piece.end).includes('one\0\0\0\b****.com\0\0\0\x03two'))
})

test('rows of other columns than were described are not shown', () => {
  const row = rowOf([Buffer.from('one'), Buffer.from('two')])
  for (const wrong of [
    Buffer.concat([row.subarray(0, -1)]),
    rowOf([Buffer.from('one')]),
    Buffer.from([0x44, 0, 0, 0, 14, 0, 2, 0, 0, 0, 3, 65, 66, 67, 0]),
    Buffer.from([0x44, 0, 0, 0, 14, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1]),
  ])
    assert.throws(() => createRowMasker([masked('redact'), undefined]).mask(wrong, 0, wrong.length))
})
