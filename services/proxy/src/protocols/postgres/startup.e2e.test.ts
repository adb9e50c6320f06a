/** The start-up on both sides: TLS, versions, tokens in clear, roles, and every way the gate signs in at a server. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import { after, before, test } from 'node:test'
import { inspect, promisify } from 'node:util'
import type { Started } from '@portcullis/kernel'
import { makeCertificates, type TestCertificates } from '@portcullis/testkit/certificates'
import { findPsql, type PostgresOptions, startPostgres } from '@portcullis/testkit/postgres'
import { type Bed, type BedOptions, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'
import { int32, startupCode, startupMessage } from './wire.ts'

const run = promisify(execFile)
let certificates: TestCertificates
let postgres: Awaited<ReturnType<typeof startPostgres>>
before(async () => {
  certificates = makeCertificates()
  postgres = await startPostgres({ auth: 'scram-sha-256' })
})
after(() => postgres.stop())

async function withBed(options: Partial<BedOptions>, work: (bed: Bed) => Promise<void>): Promise<void> {
  const bed: Started<Bed> = await startBed({ postgres: postgres.value, ...options })
  try {
    await work(bed.value)
  } finally {
    await bed.stop()
  }
}

/** Everything the gate says to these bytes until it closes or `length` bytes have come. */
function answerTo(port: number, bytes: Buffer, length = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const socket = connect(port, '127.0.0.1')
  const chunks: Buffer[] = []
  socket.write(bytes)
  return new Promise((resolve) => {
    const done = () => {
      socket.destroy()
      resolve(Buffer.concat(chunks))
    }
    socket.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      if (Buffer.concat(chunks).length >= length) done()
    })
    socket.on('error', done).on('close', done)
  })
}

const request = (code: number) => Buffer.concat([int32(8), int32(code)])
const psql = (url: string, sql: string, env: Record<string, string> = {}) =>
  run(findPsql() ?? 'psql', [url, '-XAt', '-c', sql], { env: { ...process.env, ...env } })

test('TLS towards the client: psql verifies the gate; a token in clear is refused beyond loopback', () =>
  withBed(
    { tls: { cert: certificates.server.certPem, key: certificates.server.keyPem }, loopback: false },
    async (bed) => {
      const { stdout } = await psql(`${bed.url()}postgres?sslmode=require`, 'select 40 + 2')
      assert.equal(stdout.trim(), '42')
      await assert.rejects(
        psql(`${bed.url()}postgres?sslmode=disable`, 'select 1'),
        /a token is taken only inside TLS/,
      )
    },
  ))

test('SSLRequest without a certificate and GSSENCRequest are answered N, and the start-up goes on in clear', () =>
  withBed({}, async (bed) => {
    assert.equal((await answerTo(bed.port, request(startupCode.ssl), 1)).toString(), 'N')
    assert.equal((await answerTo(bed.port, request(startupCode.gssenc), 1)).toString(), 'N')
    const both = Buffer.concat([
      request(startupCode.gssenc),
      request(startupCode.ssl),
      startupMessage(196_608, { user: 'shop' }),
    ])
    const answer = await answerTo(bed.port, both, 11)
    assert.deepEqual([...answer], [0x4e, 0x4e, 0x52, 0, 0, 0, 8, 0, 0, 0, 3])
  }))

test('bytes sent together with SSLRequest are refused, not taken for decrypted ones (CVE-2021-23222)', () =>
  withBed({ tls: { cert: certificates.server.certPem, key: certificates.server.keyPem } }, async (bed) => {
    const answer = await answerTo(
      bed.port,
      Buffer.concat([request(startupCode.ssl), startupMessage(196_608, { user: 'shop' })]),
    )
    assert.match(answer.toString(), /data sent together with SSLRequest/)
    assert.notEqual(answer[0], 'S'.charCodeAt(0))
  }))

test('protocol 3.2 gets a long cancel key; an unknown minor version and options are negotiated', () =>
  withBed({}, async (bed) => {
    const old = await RawClient.open(bed.port, 'shop', 'ann', 'postgres')
    assert.equal(old.replies.find(({ type }) => type === 'K')?.payload.length, 8)
    old.end()
    const client = await RawClient.open(bed.port, 'shop', 'ann', 'postgres', 196_610)
    assert.equal(client.replies.find(({ type }) => type === 'K')?.payload.length, 36)
    assert.ok(!client.replies.some(({ type }) => type === 'v'))
    client.end()
    const grease = await answerTo(
      bed.port,
      startupMessage(196_608 + 9999, { user: 'shop', '_pq_.test': '1' }),
      30,
    )
    assert.equal(grease[0], 'v'.charCodeAt(0))
    assert.equal(grease.readInt32BE(5), 2)
    assert.match(grease.toString('latin1'), /_pq_\.test/)
  }))

