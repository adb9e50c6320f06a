import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import fc from 'fast-check'
import * as libpg from 'libpg-query'
import { createSqlAnalyzer, type Reading, type SqlAnalyzer, type StatementAnalysis } from './index.ts'
import { Kind, Lexer } from './lexer.ts'
import { corpus } from './testing/corpus.ts'

await libpg.loadModule()
const cached = await createSqlAnalyzer({ cacheEntries: 10_000, cacheBytesMax: 64 << 20 })
const uncached = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
after(() => Promise.all([cached.close(), uncached.close()]))

function analyze(analyzer: SqlAnalyzer, text: string, reading?: Reading): readonly StatementAnalysis[] {
  const sql = Buffer.from(text)
  return analyzer.analyzeNow(sql, 0, sql.length, reading)
}

function one(text: string): StatementAnalysis {
  const analyses = analyze(uncached, text)
  assert.equal(analyses.length, 1)
  return analyses[0] as StatementAnalysis
}

test('an exact hit returns the very same immutable objects', () => {
  const first = analyze(cached, 'select f(1)')
  assert.equal(analyze(cached, 'select f(1)'), first)
  assert.ok(Object.isFrozen(first) && Object.isFrozen(first[0]))
  assert.notEqual(analyze(cached, 'select f(2)'), first)
})

test('the text is taken from its place in a larger buffer that may then be reused', () => {
  const buffer = Buffer.from('xxselect a from tyy')
  const first = cached.analyzeNow(buffer, 2, 17)
  buffer.fill(0x20)
  assert.equal(first[0]?.text, 'select a from t')
  assert.deepEqual(analyze(cached, 'select a from t'), first)
})

test('a hit without literals keeps the own text and its own length', () => {
  const before = cached.stats().strippedHits
  analyze(cached, "select a from t where id = 1 and b = 'x'")
  const [second] = analyze(cached, "select a from t where id = 22 and b = 'yy'")
  assert.equal(cached.stats().strippedHits, before + 1)
  assert.equal(second?.text, "select a from t where id = 22 and b = 'yy'")
  assert.equal(second?.textBytes, 42)
  const [third] = analyze(cached, "select a from t where id = 3 and b = 'postgres://u:hunter2@h'")
  assert.equal(third?.text, "select a from t where id = 3 and b = '***'")
})

test('a text that comes again is found by its bytes, and so is one without literals at once', () => {
  const text = "select a from t where b = 'x' and c between 1 and 2"
  for (const form of [text.replace('1', '3'), text, text]) analyze(cached, form)
  const analyses = analyze(cached, text)
  const before = cached.stats()
  assert.equal(analyze(cached, text), analyses)
  assert.equal(analyses[0]?.text, text)
  const bare = analyze(cached, 'select a from t where c between $1 and $2')
  assert.equal(analyze(cached, 'select a from t where c between $1 and $2'), bare)
  const { hits, strippedHits } = cached.stats()
  assert.deepEqual([hits - before.hits, strippedHits - before.strippedHits], [2, 0])
})

test('a text that looks as if redacted does not vouch for others of its form', () => {
  analyze(cached, "update  users set password = '***' where id = 1")
  const [second] = analyze(cached, "update  users set password = 'hunter2' where id = 7")
  assert.equal(second?.text, "update  users set password = '***' where id = 7")
})

test('the same text again is the same analysis, so that a recorder writes it once', () => {
  const again = () => cached.analyzeNow(Buffer.from('select a from t where id = 22 and c = 5'), 0, 39)
  again()
  const first = again()
  assert.equal(again(), first)
  assert.equal(analyze(cached, 'select a from t where id = 23 and c = 5')[0]?.text.includes('23'), true)
  assert.deepEqual(again(), first)
})

