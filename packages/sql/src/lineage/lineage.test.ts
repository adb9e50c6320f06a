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
  inSql('several', '', "values ('a'), ('b')"),
  inSql('mine', '', "select 'a'"),
  inSql('counts', '25', 'select count(*) from people where ssn < $1'),
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

/** How many questions about people.ssn. */
function asked({ timesRead }: Lineage): number | undefined {
  return [...(timesRead ?? [])].find(([ref]) => ref.table === 'people' && ref.column === 'ssn')?.[1]
}

const one = 'select ssn from people where id = 1'
const guesses = 'generate_series(48, 122) c'
const many: Readonly<Record<string, string>> = {
  'a set of positions and characters': `select id, i, c from people, generate_series(1, 4) i, ${guesses} where id = 1 and substr(ssn, i, 1) = chr(c)`,
  'a join on an order': `select c from people join ${guesses} on ssn < chr(c) where id = 1`,
  'guesses of the whole': 'select n from people, generate_series(1, 9999) n where ssn = n',
  'guesses of the whole by USING': "select 1 from people join (values ('a'), ('b')) v(ssn) using (ssn)",
  'a pattern from elsewhere': "select v.p from people, (values ('a%'), ('b%')) v(p) where ssn like v.p",
  'a regular expression of a table': 'select a from people, twice where ssn ~ a',
  'a table in an order': 'select a from people, twice where ssn < a',
  'a subquery compared': `select c from ${guesses} where (select substr(ssn, 1, 1) from people where id = 1) = chr(c)`,
  'a subquery of the row': `select c, (select count(*) from people where id = 1 and ssn < chr(c)) from ${guesses}`,
  'an answer worked out before': `select c from (select c, substr(ssn, 1, 1) = chr(c) as hit from people, ${guesses}) q where hit`,
  'both sides of one subquery': `select g from (select substr(ssn, 1, 1) s, chr(c) g from people, ${guesses}) q where q.s = q.g`,
  'both sides of a CTE, twice': `with u as (select id, ssn v from people union all select 0, chr(c) from ${guesses}) select b.v from u a, u b where a.id = 1 and b.id = 0 and a.v > b.v`,
  'numbers counted up':
    'with recursive r(n) as (select 48 union all select n + 1 from r where n < 122) select n from people, r where id = 1 and substr(ssn, 1, 1) = chr(n)',
  'numbers of rows':
    'select n from people, (select row_number() over () n from twice) r where substr(ssn, 1, 1) = chr(n::int)',
  'a set of the own': 'select v from people, (select several() v) r where ssn < v',
  'what comes back of a change':
    "with g as (update twice set b = b returning nextval('s')::text n) select n from people, g where ssn < n",
  'a CASE': `select i from people, generate_series(1, 9) i where case i when 1 then ssn like 'a%' else ssn like 'b%' end`,
  'IN a subquery': `select 1 from people where ssn in (select c::text from ${guesses})`,
  'any of a subquery': `select 1 from people where ssn > any (select chr(c) from ${guesses})`,
  'an array of which nobody knows the length': 'select 1 from people where ssn = any ($1)',
  'an array from rows': `select 1 from people where ssn = any (array(select chr(c) from ${guesses}))`,
  EXCEPT: `select chr(c) from ${guesses} except select substr(ssn, 1, 1) from people where id = 1`,
  'INTERSECT of VALUES': `values ('a'), ('b') intersect ${one}`,
  'the place among guesses': `select id from (select id, ssn from people union all select c, chr(c) from ${guesses}) q order by ssn`,
  'a group of guesses': `select max(id) from (select 0 id, substr(ssn, 1, 1) s from people union all select c, chr(c) from ${guesses}) q group by s having count(*) > 1`,
  'a window over guesses': `select id, rank() over (order by s) from (select 0 id, ssn s from people union all select c, chr(c) from ${guesses}) q`,
  'a count of rows': 'select g from people, generate_series(1, ascii(ssn)) g where id = 1',
  'a limit': `select c from ${guesses} limit (select ascii(ssn) from people where id = 1)`,
  'rows of a select list':
    "select 1 from (select ssn like unnest(array['a%', 'b%']) hit from people) q where hit",
  'keys that are there': `insert into people (ssn) values ('a'), ('b') on conflict (ssn) do nothing`,
  'a function, once for each': `select c, counts(chr(c)) from ${guesses}`,
  'what counts': `select c, count(nullif(substr(ssn, 1, 1) = chr(c), false)) from people, ${guesses} group by c`,
  'what is put in': `insert into people (id, ssn) select 1, chr(c) from ${guesses} on conflict (id) do update set name = 'x' where people.ssn < excluded.ssn`,
}
const few: Readonly<Record<string, readonly [string, number | undefined]>> = {
  'a value': ["select id from people where ssn = 'x'", 1],
  'a prefix': ['select id from people where ssn like $1', 1],
  'two values': ["select id from people where ssn = 'x' or ssn = 'y'", 2],
  'a list': ["select id from people where ssn in ('x', 'y', 'z')", 3],
  'an array': ["select id from people where ssn = any (array['x', 'y'])", 2],
  'a join of columns': ['select name from people join twice on ssn = a', 1],
  'a join of columns and a value': [
    "select name, b from people join twice on ssn = a where ssn = 'x' and b > 'y'",
    2,
  ],
  'a join by another column': [
    "select name from people p join log l on l.id = p.id and l.id > p.id where p.ssn = 'x'",
    1,
  ],
  USING: ['select name from people join log using (ssn)', 1],
  'USING and a value': ["select name from people join log using (ssn) where ssn = 'x'", 2],
  'IN a column of a table': ['select name from people where ssn in (select a from twice)', 1],
  'a value beside rows of the own': [`select id, c from people, ${guesses} where ssn = 'x' and c > id`, 1],
  'a subquery and a value': [
    "select q.ssn from (select p.ssn, l.id from people p, log l where l.id = p.id) q where q.ssn = 'x'",
    1,
  ],
  'both of two tables': [
    "select 1 from (select ssn from people union all select ssn from log) q where ssn = 'x'",
    1,
  ],
  'an order': ['select id, ssn from people order by ssn limit 10', 1],
  'an order by place': ['select p.ssn, l.id from people p join log l on l.id = p.id order by 2', 1],
  'a group': ['select count(*) from people group by ssn', 1],
  'DISTINCT beside another': ['select distinct p.ssn, l.id from people p join log l on l.id = p.id', 1],
  'a key that is there': ["insert into people (ssn) values ('a') on conflict (ssn) do nothing", 1],
  'a value under a name': ["with p as (select 'x' as v) select name from people, p where ssn = p.v", 1],
  'a row of values': ["select name from people join (values ('x')) v(p) on ssn < v.p", 1],
  'what a function says': ['select name from people where ssn = mine()', 1],
  none: ['select ssn from people, log where people.id = log.id', undefined],
  'a function of a column': ['select counts(l.ssn) from log l', 1],
}

