import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type BusRecord, topics } from '@portcullis/kernel'
import { BusError } from './errors.ts'
import { createPublisher, type PublisherOptions } from './publisher.ts'

const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }

function record(text: string): BusRecord {
  return { topic: topics.commands, key: 'k', value: Buffer.from(text) }
}

function texts(records: readonly BusRecord[]): string[] {
  return records.map(({ value }) => Buffer.from(value ?? '').toString())
}

function publisher(write: PublisherOptions['write'], timeoutMs = 1_000) {
  return createPublisher({ timeoutMs, logger, groupBytesMax: 1_000_000, write })
}

test('calls that come while one is written share the next write, in their order', async () => {
  const writes: string[][] = []
  const { publish } = publisher(async (records) => {
    writes.push(texts(records))
    await new Promise((resolve) => setTimeout(resolve, 5))
  })
  await Promise.all(['1', '2', '3'].map((text) => publish([record(text)])))
  assert.deepEqual(writes, [['1'], ['2', '3']])
})

test('a write that fails is repeated as it was, and what came behind stays behind', async () => {
  const writes: string[][] = []
  let failures = 2
  const { publish } = publisher(async (records) => {
    writes.push(texts(records))
    if (failures-- > 0) throw new Error('connection lost')
  })
  await Promise.all([publish([record('1'), record('2')]), publish([record('3')])])
  assert.deepEqual(writes, [['1', '2'], ['1', '2'], ['1', '2'], ['3']])
})

test('one bad record fails its own call and no other', async () => {
  const written: string[] = []
  const { publish } = publisher(async (records) => {
    if (texts(records).includes('bad')) throw new BusError('invalid_record', 'too large')
    written.push(...texts(records))
  })
  const calls = ['0', '1', 'bad', '2'].map((text) => publish([record(text)]))
  const results = await Promise.allSettled(calls)
  assert.deepEqual(
    results.map(({ status }) => status),
    ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
  )
  assert.deepEqual(written, ['0', '1', '2'])
})

test('it gives up after its time with the cause, and a large call that failed part-way writes no later part', async () => {
  let isDown = false
  const written: string[] = []
  const { publish, drain } = publisher(async (records) => {
    if (isDown) throw new Error('no space left on device')
    written.push(...texts(records))
    isDown = records.length > 100
  }, 50)
  const many = Array.from({ length: 5_000 }, (_, at) => record(String(at)))
  await assert.rejects(
    publish(many),
    (error) =>
      error instanceof BusError &&
      error.code === 'unavailable' &&
      error.cause instanceof Error &&
      error.cause.message === 'no space left on device',
  )
  const before = written.length
  isDown = false
  await drain()
  assert.equal(written.length, before)
  await publish([record('next')])
  assert.equal(written.at(-1), 'next')
})
