// What was planned before shows what its names stood for then: a cursor and a portal are masked by that, although the search
// path has moved since, and the catalogue was read again.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { type Bed, startBed } from '../../testing/bed.ts'
import { RawClient, send } from '../../testing/raw-client.ts'
import { cstring, frontend, message } from './wire.ts'

const policy = `
rules:
  - { name: all, action: allow }
  - { name: mask, action: mask, mask: { columns: [people.ssn] } }
`
let postgres: Started<Postgres>
let bed: Started<Bed>
let raw: RawClient
let seen: Buffer[] = []

before(async () => {
  postgres = await startPostgres({ version: 'embedded', auth: 'password' })
  await postgres.value.query(`
    create table people (name text, ssn text); insert into people values ('plain', 'secret');
    create schema one; create view one.v as select ssn as x from people;
    create schema two; create view two.v as select name as x from people;
    grant usage on schema one, two to public; grant all on all tables in schema public, one, two to public`)
  bed = await startBed({ postgres: postgres.value, policy, catalogueRefreshMs: 60_000 })
  raw = await RawClient.open(bed.value.port, 'shop', 'ann', postgres.value.database)
  raw.socket.on('data', (chunk: Buffer) => seen.push(chunk))
})
after(async () => {
  raw?.socket.destroy()
  await bed?.stop()
  await postgres?.stop()
})

async function ask(...messages: readonly Buffer[]): Promise<string> {
  seen = []
  raw.take()
  raw.write(Buffer.concat(messages))
  await raw.ready(messages.length)
  return Buffer.concat(seen).toString('latin1')
}

const extended = (...messages: readonly Buffer[]) => Buffer.concat([...messages, send.sync()])
const bind = (portal: string) => message(frontend.bind, cstring(portal), cstring(''), Buffer.alloc(6))
const to = (path: string) => send.query(`set search_path = ${path}`)
const [begin, rollback] = [send.query('begin'), send.query('rollback')]

for (const [name, open, fetch] of [
  ['a cursor', send.query('declare c cursor for select x from v'), send.query('fetch all in c')],
  [
    'a cursor that is held',
    send.query('declare c cursor with hold for select x from v'),
    send.query('fetch all in c'),
  ],
  ['a portal', extended(send.parse('', 'select x from v'), bind('c')), extended(send.execute('c'))],
  [
    'a portal that SQL fetches from',
    extended(send.parse('', 'select x from v'), bind('c')),
    send.query('fetch all in c'),
  ],
] as const)
  test(`${name} of a view that the search path hides by now is masked, and the other way round it is not`, async () => {
    await ask(to('one'))
    await ask(begin)
    await ask(open)
    await ask(to('two'))
    const hidden = await ask(fetch)
    await ask(rollback)
    assert.ok(!hidden.includes('secret'), hidden)
    assert.ok(hidden.includes('***'), hidden)

    await ask(to('two'))
    await ask(begin)
    await ask(open)
    await ask(to('one'))
    const shown = await ask(fetch)
    await ask(rollback)
    assert.ok(shown.includes('plain'), shown)
  })

test('a cursor that outlives a view which it was declared over shows what that showed', async () => {
  await ask(to('one'))
  await ask(begin)
  await ask(send.query('declare h cursor with hold for select x from v'))
  await ask(send.query('commit'))
  await postgres.value.query('create or replace view one.v as select name as x from people')
  const other = await bed.value.connect()
  await other.query('create table read_again ()')
  while (!(await ask(send.query('select x from one.v'))).includes('plain')) await sleep(50)
  const found = await ask(send.query('fetch all in h'))
  assert.ok(!found.includes('secret'), found)
  await other.end()
})