test('start-ups that are refused: replication, protocol 2, rubbish, lengths that cannot be', () =>
  withBed({}, async (bed) => {
    const cases: [Buffer, RegExp | undefined][] = [
      [startupMessage(196_608, { user: 'shop', replication: 'database' }), /replication is not supported/],
      [startupMessage(131_072, { user: 'shop' }), /protocol 2\.0 is not supported/],
      [startupMessage(196_608, { database: 'x' }), /no user name/],
      [Buffer.concat([int32(9), int32(196_608), Buffer.of(7)]), /invalid start-up packet/],
      [Buffer.concat([int32(100_000_000), int32(196_608)]), /invalid start-up packet/],
      [Buffer.concat([int32(3), Buffer.alloc(20)]), /invalid start-up packet/],
      [Buffer.from('GET / HTTP/1.1\r\nHost: gate\r\n\r\n'), /invalid start-up packet/],
    ]
    for (const [bytes, expected] of cases)
      assert.match((await answerTo(bed.port, bytes)).toString(), expected ?? /^$/)
    const client = await bed.connect()
    assert.equal((await client.query('select 1 as n')).rows.length, 1)
    await client.end()
  }))

test('a role and a database of the target, and settings that are passed on', () =>
  withBed({}, async (bed) => {
    const { stdout } = await psql(`${bed.url()}shop`, 'show application_name', {
      PGAPPNAME: 'nightly',
      PGOPTIONS: '-c work_mem=5MB -c portcullis.role=',
    })
    assert.equal(stdout.trim(), 'nightly')
    const memory = await psql(`${bed.url()}shop`, 'show work_mem', { PGOPTIONS: '-c work_mem=5MB' })
    assert.equal(memory.stdout.trim(), '5MB')
    await assert.rejects(
      psql(`${bed.url()}no_such_db`, 'select 1'),
      /database "no_such_db" does not exist at target "shop"/,
    )
  }))

for (const [name, server, upstreamTls] of [
  ['SCRAM-SHA-256', { auth: 'scram-sha-256' }, { mode: 'disable' }],
  ['md5', { auth: 'md5' }, { mode: 'disable' }],
  ['cleartext', { auth: 'password' }, { mode: 'disable' }],
  ['prefer, without TLS', { auth: 'scram-sha-256' }, { mode: 'prefer' }],
  ['prefer, with TLS', { auth: 'scram-sha-256', ssl: true }, { mode: 'prefer' }],
  ['require', { auth: 'scram-sha-256', ssl: 'required' }, { mode: 'require' }],
  ['verify-full', { auth: 'scram-sha-256', ssl: 'required' }, { mode: 'verify-full' }],
] as const satisfies [string, PostgresOptions, BedOptions['upstreamTls']][]) {
  test(`the gate signs in at a server: ${name}`, async () => {
    const one = await startPostgres(server)
    const ca = one.value.tls?.caPem
    const tls = name === 'verify-full' && ca ? { ...upstreamTls, ca } : upstreamTls
    try {
      await withBed({ postgres: one.value, upstreamTls: tls }, async (bed) => {
        const client = await bed.connect()
        const { rows } = await client.query('select ssl from pg_stat_ssl where pid = pg_backend_pid()')
        assert.deepEqual(rows, [{ ssl: 'ssl' in server && server.ssl !== undefined }])
        await client.end()
      })
    } finally {
      await one.stop()
    }
  })
}

