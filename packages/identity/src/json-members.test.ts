import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { namesTwice } from './json-members.ts'

const twice = (text: string) => namesTwice(text, JSON.parse(text))

test('a member that is named twice is found, wherever and however it is spelled', () => {
  for (const text of [
    '{"sub":"a","sub":"b"}',
    '{"sub":"a","s\\u0075b":"b"}',
    '{"act":{"sub":"a","sub":"a"}}',
    '{"list":[1,{"a":1,"a":1}]}',
    '{"__proto__":1,"__proto__":2}',
    '{"":1,"":2}',
  ])
    assert.ok(twice(text), text)
})

test('what only looks like it is not', () => {
  for (const text of [
    '{"a":":","b":"\\":\\"","c":{"a":1}}',
    '{"a":[{"a":1},{"a":2}]}',
    '{"a\\\\":1,"a":2}',
    ' { "a" : "x:y" , "b" : [ ":" , null ] } ',
    '[]',
  ])
    assert.ok(!twice(text), text)
})

test('no text that JSON.stringify makes names a member twice', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => !twice(JSON.stringify(value))),
    { numRuns: 500 },
  )
})

test('a text that nests as deep as a token may is judged', () => {
  const deep = `${'[{"a":'.repeat(4000)}1${'}]'.repeat(4000)}`
  assert.ok(!twice(deep))
})