test('no statement stands for another where a literal can change the verdict', () => {
  for (const [first, second] of [
    [
      "select query_to_xml('select 1', true, true, '')",
      "select query_to_xml('delete from t', true, true, '')",
    ],
    ['select a from t where 1 = 1', 'select a from t where 1 = 2'],
    ['delete from t where id = id', 'delete from t where id = 5'],
    ["select set_config('search_path', 'x', true)", "select set_config('role', 'x', true)"],
    ['set x.y = 1', 'set x.y = 2'],
    ["do 'begin end'", "do 'delete'"],
    ["copy t to program 'a'", "copy t to program 'b'"],
    ['explain (analyze 0) delete from t', 'explain (analyze 1) delete from t'],
    ['select a, b from t order by 1', 'select a, b from t order by 2'],
    ["select 'a'::regclass", "select 'b'::regclass"],
    ['select a from t where true and id = 1 or 3 > 2', 'select a from t where true and id = 1 or 2 > 3'],
  ] as const) {
    const [analysis] = analyze(cached, first)
    assert.equal(analysis?.literalsMatter, true, first)
    assert.deepEqual(analyze(cached, second), analyze(uncached, second), second)
  }
})

test('literals do not matter in everyday statements', () => {
  for (const sql of [
    "select a, b from t where id = 7 and a = 'x'",
    "select * from t where c between '2026-01-01' and '2026-02-01' limit 50 offset 100",
    'select * from t where id in (1, 2, 3) order by a',
    "insert into t (id, a) values (1, 'x')",
    "update t set a = 'x', b = 3 where id = 4",
    'delete from t where id = 5',
    "select count(*) from t where a = 'x' and b > 5 group by a",
    'UPDATE pgbench_accounts SET abalance = abalance + 5 WHERE aid = 7',
  ])
    assert.equal(one(sql).literalsMatter, false, sql)
})

const literal = fc.oneof(
  fc.integer({ min: 0, max: 2_000_000_000 }).map(String),
  fc.constantFrom(
    '1.5',
    '0',
    '1',
    "''",
    "'true'",
    "'role'",
    "'1=1'",
    "'é'",
    "'it''s'",
    "'a\nb'",
    "'postgres://u:p4ss@h/d'",
  ),
  fc.stringMatching(/^[ -~]{0,12}$/).map((text) => `'${text.replaceAll("'", "''")}'`),
)

test('cached and uncached analyses are equal for every text of the corpus, with its own and with other literals', () => {
  const texts = corpus().map((block) => block.sql)
  fc.assert(
    fc.property(
      fc.constantFrom(...texts),
      fc.array(literal, { minLength: 8, maxLength: 8 }),
      (sql, literals) => {
        const other = withLiterals(sql, literals)
        for (const text of [sql, other, sql, other])
          assert.deepEqual(analyze(cached, text), analyze(uncached, text), text)
      },
    ),
    { numRuns: 700 },
  )
  assert.ok(cached.stats().strippedHits > 50, 'the form without literals was never used')
})

test('a text falls into the statements that the grammar finds, and nothing between them is lost', () => {
  const texts = corpus()
    .map((block) => block.sql)
    .filter((sql) => !/\/\*|--|;/.test(sql) && analyze(uncached, sql)[0]?.verb !== 'UNKNOWN')
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom(...texts), { minLength: 1, maxLength: 4 }),
      fc.constantFrom(';', ' ; ', ';;\n', "; /* it's */ ", '; -- x\n'),
      (parts, separator) => {
        const sql = parts.join(separator)
        const analyses = analyze(uncached, sql)
        assert.equal(analyses.length, libpg.parseSync(sql).stmts?.length)
        assert.equal(analyses.length, parts.length)
        for (const [index, analysis] of analyses.entries()) {
          const alone = one(parts[index] as string)
          // Which other texts it stands for is no part of what it does.
          const { alike: _, ...here } = analysis
          const { alike: __, ...does } = alone
          assert.deepEqual(
            { ...here, text: '', textBytes: 0 },
            { ...does, text: '', textBytes: 0 },
            parts[index],
          )
          assert.ok(analysis.text.trimEnd().endsWith(alone.text), `${analysis.text} is not ${alone.text}`)
        }
      },
    ),
    { numRuns: 150 },
  )
})

