import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CopyLayout, MaskMethod } from '@portcullis/kernel'
import fc from 'fast-check'
import { createCopyMasker } from './copy.ts'
import { formOf } from './forms.ts'
import { createKeyed } from './keyed.ts'
import type { Format } from './kinds.ts'
import type { MaskedColumn } from './rows.ts'

const keyed = createKeyed(Buffer.alloc(32, 7))
type Value = string | null

const layout = (change: Partial<CopyLayout> = {}): CopyLayout => ({
  ...{ format: 'text', delimiter: '\t', null: '\\N', quote: '"', escape: '"', header: false },
  ...{ encoding: undefined, isOfTable: true },
  ...change,
})
const csv = (change: Partial<CopyLayout> = {}) =>
  layout({ format: 'csv', delimiter: ',', null: '', ...change })

function masked(method: MaskMethod, format: Format = 0): MaskedColumn {
  const form = formOf({ type: 25, modifier: -1, format }, { method, keep: 4 }, keyed)
  return { form, mask: { method, keep: 4, column: 'a.b.c', rule: 'r' }, values: 0 }
}

function shown(column: MaskedColumn | undefined, value: Value): Value {
  if (column === undefined || value === null) return value
  const from = Buffer.from(value)
  const to = Buffer.alloc(column.form.bytesMax(from.length))
  const length = column.form.write(from, 0, from.length, to, 0)
  return length < 0 ? null : to.toString('utf8', 0, length)
}

function data(payload: Buffer | string): Buffer {
  const bytes = Buffer.from(payload as string)
  const head = Buffer.from([0x64, 0, 0, 0, 0])
  head.writeInt32BE(bytes.length + 4, 1)
  return Buffer.concat([head, bytes])
}

/** As CopyAttributeOutText and CopyAttributeOutCSV write a field. */
function field(
  value: Value,
  { format, delimiter, null: nothing, quote, escape: escaping }: CopyLayout,
  force: boolean,
): string {
  if (value === null) return nothing
  if (format === 'text')
    return [...value]
      .map((one) => {
        const letter = { '\b': 'b', '\f': 'f', '\n': 'n', '\r': 'r', '\t': 't', '\v': 'v' }[one]
        if (one === delimiter) return `\\${one}`
        return letter === undefined ? (one === '\\' ? '\\\\' : one) : `\\${letter}`
      })
      .join('')
  const isQuoted =
    force || value === nothing || [delimiter, quote, '\n', '\r'].some((one) => value.includes(one))
  const inner = [...value].map((one) => (one === quote || one === escaping ? escaping + one : one)).join('')
  return isQuoted ? quote + inner + quote : value
}

/** As COPY FROM reads a line. */
function fieldsOf(
  line: string,
  { format, delimiter, null: nothing, quote, escape: escaping }: CopyLayout,
): Value[] {
  const fields: Value[] = []
  let raw = ''
  let value = ''
  let isQuoted = false
  const letters: Record<string, string> = { b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }
  const end = () => {
    fields.push(raw === nothing ? null : value)
    raw = ''
    value = ''
  }
  for (let at = 0; at < line.length; at++) {
    const one = line.charAt(at)
    if (!isQuoted && one === delimiter) {
      end()
      continue
    }
    raw += one
    if (format === 'text' && one === '\\') {
      const next = line.charAt(++at)
      raw += next
      value += letters[next] ?? next
    } else if (
      format === 'csv' &&
      isQuoted &&
      one === escaping &&
      [quote, escaping].includes(line.charAt(at + 1))
    ) {
      value += line.charAt(++at)
      raw += value.slice(-1)
    } else if (format === 'csv' && one === quote) isQuoted = !isQuoted
    else value += one
  }
  end()
  return fields
}

