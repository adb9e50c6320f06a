import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MaskMethod } from '@portcullis/kernel'
import fc from 'fast-check'
import { createKeyed } from '../keyed.ts'
import type { TypeOf } from '../kinds.ts'
import { contentForm } from './content.ts'
import { createDetect } from './detection.ts'
import { lookalikes, nearMisses } from './testing/lookalikes.ts'
import { positives } from './testing/positives.ts'

const keyed = createKeyed(Buffer.alloc(32, 7))
const detect = createDetect({ detect: ['all'], patterns: { staff: String.raw`EMP.\d{6}` } })
const text: TypeOf = { type: 25, modifier: -1, format: 0 }
const methods = ['redact', 'partial', 'hash', 'fake', 'null'] as const

interface Shown {
  readonly text: string | null
  readonly found: readonly string[]
}

/** A value as it is shown; written where it lies in a buffer, as in a row. */
function show(value: string | Buffer, method: MaskMethod = 'redact', type = text): Shown {
  const found: string[] = []
  const form = contentForm(type, { detect, formOf: () => ({ method, keep: 4 }), rule: 'r' }, keyed, (kind) =>
    found.push(kind),
  )
  const bytes = Buffer.from(value)
  const bytesMax = form?.weigh?.(bytes, 0, bytes.length) ?? -1
  if (form === undefined || bytesMax < 0) return { text: String(value), found }
  const to = Buffer.alloc(bytesMax)
  const length = form.write(bytes, 0, bytes.length, to, 0)
  return { text: length < 0 ? null : to.toString('utf8', 0, length), found }
}

test('each method, inside of a text', () => {
  const value = 'card 4242 4242 4242 4242, mail alice@example.com, thanks'
  assert.equal(show(value).text, 'card [card], mail [email], thanks')
  assert.equal(
    show(value, 'partial').text,
    'card **** **** **** 4242, mail *****@*******.com, thanks'.replace('*******.com', '******e.com'),
  )
  assert.equal(show(value, 'null').text, null)
  assert.match(show(value, 'hash').text ?? '', /^card [0-9a-f]{32}, mail [0-9a-f]{32}, thanks$/)
  assert.match(
    show(value, 'fake').text ?? '',
    /^card (\d{4} ){3}\d{4}, mail [a-z]{5}@[a-z]{7}\.[a-z]{3}, thanks$/,
  )
  assert.deepEqual(show(value).found, ['card', 'email'])
})

test('a hash is the same wherever the same stands, and another with another key', () => {
  const of = (value: string): string | undefined => /[0-9a-f]{32}/.exec(show(value, 'hash').text ?? '')?.[0]
  assert.equal(of('to alice@example.com'), of('{alice@example.com}'))
  assert.notEqual(of('alice@example.com'), of('alicf@example.com'))
})

test('what has nothing in it stays, byte by byte, of every type and method', () => {
  const benign = [...nearMisses, ...Object.values(lookalikes(3)).flat()].filter(
    (value) => show(value).found.length === 0,
  )
  assert.ok(benign.length > 100)
  for (const method of methods) for (const value of benign) assert.equal(show(value, method).text, value)
})

test('nothing is found in what is shown', () => {
  // Bare ids are found by words before them, which come nearer when what stood between is gone.
  const pieces = Object.entries(positives).flatMap(([kind, values]) =>
    /bsn|cpf|aadhaar/.test(kind) ? [] : values,
  )
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 8 }), (parts) => {
      const shown = show(parts.join(' | ')).text ?? ''
      assert.deepEqual(show(shown).found, [], shown)
    }),
  )
})

test('a redacted or partial text has no more characters than it had', () => {
  for (const values of Object.values(positives))
    for (const value of values)
      for (const method of ['redact', 'partial', 'fake'] as const)
        assert.ok((show(value, method).text ?? '').length <= value.length, value)
  const short = { type: 1043, modifier: 4 + 20, format: 0 } as const
  assert.equal(show('4242424242424242', 'hash', short).text, '[card]')
})

