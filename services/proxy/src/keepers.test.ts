import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { chooseKeepers } from './keepers.ts'

const all = (size: number) => new Set(Array.from({ length: size }, (_, queue) => queue))

test('each queue belongs to the worker that was started for it, of two to the newer', () => {
  const able = [
    { slot: 1, home: 0 },
    { slot: 2, home: 1 },
    { slot: 7, home: 0 },
  ]
  const now = new Map([
    [0, 1],
    [1, 2],
  ])
  assert.deepEqual([...chooseKeepers(2, all(2), now, able)].sort(), [
    [0, 7],
    [1, 2],
  ])
})

test('an orphan goes to whoever has the fewest, and stays there until its own worker is back', () => {
  const two = [
    { slot: 1, home: 0 },
    { slot: 3, home: 2 },
  ]
  const now = new Map([
    [0, 1],
    [2, 3],
  ])
  const chosen = chooseKeepers(3, all(3), now, two)
  const standIn = chosen.get(1) ?? -1
  assert.ok([1, 3].includes(standIn))
  const later = new Map([...now, [1, standIn]])
  assert.equal(chooseKeepers(3, all(3), later, two).get(1), standIn)
  assert.equal(chooseKeepers(3, all(3), later, [...two, { slot: 9, home: 1 }]).get(1), 9)
})

test('nobody stands in for a queue that was never accepted from', () => {
  const able = [{ slot: 0, home: 0 }]
  assert.deepEqual([...chooseKeepers(3, new Set(), new Map(), able)], [[0, 0]])
})

test('whatever lives and dies: each queue in use has one keeper, who is able, and keeps it', () => {
  const worker = fc.record({ slot: fc.nat(30), home: fc.nat(9) })
  fc.assert(
    fc.property(
      fc.uniqueArray(worker, { selector: ({ slot }) => slot, maxLength: 12 }),
      fc.array(fc.tuple(fc.nat(7), fc.nat(30))),
      (able, before) => {
        const queues = 8
        const slots = new Set(able.map(({ slot }) => slot))
        const chosen = chooseKeepers(queues, all(queues), new Map(before), able)
        assert.equal(chosen.size, able.length > 0 ? queues : 0)
        for (const slot of chosen.values()) assert.ok(slots.has(slot))
        const settled = chooseKeepers(queues, all(queues), chosen, able)
        assert.deepEqual([...settled].sort(), [...chosen].sort(), 'what was chosen is chosen again')
      },
    ),
  )
})