test('lines of both text formats hold what each value by itself gives, whatever is in it', () => {
  const nasty = fc.string({
    unit: fc.constantFrom('a', '7', '\\', '"', ',', ';', '\t', '\n', '\r', "'", 'N', 'é', '.', '\b', 'q'),
    maxLength: 12,
  })
  const layouts = [
    layout(),
    layout({ delimiter: ';', null: 'NULL' }),
    csv(),
    csv({ delimiter: ';', quote: "'", escape: '\\', null: 'NULL' }),
    csv({ quote: 'q', escape: '"' }),
  ]
  const method = fc.constantFrom(
    undefined,
    'redact' as const,
    'partial' as const,
    'hash' as const,
    'null' as const,
    'fake' as const,
  )
  const result = fc.array(method, { minLength: 1, maxLength: 4 }).chain((methods) =>
    fc.tuple(
      fc.constant(methods),
      fc.array(fc.array(fc.option(nasty), { minLength: methods.length, maxLength: methods.length }), {
        maxLength: 6,
      }),
      fc.constantFrom(...layouts),
      fc.boolean(),
    ),
  )
  fc.assert(
    fc.property(result, ([methods, rows, how, force]) => {
      const columns = methods.map((one) => (one === undefined ? undefined : masked(one)))
      const lines = rows.map((row) => `${row.map((one) => field(one, how, force)).join(how.delimiter)}\n`)
      const input = Buffer.concat(lines.map(data))
      const { buffer, start, end } = createCopyMasker(how, columns).mask(input, 0, input.length)
      let at = start
      for (const row of rows) {
        const length = buffer.readInt32BE(at + 1)
        const line = buffer.toString('utf8', at + 5, at + 1 + length)
        assert.ok(line.endsWith('\n'))
        const wanted = row.map((one, index) => shown(columns[index], one))
        assert.deepEqual(fieldsOf(line.slice(0, -1), how), wanted)
        // What is shown is as the server wrote it.
        if (columns.every((one) => one === undefined)) assert.equal(line, lines[rows.indexOf(row)])
        at += 1 + length
      }
      assert.equal(at, end)
    }),
    { numRuns: 500 },
  )
})

test('a header is left, and the binary format has a beginning and an end', () => {
  const lines = Buffer.concat([data('name,email\n'), data('ann,ann@example.com\n')])
  const named = createCopyMasker(csv({ header: true }), [undefined, masked('redact')]).mask(
    lines,
    0,
    lines.length,
  )
  assert.equal(
    named.buffer.toString('latin1', named.start, named.end).replace(/d.{4}/g, ''),
    'name,email\nann,***\n',
  )

  const tuple = Buffer.from(
    '0002 00000003 616e6e 0000000f 616e6e406578616d706c652e636f6d'.replaceAll(' ', ''),
    'hex',
  )
  const start = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)])
  const all = Buffer.concat([
    data(Buffer.concat([start, tuple])),
    data(tuple),
    data(Buffer.from('ffff', 'hex')),
  ])
  const binary = () => createCopyMasker(layout({ format: 'binary' }), [undefined, masked('redact', 1)])
  const { buffer, start: from, end } = binary().mask(Buffer.from(all), 0, all.length)
  const shownTuple = Buffer.from('0002 00000003 616e6e 00000003 2a2a2a'.replaceAll(' ', ''), 'hex')
  assert.deepEqual(
    buffer.subarray(from, end),
    Buffer.concat([
      data(Buffer.concat([start, shownTuple])),
      data(shownTuple),
      data(Buffer.from('ffff', 'hex')),
    ]),
  )
  for (const wrong of [data(tuple), data(Buffer.concat([start, tuple.subarray(0, -1)]))])
    assert.throws(() => binary().mask(wrong, 0, wrong.length))
})

test('a line that has not its fields is shown to nobody', () => {
  for (const [how, line] of [
    [layout(), 'one\n'],
    [layout(), 'one\ttwo\tthree\n'],
    [layout(), 'one\ttwo'],
    [layout(), 'one\ttwo\\\n'],
    [csv(), 'one,"two\n'],
    [csv(), '\n'],
  ] as const)
    assert.throws(() =>
      createCopyMasker(how, [masked('redact'), undefined]).mask(data(line), 0, line.length + 5),
    )
})
