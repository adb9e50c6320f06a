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

/** 3.0 with a secret of 4 bytes, 3.2 with one of 32, and a minor version that nobody has, which is answered with 3.2. */
const versions = [
  { version: 196_608, secretBytes: 4 },
  { version: 196_610, secretBytes: 32 },
  { version: 196_608 + 9999, secretBytes: 32 },
]

test('whichever worker takes the request, the right session is cancelled and no other, in each version of the protocol', async () => {
  const port = system.value.port()
  const token = await system.value.token('worker')
  const clients = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      RawClient.open(port, 'shop', token, 'postgres', versions[index % 3]?.version),
    ),
  )
  const keys = clients.map(
    (client) => client.take().find(({ type }) => type === 'K')?.payload ?? Buffer.alloc(8),
  )
  for (const [index, key] of keys.entries())
    assert.equal(key.length, 4 + (versions[index % 3]?.secretBytes ?? 0))
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
