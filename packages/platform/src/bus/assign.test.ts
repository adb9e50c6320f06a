import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Topic } from '@portcullis/kernel'
import fc from 'fast-check'
import { assign, partitionName } from './assign.ts'

const commands: Topic = 'portcullis.commands.v1'
const control: Topic = 'portcullis.control.v1'

test('every partition has one owner, shares differ by one at most, and a plan that holds stays', () => {
  const ids = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 6 })
  fc.assert(
    fc.property(ids, fc.nat(20), fc.array(fc.nat(7), { maxLength: 20 }), (members, count, owned) => {
      const subscribers = members.map((id) => ({ id, topics: [commands] }))
      const owners = new Map<string, string>()
      for (const [partition, owner] of owned.entries())
        owners.set(partitionName({ topic: commands, partition }), members[owner] ?? 'somebody who left')
      const plan = assign(subscribers, new Map([[commands, count]]), owners)
      assert.equal(plan.size, count)
      const shares = members.map((id) => [...plan.values()].filter((owner) => owner === id).length)
      assert.ok(Math.max(...shares) - Math.min(...shares) <= 1)
      assert.deepEqual(assign(subscribers, new Map([[commands, count]]), plan), plan)
      assert.deepEqual(assign(subscribers.toReversed(), new Map([[commands, count]]), owners), plan)
    }),
  )
})

test('a member that joins takes its share and nothing else moves', () => {
  const partitions = new Map([[commands, 6]])
  const two = ['a', 'b'].map((id) => ({ id, topics: [commands] }))
  const before = assign(two, partitions, new Map())
  const after = assign([...two, { id: 'c', topics: [commands] }], partitions, before)
  const moved = [...after].filter(([name, owner]) => before.get(name) !== owner)
  assert.equal(moved.length, 2)
  assert.ok(moved.every(([, owner]) => owner === 'c'))
})

test('a topic goes to its subscribers only, and single partitions spread', () => {
  const members = [
    { id: 'a', topics: [commands, control] },
    { id: 'b', topics: [control] },
  ]
  const plan = assign(
    members,
    new Map<Topic, number>([
      [commands, 2],
      [control, 1],
    ]),
    new Map(),
  )
  assert.deepEqual(Object.fromEntries(plan), {
    'portcullis.commands.v1/0': 'a',
    'portcullis.commands.v1/1': 'a',
    'portcullis.control.v1/0': 'b',
  })
})