/** Whoever stands between gate and server says that there is no TLS, and asks for the password as it is. */
for (const mode of ['prefer', 'require'] as const)
  test(`an impostor is not told the password: ${mode}`, async () => {
    const password = 'canary-of-the-server'
    const heard: Buffer[] = []
    const askForIt = Buffer.from('520000000800000003', 'hex')
    const { certPem: cert, keyPem: key } = certificates.server
    const askPlainly = (socket: Socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => {
        heard.push(chunk)
        if (chunk.length > 8 && chunk.readUInt32BE(4) === 196_608) socket.write(askForIt)
      })
    }
    const impostor = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => {
        socket.write(mode === 'prefer' ? 'N' : 'S')
        askPlainly(mode === 'prefer' ? socket : new TLSSocket(socket, { isServer: true, cert, key }))
      })
    })
    impostor.listen(0, '127.0.0.1')
    await once(impostor, 'listening')
    const { port } = impostor.address() as AddressInfo
    try {
      const options = { postgres: { ...postgres.value, port }, password, upstreamTls: { mode } }
      await withBed(options, async (bed) => {
        await assert.rejects(bed.connect(), /the gate cannot sign in at target "shop"/)
        assert.match(inspect(bed.logged, { depth: 9 }), /verify-full/)
      })
      assert.ok(heard.length > 0)
      assert.ok(!Buffer.concat(heard).includes(password))
    } finally {
      impostor.close()
    }
  })

test('a server that is not whom verify-full wants, a wrong password, a dead port: own words, no secret', async () => {
  const one = await startPostgres({ auth: 'scram-sha-256', ssl: 'required' })
  const secret = 'a-wrong-password'
  try {
    const cases: [Partial<BedOptions>, RegExp][] = [
      [{ postgres: one.value, upstreamTls: { mode: 'verify-full' } }, /cannot be reached safely/],
      [{ postgres: one.value, upstreamTls: { mode: 'disable' } }, /cannot sign in|refused/],
      [
        { postgres: one.value, upstreamTls: { mode: 'require' }, password: secret },
        /the gate cannot sign in at target "shop"/,
      ],
      [{ postgres: { ...one.value, port: 1 } }, /target "shop" cannot be reached/],
    ]
    for (const [options, expected] of cases) {
      await withBed(options, async (bed) => {
        await assert.rejects(bed.connect(), (error: Error) => {
          assert.match(error.message, expected)
          assert.match(String(Object(error).detail), /^reason=target_[a-z_]+ decision=\S+$/)
          const all = JSON.stringify(error, Object.getOwnPropertyNames(error))
          for (const hidden of [one.value.user, secret, one.value.password, 'pg_hba']) {
            assert.ok(
              !all.includes(`"${hidden}"`) && !all.includes(`user ${hidden}`),
              `${all} shows ${hidden}`,
            )
          }
          return true
        })
        assert.ok(!JSON.stringify(bed.logged).includes(secret))
      })
    }
  } finally {
    await one.stop()
  }
})

test('bind values and CopyData stream, whatever their size; a statement text over the limit is refused and the session goes on', () =>
  withBed({ statementBytesMax: 100_000 }, async (bed) => {
    const client = await bed.connect()
    const large = 'v'.repeat(20_000_000)
    const { rows } = await client.query('select length($1::text) as n', [large])
    assert.deepEqual(rows, [{ n: 20_000_000 }])
    await assert.rejects(
      client.query(`select '${'x'.repeat(200_000)}'`),
      (error: Error & { code?: string }) => error.code === '54000',
    )
    assert.deepEqual((await client.query('select 1 as n')).rows, [{ n: 1 }])
    await client.end()
    const [refused] = bed.of(/over statementBytesMax/)
    assert.equal(refused?.result?.outcome, 'refused')
    const [bound] = bed.of(/length/)
    assert.ok((bound?.result?.bytesIn ?? 0) > 20_000_000)
  }))

test('what the protocol does not allow ends the session with a clear error and leaves the server untouched', () =>
  withBed({}, async (bed) => {
    for (const bytes of [
      Buffer.from([0x51, 0, 0, 0, 1]),
      Buffer.from([0x51, 0xff, 0xff, 0xff, 0xff]),
      Buffer.from([0x21, 0, 0, 0, 4]),
      Buffer.concat([Buffer.from([0x44, 0, 9, 0, 0]), Buffer.alloc(100)]),
      Buffer.from([0x42, 0, 0, 0, 8, 1, 2, 3, 4]),
    ]) {
      const client = await RawClient.open(bed.port, 'shop', 'ann', 'postgres')
      client.take()
      client.write(bytes)
      await client.until(() => client.replies.length > 0)
      assert.deepEqual(client.summary(), ['E:08P01'])
      client.end()
    }
    const next = await RawClient.open(bed.port, 'shop', 'ann', 'postgres')
    next.take()
    next.write(send.query('select 1'))
    await next.ready(1)
    next.end()
  }))
