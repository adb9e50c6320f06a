import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { createBuffers, reuseReads } from './reused-reads.ts'

test('an accepted socket is moved into one that reads into its own buffer, bytes that came before included', async (t) => {
  const { accepted, client } = await pair(t)
  client.write('early ')
  await sleep(20)
  const { source, early } = reuseReads(accepted)
  assert.notEqual(source.socket, accepted, 'this Node has no such fields: the gate reads the ordinary way')
  let text = early.toString()
  const buffers = new Set<ArrayBufferLike>()
  source.listen((chunk) => {
    buffers.add(chunk.buffer)
    text += chunk
  })
  source.socket.resume()
  for (let at = 0; at < 50; at++) {
    client.write(`${at} `)
    await sleep(1)
  }
  client.end()
  await once(source.socket, 'close')
  assert.equal(text, `early ${Array.from({ length: 50 }, (_, at) => `${at} `).join('')}`)
  assert.equal(buffers.size, 1)
})

test('what is kept is not overwritten, and the buffer is large only while much comes', async (t) => {
  const { accepted, client } = await pair(t)
  const { source } = reuseReads(accepted)
  const sent = Buffer.alloc(4 << 20, 0).map((_, at) => (at * 31) >> 3)
  const kept: Buffer[] = []
  const sizes: number[] = []
  source.listen((chunk) => {
    kept.push(chunk)
    sizes.push(chunk.buffer.byteLength)
    source.keep()
  })
  source.socket.resume()
  client.write(sent)
  while (kept.reduce((sum, { length }) => sum + length, 0) < sent.length) await sleep(5)
  assert.ok(Buffer.concat(kept).equals(sent))
  source.listen((chunk) => sizes.push(chunk.buffer.byteLength))
  for (let at = 0; at < 80; at++) {
    client.write('x')
    await sleep(1)
  }
  assert.deepEqual(
    sizes.filter((size, at) => size !== sizes[at - 1]),
    [1024, 4096, 65_536, 4096, 1024],
  )
})

test('what was kept is used again once it is released, and nobody keeps more than a few', () => {
  const buffers = createBuffers()
  buffers.adapt(buffers.take().length)
  const first = Array.from({ length: 50 }, () => buffers.take())
  for (const buffer of first) buffers.keep(buffer)
  assert.equal(first.includes(buffers.take()), false, 'not before the release')
  buffers.release()
  const again = Array.from({ length: 50 }, () => buffers.take()).filter((buffer) => first.includes(buffer))
  assert.ok(again.length > 0 && again.length <= 2, `${again.length} of 50`)
})

test('the two sockets close together, whichever is closed', async (t) => {
  for (const which of ['accepted', 'own'] as const) {
    const { accepted, client } = await pair(t)
    const { source } = reuseReads(accepted)
    const closed = Promise.all([once(accepted, 'close'), once(source.socket, 'close'), once(client, 'close')])
    if (which === 'accepted') accepted.destroy()
    else source.socket.destroy()
    await closed
  }
})

test('a socket that is closed already is left as it is', async (t) => {
  const { accepted } = await pair(t)
  accepted.destroy()
  assert.equal(reuseReads(accepted).source.socket, accepted)
})

async function pair(t: TestContext): Promise<{ accepted: Socket; client: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
  // It is cut off by the other side.
  client.on('error', () => undefined)
  client.resume()
  const [accepted] = (await once(server, 'connection')) as [Socket]
  t.after(() => {
    client.destroy()
    accepted.destroy()
    server.close()
  })
  return { accepted, client }
}