test('the fingerprint is that of libpg-query', () => {
  for (const block of corpus()) {
    const analyses = analyze(uncached, block.sql)
    if (analyses.length !== 1 || analyses[0]?.verb === 'UNKNOWN' || analyses[0]?.verb === 'EMPTY') continue
    if (/^\s*;|;\s*$/.test(block.sql)) continue
    assert.equal(analyses[0]?.fingerprint, libpg.fingerprintSync(block.sql), block.sql)
  }
})

test('an empty query is one statement with verb EMPTY', () => {
  for (const sql of ['', ' ', ';', ' ;; ', '-- x', '/* password=hunter2 */']) {
    const analysis = one(sql)
    assert.equal(analysis.verb, 'EMPTY')
    assert.deepEqual(analysis.effects, [])
    assert.ok(!analysis.text.includes('hunter2'))
  }
})

test('what cannot be read is unknown, privileged, and may return rows', () => {
  for (const sql of [
    'selec 1',
    "select 'x",
    'select 1\0; drop table t',
    'select \ud800',
    `select ${'('.repeat(50_000)}1`,
  ]) {
    const bytes = sql.includes('\ud800')
      ? Buffer.from([...Buffer.from('select '), 0xc3, 0x28])
      : Buffer.from(sql)
    const [analysis] = uncached.analyzeNow(bytes, 0, bytes.length)
    assert.equal(analysis?.verb, 'UNKNOWN')
    assert.deepEqual(analysis?.effects, ['unknown'])
    assert.ok(analysis?.privileged && analysis.returnsRows && analysis.literalsMatter)
    assert.match(analysis?.fingerprint ?? '', /^[0-9a-f]{16}$/)
  }
  assert.equal(one("selec 'a', 1").fingerprint, one("SELEC 'b',  2").fingerprint)
})

test('a session that reads text in another way gets unknown where that can matter, cached or not', () => {
  const off: Reading = { standardConformingStrings: false, encodingAsciiSafe: true }
  const sjis: Reading = { standardConformingStrings: true, encodingAsciiSafe: false }
  const tricky = "select '\\'; delete from t; --'"
  assert.deepEqual(analyze(cached, tricky)[0]?.effects, ['read'])
  assert.deepEqual(analyze(cached, tricky, off)[0]?.effects, ['unknown'])
  assert.deepEqual(analyze(cached, "select 'é'", sjis)[0]?.effects, ['unknown'])
  assert.deepEqual(analyze(cached, "select 'é'")[0]?.effects, ['read'])
  assert.deepEqual(analyze(cached, "select 'a'", off)[0]?.effects, ['read'])
  assert.deepEqual(analyze(cached, "select 'a'", sjis)[0]?.effects, ['read'])
})

test('while settings may change out of sight only what reads the same either way is read', () => {
  const unsure: Reading = { standardConformingStrings: true, encodingAsciiSafe: true, unsure: true }
  for (const sql of [
    'select 1',
    "select 'C:\\temp', 'ad+' from t",
    "insert into t values ('José Müller', 'ぃ')",
    "select E'a\\n'",
    'select größe from t -- é',
  ])
    assert.deepEqual(analyze(cached, sql, unsure), analyze(cached, sql), sql)
  for (const sql of [
    "select '\\', '; insert into t values (2) --'",
    "select 'a\\'' ; delete from t; --'",
    "select E'ぃ\\'; delete from t; --'",
    'select é|x from t',
    // The value is another one where a backslash escapes.
    "select set_config('ro\\le', 'x', false)",
    "select query_to_xml('sel\\ect 1', true, true, '')",
  ])
    assert.equal(analyze(cached, sql, unsure)[0]?.verb, 'UNKNOWN', sql)
  // What may have run stays to be seen, unless something in it may be a credential.
  assert.equal(
    analyze(cached, "select '\\', '; drop table t --'", unsure)[0]?.text,
    "select '\\', '; drop table t --'",
  )
  assert.equal(analyze(cached, "select '\\', 'password=x'", unsure)[0]?.text, "select '***', '***'")
})