test('what meets many guesses at once asks more than can be counted', () => {
  for (const [name, sql] of Object.entries(many)) assert.equal(asked(lineage(sql)), Infinity, name)
})

test('a comparison asks once, a list for each of its values, and a join of columns once', () => {
  for (const [name, [sql, times]] of Object.entries(few)) assert.equal(asked(lineage(sql)), times, name)
  const refiner = catalogue.under(['public'])
  const counts = [1, 3].map((count) =>
    asked(
      refiner.lineage(
        analyses(`select id from people where ssn in (${Array(count).fill("'v'")})`)[0] as StatementAnalysis,
      ),
    ),
  )
  assert.deepEqual(counts, [1, 3], 'texts that differ in a list are not alike')
})

test('a long text has the lineage of a short one, by the tree that its own thread kept', async () => {
  const list = (count: number) => Array.from({ length: count }, (_, at) => `'${at}'`).join()
  const inList = (count: number) => `select name from people where ssn in (${list(count)})`
  for (const [text, sources] of [
    [inList, 'public.people.name'],
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
    assert.deepEqual({ ...found, timesRead: 0 }, { ...lineage(text(3)), timesRead: 0 })
    assert.equal(asked(found), text === inList ? 4000 : text(1).includes('order by') ? 1 : undefined)
    assert.equal(words(found.columns[0]?.sources ?? 'lost'), sources)
  }
  const wide = Buffer.from(
    `select ${Array.from({ length: 9000 }, (_, at) => `f${at}(ssn)`).join()} from people`,
  )
  const [tooLarge] = await analyzer.analyze(wide, 0, wide.length)
  assert.equal(tooLarge && catalogue.under(['public']).lineage(tooLarge), lostLineage)
})
