// Where something is masked, a command waits for the catalogue that is being read: not one answer is hidden for nothing.
import assert from 'node:assert/strict'
import { connect, createServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import { type Bed, type BedOptions, block, startBed } from '../../testing/bed.ts'

const policy = `
rules:
  - { name: all, action: allow }
  - { name: mask, when: 'identity.subject != "bob"', action: mask, mask: { columns: [people.ssn] } }
`
const query = 'select id, ssn from people'
const masked = [{ id: 7, ssn: '***' }]
const hidden = [{ id: 0, ssn: '***' }]

let postgres: Started<Postgres>
before(async () => {
  postgres = await startPostgres({ version: 'embedded', auth: 'password' })
  await postgres.value.query(
    "create table people (id int, ssn text); insert into people values (7, 'secret')",
  )
})
after(() => postgres?.stop())

async function withBed(options: Partial<BedOptions>, body: (bed: Bed) => Promise<void>): Promise<void> {
  const bed = await startBed({ postgres: postgres.value, policy, catalogueRefreshMs: 60_000, ...options })
  try {
    await body(bed.value)
  } finally {
    await bed.stop()
  }
}

async function rowsOf(client: pg.Client, values?: readonly unknown[]): Promise<object[]> {
  const asked = values ? { text: `${query} where id = $1`, values: [...values] } : { text: query }
  return (await client.query<object>(asked)).rows
}

for (const [name, values] of [
  ['in the simple protocol', undefined],
  ['in the extended one', [7]],
] as const)
  test(`the very first command is masked by its columns, ${name}`, () =>
    withBed({}, async (bed) => {
      const client = await bed.connect()
      assert.deepEqual(await rowsOf(client, values), masked)
      await client.end()
    }))

test('so is what was prepared before a DDL, by whomever, and is run right after it', () =>
  withBed({}, async (bed) => {
    const client = await bed.connect()
    const bob = await bed.connect('bob')
    const named = { name: 'n', text: query }
    assert.deepEqual((await client.query<object>(named)).rows, masked)
    // It is read a tenth of the time at most, and else at once.
    let rows: object[] = hidden
    for (let tries = 0; tries < 10 && rows[0] && !('id' in rows[0] && rows[0].id === 7); tries++) {
      await sleep(1000)
      await bob.query('alter table people alter column ssn set not null')
      rows = (await client.query<object>(named)).rows
    }
    assert.deepEqual(rows, masked)
    await client.end()
    await bob.end()
  }))

test('what does not come is not waited for long, and only by those of whom something is masked', () =>
  withoutCatalogue(false, (port) =>
    withBed({ hosts: [{ host: '127.0.0.1', port }] }, async (bed) => {
      const [ann, bob, gone, killed] = await Promise.all(
        ['ann', 'bob', 'gone', 'kim'].map((subject) => bed.connect(subject)),
      )
      assert.ok(ann && bob && gone && killed)
      const told: string[] = []
      const waits = rowsOf(ann).finally(() => told.push('ann'))
      const ends = rowsOf(killed).finally(() => told.push('kim'))
      rowsOf(gone).catch(() => undefined)
      assert.deepEqual(await rowsOf(bob), [{ id: 7, ssn: 'secret' }])
      told.push('bob')
      bed.judge([{ ...block('kim'), action: 'kill' }])
      await assert.rejects(ends, /portcullis/)
      await gone.end()
      assert.deepEqual(await waits, hidden)
      assert.deepEqual(told, ['bob', 'kim', 'ann'])
      assert.equal(notRead(bed), 0, 'it was still being read')
      await Promise.all([ann.end(), bob.end()])
      while (bed.sessions.live.size > 0) await sleep(10)
    }),
  ))

test('one that cannot be read ends the wait', () =>
  withoutCatalogue(true, (port) =>
    withBed({ hosts: [{ host: '127.0.0.1', port }] }, async (bed) => {
      const client = await bed.connect()
      assert.deepEqual(await rowsOf(client), hidden)
      assert.equal(notRead(bed), 1)
      await client.end()
    }),
  ))

const notRead = ({ logged }: Bed) => logged.filter((fields) => 'database' in fields).length

/** A way to the server on which whoever would read the catalogue hears nothing, or is hung up on after a while. */
async function withoutCatalogue(hangsUp: boolean, body: (port: number) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>()
  const way = createServer((client) => {
    const server = connect(postgres.value.port, '127.0.0.1')
    for (const socket of [client, server]) {
      sockets.add(socket)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        client.destroy()
        server.destroy()
      })
    }
    server.pipe(client)
    client.on('data', (chunk) => {
      if (!chunk.includes('set statement_timeout')) server.write(chunk)
      else if (hangsUp) setTimeout(() => client.destroy(), 500)
    })
  })
  await new Promise<void>((resolve) => way.listen(0, '127.0.0.1', resolve))
  const address = way.address()
  try {
    await body(typeof address === 'object' && address ? address.port : 0)
  } finally {
    for (const socket of sockets) socket.destroy()
    await new Promise((resolve) => way.close(resolve))
  }
}
