// Real servers' catalogues, of the newest and an old version: what a statement does where its names are known.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { catalogueOf, catalogueQuery } from './catalogue-query.ts'
import { type Catalogue, createSqlAnalyzer, type SearchPath, type StatementAnalysis } from './index.ts'
import { catalogueBlocks, corpus, fixture } from './testing/corpus.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 100, cacheBytesMax: 1 << 20 })
const order = ['read', 'write', 'delete', 'define', 'grant', 'execute', 'export', 'unknown', 'privileged']
const publicPath = ['public']

interface Bed {
  readonly version: string
  readonly postgres: Postgres
  readonly catalogue: Catalogue
  readonly stop: () => Promise<void>
}

const beds: Bed[] = []

before(async () => {
  for (const version of ['embedded', 'debian'] as const) {
    const { value, stop } = await startPostgres({ version })
    await value.query(fixture())
    await value.query('alter role app set search_path = public; grant all on schema app, public to app')
    const catalogue = await load(value)
    beds.push({ version, postgres: value, catalogue, stop })
  }
})
after(async () => {
  for (const { stop } of beds) await stop()
})

test('with the catalogue each block comes to exactly what it says, on both servers', () => {
  const blocks = catalogueBlocks()
  assert.ok(blocks.length > 30, `only ${blocks.length} blocks found`)
  for (const { version, catalogue } of beds) {
    const wrong: string[] = []
    for (const block of blocks) {
      const text = analyze(block.sql)
      assert.equal(
        words(text),
        inOrder([...block.effects, ...(block.privileged ? ['privileged'] : [])]),
        block.sql,
      )
      const found = words(refined(catalogue, block.sql))
      if (found !== inOrder(block.catalogue))
        wrong.push(
          `${version} line ${block.line}: ${block.sql}\n  is ${found}, not ${inOrder(block.catalogue)}`,
        )
    }
    assert.deepEqual(wrong, [], wrong.join('\n'))
  }
})

test('which rows are left: what functions, procedures and rules do without a condition counts', () => {
  for (const { catalogue } of beds)
    for (const [sql, text, known] of [
      ['call app.purge()', 'unknown', 'none'],
      ['select wipe(t) from t', undefined, 'none'],
      ['explain select wipe(t) from t', undefined, undefined],
      ['insert into logged values (1)', undefined, 'some'],
      ['delete from t where a = 1', 'some', 'some'],
      ['select 1', undefined, undefined],
      ['do $$begin end$$', 'unknown', 'unknown'],
    ] as const) {
      assert.equal(analyze(sql)[0]?.where, text, sql)
      assert.equal(refined(catalogue, sql)[0]?.where, known, sql)
    }
})

test('what a catalogue changes is alike for texts that are, and under no other catalogue or path', () => {
  const [one, other] = beds.map(({ catalogue }) => catalogue)
  const in1 = one?.under(publicPath)
  const [first, second] = ['select wipe(t) from t where a = 1', 'select wipe(t) from t where a = 1'].map(
    (sql) => in1?.refine(analyze(sql)[0] as StatementAnalysis),
  )
  assert.ok(first?.alike)
  assert.equal(first?.alike, second?.alike)
  const elsewhere = other
    ?.under(publicPath)
    .refine(analyze('select wipe(t) from t where a = 1')[0] as StatementAnalysis)
  assert.notEqual(elsewhere?.alike, first?.alike)
  const third = in1?.refine(analyze('select wipe(t) from t where a = 2')[0] as StatementAnalysis)
  assert.notEqual(third?.alike, first?.alike)
})

test('a block that is said to write is refused in a read-only transaction, and one that reads is not', async () => {
  for (const { postgres } of beds) {
    const client = new pg.Client({ connectionString: postgres.app.url })
    await client.connect()
    await postgres.query('grant all on all tables in schema public, app to app')
    try {
      let refused = 0
      for (const block of catalogueBlocks()) {
        if (
          /^(explain|prepare|copy|select app\.forever|select \* from far_away|.*app\.secrets)/i.test(
            block.sql,
          )
        )
          continue
        const code = await codeInReadOnly(client, block.sql)
        const writes = block.catalogue.includes('write') || block.catalogue.includes('delete')
        // A body that nobody here reads may do either.
        if (writes) assert.match(code, /^(25006|2BP01|42501)$/, `${block.sql}: ${code}`)
        else if (!block.catalogue.includes('execute')) assert.equal(code, '', `${block.sql}: ${code}`)
        if (code === '25006') refused += 1
      }
      assert.ok(refused >= 15, `only ${refused} were refused`)
    } finally {
      await client.end()
    }
  }
})

