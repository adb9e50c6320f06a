/**
 * Guard: kafkajs 2.2.4 wakes about 930 times a second for each connection that is idle. Its request queue, asked to
 * look again for requests that wait, sets a timer for `throttledUntil - now`, a negative delay, although nothing waits,
 * and the timer sets the next. With this guard nothing is scheduled while nothing waits. It changes the class in place,
 * since kafkajs offers no seam; where the class is not as expected it changes nothing and says so.
 */
import { createRequire } from 'node:module'
import type { BusLogger } from '../options.ts'

export function quietIdleConnections(logger: BusLogger): void {
  const RequestQueue: unknown = createRequire(import.meta.url)('kafkajs/src/network/requestQueue')
  const prototype: unknown = typeof RequestQueue === 'function' ? RequestQueue.prototype : undefined
  if (!isQueue(prototype)) {
    logger.warn({}, 'kafkajs is not the version this guard was written for: idle connections will use CPU')
    return
  }
  if (guarded in prototype) return
  const schedule = prototype.scheduleCheckPendingRequests
  prototype.scheduleCheckPendingRequests = function scheduleWhereSomethingWaits(this: Queue) {
    if (this.pending.length > 0) schedule.call(this)
  }
  Object.defineProperty(prototype, guarded, { value: true })
}

interface Queue {
  readonly pending: readonly unknown[]
  scheduleCheckPendingRequests(): void
}

function isQueue(value: unknown): value is Queue {
  return (
    typeof value === 'object' &&
    value !== null &&
    'scheduleCheckPendingRequests' in value &&
    typeof value.scheduleCheckPendingRequests === 'function'
  )
}

const guarded: unique symbol = Symbol.for('portcullis.kafka.quiet')
