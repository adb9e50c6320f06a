/** What is masked cannot be asked for bit by bit: a binary search of a secret by predicates is stopped, and who looks things up is not. */
import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import type pg from 'pg'
import { type Bed, startBed } from './testing/bed.ts'

const perHour = 20
const secret = 'k7QzP2mX9rT4vB1n'
const rules = (over: string) => `
rules:
  - { name: all, action: allow }
  - name: hidden
    action: mask
    mask: { columns: [users.key], predicates: { perHour: ${perHour}, over: ${over} } }
`
let postgres: Started<Postgres>
let bed: Started<Bed>
let turn = 0
before(async () => {
  postgres = await startPostgres({ auth: 'password' })
  await postgres.value.query(`
    create table users (id int primary key, name text, key text);
    insert into users select g, 'n' || g, case g when 7 then '${secret}' else md5(g::text) end from generate_series(1, 30) g;
    create view shown as select id, key as k from users;
    create function matches(text) returns bigint language sql stable as
      'select count(*) from users where id = 7 and key < $1'`)
  bed = await startBed({ postgres: postgres.value, policy: rules('throttle'), catalogueRefreshMs: 60_000 })
})
after(async () => {
  await bed?.stop()
  await postgres?.stop()
})
beforeEach(() => {
  // Each test is somebody else, who has asked nothing yet.
  turn += 1
  bed.value.commands.length = 0
  bed.value.rule(rules('block'))
})

async function withClient<T>(body: (client: pg.Client) => Promise<T>, subject = `agent-${turn}`): Promise<T> {
  const client = await bed.value.connect(subject)
  try {
    return await body(client)
  } finally {
    await client.end()
  }
}

type Ask = (client: pg.Client, prefix: string) => Promise<boolean>

/** Finds the secret by halves; how much of it, in how many queries, until refused. */
async function search(
  client: pg.Client,
  ask: Ask,
): Promise<{ found: string; queries: number; error: unknown }> {
  let found = ''
  let queries = 0
  while (found.length < secret.length) {
    let [low, high] = [0x20, 0x7f]
    while (low + 1 < high) {
      const middle = (low + high) >> 1
      queries += 1
      try {
        if (await ask(client, found + String.fromCharCode(middle))) high = middle
        else low = middle
      } catch (error) {
        return { found, queries, error }
      }
    }
    found += String.fromCharCode(low)
  }
  return { found, queries, error: undefined }
}

const quoted = (text: string) => `'${text.replaceAll("'", "''")}'`
const isFound = ({ rows }: pg.QueryResult) => rows.length > 0 && Object.values(rows[0]).join() !== '0'
const ways: Readonly<Record<string, Ask>> = {
  'a condition': async (client, prefix) =>
    isFound(await client.query(`select id from users where id = 7 and key collate "C" < ${quoted(prefix)}`)),
  'a bind value': async (client, prefix) =>
    isFound(
      await client.query({
        name: 'ask',
        text: 'select id from users where id = 7 and key collate "C" < $1',
        values: [prefix],
      }),
    ),
  'a view and a count': async (client, prefix) =>
    isFound(
      await client.query(`select count(*) from shown where id = 7 and k collate "C" < ${quoted(prefix)}`),
    ),
  'a subquery': async (client, prefix) =>
    isFound(
      await client.query(
        `select 1 as yes where exists (select from users where id = 7 and key collate "C" < ${quoted(prefix)})`,
      ),
    ),
  'a join': async (client, prefix) =>
    isFound(
      await client.query(
        `select u.id from users u join (values (${quoted(prefix)})) v(p) on u.key collate "C" < v.p where u.id = 7`,
      ),
    ),
  'the order of rows': async (client, prefix) => {
    const { rows } = await client.query(
      `select id from (select id, key from users where id = 7 union all select 0, ${quoted(prefix)}) q order by key collate "C" limit 1`,
    )
    return rows[0].id === 7
  },
  'a cursor': async (client, prefix) => {
    await client.query('begin')
    try {
      await client.query(
        `declare c cursor for select id from users where id = 7 and key collate "C" < ${quoted(prefix)}`,
      )
      return isFound(await client.query('fetch all from c'))
    } finally {
      await client.query('rollback')
    }
  },
  'a change': async (client, prefix) => {
    const { rowCount } = await client.query(
      `update users set name = name where id = 7 and key collate "C" < ${quoted(prefix)}`,
    )
    return rowCount === 1
  },
  'a function': async (client, prefix) =>
    isFound(await client.query(`select matches(${quoted(prefix)}) as n`)),
}