test('transaction control says which, and only an undoing is let through as one', () => {
  const found = [
    'begin',
    'start transaction',
    'commit',
    'end',
    'rollback',
    'abort',
    'savepoint a',
    'release a',
    'rollback to a',
    "prepare transaction 'x'",
    "rollback prepared 'x'",
    'commit and chain',
  ].map((sql) => `${one(sql).transaction ?? '-'} ${one(sql).undoes}`)
  assert.deepEqual(found, [
    'begin false',
    'begin false',
    'commit false',
    'commit false',
    'rollback true',
    'rollback true',
    'savepoint false',
    'release false',
    'rollbackTo true',
    '- false',
    '- false',
    'commit false',
  ])
})

test('rows may come back from these and from no other', () => {
  for (const sql of [
    'select 1',
    'values (1)',
    'table t',
    'show all',
    'fetch c',
    'execute p',
    'explain select 1',
    'call p()',
    'copy t to stdout',
    'delete from t returning 1',
    'with w as (select 1) insert into t select * from w returning *',
    'nonsense',
  ])
    assert.equal(one(sql).returnsRows, true, sql)
  for (const sql of [
    'begin',
    'delete from t',
    'insert into t values (1)',
    'copy t from stdin',
    "copy t to '/x'",
    'select 1 into x',
    'move c',
    'declare c cursor for select 1',
    'prepare p as select 1',
    'do $$ begin end $$',
    'set x.y = 1',
    '',
  ])
    assert.equal(one(sql).returnsRows, false, sql)
})

test('a tree too deep for the walk or the parser is unknown, and the next text is read again', async () => {
  for (const sql of [
    `select 1${'+1'.repeat(2000)}`,
    `select ${'not '.repeat(3000)}true`,
    `select 1${' union select 1'.repeat(20_000)}`,
    `select ${'(select '.repeat(3000)}1${')'.repeat(3000)}`,
    `select ${'a.'.repeat(30_000)}a`,
    `select ${'['.repeat(10_000)}`,
  ]) {
    const [analysis] = analyze(uncached, sql)
    assert.ok(analysis?.effects.includes('unknown') || analysis?.effects.includes('read'))
    assert.deepEqual(analyze(uncached, 'delete from t')[0]?.effects, ['delete'])
  }
})

test('long texts are analysed by the worker, with the same result, and are cached', async () => {
  const long = `select a from t where id in (${Array.from({ length: 3000 }, (_, at) => at).join(', ')})`
  const sql = Buffer.from(long)
  const first = cached.analyze(sql, 0, sql.length)
  assert.ok(first instanceof Promise)
  sql.fill(0)
  const [{ tree, ...rest } = assert.fail()] = await first
  assert.ok(tree, 'what lineage is read from, which a short text is parsed again for')
  assert.deepEqual([rest], analyze(uncached, long))
  const again = Buffer.from(long)
  assert.ok(!(cached.analyze(again, 0, again.length) instanceof Promise))
})

test('many long texts at once all come back, each as its own', async () => {
  const texts = Array.from(
    { length: 20 },
    (_, at) => `select ${at} as n, '${'x'.repeat(5000 + at)}' from t${at}`,
  )
  const found = await Promise.all(
    texts.map((text) => {
      const sql = Buffer.from(text)
      return cached.analyze(sql, 0, sql.length)
    }),
  )
  assert.deepEqual(
    found.map(([analysis]) => analysis?.objects[0]?.name),
    texts.map((_, at) => `t${at}`),
  )
})

