/**
 * A session that asks for one row again and again, as a process of its own so that nothing but the road delays it. Told
 * `start` and `stop` over IPC; answers a stop with the milliseconds that each answer took since the start.
 */
import pg from 'pg'

const client = new pg.Client(JSON.parse(process.argv[2] ?? '{}') as pg.ClientConfig)
await client.connect()
let waitsMs: number[] = []
process.on('message', (order) => {
  if (order === 'start') waitsMs = []
  else process.send?.({ waitsMs })
})
process.once('disconnect', () => process.exit())
process.send?.('ready')
for (;;) {
  const sinceMs = performance.now()
  await client.query('select 1')
  waitsMs.push(performance.now() - sinceMs)
  // Not in step with anything, and never the reason why the machine is full.
  await new Promise((resolve) => setTimeout(resolve, Math.random() * 2))
}
