// Lineage by a catalogue that is written out here: what a real server has no say in, and what must not depend on one.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { type Lineage, lostLineage, type Sources } from '@portcullis/kernel'
import type { CatalogueFunction, CatalogueTable } from '../catalogue-types.ts'
import { createSqlAnalyzer, resolveNames, type SearchPath, type StatementAnalysis } from '../index.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 100, cacheBytesMax: 1 << 20 })
after(() => analyzer.close())

let id = 1
const table = (name: string, columns: CatalogueTable['columns'], more: Partial<CatalogueTable> = {}) => ({
  ...{ id: id++, schema: 'public', name, kind: 'r', columns: columns ?? [] },
  ...more,
})
const inSql = (name: string, signature: string, body: string): CatalogueFunction => ({
  ...{ id: id++, schema: 'public', name, argumentsMin: 0, argumentsMax: 9, signature, kind: 'function' },
  ...{ volatility: 'stable', securityDefiner: false, language: 'sql', body, takesRow: false },
  ...{ returnsSet: false, rowType: [] },
})
const log = table('log', ['id', 'ssn'], { kind: 'p' })
const tables: readonly CatalogueTable[] = [
  table('people', ['id', null, 'name', 'ssn']),
  table('twice', ['a', 'b']),
  table('twice', ['a', 'b'], { schema: 'other' }),
  table('differs', ['a', 'b']),
  table('differs', ['b', 'a'], { schema: 'other' }),
  table('mine', ['x']),
  table('mine', ['x'], { schema: 'pg_temp' }),
  log,
  table('log_1', ['ssn', 'id'], { parents: [log.id] }),
]
const functions = [
  inSql('forever', '23', 'select forever($1)'),
  inSql('picks', '25 25', 'select $2'),
  inSql('unknown_path', '', 'select a from twice'),
]
const catalogue = analyzer.catalogue({
  functions,
  relations: [],
  tables,
  operators: [],
  casts: [],
  domains: [],
})

function analyses(sql: string): readonly StatementAnalysis[] {
  const bytes = Buffer.from(sql)
  return analyzer.analyzeNow(bytes, 0, bytes.length)
}

function lineage(sql: string, { path }: { readonly path: SearchPath } = { path: ['public'] }): Lineage {
  const [only] = analyses(sql)
  assert.ok(only)
  return catalogue.under(path).lineage(only)
}

function words(sources: Sources): string {
  return sources === 'lost'
    ? 'lost'
    : sources.map((one) => `${one.schema}.${one.table}.${one.column}`).join(' ')
}

/** What each column is made of, `=` where it is that itself. */
function shown({ columns }: Lineage): readonly string[] {
  return columns.map(({ name = '', sources, exact }) => `${name}: ${words(sources)}${exact ? ' =' : ''}`)
}

test('a dropped column has no place among the others, but keeps its number', () => {
  assert.deepEqual(shown(lineage('select * from people')), [
    'id: public.people.id =',
    'name: public.people.name =',
    'ssn: public.people.ssn =',
  ])
  const people = tables[0]?.id ?? 0
  const refiner = catalogue.under(['public'])
  assert.equal(refiner.columnAt(people, 2), undefined)
  assert.equal(refiner.columnAt(people, 4)?.column, 'ssn')
  assert.equal(refiner.columnAt(people, 0), undefined)
  assert.equal(refiner.columnAt(99_999, 1), undefined)
})

test('a value is itself through names, casts to text and choices, and not through anything that computes', () => {
  for (const [expression, isExact] of [
    ['ssn', true],
    ['ssn::text', true],
    ['ssn::varchar', true],
    ['ssn::varchar(3)', false],
    ['ssn::int', false],
    ['min(ssn)', true],
    ["coalesce(ssn, 'x')", true],
    ['case when 1 = 1 then ssn end', true],
    ["case when name = 'x' then ssn end", false],
    ['(select ssn)', true],
    ['ssn || name', false],
    ['upper(ssn)', false],
    ['row(ssn)', false],
    ['array[ssn]', false],
  ] as const) {
    const [column] = lineage(`select ${expression} from people`).columns
    assert.equal(column?.exact, isExact, expression)
    assert.match(words(column?.sources ?? []), /people\.ssn/, expression)
  }
})

test('a name that may mean several tables means all of them, or is lost where they differ', () => {
  assert.deepEqual(shown(lineage('select a from twice')), ['a: public.twice.a ='])
  assert.deepEqual(shown(lineage('select a from twice', { path: ['other', 'public'] })), [
    'a: other.twice.a =',
  ])
  assert.deepEqual(shown(lineage('select a from twice', { path: undefined })), [
    'a: public.twice.a other.twice.a =',
  ])
  assert.deepEqual(shown(lineage('select a from differs', { path: undefined })), ['a: lost'])
  assert.deepEqual(shown(lineage('select x from mine')), ['x: public.mine.x pg_temp.mine.x ='])
  assert.deepEqual(shown(lineage('select unknown_path()', { path: undefined })), [
    'unknown_path: public.twice.a other.twice.a =',
  ])
})

