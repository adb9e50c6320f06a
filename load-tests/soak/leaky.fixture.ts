/** A process that leaks when it is told to: what probe.int.test.ts must see. */
import { EventEmitter } from 'node:events'
import { openSync } from 'node:fs'
import { createServer } from 'node:net'

const emitter = new EventEmitter()
emitter.setMaxListeners(0)
const kept: unknown[] = []
process.on('message', () => {
  for (let number = 0; number < 100; number++) emitter.on('never', () => kept.length)
  for (let number = 0; number < 10; number++) kept.push(openSync('/dev/null', 'r'))
  for (let number = 0; number < 5; number++) kept.push(createServer().listen(0, '127.0.0.1'))
  kept.push(Array.from({ length: 200_000 }, (_, at) => ({ at })))
  process.send?.('leaked')
})
process.once('disconnect', () => process.exit())
process.send?.('ready')