for (const [name, ask] of Object.entries(ways))
  test(`a search by ${name} is stopped after ${perHour} questions, and the next session of the identity begins with none`, async () => {
    const { found, queries, error } = await withClient((client) => search(client, ask))
    assert.ok(error, `it found ${found} by ${queries} queries`)
    const { code, detail = '' } = error as { code?: string; detail?: string }
    assert.equal(code, '53400', String(error))
    assert.match(detail, /reason=mask_predicates .*rule=hidden/)
    // What meets rows of the client's own is too much at any time.
    assert.equal(/retry_after_ms=\d+/.test(detail), queries > 1)
    assert.ok(queries <= perHour + 1, `${queries} queries`)
    assert.ok(found.length < 4, found)
    const again = await withClient((client) => search(client, ask))
    assert.equal(again.queries, 1)
    const [refused] = bed.value.commands.filter(({ decision }) => decision.reason === 'mask_predicates')
    assert.equal(refused?.decision.action, 'block')
    assert.match(refused?.intent.attributes['mask.predicates'] ?? '', /"column":"public\.users\.key"/)
  })

test('many questions in one statement count as many', () =>
  withClient(async (client) => {
    const one = (at: number) => `select ${at} where exists (select from users where id = 7 and key < '${at}')`
    const many = (count: number) => Array.from({ length: count }, (_, at) => one(at)).join(' union all ')
    await assert.rejects(client.query(many(perHour + 1)), { code: '53400' })
    await client.query(many(perHour - 1))
    await client.query(one(1))
    await assert.rejects(client.query(one(1)), /what is masked decided too many answers: public\.users\.key/)
  }))

test('one condition that meets all guesses at once is refused the first time, whatever it is written as, and counts for nothing', async () => {
  const attacks = [
    `select i, c from users, generate_series(1, 16) i, generate_series(48, 122) c where id = 7 and substr(key, i, 1) = chr(c)`,
    `select c from (select c, substr(k, 1, 1) = chr(c) as hit from shown, generate_series(48, 122) c where id = 7) q where hit`,
    `select chr(c) from generate_series(48, 122) c except select substr(key, 1, 1) from users where id = 7`,
    `select c, matches(chr(c)) from generate_series(48, 122) c`,
    `select id from (select id, key from users where id = 7 union all select c, chr(c) from generate_series(48, 122) c) q order by key collate "C"`,
  ]
  for (const over of ['block', 'throttle']) {
    bed.value.rule(rules(over))
    await withClient(async (client) => {
      for (const sql of attacks)
        await assert.rejects(
          client.query(sql),
          { code: '53400', message: /public\.users\.key, asked more than 20 questions at once/ },
          sql,
        )
      assert.match(bed.value.commands.at(-1)?.intent.attributes['mask.predicates'] ?? '', /"times":21/)
      const { rows } = await client.query(
        'select u.id from users u join users o on o.key = u.key and o.id = u.id where u.key = $1',
        [secret],
      )
      assert.deepEqual(rows, [{ id: 7 }])
    }, `agent-${turn}-${over}`)
  }
})

test('who looks things up now and then passes, whatever else they do; and others are not concerned', async () => {
  await withClient(async (client) => {
    for (let at = 0; at < perHour; at++) {
      const { rows } = await client.query('select id, key from users where key = $1', [secret])
      assert.deepEqual(rows, [{ id: 7, key: '***' }])
    }
    for (let at = 0; at < 100; at++) {
      await client.query('select key from users where id = $1', [7])
      await client.query("update users set name = 'n' where id = $1", [at])
      await client.query('set statement_timeout = 0')
    }
    await client.query('begin; declare c cursor for select name from users; fetch 1 from c; rollback')
    await assert.rejects(client.query('select id from users where key = $1', [secret]))
  })
  await withClient((client) => client.query('select id from users where key = $1', [secret]), `other-${turn}`)
})

test('throttled or held in place of refused', async () => {
  for (const [over, action] of [
    ['throttle', 'throttle'],
    ['hold', 'hold'],
  ] as const) {
    bed.value.rule(rules(over))
    await withClient(async (client) => {
      const ask = () => client.query("select id from users where key < 'x'")
      for (let at = 0; at < perHour; at++) await ask()
      await assert.rejects(ask(), { code: '53400' })
    }, `agent-${turn}-${over}`)
    assert.equal(bed.value.commands.at(-1)?.decision.action, action)
  }
})