test('a text that takes the scanner for ever is given up, and those behind it are answered', async () => {
  const analyzer = await createSqlAnalyzer({
    cacheEntries: 10,
    cacheBytesMax: 1 << 20,
    workerDeadlineMs: 300,
  })
  after(() => analyzer.close())
  await analyzer.warm()
  // A run of comments is one operator to the scanner's first look, again and again.
  const slow = Buffer.from(`select 1${'/**/'.repeat(100_000)}, 'hunter2'`)
  const next = Buffer.from(`select a from t where b = '${'x'.repeat(2000)}'`)
  const [first, second] = await Promise.all([
    analyzer.analyze(slow, 0, slow.length),
    analyzer.analyze(next, 0, next.length),
  ])
  assert.equal(first[0]?.verb, 'UNKNOWN')
  assert.equal(first[0]?.textBytes, slow.length)
  assert.ok((first[0]?.text.length ?? 0) < 20_000 && !first[0]?.text.includes('hunter2'))
  assert.equal(second[0]?.verb, 'SELECT')
  assert.equal(analyzer.stats().givenUp, 1)
})

test('after close a long text is unknown, not lost', async () => {
  const analyzer = await createSqlAnalyzer({ cacheEntries: 10, cacheBytesMax: 1 << 20 })
  const sql = Buffer.from(`select '${'x'.repeat(5000)}'`)
  const waiting = analyzer.analyze(sql, 0, sql.length)
  await analyzer.close()
  assert.equal((await waiting)[0]?.verb, 'UNKNOWN')
  assert.equal((await analyzer.analyze(sql, 0, sql.length))[0]?.verb, 'UNKNOWN')
  assert.equal(analyzer.analyzeNow(Buffer.from('select 1'), 0, 8)[0]?.verb, 'SELECT')
})

test('a text beyond parseBytesMax is unknown', async () => {
  const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0, parseBytesMax: 100 })
  assert.deepEqual(analyze(analyzer, `select '${'x'.repeat(100)}'`)[0]?.effects, ['unknown'])
  await analyzer.close()
})

test('a text made to be long does not make its analysis long', () => {
  assert.equal(analyze(uncached, 'select 1;'.repeat(1000)).length, 1000)
  assert.equal(one('select 1;'.repeat(1001)).verb, 'UNKNOWN')
  const columns = one(`select ${Array.from({ length: 2000 }, (_, at) => `c${at}`).join(', ')} from t`)
  assert.deepEqual(columns.objects[0]?.columns, ['*'])
  const tables = one(`select 1 from ${Array.from({ length: 2500 }, (_, at) => `t${at}`).join(', ')}`)
  assert.deepEqual([tables.verb, tables.objects.length], ['UNKNOWN', 0])
})

test('random bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const analyses = cached.analyzeNow(bytes, 0, bytes.length)
      assert.ok(analyses.length >= 1)
    }),
    { numRuns: 1000 },
  )
})

test('options out of range are refused by name', async () => {
  await assert.rejects(createSqlAnalyzer({ cacheEntries: -1, cacheBytesMax: 0 }), /cacheEntries/)
  await assert.rejects(createSqlAnalyzer({ cacheEntries: 1, cacheBytesMax: Number.NaN }), /cacheBytesMax/)
})

/** The text with its plain string and number literals exchanged for others, in turn. */
function withLiterals(sql: string, literals: readonly string[]): string {
  const bytes = Buffer.from(sql)
  const lexer = new Lexer(bytes, 0, bytes.length)
  let text = ''
  let index = 0
  for (let kind = lexer.next(); kind !== Kind.end; kind = lexer.next()) {
    const literalHere = kind === Kind.number || (kind === Kind.string && bytes[lexer.start] === 0x27)
    text += literalHere
      ? literals[index++ % literals.length]
      : bytes.subarray(lexer.start, lexer.end).toString()
  }
  return text
}