test('what the text alone knows to be more than a read stays so, and a plain read stays one', () => {
  for (const { catalogue } of beds)
    for (const block of corpus()) {
      const before = analyze(block.sql)
      const after = before.map((one) => catalogue.under(publicPath).refine(one))
      const lost = before
        .flatMap(({ effects }) => effects)
        .filter((effect) => effect !== 'execute' && effect !== 'unknown')
      for (const effect of lost)
        assert.ok(
          after.some(({ effects }) => effects.includes(effect)),
          block.sql,
        )
      // `lower` may mean a function of the fixture, and which one is called is for the server to tell.
      if (block.file === 'reads.sql' && !/\blower\(/.test(block.sql))
        assert.equal(words(after), words(before), block.sql)
    }
})

test('views name the tables that they show, and what is changed through them', () => {
  for (const { catalogue } of beds) {
    assert.deepEqual(tables(refined(catalogue, 'select * from app.view_of_view')), [
      'app.view_of_view read',
      'public.t read',
      'public.wiping_view read',
    ])
    assert.deepEqual(tables(refined(catalogue, 'update app.changeable set note = null')), [
      'app.changeable write',
      'public.s read',
      'public.s write',
    ])
    assert.deepEqual(tables(refined(catalogue, 'insert into app.changeable values (1)')), [
      'app.changeable write',
      'public.s write',
    ])
    assert.deepEqual(tables(refined(catalogue, 'delete from logged')), ['.logged delete', 'public.log write'])
  }
})

test('a name stands for what the search path finds first; where that is not known, for all of them', () => {
  for (const { catalogue } of beds) {
    const under = (path: SearchPath) => words(refined(catalogue, 'select touched()', { path }))
    assert.equal(under(['public']), 'read')
    assert.equal(under(['first', 'public']), 'read execute')
    assert.equal(under(['public', 'first']), 'read')
    assert.equal(under(undefined), 'read execute')
    assert.equal(under([]), 'read execute', 'not found: as the text alone says')
  }
})

test('an outdated catalogue adds to what the text says and takes nothing away', () => {
  for (const { catalogue } of beds) {
    const outdated = (sql: string) =>
      words(analyze(sql).map((one) => catalogue.under(publicPath, true).refine(one)))
    assert.equal(outdated('select app.half(1)'), 'read execute')
    assert.equal(outdated('select id from wiping_view'), 'read execute')
    assert.equal(outdated('call app.purge()'), 'delete execute unknown')
  }
})

test('the same analysis gives the same refined one, and itself where there is nothing to say', () => {
  const [{ catalogue }] = beds as [Bed]
  const refiner = catalogue.under(publicPath)
  const [plain, call] = ['select a from t where id = 1', 'select app.half(1)'].map(
    (sql) => analyze(sql)[0],
  ) as [StatementAnalysis, StatementAnalysis]
  assert.equal(refiner.refine(plain), plain)
  assert.notEqual(refiner.refine(call), call)
  assert.equal(refiner.refine(call), refiner.refine(call))
  // The text and what belongs to it stay its own where only literals differ.
  const [other] = analyze('select app.half(2)') as [StatementAnalysis]
  assert.equal(refiner.refine(other).text, 'select app.half(2)')
})

test('views over views that each name two others are followed once each', async () => {
  const [{ postgres }] = beds as [Bed]
  const pairs = Array.from({ length: 30 }, (_, at) =>
    ['a', 'b']
      .map((one) => `create view tower.${one}${at + 1} as select x.id from tower.a${at} x, tower.b${at} y;`)
      .join(''),
  )
  await postgres.query(
    `create schema tower; create view tower.a0 as select id from t; create view tower.b0 as select id from s; ${pairs.join('')}`,
  )
  const catalogue = await load(postgres)
  const from = performance.now()
  const found = refined(catalogue, 'select * from tower.a30')
  assert.equal(tables(found).length, 63)
  assert.ok(performance.now() - from < 1000, 'the time doubled with each view')
})

async function load(postgres: Postgres, previous?: Catalogue): Promise<Catalogue> {
  const client = new pg.Client({ connectionString: postgres.app.url })
  await client.connect()
  try {
    await client.query('set search_path = pg_catalog')
    const version = Number((await client.query('show server_version_num')).rows[0].server_version_num)
    const { rows } = await client.query({ text: catalogueQuery(version), rowMode: 'array' })
    const catalogue = analyzer.catalogue(catalogueOf(rows as string[][]), previous)
    await catalogue.warm()
    return catalogue
  } finally {
    await client.end()
  }
}

async function codeInReadOnly(client: pg.Client, sql: string): Promise<string> {
  try {
    await client.query('begin read only')
    await client.query(sql)
    return ''
  } catch (error) {
    return error instanceof pg.DatabaseError ? (error.code ?? 'none') : 'none'
  } finally {
    await client.query('rollback')
  }
}

function analyze(text: string): readonly StatementAnalysis[] {
  const sql = Buffer.from(text)
  return analyzer.analyzeNow(sql, 0, sql.length)
}

function refined(
  catalogue: Catalogue,
  text: string,
  { path }: { readonly path: SearchPath } = { path: publicPath },
): readonly StatementAnalysis[] {
  return analyze(text).map((one) => catalogue.under(path).refine(one))
}

function words(analyses: readonly StatementAnalysis[]): string {
  return inOrder([
    ...analyses.flatMap(({ effects }) => effects),
    ...(analyses.some(({ privileged }) => privileged) ? ['privileged'] : []),
  ])
}

function inOrder(some: readonly string[]): string {
  return order.filter((word) => some.includes(word)).join(' ')
}

function tables(analyses: readonly StatementAnalysis[]): readonly string[] {
  return analyses
    .flatMap(({ objects }) => objects)
    .filter(({ kind }) => kind === 'table')
    .map(({ namespace, name, effect }) => `${namespace}.${name} ${effect}`)
    .sort()
}
