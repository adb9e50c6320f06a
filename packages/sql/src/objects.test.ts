import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createSqlAnalyzer } from './index.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })

function objects(text: string): readonly string[] {
  const sql = Buffer.from(text)
  return analyzer
    .analyzeNow(sql, 0, sql.length)
    .flatMap((analysis) => analysis.objects)
    .filter((object) => !(object.kind === 'function' && object.effect === 'read'))
    .map(
      ({ kind, namespace, name, effect, columns }) =>
        `${kind} ${namespace === '' ? '' : `${namespace}.`}${name} ${effect}${columns.length > 0 ? ` (${columns.join(',')})` : ''}`,
    )
    .sort()
}

const cases: readonly (readonly [string, readonly string[]])[] = [
  ['select a, b from t where c = 1', ['table t read (a,b,c)']],
  [
    'select t.a, s.b from t, app.s as s where t.id = s.t_id',
    ['table app.s read (b,t_id)', 'table t read (a,id)'],
  ],
  // What several tables could have is told without one.
  [
    'select a, t.b from t join s using (id)',
    ['column  read (a)', 'table s read (id)', 'table t read (id,b)'],
  ],
  ['select a from t, s', ['column  read (a)', 'table s read', 'table t read']],
  ['select (select a from s)', ['column  read (a)', 'table s read']],
  ['select * from t', ['table t read (*)']],
  ['select t.*, s.x from t, s', ['table s read (x)', 'table t read (*)']],
  ['select row_to_json(t) from t', ['table t read (*)']],
  ['select t from t', ['table t read (*)']],
  ['select "A b"."Ü" from "S"."A b"', ['table S.A b read (Ü)']],
  ['select count(*) from t', ['table t read']],
  ['select a as x from t order by x, b', ['table t read (a,b)']],
  [
    'select a from t where exists (select 1 from s where s.id = t.id and unclear = 1)',
    ['column  read (unclear)', 'table s read (id)', 'table t read (a,id)'],
  ],
  ['select q.x from (select a as x from t) q', ['table t read (a)']],
  [
    'select x from t, lateral (select t.b from s) q',
    ['column  read (x)', 'table s read', 'table t read (b)'],
  ],
  // CTEs: the name stands for the query only where it is in scope.
  ['with t as (select 1) select * from t', []],
  ['with t as (select a from t) select * from t', ['table t read (a)']],
  ['with recursive t as (select 1 union select * from t) select * from t', []],
  ['with a as (select * from b), b as (select 1) select * from a, b', ['table b read (*)']],
  ['select * from (with q as (select 1) select * from q) x, q', ['table q read (*)']],
  ['with t as (select 1) select * from public.t', ['table public.t read (*)']],
  ['with t as (select 1) insert into t select * from t', ['table t write']],
  ['with t as (select 1) select id from s where id in (select * from t)', ['table s read (id)']],
  // Changes.
  [
    'insert into t (a, b) values (1, 2) on conflict (a) do update set b = excluded.c returning d',
    ['table t write (a,b,c,d)'],
  ],
  ['update t set a = 1, b = s.c from s where t.id = s.id', ['table s read (c,id)', 'table t write (a,b,id)']],
  ['delete from t using s where t.id = s.id returning old.x', ['table s read (id)', 'table t delete (id,x)']],
  [
    'merge into t using s on t.id = s.id when matched then update set a = s.b when not matched then do nothing',
    ['table s read (id,b)', 'table t write (id,a)'],
  ],
  ['truncate a, b.c', ['table a delete', 'table b.c delete']],
  ['copy t (a, b) from stdin', ['table t write (a,b)']],
  ['copy t to stdout', ['table t export (*)']],
  ["copy t to program 'TOKEN=x /bin/sh -c id'", ['program /bin/sh execute', 'table t export (*)']],
  ["copy t from '/etc/passwd'", ['path /etc/passwd read', 'table t write']],
  ['explain delete from t', ['table t read']],
  ['explain analyze delete from t', ['table t delete']],
  // Definitions and rights.
  ['drop table a, b.c', ['table a delete', 'table b.c delete']],
  ['drop schema app', ['schema app delete']],
  ['drop trigger tr on app.t', ['table app.t delete', 'trigger t.tr delete']],
  ['alter table t drop column a', ['table t define (a)']],
  ['create table n (id int references other (id))', ['table n define', 'table other define']],
  ['create view v as select a from t', ['table t read (a)', 'table v define']],
  ['create index on t (a)', ['table t define']],
  ['grant select (a, b) on t to bob, public', ['role bob grant', 'role public grant', 'table t grant (a,b)']],
  ['grant usage on schema app to bob', ['role bob grant', 'schema app grant']],
  ['grant app_admin to bob', ['role app_admin grant', 'role bob grant']],
  ['alter table t owner to bob', ['role bob grant', 'table t define']],
  ['create role bob', ['role bob grant']],
  ['drop role bob, alice', ['role alice grant', 'role bob grant']],
  ['set role bob', ['role bob grant', 'setting role write']],
  ["set search_path = 'app'", ['setting search_path write']],
  ['show timezone', ['setting timezone read']],
  ["alter system set log_statement = 'none'", ['setting log_statement define']],
  ['create database db', ['database db define']],
  [
    'select app.f(1), pg_read_file(a) from t',
    ['function app.f execute', 'function pg_read_file execute', 'table t read (a)'],
  ],
  ['call app.p(1)', ['function app.p execute']],
  ['create function app.f() returns int language sql as $$ select 1 $$', ['function app.f define']],
  ['create extension dblink', ['extension dblink define']],
]

test('objects are named with what is done to them, and columns only where the text is unambiguous', () => {
  for (const [sql, expected] of cases) assert.deepEqual(objects(sql), expected, sql)
})

test('the verb names what is created, altered or dropped', () => {
  const verbs: readonly (readonly [string, string])[] = [
    ['drop table t', 'DROP TABLE'],
    ['drop materialized view v', 'DROP MATERIALIZED VIEW'],
    ['drop server s', 'DROP SERVER'],
    ['alter view v rename to w', 'ALTER VIEW'],
    ['alter table t rename column a to b', 'ALTER TABLE'],
    ['alter sequence q set schema s', 'ALTER SEQUENCE'],
    ['alter schema s owner to bob', 'ALTER SCHEMA'],
    ['create aggregate a (int) (sfunc = f, stype = int)', 'CREATE AGGREGATE'],
    ['create user bob', 'CREATE ROLE'],
    ['create procedure p() language sql as $$ $$', 'CREATE PROCEDURE'],
    ['create table t as select 1', 'CREATE TABLE AS'],
    ['revoke a from b', 'REVOKE'],
    ['explain analyze select 1', 'EXPLAIN ANALYZE'],
    ['with q as (select 1) delete from t', 'DELETE'],
    ['values (1)', 'VALUES'],
    ['end', 'COMMIT'],
  ]
  for (const [sql, verb] of verbs) {
    const bytes = Buffer.from(sql)
    assert.equal(analyzer.analyzeNow(bytes, 0, bytes.length)[0]?.verb, verb, sql)
  }
})
