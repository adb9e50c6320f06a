/**
 * A process of its own on a bus, for tests that kill processes: it consumes and prints what it handled, or publishes
 * without pause and prints what was acknowledged, or does that with an event loop that is blocked most of the time, or
 * prints refusals and goes on. It ends only by a signal.
 */
import { writeSync } from 'node:fs'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Topic } from '@portcullis/kernel'
import { connectBus } from '@portcullis/platform/connect'

interface Order {
  readonly url: string
  readonly role: 'consume' | 'publish' | 'publish-blocked' | 'publish-regardless'
  readonly topic: Topic
  /** The group, or the name that marks what this writer wrote. */
  readonly name: string
  readonly sessionTimeoutMs: number
  readonly publishTimeoutMs: number
}

const order = JSON.parse(process.argv[2] ?? '') as Order
const logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} }
const { sessionTimeoutMs, publishTimeoutMs } = order
const { value: bus } = await connectBus(order.url, { logger, sessionTimeoutMs, publishTimeoutMs })

// Synchronous, so that a line that was written survives the kill that follows.
const print = (line: string) => writeSync(1, `${line}\n`)

if (order.role === 'consume') {
  await bus.consume({
    group: order.name,
    topics: [order.topic],
    async onBatch(records) {
      for (const { value } of records) print(Buffer.from(value ?? '').toString())
    },
  })
} else if (order.role === 'publish-regardless') {
  for (let next = 0; ; next++) {
    const text = `${order.name}:${next}`
    const value = Buffer.alloc(20_000, ' ')
    value.write(text)
    await bus.publish([{ topic: order.topic, key: order.name, value }]).then(
      () => print(text),
      (error) => print(`refused ${error.code}`),
    )
  }
} else if (order.role === 'publish-blocked') {
  const nobody = new Int32Array(new SharedArrayBuffer(4))
  for (let next = 0; ; next++) {
    const text = `${order.name}:${next}`
    const done = bus.publish([{ topic: order.topic, key: order.name, value: Buffer.from(text) }])
    await nextTurn()
    Atomics.wait(nobody, 0, 0, 200)
    await done
    print(text)
  }
} else {
  let next = 0
  const write = async () => {
    for (;;) {
      const texts = Array.from({ length: 5 }, () => `${order.name}:${next++}`)
      await bus.publish(
        texts.map((text) => ({ topic: order.topic, key: order.name, value: Buffer.from(text) })),
      )
      print(texts.join('\n'))
    }
  }
  // Several at once, so that group commits are what is killed.
  await Promise.all([write(), write(), write()])
}
