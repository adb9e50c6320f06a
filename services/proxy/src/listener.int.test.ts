import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { after, test } from 'node:test'
import type { ClientConnection, Started } from '@portcullis/kernel'
import { openAcceptQueues } from './accept-queues.ts'
import { type Listener, startListener } from './listener.ts'

const header = v2Header('198.51.100.7', 40_001)
const localHeader = Buffer.concat([header.subarray(0, 12), Buffer.of(0x20, 0, 0, 0)])
const clientBytes = Buffer.from('\r\n\r\0\r\nwhatever the client says first, which may look like a header')

const stops: (() => Promise<void>)[] = []
after(async () => {
  for (const stop of stops) await stop()
})

test("a trusted peer's header gives the origin, and the protocol gets exactly the bytes after it", async () => {
  const bed = await start({ trusted: true })
  const ways: readonly [string, readonly Buffer[]][] = [
    ['whole, then the client', [header, clientBytes]],
    ['in one piece with the client', [Buffer.concat([header, clientBytes])]],
    [
      'with the first bytes of the client',
      [Buffer.concat([header, clientBytes.subarray(0, 3)]), clientBytes.subarray(3)],
    ],
    ['byte by byte', [...Buffer.concat([header, clientBytes])].map((byte) => Buffer.of(byte))],
  ]
  for (const [way, pieces] of ways) {
    const client = await bed.connect()
    await write(client, pieces)
    client.end()
    const served = await bed.served()
    assert.equal(served.origin.address, '198.51.100.7', way)
    assert.equal(served.loopback, false, way)
    assert.deepEqual(await bytesOf(served), clientBytes, way)
  }
  assert.deepEqual(bed.logged, [])
})

test("a balancer's own connection keeps its address, and is not on loopback", async () => {
  const bed = await start({ trusted: true })
  const client = await bed.connect()
  await write(client, [localHeader])
  client.end(clientBytes)
  const served = await bed.served()
  assert.equal(served.origin.address, '127.0.0.1')
  assert.equal(served.loopback, false)
  assert.deepEqual(await bytesOf(served), clientBytes)
})

test('a trusted peer without a header is refused, and the log says who and why', async () => {
  const bed = await start({ trusted: true })
  const openings = [
    ['no PROXY protocol version 2 header', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['version 1 is not accepted', Buffer.from('PROXY TCP4 198.51.100.7 192.0.2.1 1 2\r\n')],
    ['malformed PROXY header', Buffer.concat([header.subarray(0, 12), Buffer.of(0x31)])],
  ] as const
  for (const [why, bytes] of openings) {
    const client = await bed.connect()
    client.write(bytes)
    await closed(client)
    const [entry, ...more] = bed.logged.splice(0)
    assert.deepEqual([entry?.peer, more], ['127.0.0.1', []])
    assert.match(String(entry?.why), new RegExp(why))
  }
  assert.equal(bed.count(), 0)
})

test("a header from a peer that is not trusted is the client's own bytes", async () => {
  const bed = await start({ trusted: false })
  const client = await bed.connect()
  client.end(Buffer.concat([header, clientBytes]))
  const served = await bed.served()
  assert.equal(served.origin.address, '127.0.0.1')
  assert.equal(served.loopback, true)
  assert.deepEqual(await bytesOf(served), Buffer.concat([header, clientBytes]))
})

test('a trusted peer that does not finish its header in time is dropped', async () => {
  const bed = await start({ trusted: true, headerMsMax: 150 })
  for (const begun of [Buffer.alloc(0), header.subarray(0, 20)]) {
    const client = await bed.connect()
    const startedMs = performance.now()
    if (begun.length > 0) client.write(begun)
    await closed(client)
    const tookMs = performance.now() - startedMs
    assert.ok(tookMs > 100 && tookMs < 2000, `dropped after ${tookMs} ms`)
    const [entry] = bed.logged.splice(0)
    assert.equal(entry?.peer, '127.0.0.1')
    assert.match(String(entry?.why), /no whole PROXY header within 150 ms/)
  }
  const gone = await bed.connect()
  gone.destroy()
  await new Promise((resolve) => setTimeout(resolve, 300))
  assert.deepEqual(bed.logged, [], 'a peer that leaves by itself is no news')
  assert.equal(bed.count(), 0)
})

interface Bed {
  readonly logged: Record<string, unknown>[]
  connect(): Promise<Socket>
  /** The next connection that reached the protocol. */
  served(): Promise<ClientConnection>
  count(): number
}

async function start(options: { trusted: boolean; headerMsMax?: number }): Promise<Bed> {
  const logged: Record<string, unknown>[] = []
  const arrived: ClientConnection[] = []
  let wake = () => {}
  let count = 0
  const listener: Started<Listener> = startListener({
    viaProxy: () => options.trusted,
    originOf: (address) => ({ address, country: '', region: '', asn: 0, asOrg: '' }),
    async serve(connection) {
      count += 1
      arrived.push(connection)
      wake()
    },
    headerMsMax: options.headerMsMax ?? 5000,
    log: { warn: (fields) => logged.push({ ...fields }), debug: () => {} },
  })
  stops.push(listener.stop)
  const queues = await openAcceptQueues({ address: '127.0.0.1:0', size: 1 })
  await listener.value.accept(0, queues.socket(0))
  return {
    logged,
    async connect() {
      const socket = connect({ host: '127.0.0.1', port: queues.port, noDelay: true })
      socket.on('error', () => {})
      await once(socket, 'connect')
      return socket
    },
    async served() {
      const startedMs = performance.now()
      while (arrived.length === 0 && performance.now() - startedMs < 5000)
        await new Promise<void>((resolve) => {
          const late = setTimeout(resolve, 100)
          wake = () => {
            clearTimeout(late)
            resolve()
          }
        })
      const connection = arrived.shift()
      assert.ok(connection, 'the connection did not reach the protocol')
      return connection
    },
    count: () => count,
  }
}

/** Each piece in a segment of its own. */
async function write(socket: Socket, pieces: readonly Buffer[]): Promise<void> {
  for (const piece of pieces) {
    await new Promise((resolve) => socket.write(piece, resolve))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function bytesOf({ head, socket }: ClientConnection): Promise<Buffer> {
  const chunks: Uint8Array[] = [head]
  for await (const chunk of socket) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

async function closed(socket: Socket): Promise<void> {
  socket.resume()
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve))
}

function v2Header(address: string, port: number): Buffer {
  const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
  const body = Buffer.alloc(12)
  body.set(address.split('.').map(Number), 0)
  body.set([192, 0, 2, 1], 4)
  body.writeUInt16BE(port, 8)
  body.writeUInt16BE(5432, 10)
  // A TLV that says nothing (PP2_TYPE_NOOP), as balancers pad with.
  const noop = Buffer.of(0x04, 0, 2, 0, 0)
  const length = Buffer.alloc(2)
  length.writeUInt16BE(body.length + noop.length)
  return Buffer.concat([signature, Buffer.of(0x21, 0x11), length, body, noop])
}
