import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ExpressionError } from './expression.ts'
import { compilePattern } from './pattern.ts'

test('where it matches, in bytes', () => {
  const pattern = compilePattern(String.raw`\bEMP-\d{6}\b`)
  const text = 'é EMP-123456, EMP-12 and EMP-654321'
  assert.equal(pattern.test(text), true)
  const bytes = Buffer.from(text)
  assert.deepEqual(
    pattern.matches(bytes).map(([start, end]) => bytes.toString('utf8', start, end)),
    ['EMP-123456', 'EMP-654321'],
  )
})

test('what it refuses, and why', () => {
  for (const [text, why] of [
    ['a*', /empty text/],
    ['(a', /missing closing/],
    [String.raw`(a)\1`, /invalid escape/],
    ['(?=a)b', /./],
    ['a'.repeat(1001), /longer/],
  ] as const)
    assert.throws(
      () => compilePattern(text),
      (error) => error instanceof ExpressionError && why.test(error.message),
      text,
    )
})

test('a pattern that a backtracking engine never ends on', () => {
  assert.equal(compilePattern('(a+)+$').test(`${'a'.repeat(50_000)}b`), false)
})
