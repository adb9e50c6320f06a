import assert from 'node:assert/strict'
import { test } from 'node:test'
import { compare } from './compare.ts'

const work = 'simple'

test('the same values are ok, whatever the order of their keys', () => {
  const verdict = compare({ work, value: [{ a: 1, b: null }] }, { work, value: [{ b: null, a: 1 }] })
  assert.deepEqual(verdict, { kind: 'ok' })
})

test('a value that differs anywhere differs, with the place', () => {
  const verdict = compare({ work, value: [1, [2, 'x']] }, { work, value: [1, [2, 'y']] })
  assert.equal(verdict.kind, 'differs')
  assert.match(verdict.kind === 'differs' ? verdict.how : '', /x.*gate.*y/)
  assert.equal(compare({ work, value: [1] }, { work, value: [1, 1] }).kind, 'differs')
  assert.equal(compare({ work, value: null }, { work, value: 0 }).kind, 'differs')
})

test('what fails through the gate differs; what fails directly was not compared', () => {
  assert.equal(compare({ work, value: 1 }, { work, failed: 'no' }).kind, 'differs')
  assert.equal(compare({ work, failed: 'no' }, { work, failed: 'no' }).kind, 'broken')
})

test('not supported is an answer of its own, and only where both sides give it', () => {
  const none = { work, unsupported: 'none' } as const
  assert.deepEqual(compare(none, none), { kind: 'unsupported', why: 'none' })
  assert.equal(compare({ work, value: 1 }, none).kind, 'differs')
})
