import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Alert } from '@portcullis/kernel'
import fc from 'fast-check'
import { initialIncidents } from './incidents.ts'
import {
  emptyOutbox,
  nextWaiting,
  type Offered,
  type Outbox,
  offer,
  onDelivered,
  onGivenUp,
  onRetry,
  summaryKey,
  tickOutbox,
} from './outbox.ts'
import { stateFromJson, stateToJson } from './state-file.ts'
import { alertOf } from './test-events.ts'

const hourUs = 3_600_000_000
const startUs = 10 * hourUs

/** Delivers all that waits and returns it. */
function drain(outbox: Outbox): Alert[] {
  const delivered: Alert[] = []
  for (let waiting = nextWaiting(outbox); waiting; waiting = nextWaiting(outbox)) {
    onDelivered(outbox, waiting, 'ref')
    delivered.push(waiting.alert)
  }
  return delivered
}
const give = (outbox: Outbox, more: Partial<Alert>, max = 60): Offered =>
  offer(outbox, alertOf({ at: startUs, ...more }), max, startUs)

test('news of one incident that was not told yet replaces the older', () => {
  const outbox = emptyOutbox()
  give(outbox, { title: 'old' })
  give(outbox, { title: 'new' })
  assert.deepEqual(
    drain(outbox).map(({ title }) => title),
    ['new'],
  )
})

test('an incident that was over before it was told is never told', () => {
  const outbox = emptyOutbox()
  give(outbox, {})
  assert.equal(give(outbox, { action: 'resolve' }), 'dropped')
  assert.deepEqual(drain(outbox), [])
})

test('one that is over while it is being told is resolved afterwards', () => {
  const outbox = emptyOutbox()
  give(outbox, {})
  const waiting = nextWaiting(outbox)
  assert.ok(waiting)
  outbox.inFlight = waiting.alert.dedupKey
  assert.equal(give(outbox, { action: 'resolve' }), 'queued')
  onDelivered(outbox, waiting, 'ref')
  outbox.inFlight = undefined
  assert.deepEqual(
    drain(outbox).map(({ action }) => action),
    ['resolve'],
  )
  assert.equal(outbox.told.size, 0)
})

test('the worst goes first, and one that fails again and again holds up no other', () => {
  const outbox = emptyOutbox()
  give(outbox, { dedupKey: 'w', severity: 'warning' })
  give(outbox, { dedupKey: 'c', severity: 'critical' })
  const first = nextWaiting(outbox)
  assert.equal(first?.alert.dedupKey, 'c')
  onRetry(outbox, first)
  assert.equal(nextWaiting(outbox)?.alert.dedupKey, 'w')
})

test('ten thousand incidents: the budget, then one summary with the count', () => {
  const outbox = emptyOutbox()
  for (let index = 0; index < 10_000; index++) give(outbox, { dedupKey: `k${index}`, severity: 'warning' }, 1)
  const delivered = drain(outbox)
  assert.equal(delivered.length, 2)
  assert.match(
    delivered.find(({ dedupKey }) => dedupKey === summaryKey)?.title ?? '',
    /9999 further incidents/,
  )
})

test('a flood of warnings hides no block', () => {
  const outbox = emptyOutbox()
  for (let index = 0; index < 1_000; index++) give(outbox, { dedupKey: `k${index}`, severity: 'warning' }, 5)
  assert.equal(give(outbox, { dedupKey: 'attack', severity: 'critical' }, 5), 'queued')
  assert.equal(nextWaiting(outbox)?.alert.dedupKey, 'attack')
})

test('the budget is for new incidents: updates and resolves always pass', () => {
  const outbox = emptyOutbox()
  give(outbox, { dedupKey: 'a' }, 1)
  drain(outbox)
  assert.equal(give(outbox, { dedupKey: 'b' }, 1), 'suppressed')
  assert.equal(give(outbox, { dedupKey: 'a', title: 'worse' }, 1), 'queued')
  assert.equal(give(outbox, { dedupKey: 'a', action: 'resolve' }, 1), 'queued')
  assert.equal(give(outbox, { dedupKey: 'b', action: 'resolve' }, 1), 'dropped')
})

test('the summary is brought up to date every ten minutes and resolved when the flood is over', () => {
  const outbox = emptyOutbox()
  give(outbox, { dedupKey: 'a' }, 1)
  give(outbox, { dedupKey: 'b' }, 1)
  drain(outbox)
  give(outbox, { dedupKey: 'c' }, 1)
  tickOutbox(outbox, startUs + 60_000_000)
  assert.deepEqual(drain(outbox), [])
  tickOutbox(outbox, startUs + 600_000_000)
  assert.match(drain(outbox)[0]?.title ?? '', /2 further incidents/)
  tickOutbox(outbox, startUs + hourUs)
  assert.deepEqual(
    drain(outbox).map(({ action, dedupKey }) => [action, dedupKey]),
    [['resolve', summaryKey]],
  )
  tickOutbox(outbox, startUs + 2 * hourUs)
  assert.deepEqual(drain(outbox), [])
})

test('what a sink will never take is let go', () => {
  const outbox = emptyOutbox()
  give(outbox, {})
  const waiting = nextWaiting(outbox)
  assert.ok(waiting)
  onGivenUp(outbox, waiting)
  assert.equal(nextWaiting(outbox), undefined)
})

test('in any order of news and deliveries every incident ends told if open and untold if over, through a restart', () => {
  const steps = fc.array(
    fc.tuple(fc.constantFrom('a', 'b', 'c'), fc.constantFrom('trigger', 'resolve', 'deliver', 'restart')),
    { maxLength: 60 },
  )
  fc.assert(
    fc.property(steps, (taken) => {
      let outbox = emptyOutbox()
      const open = new Set<string>()
      for (const [dedupKey, step] of taken) {
        if (step === 'trigger') open.add(dedupKey)
        if (step === 'resolve') open.delete(dedupKey)
        if (step === 'trigger' || step === 'resolve') give(outbox, { dedupKey, action: step }, 1_000)
        const waiting = step === 'deliver' ? nextWaiting(outbox) : undefined
        if (waiting) onDelivered(outbox, waiting, 'ref')
        if (step === 'restart') outbox = restart(outbox)
      }
      drain(outbox)
      assert.deepEqual([...outbox.told.keys()].sort(), [...open].sort())
    }),
  )
})

function restart(outbox: Outbox): Outbox {
  const text = stateToJson({
    incidents: initialIncidents(),
    notices: new Map(),
    offsets: new Map(),
    outboxes: new Map([['sink', outbox]]),
  })
  const restored = stateFromJson(text).outboxes.get('sink')
  assert.ok(restored)
  return restored
}
