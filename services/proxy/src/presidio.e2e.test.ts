/**
 * Presidio's analyzer asked for what is in answers. The analyzer itself is a server of ours that speaks its documented form:
 * a list of texts in, for each a list of entities out, places counted in code points.
 */
import assert from 'node:assert/strict'
import { createServer, type Server } from 'node:http'
import { text as readText } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { createPresidio, type PresidioOptions } from './presidio.ts'
import { type Bed, startBed } from './testing/bed.ts'

const rules = `
rules:
  - { name: all, action: allow }
  - { name: names, action: mask, mask: { presidio: [PERSON], detect: [card] } }
`
const asked: { text: string[]; language: string; entities: string[] }[] = []
let mode: 'well' | 'slow' | 'wrong' | 'short' = 'well'
let analyzer: Server
let postgres: Started<Postgres>
const beds: Started<Bed>[] = []

before(async () => {
  analyzer = createServer(async (request, response) => {
    assert.equal(`${request.method} ${request.url}`, 'POST /base/analyze')
    const body: (typeof asked)[number] = JSON.parse(await readText(request))
    asked.push(body)
    if (mode === 'slow') return
    response.writeHead(mode === 'wrong' ? 500 : 200, { 'content-type': 'application/json' })
    response.end(
      JSON.stringify(
        mode === 'wrong' ? { error: 'no' } : body.text.map(personsIn).slice(mode === 'short' ? 1 : 0),
      ),
    )
  })
  await new Promise<void>((resolve) => analyzer.listen(0, '127.0.0.1', resolve))
  postgres = await startPostgres({ auth: 'password' })
  await postgres.value.query(`
    create table visits (id int, note text, doc jsonb);
    insert into visits select g, 'visit ' || g || ' of Ada Lovelace, 😀 Grace Hopper, 4242424242424242', '{"by":"Ada Lovelace","n":1}'
      from generate_series(1, 1000) g;
    insert into visits values (1001, 'nobody came', '{}'), (1002, '', null), (1003, null, '[]')`)
})
after(async () => {
  for (const bed of beds) await bed.stop()
  await postgres?.stop()
  analyzer?.closeAllConnections()
  analyzer?.close()
})

/** As Python counts: by code points. */
function personsIn(text: string): object[] {
  return [...text.matchAll(/Ada Lovelace|Grace Hopper/g)].map((match) => {
    const start = [...text.slice(0, match.index)].length
    return {
      entity_type: 'PERSON',
      start,
      end: start + match[0].length,
      score: 0.85,
      analysis_explanation: null,
    }
  })
}

async function bedWith(change: Partial<PresidioOptions> = {}): Promise<Bed> {
  const address = analyzer.address()
  assert.ok(typeof address === 'object' && address)
  const presidio = createPresidio({
    ...{ url: `http://127.0.0.1:${address.port}/base`, language: 'en', scoreMin: 0.5, timeoutMs: 20_000 },
    ...{ requestsMax: 2, waitingMax: 50, onFailure: 'mask', onError: () => undefined },
    ...change,
  })
  const bed = await startBed({ postgres: postgres.value, policy: rules, presidio })
  beds.push(bed)
  return bed.value
}

async function query(
  bed: Bed,
  sql: string | { text: string; values: unknown[] },
): Promise<Record<string, unknown>[]> {
  const client = await bed.connect()
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows
  } finally {
    await client.end()
  }
}

test('what it finds is masked beside what detectors find, over many chunks, in order, and each text is asked once', async () => {
  const bed = await bedWith()
  const sql = 'select id, note, doc from visits order by id'
  for (const one of [sql, { text: `${sql} limit $1`, values: [3000] }]) {
    const rows = await query(bed, one)
    assert.equal(rows.length, 1003)
    for (const [index, row] of rows.slice(0, 1000).entries()) {
      assert.equal(row.id, index + 1)
      assert.equal(row.note, `visit ${index + 1} of [person], 😀 [person], [card]`)
      assert.deepEqual(row.doc, { by: '[person]', n: 1 })
    }
    assert.deepEqual(rows.slice(1000), [
      { id: 1001, note: 'nobody came', doc: {} },
      { id: 1002, note: '', doc: null },
      { id: 1003, note: null, doc: [] },
    ])
  }
  const texts = asked.flatMap(({ text }) => text)
  assert.equal(new Set(texts).size, texts.length)
  assert.deepEqual([asked[0]?.language, asked[0]?.entities], ['en', ['PERSON']])
  const masked = bed.of(/from visits/).at(-1)?.result?.masked
  assert.deepEqual(
    masked?.map(({ values }) => values).toSorted((a, b) => a - b),
    [1000, 1000, 2000],
  )
})

test('without an answer the whole value is masked, or the result is cut: wrong, short or late', async () => {
  for (const how of ['wrong', 'short', 'slow'] as const) {
    mode = how
    const timeoutMs = how === 'slow' ? 200 : 20_000
    const rows = await query(
      await bedWith({ timeoutMs }),
      'select id, note from visits where id in (7, 1002) order by id',
    )
    assert.deepEqual(rows, [
      { id: 7, note: '[unread]' },
      { id: 1002, note: '' },
    ])
    await assert.rejects(
      query(await bedWith({ timeoutMs, onFailure: 'refuse' }), 'select note from visits'),
      (error) => {
        assert.equal((error as { code?: string }).code, '42501')
        assert.match((error as { detail?: string }).detail ?? '', /reason=mask_unavailable .*rule=names/)
        return true
      },
    )
  }
  mode = 'well'
})

test('no more wait for it than may, and one that is killed meanwhile ends', async () => {
  mode = 'slow'
  const bed = await bedWith({ requestsMax: 1, waitingMax: 1, timeoutMs: 1500 })
  const started = performance.now()
  const rows = await Promise.all(
    [1, 2, 3, 4].map((id) => query(bed, `select note from visits where id = ${id}`)),
  )
  assert.deepEqual(rows.flat(), Array(4).fill({ note: '[unread]' }))
  assert.ok(performance.now() - started < 20_000)
  const long = await bedWith({ timeoutMs: 60_000 })
  const killed = query(long, 'select note from visits')
  const count = asked.length
  while (asked.length === count) await new Promise((resolve) => setTimeout(resolve, 10))
  long.judge([{ action: 'kill' }])
  await assert.rejects(killed)
  mode = 'well'
})

test('a rule that wants it where there is none refuses', async () => {
  const bed = await startBed({ postgres: postgres.value, policy: rules })
  beds.push(bed)
  await assert.rejects(query(bed.value, 'select 1 as one'), /must be masked/)
})
