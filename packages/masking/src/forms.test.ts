import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { MaskMethod } from '@portcullis/kernel'
import { formOf } from './forms.ts'
import { createKeyed } from './keyed.ts'
import type { Format } from './kinds.ts'

const keyed = createKeyed(Buffer.from('a key of this test alone, 32 byte'))

function shown(
  value: Buffer | string,
  { type = 25, modifier = -1, format = 0 as Format, method = 'redact' as MaskMethod, keep = 4 } = {},
): Buffer | null {
  const bytes = Buffer.from(value as string)
  const form = formOf({ type, modifier, format }, { method, keep }, keyed)
  const to = Buffer.alloc(form.bytesMax(bytes.length))
  const length = form.write(bytes, 0, bytes.length, to, 0)
  return length < 0 ? null : to.subarray(0, length)
}

const asText = (...given: Parameters<typeof shown>) => shown(...given)?.toString() ?? null

test('the end of a text, where it is at most half', () => {
  const partial = (value: string, keep = 4) => asText(value, { method: 'partial', keep })
  assert.equal(partial('4111111111111111'), '****1111')
  assert.equal(partial('12345678'), '****5678')
  assert.equal(partial('1234567'), '***')
  assert.equal(partial('ab', 1), '*b')
  assert.equal(partial(''), '***')
  assert.equal(partial('grüßgrüß'), '****grüß')
  assert.equal(partial('😀😀😀😀', 2), '**😀😀')
  assert.equal(asText('12345678', { method: 'partial', type: 23 }), '5678')
  assert.equal(asText('-1234567', { method: 'partial', type: 23 }), '0')
})

test('a hash is the same for the same value in both formats, and valid for the type', () => {
  const pairs: [type: number, text: string, binary: Buffer, valid: RegExp][] = [
    [25, 'someone@example.com', Buffer.from('someone@example.com'), /^[0-9a-f]{32}$/],
    [21, '-5', Buffer.from('fffb', 'hex'), /^\d{1,5}$/],
    [23, '70000', Buffer.from('00011170', 'hex'), /^\d{1,10}$/],
    [20, '-1', Buffer.from('ffffffffffffffff', 'hex'), /^\d{1,19}$/],
    [701, '0.1', Buffer.from('3fb999999999999a', 'hex'), /^\d{1,16}$/],
    [700, '0.1', Buffer.from('3dcccccd', 'hex'), /^\d{1,8}$/],
    [1700, '-12345.670', Buffer.from('0003000140000003000109291a2c', 'hex'), /^\d{1,18}$/],
    [
      2950,
      'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
      Buffer.from('a0eebc999c0b4ef8bb6d6bb9bd380a11', 'hex'),
      /^\w{8}-\w{4}-8\w{3}-[89ab]\w{3}-\w{12}$/,
    ],
    [17, '\\xdeadbeef', Buffer.from('deadbeef', 'hex'), /^\\x[0-9a-f]{64}$/],
    [3802, '{"a": 1}', Buffer.from('\x01{"a": 1}'), /^"[0-9a-f]{32}"$/],
  ]
  for (const [type, text, binary, valid] of pairs) {
    const first = asText(text, { type, method: 'hash' })
    assert.match(first ?? '', valid, `${type}`)
    const other = shown(binary, { type, format: 1, method: 'hash' })
    assert.ok(other)
    assert.equal(numberOf(type, other), first, `${type}`)
    assert.notEqual(asText(text.replace(/.$/, '9'), { type, method: 'hash' }), first)
  }
})

/** The text of what a binary hash is. */
function numberOf(type: number, bytes: Buffer): string {
  switch (type) {
    case 21:
      return String(bytes.readInt16BE())
    case 23:
      return String(bytes.readInt32BE())
    case 20:
      return String(bytes.readBigInt64BE())
    case 700:
      return String(bytes.readFloatBE())
    case 701:
      return String(bytes.readDoubleBE())
    case 1700: {
      const weight = bytes.readInt16BE(2)
      let value = 0n
      for (let at = 8; at < bytes.length; at += 2) value = value * 10000n + BigInt(bytes.readUInt16BE(at))
      return String(value * 10000n ** BigInt(weight + 1 - (bytes.length - 8) / 2))
    }
    case 2950:
      return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
    case 17:
      return `\\x${bytes.toString('hex')}`
    case 3802:
      return bytes.toString('utf8', 1)
    default:
      return bytes.toString()
  }
}

test('a hash fits where a text may be short, and blanks that char(n) adds are no part of it', () => {
  assert.equal(asText('abc', { type: 1043, modifier: 14, method: 'hash' })?.length, 10)
  assert.equal(
    asText('abc   ', { type: 1042, modifier: 10, method: 'hash' }),
    asText('abc', { type: 1043, modifier: 10, method: 'hash' }),
  )
  assert.equal(asText('abc', { type: 1043, modifier: 6 }), '**')
})

test('a fake has the shape of the value, and is the same for the same one', () => {
  const fake = (value: string, type = 25) => asText(value, { type, method: 'fake' })
  assert.match(
    fake('Ann.Bell-42@example.com') ?? '',
    /^[A-Z][a-z]{2}\.[A-Z][a-z]{3}-\d\d@[a-z]{7}\.[a-z]{3}$/,
  )
  assert.equal(fake('Ann.Bell-42@example.com'), fake('Ann.Bell-42@example.com'))
  assert.notEqual(fake('Ann.Bell-42@example.com'), 'Ann.Bell-42@example.com')
  assert.match(fake('grüß') ?? '', /^[a-z]{4}$/)
  assert.match(fake('-12345', 23) ?? '', /^-[1-9]\d{4}$/)
  assert.match(fake('2147483647', 23) ?? '', /^1\d{9}$/)
  assert.match(fake('100.50', 1700) ?? '', /^[1-9]\d{2}\.\d$/)
  const long = fake('a'.repeat(1000)) ?? ''
  assert.match(long, /^[a-z]{1000}$/)
  assert.notEqual(long.slice(0, 500), long.slice(500))
})

test('a type that is not known here is NULL, whatever the method; and so is a keyed method without a key', () => {
  for (const method of ['redact', 'partial', 'hash', 'null', 'fake'] as const)
    assert.equal(shown('(1,2)', { type: 99_999, method }), null)
  const keyless = formOf({ type: 25, modifier: -1, format: 0 }, { method: 'hash', keep: 4 }, undefined)
  assert.equal(keyless.write(Buffer.from('a'), 0, 1, Buffer.alloc(64), 0), -1)
})
