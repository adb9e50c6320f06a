import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { shownValuesOf } from './shown-values.ts'

const short = (value: number) => Buffer.from([value >> 8, value & 255])
const sized = (value: Buffer | null) => {
  const length = Buffer.alloc(4)
  length.writeInt32BE(value?.length ?? -1)
  return value ? Buffer.concat([length, value]) : length
}
const bindOf = (
  formats: readonly number[],
  values: readonly (Buffer | null)[],
  results: readonly number[] = [],
) =>
  Buffer.concat([
    ...[short(formats.length), ...formats.map(short), short(values.length), ...values.map(sized)],
    ...[short(results.length), ...results.map(short)],
  ])

test('text in quotes, binary as hex, NULL, and what is long is cut', () => {
  const bind = bindOf(
    [0, 1, 0, 0],
    [Buffer.from('a'), Buffer.from([1, 255]), null, Buffer.from('x'.repeat(999))],
    [1],
  )
  const { shown = [], piece } = shownValuesOf(bind, 0, bind.length) ?? {}
  assert.deepEqual(shown.slice(0, 3), ["'a'", '\\x01ff', 'NULL'])
  assert.match(shown[3] ?? '', /^'x{255}… \(999 bytes\)$/)
  assert.equal(piece?.length, bind.length - 4, 'how the result comes decides nothing')
})

test('two lists of values are never the same piece, however they are cut', () => {
  const value = fc.option(fc.uint8Array({ maxLength: 6 }).map((bytes) => Buffer.from(bytes)))
  const list = fc.tuple(fc.constantFrom<number[]>([], [0], [1]), fc.array(value, { maxLength: 4 }))
  fc.assert(
    fc.property(list, list, (a, b) => {
      const pieces = [a, b].map(([formats, values]) => {
        const bind = bindOf(formats, values)
        return shownValuesOf(bind, 0, bind.length)?.piece.toString('hex')
      })
      const same = JSON.stringify(a) === JSON.stringify(b)
      assert.equal(pieces[0] === pieces[1], same)
    }),
  )
})

test('what is no Bind of the manual is nothing that a person could see', () => {
  const bind = bindOf([0], [Buffer.from('abc'), null])
  for (let end = 0; end < bind.length; end++) assert.equal(shownValuesOf(bind, 0, end), undefined)
  const longer = Buffer.concat([bind, Buffer.of(0)])
  assert.equal(shownValuesOf(longer, 0, longer.length), undefined)
  const formats = bindOf([0, 1, 0], [null])
  assert.equal(shownValuesOf(formats, 0, formats.length), undefined)
})
