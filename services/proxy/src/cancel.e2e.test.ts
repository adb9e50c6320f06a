/** A CancelRequest lands on any worker; the one that holds the session gets it. Real processes, one port. */
import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { cancelRequest } from './protocols/postgres/wire.ts'
import { RawClient, send } from './testing/raw-client.ts'

let postgres: Started<Postgres>
let system: Started<System>
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  system = await startSystem({ postgres: postgres.value, parts: ['proxy'], workers: 3 })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

test('whichever worker takes the request, the right session is cancelled and no other', async () => {
  const port = system.value.port()
  const token = await system.value.token('worker')
  const clients = await Promise.all(
    Array.from({ length: 8 }, () => RawClient.open(port, 'shop', token, 'postgres')),
  )
  const keys = clients.map(
    (client) => client.take().find(({ type }) => type === 'K')?.payload ?? Buffer.alloc(8),
  )
  // The kernel spreads connections over the workers: that each of the eight requests meets the one that has its session
  // happens once in 6,561 runs.
  for (const client of clients) client.write(send.query('select pg_sleep(60)'))
  await new Promise((resolve) => setTimeout(resolve, 300))
  for (const [index, client] of clients.entries()) {
    const key = keys[index] ?? Buffer.alloc(8)
    const socket = connect(port, '127.0.0.1')
    socket.end(cancelRequest(key.readInt32BE(0), key.subarray(4)))
    await new Promise((resolve) => socket.once('close', resolve).resume())
    await client.ready(1)
    assert.deepEqual(client.summary(), ['T', 'E:57014', 'Z:I'])
    for (const other of clients.slice(index + 1)) assert.deepEqual(other.summary(), [], 'the others sleep on')
    client.end()
  }
})
