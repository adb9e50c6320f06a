import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect, type TLSSocket } from 'node:tls'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { createDoorTls } from './client-tls.ts'
import { joinRecords } from './tls-reads.ts'

const recordBytes = 8192

test('records that come together are handed on as one, and a short one at once with what came before it', async (t) => {
  const { accepted, client } = await pair(t)
  const source = joinRecords(accepted)
  const sizes: number[] = []
  const got: Buffer[] = []
  source.listen((chunk) => {
    sizes.push(chunk.length)
    got.push(Buffer.from(chunk))
  })
  accepted.resume()
  const sent = bytes(4 << 20)
  sendRecords(client, sent)
  client.write('the end')
  await until(() => total(got) === sent.length + 7)
  assert.ok(Buffer.concat(got).equals(Buffer.concat([sent, Buffer.from('the end')])))
  const mean = total(got) / sizes.length
  assert.ok(mean > 3 * recordBytes, `chunks of ${mean} bytes: this Node has no such fields`)
})

test('what was decrypted after a pause waits in its order, and the end behind it', async (t) => {
  const { accepted, client } = await pair(t)
  const source = joinRecords(accepted)
  const got: Buffer[] = []
  let ended = 0
  accepted.once('end', () => {
    ended = total(got)
  })
  source.listen((chunk) => {
    assert.equal(accepted.isPaused(), false)
    got.push(chunk)
    source.keep()
    accepted.pause()
    setTimeout(() => accepted.resume(), 1)
  })
  accepted.resume()
  const sent = bytes(2 << 20)
  sendRecords(client, sent)
  client.end()
  await once(accepted, 'close')
  assert.ok(Buffer.concat(got).equals(sent))
  assert.equal(ended, sent.length)
})

test('buffers are used again once what lay in them is not needed', async (t) => {
  const { accepted, client } = await pair(t)
  const source = joinRecords(accepted)
  const buffers = new Set<ArrayBufferLike>()
  const sent = bytes(4 << 20)
  let at = 0
  let held: Buffer = Buffer.alloc(0)
  source.listen((chunk) => {
    assert.ok(sent.subarray(at - held.length, at).equals(held), 'a chunk that was kept was overwritten')
    source.release()
    assert.ok(sent.subarray(at, at + chunk.length).equals(chunk))
    source.keep()
    held = chunk
    at += chunk.length
    buffers.add(chunk.buffer)
    accepted.pause()
    setImmediate(() => accepted.resume())
  })
  accepted.resume()
  sendRecords(client, sent)
  await until(() => at === sent.length)
  assert.ok(buffers.size < 12, `${buffers.size} buffers for ${sent.length} bytes`)
})

test('what had been read before is handed on first', async (t) => {
  const { accepted, client } = await pair(t)
  client.write('before ')
  await until(() => accepted.readableLength > 0)
  const source = joinRecords(accepted)
  let text = ''
  source.listen((chunk) => {
    text += chunk
  })
  client.write('after')
  accepted.resume()
  await until(() => text === 'before after')
})

function sendRecords(client: Socket, sent: Buffer): void {
  for (let at = 0; at < sent.length; at += recordBytes) client.write(sent.subarray(at, at + recordBytes))
}

function bytes(length: number): Buffer {
  return Buffer.from(Uint32Array.from({ length: length / 4 }, (_, at) => at * 2_654_435_761).buffer)
}

function total(chunks: readonly Buffer[]): number {
  return chunks.reduce((sum, { length }) => sum + length, 0)
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await sleep(5)
}

async function pair(t: TestContext): Promise<{ accepted: TLSSocket; client: Socket }> {
  const { server: own, caPem } = makeCertificates()
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const plain = connectTcp((server.address() as AddressInfo).port, '127.0.0.1')
  const [accepted] = (await once(server, 'connection')) as [Socket]
  const securing = createDoorTls({ cert: own.certPem, key: own.keyPem }).accept(accepted)
  const client = connect({ socket: plain, ca: caPem, host: '127.0.0.1' })
  client.on('error', () => undefined)
  const secured = once(client, 'secureConnect')
  const { socket: inside } = await securing
  inside.on('error', () => undefined)
  inside.pause()
  client.resume()
  await secured
  t.after(() => {
    client.destroy()
    inside.destroy()
    server.close()
  })
  return { accepted: inside, client }
}