test('partitions and what they are partitions of name each other', () => {
  const kinOf = (sql: string) => {
    const [sources] = lineage(sql).columns.map((one) => one.sources)
    return sources === 'lost' || sources === undefined ? sources : sources[0]?.kin
  }
  assert.deepEqual(kinOf('select ssn from log'), [{ schema: 'public', table: 'log_1' }])
  assert.deepEqual(kinOf('select ssn from log_1'), [{ schema: 'public', table: 'log' }])
  assert.equal(kinOf('select ssn from people'), undefined)
})

test('what nobody knows is lost, and never clean', () => {
  for (const sql of [
    'select x from nowhere',
    'select nothing from people',
    'select f_unknown(1)',
    'select people.* from nowhere people',
    'select forever(1)',
    'select x.y.z.a.b from people',
    "select query_to_xml('select 1', true, true, '')",
    "select data from pg_logical_slot_peek_changes('s', null, null)",
    "select * from pg_logical_slot_get_binary_changes('s', null, null)",
    `select ${'('.repeat(700)}${'ssn'}${')'.repeat(700)} from people`,
    `select ${Array.from({ length: 700 }, () => 'ssn').join(' || ')} from people`,
  ]) {
    const { columns, others } = lineage(sql)
    const all = columns.length > 0 ? columns : [others]
    for (const { sources } of all) assert.match(words(sources), /lost|people\.ssn/, sql.slice(0, 80))
  }
  for (const sql of [
    'selec 1',
    "do 'begin end'",
    'create function f() returns int language sql as $$select 1$$',
  ])
    assert.equal(words(lineage(sql).copies), 'lost', sql)
  assert.equal(lineage('selec 1'), lostLineage)
  assert.equal(lineage('fetch all from c'), lostLineage, 'nobody said what c is')
})

test("what a definition names of its own table, and what it computes, is nobody else's", () => {
  for (const sql of [
    'create table t (id int generated always as identity, at timestamptz default now(), n int default 1 + 2 check (n > 0), u uuid default gen_random_uuid(), up text generated always as (upper(t)) stored, t text, unique (n), exclude using btree (id with =))',
    'create index on differs (lower(a)) where b is not null',
    "alter table differs alter a type varchar using a || 'x', add column m date default current_date, add check (a <> 'q')",
    "create domain d as text default 'x' check (value <> '' and length(value) < 9)",
  ])
    assert.doesNotMatch(words(lineage(sql).copies), /lost|people/, sql)
  assert.equal(words(lineage('alter table differs alter a set default f_unknown(1)').copies), 'lost')
})

test('columns behind a part of unknown width are made of all that may stand there', () => {
  const { columns, others } = lineage("select name, e.*, ssn from people, json_to_record('{}') e")
  assert.deepEqual(
    columns.map(({ name }) => name),
    ['name'],
  )
  assert.equal(words(others.sources), 'public.people.ssn')
})

test('an argument of a function in SQL is where its body uses it', () => {
  assert.deepEqual(shown(lineage('select picks(ssn, name) from people')), ['picks: public.people.name ='])
  assert.deepEqual(shown(lineage('select picks(name, ssn) from people')), ['picks: public.people.ssn ='])
})

test('what stands behind a name is what it shows', () => {
  const refiner = catalogue.under(['public'])
  const by = (sql: string) =>
    resolveNames(analyses(sql), () => undefined).map((one) => shown(refiner.lineage(one)))
  const [, execute] = by('prepare q as select ssn from people; execute q')
  assert.deepEqual(execute, ['ssn: public.people.ssn ='])
  const [, fetch, move] = by('declare c cursor for select id from people; fetch all in c; move all in c')
  assert.deepEqual([fetch, move], [['id: public.people.id ='], []])
})

test('the same is worked out once, for all texts that differ in literals only', () => {
  const refiner = catalogue.under(['public'])
  const [one, other] = ['select ssn from people where id = 1', 'select ssn from people where id = 2'].map(
    (sql) => refiner.lineage(analyses(sql)[0] as StatementAnalysis),
  )
  assert.equal(one, other)
  assert.notEqual(one, lineage('select ssn from people where id = 3', { path: ['other', 'public'] }))
})

test('a long text has the lineage of a short one, by the tree that its own thread kept', async () => {
  const list = (count: number) => Array.from({ length: count }, (_, at) => `'${at}'`).join()
  for (const [text, sources] of [
    [(count: number) => `select name from people where ssn in (${list(count)})`, 'public.people.name'],
    [(count: number) => `select ssn, array[${list(count)}] from people order by 1`, 'public.people.ssn'],
    [
      (count: number) =>
        `select v.x, ssn from (values ${list(count).replaceAll(/'\d+'/g, '($&)')}) v(x), people`,
      '',
    ],
  ] as const) {
    const bytes = Buffer.from(text(4000))
    const [long] = await analyzer.analyze(bytes, 0, bytes.length)
    assert.ok(long?.tree && long.tree.length < 10_000, `${long?.tree?.length} bytes are kept`)
    const found = catalogue.under(['public']).lineage(long)
    assert.deepEqual(found, lineage(text(3)))
    assert.equal(words(found.columns[0]?.sources ?? 'lost'), sources)
  }
  const wide = Buffer.from(
    `select ${Array.from({ length: 9000 }, (_, at) => `f${at}(ssn)`).join()} from people`,
  )
  const [tooLarge] = await analyzer.analyze(wide, 0, wide.length)
  assert.equal(tooLarge && catalogue.under(['public']).lineage(tooLarge), lostLineage)
})
