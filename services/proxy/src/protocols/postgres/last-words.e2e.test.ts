/** A server's FATAL is its last word: the client finds the connection closed behind it, as it does directly. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer } from 'node:net'
import { test } from 'node:test'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'

/** Long after which a slow network lets go of a connection that the server has closed. */
const lateMs = 3000

test('the client need not wait for the connection to the server to close', async () => {
  const postgres = await startPostgres()
  const late: NodeJS.Timeout[] = []
  const between = createServer({ allowHalfOpen: true }, (gate) => {
    const server = connect({ host: postgres.value.host, port: postgres.value.port })
    gate.on('error', () => server.destroy()).pipe(server)
    server.on('error', () => gate.destroy()).pipe(gate, { end: false })
    server.on('close', () => late.push(setTimeout(() => gate.destroy(), lateMs)))
  }).listen(0, '127.0.0.1')
  await once(between, 'listening')
  const { port } = between.address() as AddressInfo
  const bed = await startBed({ postgres: postgres.value, hosts: [{ host: '127.0.0.1', port }] })
  try {
    const client = await RawClient.open(bed.value.port, 'shop', 'ann', 'postgres')
    client.take()
    client.write(send.query('select pg_terminate_backend(pg_backend_pid())'))
    await assert.rejects(
      client.until(() => false, lateMs / 2),
      /^Error: closed after T D E:57P01$/,
    )
    assert.equal(bed.value.closed[0]?.detail, 'the target ended the connection')
    assert.equal(bed.value.of(/terminate/)[0]?.result?.errorCode, '57P01')
  } finally {
    for (const timer of late) clearTimeout(timer)
    await bed.stop()
    between.close()
    await postgres.stop()
  }
})