test('JSON stays JSON: in strings, bare numbers, keys, escapes, with what runs over their ends', () => {
  const json = { ...text, type: 114 }
  const cases: readonly [string, unknown][] = [
    ['{"a": 4242424242424242, "b": [1, 2.50]}', { a: '[card]', b: [1, 2.5] }],
    ['{"a":"4242424242424242","alice@example.com":true}', { a: '[card]', '[email]': true }],
    [String.raw`{"a":"say \"hi\" to alice\u0040example.com\n"}`, { a: 'say "hi" to [email]\n' }],
    [String.raw`"4242\u00204242 4242 4242"`, '[card]'],
    ['{"bsn":"111222333","n":111222333}', { bsn: '[nl-bsn]', n: 111_222_333 }],
    ['["-----BEGIN PRIVATE KEY----- abc", "d", 1]', ['[private-key]', '*', '*']],
    ['["EMP", 123456]', ['EMP', 123_456]],
    ['4242424242424242', '[card]'],
    ['[]', []],
  ]
  for (const [value, wanted] of cases)
    assert.deepEqual(JSON.parse(show(value, 'redact', json).text ?? ''), wanted)
  const binary = show(Buffer.from('\u0001{"a":4242424242424242}'), 'redact', {
    type: 3802,
    modifier: -1,
    format: 1,
  })
  assert.equal(binary.text, '\u0001{"a":"[card]"}')
})

test('any JSON stays JSON of the same shape, by any method', () => {
  const pieces = fc.constantFrom(
    ...Object.values(positives).flat(),
    'a"b',
    '\\',
    '\u0000',
    'é',
    '😀',
    'EMP"123456',
  )
  const leaf = fc.oneof(
    pieces,
    fc.string(),
    fc.constant(4_242_424_242_424_242),
    fc.integer(),
    fc.constant(null),
  )
  const value = fc.letrec((tie) => ({
    any: fc.oneof({ depthSize: 'small' }, leaf, fc.array(tie('any')), fc.dictionary(fc.string(), tie('any'))),
  })).any
  fc.assert(
    fc.property(
      value,
      fc.constantFrom(...methods.slice(0, 4)),
      fc.constantFrom(0, 2),
      (one, method, indent) => {
        const shown = show(JSON.stringify(one, undefined, indent), method, { ...text, type: 114 }).text ?? ''
        const parsed: unknown = JSON.parse(shown)
        assert.equal(Array.isArray(parsed), Array.isArray(one))
      },
    ),
  )
})

test('arrays, XML and what nobody knows here', () => {
  const array = { ...text, type: 1009 }
  assert.equal(show('{alice@example.com,"b c",NULL}', 'redact', array).text, '{[email],"b c",NULL}')
  assert.equal(show('{"-----BEGIN PRIVATE KEY-----",b}', 'redact', array).text, null)
  assert.equal(show('{4242424242424242}', 'redact', { ...text, type: 1016 }).text, '{4242424242424242}')
  assert.equal(show('<a>-----BEGIN PRIVATE KEY-----</a>', 'redact', { ...text, type: 142 }).text, null)
  assert.equal(show('<a>alice@example.com</a>', 'redact', { ...text, type: 142 }).text, '<a>[email]</a>')
  assert.equal(show('(1,alice@example.com)', 'redact', { ...text, type: 2249 }).text, null)
  assert.equal(show('(1,alice)', 'redact', { ...text, type: 2249 }).text, '(1,alice)')
})

test('in lines of COPY, which say nothing of types, a value stays what it looks like', () => {
  const untyped = { ...text, type: 0 }
  for (const [value, wanted] of [
    ['pay 4242424242424242 now', 'pay [card] now'],
    ['4242424242424242', null],
    ['{"a": 4242424242424242}', '{"a": "[card]"}'],
    [String.raw`["alice\u0040example.com"]`, '["[email]"]'],
    ['{alice@example.com,b}', '{[email],b}'],
    ['{"-----BEGIN PRIVATE KEY-----",b}', null],
    ['(1,alice@example.com)', '(1,[email])'],
    ['<a>-----BEGIN PRIVATE KEY-----</a>', null],
    ['2024-05-06 07:08:09', '2024-05-06 07:08:09'],
  ] as const)
    assert.equal(show(value, 'redact', untyped).text, wanted)
})

test('in binary, a length before a text is not a part of it', () => {
  for (const type of [1009, 2249, 70_001]) {
    for (let padding = 0; padding < 110; padding += 1) {
      const element = Buffer.from(`4242424242424242${' '.repeat(padding)}`)
      const length = Buffer.alloc(4)
      length.writeInt32BE(element.length)
      const value = Buffer.concat([
        Buffer.from('0000000100000000000000190000000100000001', 'hex'),
        length,
        element,
      ])
      assert.equal(show(value, 'redact', { type, modifier: -1, format: 1 }).text, null, `${type} ${padding}`)
    }
  }
  assert.equal(
    show(Buffer.from('alice@example.com'), 'redact', { type: 70_001, modifier: -1, format: 1 }).text,
    null,
  )
})
