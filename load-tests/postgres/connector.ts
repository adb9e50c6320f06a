/**
 * Connects, asks for one row and leaves, again and again, as a process of its own. Prints the milliseconds until each
 * answer as JSON.
 *
 *   connector.ts '{ ...pg.ClientConfig }' SECONDS
 */
import pg from 'pg'

const config = JSON.parse(process.argv[2] ?? '{}') as pg.ClientConfig
const untilMs = performance.now() + Number(process.argv[3]) * 1000
const waitsMs: number[] = []
// The first ones compile what all of them run.
for (let number = -20; number < 0 || performance.now() < untilMs; number++) {
  const client = new pg.Client(config)
  const sinceMs = performance.now()
  await client.connect()
  await client.query('select 1')
  if (number >= 0) waitsMs.push(performance.now() - sinceMs)
  await client.end()
}
console.log(JSON.stringify(waitsMs))
