/** Rows that are masked where they lie, out of chunks that end anywhere: the same bytes as in one piece. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MaskMethod } from '@portcullis/kernel'
import { createRowMasker, createKeyed, formOf } from '@portcullis/masking'
import fc from 'fast-check'
import { Frames } from './frames.ts'
import { backend, int32, message } from './wire.ts'

const keyed = createKeyed(Buffer.alloc(32, 7))

function maskerOf(method: MaskMethod) {
  const form = formOf({ type: 25, modifier: -1, format: 0 }, { method, keep: 4 }, keyed)
  const column = { form, mask: { method, keep: 4, column: 'a.b.c', rule: 'r' }, values: 0 }
  return createRowMasker([undefined, column, undefined])
}

/** As answers.ts takes rows: the first by itself, those that lie whole behind it together. */
function through(stream: Buffer, cuts: readonly number[], method: MaskMethod): Buffer {
  const masker = maskerOf(method)
  const frames = new Frames({
    handling: (type) => (type === backend.dataRow ? 'whole' : 'stream'),
    prefixReady: () => true,
  })
  const out: Buffer[] = []
  const add = (rows: { buffer: Buffer; start: number; end: number }) =>
    out.push(Buffer.from(rows.buffer.subarray(rows.start, rows.end)))
  const ends = [...new Set(cuts.map((cut) => cut % (stream.length + 1)))].sort((a, b) => a - b)
  let from = 0
  for (const to of [...ends, stream.length]) {
    frames.feed(Buffer.from(stream.subarray(from, to)))
    from = to
    for (let frame = frames.next(); frame; frame = frames.next()) {
      if (frame.type !== backend.dataRow) {
        add(frame)
        continue
      }
      add(masker.mask(frame.buffer, frame.start, frame.end))
      const rows = frames.nextRun(backend.dataRow, Infinity, Infinity)
      if (rows) add(masker.mask(rows.buffer, rows.start, rows.end))
    }
  }
  return Buffer.concat(out)
}

test('whole, byte by byte and cut anywhere', () => {
  const value = fc.option(fc.uint8Array({ maxLength: 40 }), { freq: 6 })
  const row = fc
    .tuple(value, value, value)
    .map((values) =>
      message(
        backend.dataRow,
        Buffer.of(0, 3),
        ...values.flatMap((one) => (one === null ? [int32(-1)] : [int32(one.length), one])),
      ),
    )
  const other = fc.constant(message(backend.commandComplete, Buffer.from('SELECT 1\0')))
  const method = fc.constantFrom<MaskMethod>('redact', 'partial', 'hash', 'null', 'fake')
  const stream = fc
    .array(fc.oneof({ weight: 8, arbitrary: row }, other), { maxLength: 12 })
    .map((parts) => Buffer.concat(parts))
  fc.assert(
    fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), method, (bytes, cuts, how) => {
      const whole = through(bytes, [], how)
      assert.deepEqual(through(bytes, cuts, how), whole)
      assert.deepEqual(through(bytes, Array.from(bytes.keys()), how), whole)
    }),
  )
})
