import assert from 'node:assert/strict'
import { test } from 'node:test'
import { BusError } from '../errors.ts'
import { parseUrl } from './client.ts'

test('brokers and settings are read from the URL', () => {
  assert.deepEqual(parseUrl('kafka://a:9092'), { brokers: ['a:9092'], ssl: undefined })
  assert.deepEqual(parseUrl('kafka://a.example:9092,10.0.0.1:9093,[::1]:9094/?ssl=true'), {
    brokers: ['a.example:9092', '10.0.0.1:9093', '[::1]:9094'],
    ssl: true,
  })
})

test('what cannot be used is refused by name, and a secret is never repeated', () => {
  for (const url of [
    'kafka://',
    'kafka://a',
    'kafka://a:',
    'kafka://a:1,,b:2',
    'kafka://a:1?sll=true',
    'kafka://a:1?ssl=1',
  ])
    assert.throws(
      () => parseUrl(url),
      (error) => error instanceof BusError && error.code === 'invalid_url',
      url,
    )
  assert.throws(
    () => parseUrl('kafka://user:hunter2@a:9092'),
    (error) => error instanceof BusError && !error.message.includes('hunter2'),
  )
})
