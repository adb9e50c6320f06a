import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createCancelExchange } from './cancel-exchange.ts'
import type { ToWorker } from './ipc.ts'

function exchangeOf(...slots: readonly number[]) {
  const sent: [number, ToWorker][] = []
  const exchange = createCancelExchange(
    () => slots,
    (slot, message) => void sent.push([slot, message]),
  )
  const ask = (from: number, id: number) =>
    exchange.take(from, { kind: 'cancel', id, processId: 4711, secret: Buffer.of(1) })
  const answer = (from: number, right: boolean) => {
    const id = sent.findLast(([slot, { kind }]) => slot === from && kind === 'cancel')?.[1]
    assert.ok(id?.kind === 'cancel')
    exchange.take(from, { kind: 'cancelled', id: id.id, right })
  }
  const answers = () => sent.filter(([, { kind }]) => kind === 'cancelled')
  return { exchange, ask, answer, sent, answers }
}

test('all others are asked, and the first yes is the answer', () => {
  const { ask, answer, sent, answers } = exchangeOf(1, 2, 3)
  ask(2, 7)
  assert.deepEqual(
    sent.map(([slot]) => slot),
    [1, 3],
  )
  answer(3, true)
  assert.deepEqual(answers(), [[2, { kind: 'cancelled', id: 7, right: true }]])
  answer(1, false)
  assert.equal(answers().length, 1, 'once')
})

test('no is the answer when the last has said no, has gone, or when nobody is there to be asked', () => {
  const { exchange, ask, answer, answers } = exchangeOf(1, 2, 3)
  ask(2, 7)
  answer(1, false)
  assert.equal(answers().length, 0)
  exchange.gone(3)
  assert.deepEqual(answers(), [[2, { kind: 'cancelled', id: 7, right: false }]])
  const alone = exchangeOf(5)
  alone.ask(5, 9)
  assert.deepEqual(alone.answers(), [[5, { kind: 'cancelled', id: 9, right: false }]])
})
