import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { createSqlAnalyzer, resolveNames, type SqlAnalyzer, type StatementAnalysis } from './index.ts'
import { widest } from './walk.ts'

let plain: SqlAnalyzer
let caching: SqlAnalyzer
before(async () => {
  plain = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
  caching = await createSqlAnalyzer({ cacheEntries: 10_000, cacheBytesMax: 1 << 26 })
})
after(() => Promise.all([plain.close(), caching.close()]))

const lines = (file: string) =>
  readFileSync(new URL(`../corpus/where/${file}.sql`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
const one = (sql: string, by = plain): StatementAnalysis => {
  const text = Buffer.from(sql)
  return by.analyzeNow(text, 0, text.length)[0] as StatementAnalysis
}
const mayBeAll = (sql: string) => {
  const { where } = one(sql)
  assert.notEqual(one(sql).verb, 'UNKNOWN', sql)
  return where !== undefined && widest(where, 'unknown') === where
}

test('no condition, and every disguise of one that holds for all rows', () => {
  const missed = lines('tautologies').filter((sql) => !mayBeAll(sql))
  assert.deepEqual(missed, [])
  assert.ok(lines('tautologies').length >= 90)
})

test('of legitimate statements none is taken for one that changes every row', () => {
  const wrong = lines('legitimate').filter(mayBeAll)
  assert.deepEqual(wrong, [])
  assert.ok(lines('legitimate').length >= 250)
})

test('which it is', () => {
  for (const [condition, where] of [
    ['id = 7', 'some'],
    ['id = $1', 'some'],
    ['id = 7 and 1 = 1', 'some'],
    ['id = 7 and $1', 'some'],
    ['id = 7 or $1', 'unknown'],
    ['1 = 2', 'never'],
    ['null', 'never'],
    ['not null', 'never'],
    ['id <> id', 'never'],
    ['id < 0', 'never'],
    ['id = 7 and false', 'never'],
    ['current_user = $1', 'unknown'],
    ['true', 'always'],
  ] as const) {
    assert.equal(one(`delete from t where ${condition}`).where, where, condition)
  }
  assert.equal(one('delete from t').where, 'none')
  for (const sql of ['select 1', 'insert into t values (1)', 'explain delete from t', 'truncate t'])
    assert.equal(one(sql).where, undefined, sql)
  for (const sql of ['delete frm t', 'do $$begin delete from t; end$$', 'call p()'])
    assert.equal(one(sql).where, 'unknown', sql)
})

test('EXECUTE leaves what the statement behind its name does', () => {
  const text = (sql: string) => {
    const bytes = Buffer.from(sql)
    return plain.analyzeNow(bytes, 0, bytes.length)
  }
  const [, used] = resolveNames(text('prepare p as delete from t; execute p'), () => undefined)
  assert.equal(used?.where, 'none')
  const [, some] = resolveNames(
    text('prepare p as delete from t where id = $1; execute p(1)'),
    () => undefined,
  )
  assert.equal(some?.where, 'some')
  const [, planned] = resolveNames(text('prepare p as delete from t; explain execute p'), () => undefined)
  assert.equal(planned?.where, undefined)
  assert.equal(resolveNames(text('execute p'), () => undefined)[0]?.where, 'unknown')
})

test('what is nested, or long, is folded soon', () => {
  const nested = (open: string, close: string) => `delete from t where ${open.repeat(60)}a${close.repeat(60)}`
  const many = (parts: number, one: (at: number) => string, glue: string) =>
    `delete from t where ${Array.from({ length: parts }, (_, at) => one(at)).join(glue)}`
  for (const sql of [
    nested('(', ' is distinct from b)'),
    nested('(', ' between b and c)'),
    nested('(', ' in (b, c, d))'),
    nested('nullif(', ', b)'),
    nested('coalesce(', ', b)'),
    nested('(', ' = b)'),
    nested('(', ' + 0)'),
    nested('case when ', ' then b else c end'),
    nested('case ', ' when b then c when d then e end'),
    nested('not (', ' or b)'),
    nested('(', ' or b = c)'),
    many(3000, (at) => `a > ${at}`, ' or '),
    many(3000, (at) => `a${at} = b${at}`, ' or '),
    `delete from t where a in (${Array.from({ length: 5000 }, (_, at) => at).join(', ')})`,
  ]) {
    const before = process.cpuUsage()
    const { where, verb } = one(sql)
    const { user, system } = process.cpuUsage(before)
    assert.ok(verb === 'DELETE' && where !== undefined, sql.slice(0, 80))
    assert.ok(user + system < 1_500_000, `${user + system} us of CPU: ${sql.slice(0, 80)}`)
  }
})

test('the widest of several counts', () => {
  assert.equal(
    one('with a as (delete from t where id = 1), b as (update u set x = 1) delete from v where false').where,
    'none',
  )
})

test('through the cache, whatever came first: literals that decide are never left out', () => {
  const variants = [...lines('tautologies'), ...lines('legitimate')].flatMap((sql) =>
    [[''], ['0'], ['1'], ['7'], ['-']].map(([number]) =>
      number === ''
        ? sql
        : number === '-'
          ? sql.replace(/'[^']*'/g, "'%'")
          : sql.replace(/(?<![$\w.'])\d+(?![\w.'])/g, number as string),
    ),
  )
  for (const sql of [...variants, ...variants.toReversed()]) {
    const fresh = one(sql)
    const cached = one(sql, caching)
    assert.deepEqual(
      [cached.where, cached.effects, cached.text],
      [fresh.where, fresh.effects, fresh.text],
      sql,
    )
  }
  assert.ok(caching.stats().strippedHits > 50, `${caching.stats().strippedHits} hits without literals`)
})

test('analyses that stand for each other differ in nothing that may decide', () => {
  const groups = new Map<object, StatementAnalysis[]>()
  for (const sql of [...lines('legitimate'), ...lines('tautologies')])
    for (const number of ['1', '2', '300']) {
      const analysis = one(sql.replace(/(?<![$\w.'])\d+(?![\w.'])/g, number), caching)
      if (analysis.alike === undefined) continue
      groups.set(analysis.alike, [...(groups.get(analysis.alike) ?? []), analysis])
    }
  let shared = 0
  for (const [first, ...others] of groups.values())
    for (const other of others) {
      if (other !== first) shared += 1
      const { text: _, textBytes: __, ...rest } = other
      assert.deepEqual(rest, (({ text: ___, textBytes: ____, ...same }) => same)(first as StatementAnalysis))
    }
  assert.ok(shared > 20, `${shared} shared`)
  assert.equal(one('delete from t where 1 = 1', caching).alike, undefined)
  assert.notEqual(
    one('delete from t where id = 1 and a = 1', caching).alike,
    one('delete from t where id = 1 and b = 1', caching).alike,
  )
})
