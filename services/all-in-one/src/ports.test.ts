import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import type { AddressInfo } from 'node:net'
import { test } from 'node:test'
import { assertPortsFree, freePorts } from './ports.ts'

test('free ports are different, and free', async () => {
  const ports = await freePorts(8)
  assert.equal(new Set(ports).size, 8)
  const wanted = ports.map((port) => ({ address: `127.0.0.1:${port}`, what: 'x', howToChange: '' }))
  await assertPortsFree(wanted, 0)
})

test('a taken port is named with what it is for and how to choose another; one let go in time is no error', async () => {
  const server = createServer()
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  const wanted = [{ address, what: 'the API', howToChange: 'Use --api-port PORT' }]
  await assert.rejects(assertPortsFree(wanted, 0), (error: Error) => {
    assert.equal(
      error.message,
      `${address} (the API) cannot be used: another program listens there. Use --api-port PORT`,
    )
    return true
  })
  setTimeout(() => server.close(), 300)
  await assertPortsFree(wanted, 5000)
})
