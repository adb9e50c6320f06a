/**
 * A client that is killed while the gate reads nothing from it, with little or much pipelined behind what runs: its
 * backend is gone within a second. It is a process of its own, so that it is the kernel that closes.
 */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { makeCertificates } from '@portcullis/testkit/certificates'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { type Bed, type BedOptions, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'

let postgres: Started<Postgres>
let direct: pg.Client

before(async () => {
  postgres = await startPostgres({ ssl: true })
  direct = new pg.Client({ connectionString: postgres.value.url })
  await direct.connect()
  await direct.query('create table t (n text)')
})
after(async () => {
  await direct.end()
  await postgres.stop()
})

async function withBed(
  options: Omit<BedOptions, 'postgres'>,
  play: (bed: Bed) => Promise<void>,
): Promise<void> {
  const bed = await startBed({ postgres: postgres.value, ...options })
  await play(bed.value).finally(() => bed.stop())
}

const backends = async () =>
  Number(
    (
      await direct.query(
        "select count(*) as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()",
      )
    ).rows[0].n,
  )

/** Signs in, sends `first`, then as many bytes of `more` as the gate takes, and stays. */
const program = `
const [port, tls, first, more, bytes] = JSON.parse(process.argv[1])
const message = (type, body) => {
  const out = Buffer.alloc(5 + body.length)
  out.write(type, 0, 'latin1'); out.writeInt32BE(4 + body.length, 1); body.copy(out, 5)
  return out
}
let socket = require('node:net').connect(port, '127.0.0.1')
const start = () => {
  const body = Buffer.from('\\0\\3\\0\\0user\\0shop\\0database\\0postgres\\0\\0', 'latin1')
  const length = Buffer.alloc(4); length.writeInt32BE(4 + body.length)
  socket.write(Buffer.concat([length, body, message('p', Buffer.from('ann\\0'))]))
  socket.once('data', function read(chunk) {
    if (!chunk.includes('Z\\0\\0\\0\\x05I')) return socket.once('data', read)
    socket.write(Buffer.from(first, 'base64'))
    const piece = Buffer.from(more, 'base64')
    for (let sent = 0; sent < bytes; sent += piece.length) socket.write(piece)
    console.log('sent')
  })
}
if (!tls) start()
else {
  socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]))
  socket.once('data', () => {
    socket = require('node:tls').connect({ socket, rejectUnauthorized: false }, start)
  })
}
`

async function startClient(
  bed: Bed,
  tls: boolean,
  first: Buffer,
  more: Buffer,
  bytes: number,
): Promise<ChildProcess> {
  const given = JSON.stringify([bed.port, tls, first.toString('base64'), more.toString('base64'), bytes])
  const child = spawn(process.execPath, ['-e', program, given], { stdio: ['ignore', 'pipe', 'inherit'] })
  assert.ok(child.stdout)
  await once(child.stdout, 'data')
  // For as long as it takes to fill what lies between.
  await sleep(500)
  return child
}

const insert = send.query(`insert into t values ('${'x'.repeat(10_000)}')`)
const batch = Buffer.concat([send.parse('', 'select 2'), send.bind('', ''), send.execute(''), send.sync()])
const sleeping = send.query('select pg_sleep(60)')
const { server } = makeCertificates()
const tls = { cert: server.certPem, key: server.keyPem }

for (const [what, options, first, more, bytes] of [
  ['nothing pipelined', {}, sleeping, batch, 0],
  ['200 kB pipelined', {}, sleeping, insert, 200_000],
  ['64 MB pipelined: more than any window', {}, sleeping, insert, 64_000_000],
  ['64 MB pipelined, inside TLS', { tls }, sleeping, insert, 64_000_000],
  [
    '64 MB pipelined, to a server inside TLS',
    { upstreamTls: { mode: 'require' } },
    sleeping,
    insert,
    64_000_000,
  ],
  ['what a cap holds back', { caps: { rowsPerStatement: 5 } }, sleeping, batch, 1_000_000],
  ['64 MB pipelined, each waiting for a lock', {}, insert, insert, 64_000_000],
] as const) {
  test(`killed with ${what}`, (context) =>
    withBed(options, async (bed) => {
      const locker = new pg.Client({ connectionString: postgres.value.url })
      await locker.connect()
      if (what.includes('lock')) await locker.query('begin; lock table t')
      const child = await startClient(bed, 'tls' in options, first, more, bytes)
      assert.equal(await backends(), 2)
      child.kill('SIGKILL')
      const sinceMs = performance.now()
      while ((await backends()) > 1 && performance.now() - sinceMs < 5000) await sleep(20)
      const goneMs = performance.now() - sinceMs
      await locker.end()
      // A second, and what a busy machine makes of it: what ran would have gone on for a minute.
      assert.ok(goneMs < 3000, `the backend was there for ${goneMs} ms`)
      context.diagnostic(`gone after ${Math.round(goneMs)} ms`)
      // The backend may be gone before the gate has heard that it is.
      while (bed.closed.length === 0 && performance.now() - sinceMs < 5000) await sleep(5)
      assert.equal(bed.commands[0]?.result?.outcome, 'cancelled')
      assert.equal(bed.closed[0]?.detail, 'the client is gone')
    }))
}

test('one that is alive hears nothing new, and nothing in the middle of a message', () =>
  withBed({ caps: { rowsPerStatement: 5 } }, async (bed) => {
    const client = await RawClient.open(bed.port, 'shop', 'ann', 'postgres')
    client.take()
    client.write(Buffer.concat([send.query('select pg_sleep(1)'), batch, batch]))
    await client.ready(3)
    assert.ok(client.nothingNew > 0, 'the gate has asked whether it is there')
    const answered = ['1', '2', 'D', 'C:SELECT 1', 'Z:I']
    assert.deepEqual(client.summary(), ['T', 'D', 'C:SELECT 1', 'Z:I', ...answered, ...answered])
    client.end()
  }))
