import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readStatement, StatementError } from './statement.ts'

test('a query keeps its text, and its format is found where it stands', () => {
  const cases: readonly [string, string | undefined][] = [
    ['select 1', undefined],
    ['select 1 FORMAT JSONEachRow', 'JSONEachRow'],
    ['select 1 format CSV settings max_threads = 1', 'CSV'],
    ["select 'FORMAT x', `format y` -- FORMAT z", undefined],
    ['select * from (select 1 format_of) /* FORMAT a */ FORMAT\n  TSV\n', 'TSV'],
    ['select formatDateTime(now(), $$ FORMAT $$)', undefined],
  ]
  for (const [sql, format] of cases) {
    const statement = readStatement(sql)
    assert.equal(statement.kind, 'query')
    assert.equal(statement.kind === 'query' ? statement.format : '', format, sql)
    assert.equal(statement.sql, sql)
  }
})

test('a closing semicolon is dropped, and a second statement is refused as on a server', () => {
  assert.equal(readStatement('select 1 ; -- done').sql, 'select 1 ')
  assert.equal(readStatement('select \';\' , $a$;$a$, `;`, "\\";"').kind, 'query')
  for (const sql of ['select 1; select 2', 'drop table a;drop table b', "set x = 1; select ';'"])
    assert.throws(() => readStatement(sql), StatementError, sql)
})

test('inline data of an INSERT is split off before anything in it could be read as SQL', () => {
  const text = 'INSERT INTO t (a, `b)`) SETTINGS x = 1 FORMAT JSONEachRow\n{"a":1}\n\nDROP TABLE t; select 1'
  const statement = readStatement(text)
  assert.ok(statement.kind === 'insert')
  assert.equal(statement.sql, 'INSERT INTO t (a, `b)`) ')
  assert.equal(statement.settings, 'SETTINGS x = 1 ')
  assert.equal(statement.format, 'JSONEachRow')
  assert.equal(text.slice(statement.dataFrom), '\n{"a":1}\n\nDROP TABLE t; select 1')
})

test('VALUES are data too, and a SELECT that feeds an INSERT is not', () => {
  const values = readStatement("insert into t values ('a;b'), ('c')")
  assert.ok(values.kind === 'insert')
  assert.equal(values.format, 'Values')
  assert.equal(readStatement("insert into t select * from values('a Int8', 1)").kind, 'command')
  assert.equal(readStatement('insert into t (select 1)').kind, 'command')
  assert.equal(readStatement('insert into t with 1 as values select values').kind, 'command')
})

test('reading or writing the client’s files is refused, since there is no client’s file system', () => {
  for (const sql of ["insert into t from infile '/etc/passwd' format CSV", "select 1 into outfile '/tmp/x'"])
    assert.throws(() => readStatement(sql), /client/, sql)
  assert.equal(readStatement("select 'into outfile'").kind, 'query')
})

test('a statement has a longest length, the data of an insert has none', () => {
  const long = 'x'.repeat(2 * 1024 * 1024)
  assert.throws(() => readStatement(`select 1 -- a\n, '${long}', 2`), /Max query size/)
  assert.equal(readStatement(`insert into t values ('${long}'), ('${long}')`).kind, 'insert')
})

test('whatever bytes come, the scanner ends', () => {
  for (const text of [
    '',
    ';',
    "'",
    '/*',
    '$',
    '$$',
    '"\\',
    'insert',
    'insert into t format',
    '\u0000\u00ff(((',
  ])
    readStatement(text)
})
