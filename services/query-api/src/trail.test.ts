import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeCursor, encodeCursor, pageOf } from './cursor.ts'
import { ApiError } from './problems.ts'
import { isoMicros, parseIsoMicros } from './time.ts'
import { createTrail, windows } from './trail.ts'

const nowUs = Date.UTC(2026, 10, 22) * 1000

test('windows cover exactly the range asked for, from the newest back, without gap or overlap', () => {
  const moment = fc.option(fc.integer({ min: 0, max: nowUs * 2 }), { nil: undefined })
  fc.assert(
    fc.property(moment, moment, moment, (fromUs, toUs, cursorUs) => {
      const after = cursorUs === undefined ? undefined : { us: cursorUs, id: 'x' }
      const list = [...windows({ fromUs, toUs, after }, nowUs)]
      const first = Math.min(
        toUs ?? Number.POSITIVE_INFINITY,
        after ? after.us + 1 : Number.POSITIVE_INFINITY,
      )
      const end = first === Number.POSITIVE_INFINITY ? nowUs + 86_400_000_000 : first
      if (end <= (fromUs ?? 0)) return assert.deepEqual(list, [])
      assert.equal(list[0]?.endUs, end)
      assert.equal(list.at(-1)?.startUs, fromUs ?? 0)
      for (const [index, { startUs }] of list.entries())
        if (index + 1 < list.length) assert.equal(startUs, list[index + 1]?.endUs)
    }),
  )
})

test('only so many queries run at once, the next ones wait, and beyond that they are sent away', async () => {
  let running = 0
  let most = 0
  const release: (() => void)[] = []
  const store = {
    async query<T>(): Promise<T[]> {
      running += 1
      most = Math.max(most, running)
      await new Promise<void>((resolve) => release.push(resolve))
      running -= 1
      return []
    },
  }
  const trail = createTrail({ store, nowUs: () => nowUs, concurrency: 2 })
  const asked = Array.from({ length: 20 }, () => trail.rows('SELECT 1', {}))
  const settled = Promise.allSettled(asked)
  for (let answered = 0; answered < 18; answered++) {
    while (release.length === 0) await new Promise((resolve) => setImmediate(resolve))
    release.shift()?.()
  }
  const results = await settled
  assert.equal(most, 2)
  const refused = results.filter((result) => result.status === 'rejected')
  assert.equal(refused.length, 2)
  for (const { reason } of refused) assert.ok(reason instanceof ApiError && reason.code === 'overloaded')
})

test('a cursor goes round, and belongs to one list with one set of filters', () => {
  const position = { us: 1_795_344_173_148_191, id: 's1|"é' }
  const cursor = encodeCursor('commands', { target: 'shop' }, position)
  assert.match(cursor, /^[\w-]+$/)
  assert.deepEqual(decodeCursor('commands', { target: 'shop' }, cursor), position)
  assert.throws(() => decodeCursor('commands', { target: 'other' }, cursor), /One thing is wrong/)
  assert.throws(() => decodeCursor('sessions', { target: 'shop' }, cursor), /One thing is wrong/)
  for (const odd of ['', '!', Buffer.from('[1]').toString('base64url'), `${cursor}x`.slice(5)])
    assert.throws(() => decodeCursor('commands', { target: 'shop' }, odd), ApiError)
})

test('whether there is more is seen from one row too many', () => {
  const cursorOf = String
  assert.deepEqual(pageOf([1, 2, 3], 2, cursorOf), { items: [1, 2], nextCursor: '2' })
  assert.deepEqual(pageOf([1, 2], 2, cursorOf), { items: [1, 2], nextCursor: null })
  assert.deepEqual(pageOf([], 2, cursorOf), { items: [], nextCursor: null })
})

test('times go round with every microsecond, and what is no time is none', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 7_258_118_400_000_000 }), (us) => {
      assert.equal(parseIsoMicros(isoMicros(us)), us)
    }),
  )
  assert.equal(parseIsoMicros('2026-11-22T10:00:00+02:00'), Date.UTC(2026, 10, 22, 8) * 1000)
  assert.equal(parseIsoMicros('2026-11-22T10:00:00.5Z'), Date.UTC(2026, 10, 22, 10) * 1000 + 500_000)
  for (const odd of [
    '2026-11-22',
    '2026-11-22T10:00:00',
    '2026-13-22T10:00:00Z',
    'now',
    '2026-11-22T10:00:00.1234567Z',
  ])
    assert.equal(parseIsoMicros(odd), undefined)
})
