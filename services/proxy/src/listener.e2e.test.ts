/** A real driver through a balancer's PROXY header and the Postgres door: where the trail says that it came from. */
import assert from 'node:assert/strict'
import { Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { startPostgres } from '@portcullis/testkit/postgres'
import { type Bed, type BedOptions, startBed } from './testing/bed.ts'

let postgres: Awaited<ReturnType<typeof startPostgres>>
before(async () => {
  postgres = await startPostgres({ auth: 'scram-sha-256' })
})
after(() => postgres.stop())

/** PROXY v2, TCP over IPv6, from 2001:db8:7::1. */
const header = Buffer.from(
  `0d0a0d0a000d0a515549540a21210024${'20010db8000700000000000000000001'.repeat(2)}9c401538`,
  'hex',
)

/** Sends the header before the driver's first byte. */
function viaBalancer(): Socket {
  const socket = new Socket()
  socket.once('connect', () => socket.write(header))
  return socket
}

async function withBed(options: Partial<BedOptions>, work: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = await startBed({ postgres: postgres.value, viaProxy: () => true, ...options })
  try {
    await work(bed.value)
  } finally {
    await bed.stop()
  }
}

test("through a balancer, over TLS: the commands run, and the session's origin is the client's", () => {
  const { server, caPem } = makeCertificates()
  return withBed({ tls: { cert: server.certPem, key: server.keyPem } }, async (bed) => {
    const client = await bed.connect('ann', { stream: viaBalancer, ssl: { ca: caPem } })
    const { rows } = await client.query('select 7 as seven')
    await client.end()
    assert.deepEqual(rows, [{ seven: 7 }])
    assert.deepEqual(
      bed.opened.map(({ origin, identity }) => [origin.address, identity?.subject]),
      [['2001:db8:7::1', 'ann']],
    )
  })
})

test('through a balancer on the same machine a token in clear is refused: the client is elsewhere', () =>
  withBed({}, async (bed) => {
    await assert.rejects(bed.connect('ann', { stream: viaBalancer }), /TLS/)
    await assert.rejects(bed.connect('ann'), 'and without a header there is no way in')
    assert.equal(bed.sessions.live.size, 0)
  }))
