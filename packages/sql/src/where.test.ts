import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import {
  type BindValue,
  createSqlAnalyzer,
  resolveNames,
  type SqlAnalyzer,
  type StatementAnalysis,
  unread,
} from './index.ts'
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

interface Bound {
  readonly sql: string
  /** `?` for one that could not be read. */
  readonly values: readonly BindValue[]
}
const boundLines = (file: string): readonly Bound[] =>
  readFileSync(new URL(`../corpus/where/bound-${file}.jsonl`, import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .map((line) => {
      const [sql, values] = JSON.parse(line) as [string, BindValue[]]
      return { sql, values: values.map((value) => (value === '?' ? unread : value)) }
    })
const boundMayBeAll = ({ sql, values }: Bound) => {
  const analysis = one(sql)
  assert.notEqual(analysis.verb, 'UNKNOWN', sql)
  const { where } = plain.bind(analysis, values)
  return where !== undefined && widest(where, 'unknown') === where
}
const told = ({ sql, values }: Bound) => `${sql} -- ${values.map(String)}`

test('bind values count like literals: every row by the right one, and by one that could not be read', () => {
  assert.deepEqual(
    boundLines('tautologies')
      .filter((bound) => !boundMayBeAll(bound))
      .map(told),
    [],
  )
  assert.ok(boundLines('tautologies').length >= 60)
})

test('bind values of legitimate statements are taken for no such thing, before they are known neither', () => {
  const wrong = boundLines('legitimate').filter(boundMayBeAll)
  assert.deepEqual(wrong.map(told), [])
  assert.ok(boundLines('legitimate').length >= 50)
  for (const { sql } of [...boundLines('legitimate'), ...boundLines('tautologies')])
    assert.match(plain.bind(one(sql), undefined).where ?? '', /^(some|never)$/, sql)
})

test('where no value can widen it, none is looked at; where one can, the text alone is unknown', () => {
  for (const sql of ['id = $1', 'id = any($1)', 'lower(email) = lower($1) and $2', 'created_at < $1']) {
    const analysis = one(`delete from accounts where ${sql}`)
    assert.equal(analysis.open, undefined, sql)
    assert.equal(plain.bind(analysis, [unread, unread]), analysis, sql)
  }
  for (const { sql } of boundLines('tautologies')) {
    const analysis = one(sql)
    assert.equal(analysis.where, 'unknown', sql)
    assert.equal(analysis.literalsMatter, true, sql)
    // Too few values leave what they stand for unknown.
    assert.equal(plain.bind(analysis, []).where, 'unknown', sql)
  }
})

test('what is bound is the same object for all values that leave the same', () => {
  const analysis = one('delete from accounts where owner like $1')
  const few = plain.bind(analysis, ['a%'])
  assert.equal(plain.bind(analysis, ['b%']), few)
  assert.equal(plain.bind(analysis, undefined), few)
  const every = plain.bind(analysis, ['%'])
  assert.notEqual(every, few)
  assert.equal(plain.bind(analysis, ['%%']), every)
  assert.equal(analysis.where, 'unknown')
})

test('a literal in the place of a bind value comes to the same', () => {
  const literal = (value: BindValue): string =>
    Array.isArray(value)
      ? `array[${value.map(literal)}]`
      : typeof value === 'string'
        ? `'${value.replaceAll("'", "''")}'`
        : String(value)
  const lines = [...boundLines('tautologies'), ...boundLines('legitimate')]
  for (const { sql, values } of lines.filter(({ values }) => !values.includes(unread))) {
    const text = sql.replace(/\$(\d+)/g, (_, at) => literal(values[at - 1] as BindValue))
    const few = (where: string | undefined) => (where === 'never' ? 'some' : where)
    assert.equal(few(plain.bind(one(sql), values).where), few(one(text).where), text)
  }
})

test('a statement whose values are not looked at is widened by none of them', () => {
  const literals = /(?<![&E])'[^']*'|(?<![$\w.:])\d+(?![\w.])|\b(true|false|null)\b(?! (is|then|end))/g
  const values = ['null', "''", "'%'", "'{}'", '0', '1', '-1', 'true', 'false', "'bob'", 'array[]::int[]']
  let tried = 0
  for (const sql of [
    ...lines('tautologies'),
    ...lines('legitimate'),
    ...[...boundLines('tautologies'), ...boundLines('legitimate')].map(({ sql }) => sql),
  ]) {
    if (sql.includes('$') && /'|[^$]\d/.test(sql)) continue
    let count = 0
    const text = sql.includes('$') ? sql : sql.replace(literals, () => `$${++count}`)
    const analysis = one(text)
    if (!text.includes('$') || analysis.verb === 'UNKNOWN' || analysis.open || mayBeAll(text)) continue
    for (const value of values)
      for (const other of [value, "'bob'"]) {
        const written = text.replace(/\$(\d+)/g, (_, at) => (at === '1' ? value : other))
        if (one(written).verb !== 'UNKNOWN') assert.equal(mayBeAll(written), false, `${text}: ${written}`)
        tried += 1
      }
  }
  assert.ok(tried > 1000, `${tried} tried`)
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
