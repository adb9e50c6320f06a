import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { FrameError, type FrameRules, Frames, type Run } from './frames.ts'

/** A whole, B by its prefix of two strings, C as a stream. */
const rules: FrameRules = {
  handling: (type) => (type === 0x41 ? 'whole' : type === 0x42 ? 'prefix' : 'stream'),
  prefixReady(bytes, start, end) {
    const first = bytes.subarray(start, end).indexOf(0)
    return first >= 0 && bytes.subarray(start + first + 1, end).indexOf(0) >= 0
  },
}

function frame(type: number, payload: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head[0] = type
  head.writeUInt32BE(payload.length + 4, 1)
  return Buffer.concat([head, payload])
}

/** The messages that `run` returned together. */
function cut({ count, buffer, start, end }: Run): Buffer[] {
  const messages: Buffer[] = []
  for (let at = start; at < end; at += buffer.readUInt32BE(at + 1) + 1)
    messages.push(Buffer.from(buffer.subarray(at, at + buffer.readUInt32BE(at + 1) + 1)))
  assert.equal(messages.length, count)
  return messages
}

/** What a run of C may have at most. */
interface Limits {
  readonly count: number
  readonly bytes: number
}

/** Feeds the bytes in pieces; checks each rule on the way, and returns the messages put together again. */
function read(bytes: Buffer, pieces: readonly number[], limits?: Limits): Buffer[] {
  const frames = new Frames(rules)
  const messages: Buffer[][] = []
  let at = 0
  for (const length of [...pieces, bytes.length]) {
    const chunk = Buffer.from(bytes.subarray(at, at + length))
    at += chunk.length
    frames.feed(chunk)
    for (let next = frames.next(); next; next = frames.next()) {
      const part = Buffer.from(next.buffer.subarray(next.start, next.end))
      if (next.type === 0) {
        messages.at(-1)?.push(part)
        continue
      }
      assert.equal(part[0], next.type)
      assert.equal(part.length + next.rest, part.readUInt32BE(1) + 1)
      if (next.type === 0x41) assert.equal(next.rest, 0, 'a whole message comes whole')
      if (next.type === 0x42)
        assert.ok(next.rest === 0 || rules.prefixReady(part, 5, part.length), 'the prefix is there')
      messages.push([part])
      const run = limits && next.rest === 0 && frames.nextRun(0x43, limits.count, limits.bytes)
      if (!run) continue
      assert.ok(run.count <= limits.count && run.end - run.start <= limits.bytes)
      messages.push(...cut(run).map((whole) => [whole]))
    }
    // A chunk may be overwritten once it was used up: nothing may be kept of it but copies.
    chunk.fill(0xee)
  }
  return messages.map((parts) => Buffer.concat(parts))
}

const payload = (type: number) =>
  type === 0x42
    ? fc
        .tuple(
          fc.stringMatching(/^[a-z]{0,20}$/),
          fc.stringMatching(/^[a-z]{0,20}$/),
          fc.uint8Array({ maxLength: 200 }),
        )
        .map(([a, b, rest]) => Buffer.concat([Buffer.from(`${a}\0${b}\0`), rest]))
    : fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes))
const messagesOf = fc.array(
  fc.constantFrom(0x41, 0x42, 0x43).chain((type) => payload(type).map((bytes) => frame(type, bytes))),
  { maxLength: 12 },
)

test('whole, byte by byte and split anywhere: the same messages', () => {
  fc.assert(
    fc.property(
      messagesOf,
      fc.array(fc.integer({ min: 1, max: 40 }), { maxLength: 60 }),
      (messages, pieces) => {
        const bytes = Buffer.concat(messages)
        assert.deepEqual(read(bytes, []), messages)
        assert.deepEqual(read(bytes, pieces), messages)
        assert.deepEqual(read(bytes, Array(bytes.length).fill(1)), messages)
      },
    ),
    { numRuns: 100 },
  )
})

test('messages of one type taken as runs, as far as the limits go: the same messages', () => {
  const many = fc.array(fc.uint8Array({ maxLength: 60 }), { maxLength: 30 })
  const limit = fc.constantFrom(1, 2, 7, 100, Number.POSITIVE_INFINITY)
  fc.assert(
    fc.property(
      fc.array(many, { maxLength: 4 }),
      fc.array(fc.integer({ min: 1, max: 400 }), { maxLength: 20 }),
      fc.record({ count: limit, bytes: limit }),
      (groups, pieces, limits) => {
        const messages = groups.flatMap((rows) => [
          ...rows.map((row) => frame(0x43, Buffer.from(row))),
          frame(0x41, Buffer.alloc(3)),
        ])
        const bytes = Buffer.concat(messages)
        assert.deepEqual(read(bytes, [], limits), messages)
        assert.deepEqual(read(bytes, pieces, limits), messages)
      },
    ),
    { numRuns: 200 },
  )
  const rows = Array.from({ length: 9 }, () => frame(0x43, Buffer.from('row')))
  const frames = new Frames(rules)
  frames.feed(Buffer.concat([...rows, frame(0x43, Buffer.alloc(9)).subarray(0, 8)]))
  assert.equal(frames.nextRun(0x43, 4, 1000)?.count, 4)
  assert.equal(frames.nextRun(0x43, 4, 17)?.count, 2)
  assert.equal(frames.nextRun(0x43, 100, 1000)?.count, 3)
  assert.equal(frames.nextRun(0x43, 100, 1000), undefined)
  assert.equal(frames.next()?.rest, 6)
  assert.equal(frames.nextRun(0x43, 100, 1000), undefined, 'in the middle of a message')
})

test('a length that cannot be in a run is left to be told of', () => {
  const frames = new Frames(rules)
  const bad = frame(0x43, Buffer.alloc(0))
  bad.writeUInt32BE(3, 1)
  frames.feed(Buffer.concat([frame(0x43, Buffer.alloc(1)), bad]))
  assert.equal(frames.nextRun(0x43, 10, 100)?.count, 1)
  assert.throws(() => frames.next(), FrameError)
})

test('a length that cannot be ends the connection, whole or split', () => {
  for (const length of [0, 3, 0x80000000, 0xffffffff]) {
    const head = Buffer.alloc(5)
    head[0] = 0x41
    head.writeUInt32BE(length, 1)
    assert.throws(() => read(head, []), FrameError)
    assert.throws(() => read(head, [1, 1, 1, 1]), FrameError)
  }
})

test('a name without its end is not collected for ever', () => {
  assert.throws(
    () => read(frame(0x42, Buffer.alloc(1_000_000, 0x61)).subarray(0, 100_000), Array(100).fill(1000)),
    FrameError,
  )
})

test('a length field alone reserves nothing', () => {
  const frames = new Frames(rules)
  const head = Buffer.alloc(5)
  head[0] = 0x41
  head.writeUInt32BE(0x7fffffff, 1)
  const before = process.memoryUsage().arrayBuffers
  frames.feed(head)
  assert.equal(frames.next(), undefined)
  assert.ok(process.memoryUsage().arrayBuffers - before < 1_000_000)
})
