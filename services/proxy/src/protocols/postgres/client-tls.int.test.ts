import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, createServer, type Socket } from 'node:net'
import { test, type TestContext } from 'node:test'
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls'
import { makeAuthority, makeCertificates } from '@portcullis/testkit/certificates'
import { StreamEnded } from './byte-reader.ts'
import { createDoorTls, type Secured } from './client-tls.ts'

const { server: own } = makeCertificates()
const authority = makeAuthority()
const client = authority.issue({
  commonName: 'planner',
  uris: ['spiffe://acme.example/agents/planner'],
  dnsNames: ['a.example', 'b.example'],
})

interface Door {
  readonly port: number
  /** The connection that comes from this port. */
  accepted(port: number): Promise<Secured>
}

async function opened(t: TestContext): Promise<Door> {
  const door = createDoorTls({ cert: own.certPem, key: own.keyPem, clientCa: authority.caPem })
  const accepted = new Map<number, PromiseWithResolvers<Secured>>()
  const of = (port: number) => {
    const found = accepted.get(port) ?? Promise.withResolvers<Secured>()
    accepted.set(port, found)
    return found
  }
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    t.after(() => void socket.destroy())
    const { resolve, reject } = of(socket.remotePort ?? 0)
    door.accept(socket).then(resolve, reject)
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.after(() => void server.close())
  return { port: (server.address() as AddressInfo).port, accepted: (port) => of(port).promise }
}

interface Met extends Secured {
  readonly client: TLSSocket
  readonly session: Promise<Buffer>
}

async function meet(door: Door, options: ConnectionOptions): Promise<Met> {
  const plain = connectTcp(door.port, '127.0.0.1')
  await once(plain, 'connect')
  const accepting = door.accepted(plain.localPort ?? 0)
  const socket = connect({ socket: plain, host: '127.0.0.1', rejectUnauthorized: false, ...options })
  const session = new Promise<Buffer>((resolve) => socket.once('session', resolve))
  await once(socket, 'secureConnect')
  return { ...(await accepting), client: socket, session }
}

test('the names of a certificate are read each by its kind, and a resumed session has them too', async (t) => {
  const door = await opened(t)
  for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
    const shown = { cert: client.certPem, key: client.keyPem, maxVersion }
    const first = await meet(door, shown)
    const { thumbprint = '', ...names } = first.certificate ?? {}
    assert.match(thumbprint, /^[\w-]{43}$/)
    assert.partialDeepStrictEqual(names, {
      commonNames: ['planner'],
      uris: ['spiffe://acme.example/agents/planner'],
      dnsNames: ['a.example', 'b.example'],
    })
    assert.ok(!('problem' in names))
    first.client.resume()
    first.socket.write('x')
    const session = await first.session
    const again = await meet(door, { session, maxVersion })
    assert.equal(again.client.isSessionReused(), true)
    assert.deepEqual(again.certificate, first.certificate)
    for (const one of [first, again]) one.client.destroy()
  }
})

test('a name that holds what parts names is not taken for two', async (t) => {
  const door = await opened(t)
  const sly = authority.issue({
    commonName: 'sly',
    dnsNames: ['a.example, URI:spiffe://acme.example/agents/x'],
  })
  const { certificate, client: socket } = await meet(door, { cert: sly.certPem, key: sly.keyPem })
  assert.match(certificate?.problem ?? '', /cannot be told apart/)
  assert.deepEqual(certificate?.uris, [])
  socket.destroy()
})

test('clients without one, many at once, are not mixed up with those that have one', async (t) => {
  const door = await opened(t)
  const shown = { cert: client.certPem, key: client.keyPem }
  const all = Array.from({ length: 10 }, (_, i) => meet(door, i % 2 === 0 ? shown : {}))
  for (const { client: socket, certificate } of await Promise.all(all)) {
    const own = socket.getCertificate()
    assert.equal(certificate !== undefined, own !== null && Object.hasOwn(own, 'subject'))
    socket.destroy()
  }
})

test('a peer that leaves, or speaks no TLS, ends it', async (t) => {
  const door = await opened(t)
  const ways = [(socket: Socket) => socket.end(), (socket: Socket) => socket.write('select 1;'.repeat(9))]
  for (const say of ways) {
    const socket = connectTcp(door.port, '127.0.0.1')
    socket.on('error', () => undefined)
    await once(socket, 'connect')
    const refused = assert.rejects(door.accepted(socket.localPort ?? 0), StreamEnded)
    say(socket)
    await refused
    socket.destroy()
  }
})
