// What passes through one worker of a proxy and changes what names stand for counts in the others, too.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'

const policy = `
rules:
  - { name: all, action: allow }
  - { name: mask, when: 'identity.subject != "owner"', action: mask, mask: { columns: [hidden.*.ssn] } }
`
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  await postgres.value.query(`
    create schema clear; create schema hidden;
    create table clear.pets as select text 'of anybody' as ssn; create table clear.cats as table clear.pets;
    create table hidden.pets as select text 'secret' as ssn; create table hidden.cats as table hidden.pets`)
  system = await startSystem({ postgres: postgres.value, parts: ['proxy'], policy, workers: 2 })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

const changes = [
  ['pets', 'drop table clear.pets'],
  ['cats', "do $$ begin execute 'drop table clear.cats'; end $$"],
] as const

for (const [table, change] of changes)
  test(`a masked table that another worker's ${change.split(' ')[0]} brings to the front is masked`, async () => {
    // On both workers, but for once in thousands.
    const others = await Promise.all(Array.from({ length: 14 }, () => open('agent')))
    const definer = await open('owner')
    for (const client of others)
      for (let tries = 0; (await shown(client, table)) !== 'of anybody'; tries++) {
        assert.ok(tries < 200, 'the catalogue is not read')
        await sleep(50)
      }
    await definer.query(change)
    // Milliseconds, on a machine that has time for them.
    await sleep(300)
    const answers = await Promise.all(others.map((client) => shown(client, table)))
    assert.deepEqual(new Set(answers), new Set(['***']))
    await Promise.all([definer, ...others].map((client) => client.end()))
  })

async function open(subject: string): Promise<pg.Client> {
  const connectionString = `${await system.value.url(subject)}${postgres.value.database}`
  const client = new pg.Client({ connectionString, options: '-c search_path=clear,hidden' })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function shown(client: pg.Client, table: string): Promise<string | undefined> {
  return (await client.query<{ found: string }>(`select ssn || '' as found from ${table}`)).rows[0]?.found
}
