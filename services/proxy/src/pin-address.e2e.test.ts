/**
 * Tokens pinned to the network of their first use, behind a load balancer: addresses by the PROXY protocol, inside TLS, at
 * the proxy's real processes. Of IPv6 the prefix counts, an IPv4-mapped address is the IPv4 one, and both workers agree.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-pin-'))
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  const { server } = makeCertificates()
  const [cert, key] = [join(dir, 'server.pem'), join(dir, 'server.key')]
  writeFileSync(cert, server.certPem)
  writeFileSync(key, server.keyPem, { mode: 0o600 })
  postgres = await startPostgres({ auth: 'scram-sha-256' })
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: {
      issuer: 'pinAddress: network',
      proxy: `tls: { cert: '${cert}', key: 'file:${key}' }\nproxyProtocolFrom: [127.0.0.1]`,
    },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
  rmSync(dir, { recursive: true, force: true })
})

/** PROXY protocol v2: TCP over IPv4 or IPv6, from this address in hex. */
function header(sourceHex: string): Buffer {
  const source = Buffer.from(sourceHex, 'hex')
  const addresses = Buffer.concat([source, Buffer.alloc(source.length), Buffer.from([0, 1, 0, 2])])
  const family = source.length === 4 ? 0x11 : 0x21
  const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
  return Buffer.concat([signature, Buffer.from([0x21, family, 0, addresses.length]), addresses])
}

/** Undefined where it was let in, else what the client was told. */
async function attempt(token: string, sourceHex: string): Promise<string | undefined> {
  const port = system.value.port()
  const client = new pg.Client({
    ...{ user: 'shop', password: token, database: postgres.value.database, port },
    ssl: { rejectUnauthorized: false },
    stream: () => {
      const socket = connect({ host: '127.0.0.1', port })
      socket.write(header(sourceHex))
      socket.connect = () => socket
      return socket
    },
  })
  client.on('error', () => undefined)
  try {
    await client.connect()
    await client.query('select 1')
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  } finally {
    await client.end()
  }
}

const v6 = (prefix: string, rest = '1') => `20010db8${prefix}`.padEnd(16, '0') + rest.padStart(16, '0')

/** So often that both workers are asked. */
async function always(token: string, sources: readonly string[], told: RegExp | undefined): Promise<void> {
  for (let round = 0; round < 3; round++)
    for (const source of sources) {
      const seen = await attempt(token, source)
      if (told === undefined) assert.equal(seen, undefined, source)
      else assert.match(seen ?? 'let in', told, source)
    }
}

test('of IPv6 the /48 is the network', async () => {
  const token = await system.value.token('six')
  await always(token, [v6('0007'), v6('00070001', 'ffff'), v6('00070002')], undefined)
  await always(token, [v6('0008'), v6('0107'), '0a010203'], /not authorised/)
  await always(token, [v6('0007', 'abc')], undefined)
})

test('of IPv4 the /24, mapped into IPv6 or not', async () => {
  const token = await system.value.token('four')
  const mapped = (hex: string) => `00000000000000000000ffff${hex}`
  await always(token, ['0a010203', '0a0102fe', mapped('0a010203'), mapped('0a010207')], undefined)
  await always(token, ['0a010303', mapped('0a010303'), v6('0007')], /not authorised/)
  // Another token of the same subject may come from there.
  await always(await system.value.token('four'), ['0a010303'], undefined)
})

test('many at once from two networks: all that get in are of one', async () => {
  const token = await system.value.token('race')
  const sources = Array.from({ length: 16 }, (_, i) => (i % 2 === 0 ? '0a010203' : '0a020203'))
  const told = await Promise.all(sources.map((source) => attempt(token, source)))
  const letIn = new Set(sources.filter((_, i) => told[i] === undefined))
  assert.equal(letIn.size, 1)
  assert.equal(told.filter((one) => one === undefined).length, 8)
})
