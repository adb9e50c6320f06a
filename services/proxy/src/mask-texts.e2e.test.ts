/** Texts that are masked where they are recorded, with a real client and PostgreSQL. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { type Bed, startBed } from './testing/bed.ts'

let postgres: Started<Postgres>
let bed: Started<Bed>
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  const maskText = {
    detect: ['card', 'email'],
    patterns: { staff: String.raw`EMP-\d{6}` },
    rules: true,
  } as const
  const policy = `
rules:
  - { name: all, action: allow }
  - { name: column, action: mask, mask: { columns: [people.born], detect: [us-ssn] } }
`
  await postgres.value.query('create table people (id int, name text, born date)')
  bed = await startBed({ postgres: postgres.value, maskText, policy, catalogueRefreshMs: 60_000 })
})
after(async () => {
  await bed?.stop()
  await postgres?.stop()
})

test('what runs is what was sent; what is recorded has its kinds in place of them', async () => {
  const client = await bed.value.connect()
  try {
    const sent =
      "select 'alice@example.com' as a, 4242424242424242 as b /* EMP-123456, by hand, bob@example.org */"
    for (const query of [sent, { text: sent, values: [] }, { name: 'named', text: sent, values: [] }]) {
      const { rows } = await client.query<object>(query)
      assert.deepEqual(rows, [{ a: 'alice@example.com', b: '4242424242424242' }])
    }
    await assert.rejects(client.query("select 'carol@example.com'::int"))
    await client.query("alter role current_user password 'dave@example.com'").catch(() => undefined)
    await client.query('select 1 as nothing')
  } finally {
    await client.end()
  }
  const told = bed.value.commands.map(({ text, intent }) => [text, intent.attributes['text.masked']])
  const masked = "select '[email]' as a, [card] as b /* [staff], by hand, [email] */"
  const counts = '{"email":2,"card":1,"staff":1}'
  assert.deepEqual(told, [
    [masked, counts],
    [masked, counts],
    [masked, counts],
    ["select '[email]'::int", '{"email":1}'],
    ["alter role current_user password '***'", undefined],
    ['select 1 as nothing', undefined],
  ])
  const [first, second, third] = bed.value.commands
  assert.equal(new Set([first, second, third].map((one) => one?.intent.analysis)).size, 1)
})

test('by the rules that mask: what their detectors find, and literals that are compared or stored', async () => {
  bed.value.commands.length = 0
  const client = await bed.value.connect()
  try {
    for (const sql of [
      "select name from people where id = 7 and name = 'Ada'",
      "select name from people where born = '1815-12-10'",
      "insert into people values (8, 'Grace', '1906-12-09')",
      "select id from people where name = '078-05-1120'",
    ])
      await client.query(sql)
  } finally {
    await client.end()
  }
  const told = bed.value.commands.map(({ text, intent }) => [text, intent.attributes['text.masked']])
  assert.deepEqual(told, [
    ["select name from people where id = 7 and name = 'Ada'", undefined],
    ["select name from people where born = '***'", '{"literals":true}'],
    ["insert into people values (0, '***', '***')", '{"literals":true}'],
    ["select id from people where name = '[us-ssn]'", '{"us-ssn":1}'],
  ])
})
