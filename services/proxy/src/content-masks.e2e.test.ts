/** Masks by content, with real clients and PostgreSQL: what is found is masked wherever it turns up, the rest is as it was. */
import assert from 'node:assert/strict'
import { buffer } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import createSql from 'postgres'
import { type Bed, startBed } from './testing/bed.ts'

const rules = String.raw`
rules:
  - { name: all, action: allow }
  - name: found
    match: { databases: [postgres] }
    action: mask
    mask: { detect: [card, secrets], patterns: { staff: '\bEMP-\d{6}\b' } }
  - { name: hashed, action: mask, mask: { detect: [email], method: hash } }
  - { name: ends, action: mask, mask: { detect: [card], method: partial } }
  - { name: named, when: 'command.verb == "SELECT" && "known" in command.tables', action: mask, mask: { columns: [known.secret] } }
`
let postgres: Started<Postgres>
let bed: Started<Bed>
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  bed = await startBed({ postgres: postgres.value, policy: rules, catalogueRefreshMs: 60_000 })
  await postgres.value.query(`
    create table notes (id int primary key, body text, doc jsonb, raw json, tags text[], at timestamptz, n bigint);
    insert into notes values
      (1, 'paid by 4242 4242 4242 4242', '{"card": 4242424242424242, "n": [1, 2]}', '{"a" : "b\\u0040example.com"}',
        '{alice@example.com,plain}', '2024-05-06 07:08:09+00', 4242424242424242),
      (2, 'EMP-123456 wrote to alice@example.com', '{}', '[]', '{}', null, 1),
      (3, 'order 1234567890, IBAN none', 'null', 'null', null, now(), null);
    create table known (secret text, note text);
    insert into known values ('anything', 'bob@example.com')`)
})
after(async () => {
  await bed?.stop()
  await postgres?.stop()
})

async function withClient<T>(body: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await bed.value.connect()
  try {
    return await body(client)
  } finally {
    await client.end()
  }
}

const hash = /^[0-9a-f]{32}$/

interface Note {
  readonly body: string
  readonly doc: object
  readonly raw: { readonly a: string }
  readonly tags: readonly string[]
  readonly n: string
}

test('in texts, JSON and arrays, by the simple and the extended protocol, text and binary', () =>
  withClient(async (client) => {
    const text = 'select body, doc, raw, tags, n from notes where id < 3 order by id'
    for (const query of [text, { text, values: [] }, { name: 'again', text, values: [] }]) {
      const { rows } = await client.query<Note>(query)
      const [first, second] = rows as [Note, Note]
      assert.equal(first.body, 'paid by [card]')
      assert.deepEqual(first.doc, { card: '[card]', n: [1, 2] })
      assert.match(first.raw.a, hash)
      const [address, plain] = first.tags
      assert.match(address ?? '', hash)
      assert.equal(plain, 'plain')
      // Numbers are not looked at.
      assert.equal(first.n, '4242424242424242')
      // The same address has the same hash wherever it stands.
      assert.equal(second.body, `[staff] wrote to ${address}`)
    }
    const binary = await client.query<[Buffer, Buffer, null]>({
      ...{
        text: 'select body, doc, tags from notes where id = $1',
        values: [1],
        rowMode: 'array',
        binary: true,
      },
    } as pg.QueryArrayConfig)
    const [body, doc, tags] = binary.rows[0] ?? []
    assert.equal(String(body), 'paid by [card]')
    assert.equal(String(doc), '\u0001{"n": [1, 2], "card": "[card]"}')
    assert.equal(tags, null)
  }))

test('what has nothing in it is as it comes from the server, byte by byte', () =>
  withClient(async (client) => {
    const text = 'select id, body, doc, raw, tags, at::date, n from notes where id = 3'
    const [through, direct] = [await client.query(text), await postgres.value.query(text)]
    assert.deepEqual(through.rows, direct.rows)
    assert.equal(bed.value.of(/where id = 3/).at(-1)?.result?.masked, undefined)
  }))

test('kinds and how often stand on the event, never what was found', () =>
  withClient(async (client) => {
    await client.query('select body as counted, tags from notes order by id')
    const command = bed.value.of(/as counted/).at(-1)
    const masked = new Map(command?.result?.masked?.map(({ column, values }) => [column, values]))
    assert.deepEqual(Object.fromEntries(masked), {
      'public.notes.body:card': 1,
      'public.notes.body:staff': 1,
      'public.notes.body:email': 1,
      'public.notes.tags:email': 1,
    })
  }))

test('COPY in each of its formats', async () => {
  const sql = createSql(bed.value.url(), { max: 1 })
  try {
    for (const [options, wanted] of [
      ['', /^1\tpaid by \[card\]\t\{"n": \[1, 2\], "card": "\[card\]"\}\t\{[0-9a-f]{32},plain\}\t\\N\n$/],
      [
        '(format csv)',
        /^1,paid by \[card\],"\{""n"": \[1, 2\], ""card"": ""\[card\]""\}","\{[0-9a-f]{32},plain\}",\n$/,
      ],
      // Its values say nothing of their types: one with a find is NULL.
      ['(format binary)', /^PGCOPY\n/],
    ] as const) {
      const copy = `copy (select id, body, doc, tags, n from notes where id = 1) to stdout ${options}`
      const data = (await buffer(await sql.unsafe(copy).readable())).toString('latin1')
      assert.match(data, wanted)
      assert.doesNotMatch(data, /4242 ?4242|alice/)
    }
  } finally {
    await sql.end()
  }
})

test('a column that is masked by name is, whatever is found in it; its neighbours are looked at', () =>
  withClient(async (client) => {
    const { rows } = await client.query<{ secret: string; note: string }>('select secret, note from known')
    assert.equal(rows[0]?.secret, '***')
    assert.match(rows[0]?.note ?? '', hash)
  }))

test('no find reaches the client by way of a cursor or a function that nobody here reads', () =>
  withClient(async (client) => {
    await client.query('begin; declare c cursor for select body from notes order by id')
    const { rows } = await client.query<{ body: string }>('fetch 2 from c')
    assert.equal(rows[0]?.body, 'paid by [card]')
    await client.query('rollback')
    const { rows: built } = await client.query<{ all: string }>(
      "select string_agg(body, ';' order by id) as all from notes",
    )
    assert.doesNotMatch(built[0]?.all ?? '', /4242|alice|EMP-\d/)
  }))

// Last: a DO may define anything, so that the catalogue is read anew behind it.
test('errors and notices quote nothing that is found, and say the rest', () =>
  withClient(async (client) => {
    const notices: string[] = []
    client.on('notice', ({ message = '' }) => notices.push(message))
    await assert.rejects(client.query('select body::int from notes where id = 1'), {
      message: 'invalid input syntax for type integer: "paid by [card]"',
      code: '22P02',
    })
    await client.query("do $$ begin raise notice 'to %', (select body from notes where id = 2); end $$")
    assert.deepEqual(notices, ['to [staff] wrote to [email]'])
  }))
