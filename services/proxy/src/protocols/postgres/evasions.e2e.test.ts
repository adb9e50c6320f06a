/**
 * Ways past the gate that once worked, or nearly did, played with exact bytes against a real PostgreSQL. What they have
 * in common: the gate's idea of what the server does with a message differs from what it does.
 */
import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer } from 'node:net'
import { after, afterEach, before, beforeEach, test } from 'node:test'
import type { Caps, Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { type Bed, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'
import { frontend, int32, message, startupMessage } from './wire.ts'

let postgres: Started<Postgres>
let bed: Started<Bed>
let direct: pg.Client

before(async () => {
  postgres = await startPostgres()
  bed = await startBed({ postgres: postgres.value })
  direct = new pg.Client({ connectionString: postgres.value.url, statement_timeout: 5000 })
  await direct.connect()
})
after(async () => {
  await direct.end()
  await bed.stop()
  await postgres.stop()
})
afterEach(() => {
  for (const client of clients) client.end()
  clients = []
})
beforeEach(async () => {
  bed.value.judge([])
  await direct.query('drop table if exists t; create table t (n int); insert into t values (1)')
})

let clients: RawClient[] = []
async function open(port = bed.value.port): Promise<RawClient> {
  const client = await RawClient.open(port, 'shop', 'ann', 'postgres')
  clients.push(client)
  return client
}
const rows = async () => Number((await direct.query('select count(*) as n from t')).rows[0].n)
const block = () => bed.value.judge([{}])
const run = (name: string, portal = '') => [send.bind(portal, name), send.execute(portal)]

async function withBed(caps: Partial<Caps>, play: (bed: Bed) => Promise<void>): Promise<void> {
  const own = await startBed({ postgres: postgres.value, caps })
  await play(own.value).finally(() => {
    for (const client of clients) client.end()
    return own.stop()
  })
}

/** What must not run once the identity is blocked. */
const forbidden = 'insert into t values (2)'

test('a name that is taken: its Parse fails, and a pipelined Bind runs the older text', async () => {
  const client = await open()
  client.write(Buffer.concat([send.parse('a', forbidden), send.sync()]))
  await client.ready(2)
  client.take()
  block()
  client.write(Buffer.concat([send.parse('a', 'rollback'), send.sync(), ...run('a'), send.sync()]))
  await client.ready(2)
  assert.equal(await rows(), 1)
})

test('a name that SQL gave to another statement behind the gate', async () => {
  const client = await open()
  client.write(Buffer.concat([send.parse('a', 'rollback'), send.sync()]))
  await client.ready(2)
  client.write(send.query(`do $$ begin execute 'deallocate a'; execute 'prepare a as ${forbidden}'; end $$`))
  await client.ready(3)
  client.take()
  block()
  client.write(Buffer.concat([...run('a'), send.sync()]))
  await client.ready(1)
  assert.equal(await rows(), 1)
})

test('a DEALLOCATE that overtakes the confirmation of its Parse', async () => {
  const client = await open()
  client.write(
    Buffer.concat([
      send.parse('a', 'rollback'),
      send.sync(),
      send.query(`deallocate a; prepare a as ${forbidden}`),
      send.parse('', 'nonsense'),
      send.sync(),
    ]),
  )
  await client.ready(4)
  client.take()
  block()
  client.write(Buffer.concat([...run('a'), send.sync()]))
  await client.ready(1)
  assert.equal(await rows(), 1)
})

test('names that are other bytes in another encoding', async () => {
  const client = await open()
  client.write(send.query('set client_encoding to latin1'))
  await client.ready(2)
  const name = (byte: number, sql: string) =>
    message(frontend.parse, Buffer.of(byte, 0), Buffer.from(`${sql}\0`), Buffer.alloc(2))
  client.write(Buffer.concat([name(0xe9, forbidden), name(0xe8, 'rollback'), send.sync()]))
  await client.ready(3)
  client.take()
  block()
  client.write(
    Buffer.concat([
      message(frontend.bind, Buffer.of(0, 0xe9, 0), Buffer.alloc(6)),
      send.execute(''),
      send.sync(),
    ]),
  )
  await client.ready(1)
  assert.equal(await rows(), 1)
})

test('a portal whose name a cursor has taken over', async () => {
  const client = await open()
  client.write(send.query('begin'))
  await client.ready(2)
  client.write(
    Buffer.concat([
      ...[send.parse('a', 'rollback'), send.bind('p', 'a')],
      ...[send.parse('', 'close p'), ...run('')],
      ...[send.parse('', 'declare p cursor for select * from t'), ...run(''), send.flush()],
    ]),
  )
  await client.until(() => client.summary().includes('C:DECLARE CURSOR'))
  block()
  client.write(Buffer.concat([send.execute('p'), send.sync()]))
  await client.ready(3)
  assert.equal(client.summary().includes('D'), false)
})

test('nothing of the gate is put into a message that is still on its way', async () => {
  await withBed({ rowsPerStatement: 5 }, async ({ port, of }) => {
    const client = await open(port)
    // CopyData outside of a copy is read and ignored; this one says that 100 bytes follow. The gate's own failing Parse,
    // 72 bytes, would be taken for its beginning, and its last 72 bytes for a message.
    client.write(
      Buffer.concat([
        ...[send.parse('', 'select generate_series(1, 8)'), ...run('')],
        ...[Buffer.of(frontend.copyData), int32(104)],
      ]),
    )
    await client.until(() => client.summary().some((reply) => reply === 'D'))
    await new Promise((resolve) => setTimeout(resolve, 200))
    const hidden = send.query(forbidden.padEnd(66))
    client.write(Buffer.concat([Buffer.alloc(100 - hidden.length), hidden, send.sync()]))
    await client.ready(2)
    assert.deepEqual(of(/insert/), [])
    assert.equal(await rows(), 1)
    assert.ok(client.summary().includes('E:54000'))
  })
})

test('a Sync that a copy swallows does not shift the answers', async () => {
  await withBed({ rowsPerStatement: 10 }, async ({ port, of }) => {
    const client = await open(port)
    client.write(
      Buffer.concat([send.query('copy t from stdin'), send.sync(), send.copyData('7\n'), send.copyDone()]),
    )
    await client.ready(2)
    client.take()
    client.write(send.query('select generate_series(1, 500)'))
    await client.ready(1)
    assert.ok(client.replies.filter(({ type }) => type === 'D').length <= 10)
    assert.equal(of(/generate/)[0]?.result?.outcome, 'cut')
  })
})

test('a copy that fails leaves its Syncs to be answered', async () => {
  await withBed({ rowsPerStatement: 10 }, async ({ port, of }) => {
    const client = await open(port)
    client.write(
      Buffer.concat([
        send.parse('', 'copy t from stdin'),
        ...run(''),
        send.copyData('not a number\n'),
        send.sync(),
        send.sync(),
        send.query('select generate_series(1, 500)'),
      ]),
    )
    await client
      .until(() => client.closed || client.replies.filter(({ type }) => type === 'Z').length >= 3, 1500)
      .catch(() => undefined)
    assert.ok(client.replies.filter(({ type }) => type === 'D').length <= 10)
    const [select] = of(/generate/)
    assert.notEqual(select?.result?.outcome, 'skipped')
  })
})

test('a batch that is kept open does not keep a blocked identity in', async () => {
  await direct.query(`create or replace function g(n int) returns int language sql as 'insert into t values (n) returning n';
    create or replace function f(n int) returns int immutable language plpgsql as 'begin return g(n); end'`)
  const client = await open()
  client.write(Buffer.concat([send.parse('a', 'select f($1)'), send.bind('', 'a', ['5']), send.flush()]))
  await client.until(() => client.replies.some(({ type }) => type === '2'))
  block()
  client.take()
  client.write(Buffer.concat([send.bind('', 'a', ['6']), send.flush()]))
  await client.until(() => client.replies.length > 0)
  assert.deepEqual(client.summary(), ['E:42501'])
  client.write(send.sync())
  await client.ready(1)
})

test('one pipeline of many texts does not keep the other sessions waiting', async () => {
  const many = await open()
  const other = await open()
  const texts = Array.from({ length: 6000 }, (_, n) => send.query(`select a${n} from b${n}`))
  many.write(Buffer.concat(texts))
  await many.until(() => bed.value.of(/^select a\d/).length > 0)
  other.write(send.query('select 1'))
  await other.ready(2)
  assert.ok(bed.value.of(/^select a\d/).length < texts.length)
  await many.until(() => many.replies.length >= 2 * texts.length)
})

test('a client that does not read its refusals is read no further', async () => {
  const client = await open()
  block()
  client.socket.pause()
  const before = bed.value.commands.length
  const some = Buffer.concat(Array.from({ length: 1000 }, () => send.query('select 1')))
  for (let round = 0; round < 40; round++) {
    client.write(some)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
  await new Promise((resolve) => setTimeout(resolve, 200))
  const taken = bed.value.commands.length - before
  assert.ok(taken >= 20 && taken < 100, `${taken} of 40,000 were taken`)
  client.take()
  client.socket.resume()
  await client.until(() => client.replies.length >= 40)
  client.end()
  bed.value.judge([])
})

test('a role that is taken by the start-up packet stands in no record, so it is not given', async () => {
  await direct.query('drop role if exists boss; create role boss')
  for (const options of ['-c role=boss', '--role=boss'])
    await assert.rejects(bed.value.connect('ann', { options }), { code: '42501' })
})

test('a cancel that comes late, for a pipeline that the server has finished: every answer finds its command', async () => {
  const { host, port } = postgres.value
  let connections = 0
  // Half open, as between the two themselves: who asks for a cancel waits for the server to close.
  const far = createServer({ allowHalfOpen: true }, (socket) => {
    // The session itself is near; a CancelRequest takes long.
    setTimeout(
      () => {
        const server = connect({ port, host, allowHalfOpen: true })
        socket.pipe(server).pipe(socket)
        for (const side of [socket, server]) side.on('error', () => undefined)
      },
      connections++ === 0 ? 0 : 400,
    )
  })
  await new Promise<void>((resolve) => far.listen(0, '127.0.0.1', resolve))
  const at = { ...postgres.value, host: '127.0.0.1', port: (far.address() as AddressInfo).port }
  const own = await startBed({ postgres: at })
  try {
    const client = await open(own.value.port)
    client.write(
      Buffer.concat([send.query('select pg_sleep(0.2)'), send.query('select 2'), send.query('select 3')]),
    )
    await new Promise((resolve) => setTimeout(resolve, 100))
    own.value.judge([{ cancelRunning: true }])
    await client.ready(4)
    own.value.judge([])
    client.take()
    client.write(send.query('select 4 as last'))
    await client.ready(1)
    assert.deepEqual(client.summary(), ['T', 'D', 'C:SELECT 1', 'Z:I'])
    assert.deepEqual(
      own.value.commands.map(({ text, result }) => [text, result?.outcome, result?.rowsOut]),
      [
        ['select pg_sleep(0.2)', 'cut', 0],
        ['select 2', 'ok', 1],
        ['select 3', 'ok', 1],
        ['select 4 as last', 'ok', 1],
      ],
    )
  } finally {
    for (const client of clients) client.end()
    await own.stop()
    far.close()
  }
})

test('a stranger cannot fill the record with long names', async () => {
  const long = 'x'.repeat(3000)
  const socket = connect(bed.value.port, '127.0.0.1')
  socket.write(startupMessage(196_608, { user: long, database: 'y'.repeat(3000), application_name: long }))
  socket.write(message(frontend.password, Buffer.from('bad\0')))
  socket.resume()
  await new Promise((resolve) => socket.once('close', resolve))
  const { target = '', database = '', client = '' } = bed.value.opened.at(-1) ?? {}
  assert.ok(target.startsWith('xxx') && (target + database + client).length < 400)
})

test('a portal that is read in pieces keeps its text from batch to batch, until a cursor may have taken its name', async () => {
  const client = await open()
  client.write(send.query('begin'))
  await client.ready(2)
  const fetch = Buffer.concat([send.execute('p', 3), send.sync()])
  client.write(
    Buffer.concat([send.parse('s', 'select generate_series(1, 9) as piece'), send.bind('p', 's'), fetch]),
  )
  await client.ready(3)
  client.write(fetch)
  await client.ready(4)
  assert.deepEqual(
    bed.value.of(/as piece/).map(({ result }) => result?.rowsOut),
    [3, 3],
  )
  client.write(send.query('close p; declare p cursor for select * from t'))
  await client.ready(5)
  client.write(fetch)
  await client.ready(6)
  assert.match(bed.value.commands.at(-1)?.text ?? '', /did not pass the gate/)
})
