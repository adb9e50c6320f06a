import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Alert, Clock, Delivery } from '@portcullis/kernel'
import { type ChannelEvent, startChannel } from './channel.ts'
import { emptyOutbox } from './outbox.ts'
import { alertOf } from './test-events.ts'
import { until } from './test-receiver.ts'

const startUs = Date.UTC(2026, 10, 22) * 1000

/** A sink that answers as told, and everything the channel did. */
function rig(
  answers: (alert: Alert) => Delivery | Promise<Delivery>,
  more: { intervalMs?: number; backoffMs?: number } = {},
) {
  const events: ChannelEvent[] = []
  const calls: { alert: Alert; atMs: number }[] = []
  let saves = 0
  let nowUs = startUs
  const clock: Clock = { nowUs: () => nowUs, monotonicMs: () => performance.now() }
  const channel = startChannel({
    sink: {
      name: 'test',
      async deliver(alert) {
        calls.push({ alert, atMs: performance.now() })
        return answers(alert)
      },
    },
    outbox: emptyOutbox(),
    clock,
    save: async () => void saves++,
    perHourMax: 60,
    intervalMs: more.intervalMs ?? 0,
    backoffMs: more.backoffMs ?? 1,
    onEvent: (event) => events.push(event),
    random: () => 0,
  })
  const offer = (dedupKey: string, at = startUs) => channel.value.offer(alertOf({ dedupKey, at }))
  return {
    channel,
    events,
    calls,
    offer,
    saves: () => saves,
    pass(us: number) {
      nowUs += us
    },
  }
}

test('deliveries keep the distance the sink asks for', async () => {
  const { channel, calls, offer } = rig(() => ({ kind: 'delivered' }), { intervalMs: 60 })
  for (const key of ['a', 'b', 'c']) offer(key)
  await until(() => calls.length === 3)
  const gaps = calls.slice(1).map(({ atMs }, index) => atMs - (calls[index]?.atMs ?? 0))
  for (const gap of gaps) assert.ok(gap >= 59, `${gap} ms`)
  await channel.stop()
})

test('each failure in a row doubles the wait, a success ends it', async () => {
  let left = 4
  const { channel, events, offer } = rig(
    () => (left-- > 0 ? { kind: 'retry', why: 'down' } : { kind: 'delivered' }),
    { backoffMs: 4 },
  )
  offer('a')
  await until(() => events.some(({ kind }) => kind === 'delivered'))
  const waits = events.flatMap((event) => (event.kind === 'retried' ? [event.waitMs] : []))
  assert.deepEqual(waits, [2, 4, 8, 16])
  left = 1
  offer('b')
  await until(() => events.filter(({ kind }) => kind === 'delivered').length === 2)
  assert.equal(events.findLast((event) => event.kind === 'retried')?.waitMs, 2)
  await channel.stop()
})

test('one that a sink chokes on holds up no other, and a sink that throws is one that fails', async () => {
  const { channel, events, offer } = rig((alert) => {
    if (alert.dedupKey === 'poison') throw new Error('cannot read properties of undefined')
    return { kind: 'delivered' }
  })
  offer('poison')
  offer('good')
  await until(() => events.some(({ kind }) => kind === 'delivered'))
  assert.equal(events.find(({ kind }) => kind === 'delivered')?.alert.dedupKey, 'good')
  await channel.stop()
})

test('what never will succeed is counted once and let go; so is what a day of trying did not bring', async () => {
  const refusing = rig(() => ({ kind: 'failed', why: 'bad key' }))
  refusing.offer('a')
  await until(() => refusing.events.length === 1)
  assert.deepEqual(refusing.events[0]?.kind, 'failed')
  await refusing.channel.stop()
  assert.equal(refusing.calls.length, 1)

  const old = rig(() => ({ kind: 'delivered' }))
  old.pass(86_400_000_001)
  old.offer('a')
  await until(() => old.events.length === 1)
  assert.equal(old.events[0]?.kind, 'failed')
  assert.equal(old.calls.length, 0)
  await old.channel.stop()
})

test('a stop waits for what is on its way, writes it down, and starts nothing more', async () => {
  const answer = Promise.withResolvers<Delivery>()
  const { channel, calls, saves, offer } = rig(() => answer.promise)
  offer('a')
  offer('b')
  await until(() => calls.length === 1)
  const stopped = channel.stop()
  answer.resolve({ kind: 'delivered' })
  await stopped
  assert.equal(calls.length, 1)
  assert.equal(saves(), 1)
})
