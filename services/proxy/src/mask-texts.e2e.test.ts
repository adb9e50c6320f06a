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
  const maskText = { detect: ['card', 'email'], patterns: { staff: String.raw`EMP-\d{6}` } } as const
  bed = await startBed({ postgres: postgres.value, maskText })
})
after(async () => {
  await bed?.stop()
  await postgres?.stop()
})

test('what runs is what was sent; what is recorded has its kinds in place of them', async () => {
  const client = await bed.value.connect()
  try {
    const sent =
      "select 'alice@example.com' as a, 4242424242424242 as b /* EMP-123456, 078-05-1120, bob@example.org */"
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
  const masked = "select '[email]' as a, [card] as b /* [staff], 078-05-1120, [email] */"
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
