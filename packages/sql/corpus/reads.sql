-- Benign twins: they only read, and must be known to. `tables` is checked against the server's own plan.

-- expect: read
select 1

-- expect: read
select * from t

-- expect: read
table t

-- expect: read
values (1, 'a'), (2, 'b')

-- expect: read
select a, b from t where id = 7 and a like 'delete%' or b between 1 and 3

-- expect: read
select 'delete from t; drop table users' as text, $$insert into t$$, E'\x64elete'

-- expect: read
select id as "delete", a as "drop table" from t

-- expect: read
select /* delete from t */ id -- drop table t
from t

-- expect: read
with q as (select * from t), s as (select * from q) select count(*) from s

-- expect: read
with t as (select id from app.orders) select * from t

-- expect: read
with recursive r (n) as (select id from t union all select n + 1 from r where n < 3) select * from r

-- expect: read
with a as (with t as (select 1 as id) select id from t) select a.id from a join t on t.id = a.id

-- expect: read
select t.id, s.note from t left join s on s.t_id = t.id where s.note is not null order by 1 desc limit 5 offset 1

-- expect: read
select * from t natural join s

-- expect: read
select count(*), sum(b), avg(b), min(c), string_agg(a, ',' order by a) filter (where b > 1) from t group by rollup (b)

-- expect: read
select a, row_number() over w, lag(b) over w from t window w as (partition by a order by id)

-- expect: read
select lower(a), upper(a), length(a), substring(a from 1 for 2), trim(both ' ' from a), position('x' in a) from t

-- expect: read
select extract(year from c), date_trunc('month', c), now(), current_date, localtime, c at time zone 'UTC', age(c) from t

-- expect: read
select coalesce(a, 'x'), nullif(b, 0), greatest(b, 1), case when b > 1 then 'x' else 'y' end from t

-- expect: read
select b::text, cast(a as varchar(10)), '2026-01-01'::date, interval '1 day', numeric '1.5' from t

-- expect: read
select exists (select 1 from s where s.t_id = t.id), array(select id from s), id in (select t_id from s), id = any (array[1,2]) from t

-- expect: read
select json_build_object('a', a), to_jsonb(t), row_to_json(t), jsonb_agg(t), json_agg(b) from t group by t.id, t.a, t.b, t.c

-- expect: read
select * from json_to_recordset('[{"x":1}]') as r(x int)

-- expect: read
select * from generate_series(1, 3) g, unnest(array[1,2]) with ordinality as u(x, n), lateral (select g + x as y) z

-- expect: read
select json_object('a': 1), json_array(1, 2), json_query('{"a":1}', '$.a'), json_value('{"a":1}', '$.a'), json_exists('{}', '$.a')

-- expect: read
select * from json_table('[1]', '$[*]' columns (x int path '$')) j

-- expect: read
select * from xmltable('/r' passing '<r/>' columns x text path '.') x

-- expect: read
select id from t union all select id from s except select user_id from app.orders intersect select 1

-- expect: read
(select id from t order by id limit 1) union (select id from s order by id desc limit 1)

-- expect: read
select * from v

-- expect: read
select * from mv

-- expect: read
select * from part where d = '2026-05-05'

-- expect: read
select * from only t tablesample system (10)

-- expect: read
select grouping(a), a from t group by cube (a, b), grouping sets ((a), ())

-- expect: read
select distinct on (a) a, b from t order by a, b

-- expect: read
select (pair).x from (select row(1, 2)::pair as pair) q

-- expect: read
select a[1:2], ('{1,2}'::int[])[1] from (select array['x','y'] as a) q

-- expect: read
select a collate "C", a || b, a ~ '^x', a similar to 'x', not (b > 1), -b, b % 2, b is distinct from 1 from t

-- expect: read
select relname, n.nspname from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace where pg_catalog.pg_table_is_visible(c.oid)

-- expect: read
select table_name, column_name from information_schema.columns where table_schema = 'public'

-- expect: read
select pg_get_viewdef('v'::regclass), pg_get_functiondef('app.touch'::regproc), obj_description('t'::regclass), format_type(23, null)

-- expect: read
select pg_size_pretty(pg_total_relation_size('t')), pg_relation_size('t'), pg_database_size(current_database())

-- expect: read
select current_user, session_user, current_database(), current_schema(), version(), pg_backend_pid(), current_setting('search_path')

-- expect: read
select has_table_privilege('t', 'select'), pg_is_in_recovery(), txid_current_if_assigned()

-- expect: read
select random(), gen_random_uuid(), clock_timestamp(), md5('x'), sha256('x'), encode('x', 'hex')

-- expect: read
select to_tsvector('english', a) @@ to_tsquery('x & y'), ts_rank(to_tsvector(a), 'x'::tsquery), similarity from (select a, 1 as similarity from t) q

-- expect: read
select percentile_cont(0.5) within group (order by b), mode() within group (order by a) from t

-- expect: read
select regexp_replace(a, 'x', 'y', 'g'), regexp_matches(a, 'x'), split_part(a, ',', 1), format('%s', a), concat_ws(',', a, b) from t

-- expect: read
select $1::int, $2 from t where id = $3

-- expect: read
explain select * from t

-- expect: read
explain (verbose, format json) select * from t

-- expect: read
explain delete from t

-- expect: read
explain (analyze false) delete from t

-- expect: read
explain (analyze off, buffers off) update t set a = 'x'

-- expect: read
explain analyze select * from t

-- expect: read
show search_path

-- expect: read
show all

-- expect: read
prepare p_read as select * from t where id = $1

-- expect: read
begin; declare c cursor for select * from t; fetch 1 from c; move 1 in c; close c; commit

-- expect: read
lock table t in access share mode

-- expect: read
listen ch

-- expect:
set search_path = app, public

-- expect:
set local statement_timeout = '5s'

-- expect:
set time zone 'UTC'

-- expect:
reset all

-- expect:
discard all

-- expect:
deallocate all

-- expect:
begin transaction isolation level serializable read only deferrable

-- expect:
begin; savepoint a; release a; savepoint b; rollback to b; commit and chain; rollback

-- expect:
set transaction read write

-- expect:
set constraints all deferred

-- expect:
unlisten *

-- expect:
;

-- expect:
-- nothing but a comment

-- expect: read
select p.proname, pg_get_function_arguments(p.oid) from pg_proc p where p.pronamespace = 'public'::regnamespace

-- expect: read
select u.name, o.total from users u cross join lateral (select total from app.orders where user_id = u.id order by placed desc limit 3) o

-- expect: read
select * from (values (1, 'x'), (2, 'y')) as q(i, j) join t on t.id = q.i

-- expect: read
select sum(total) over (partition by user_id order by placed rows between 1 preceding and current row) from app.orders

-- expect: read
select * from t where (id, b) in ((1, 2), (3, 4)) and a = any (string_to_array('a,b', ','))

-- expect: read
select * from t where c > now() - interval '7 days' and extract(dow from c) in (0, 6)

-- expect: read
select unnest(string_to_array(a, ',')), generate_subscripts(array[1], 1) from t order by a fetch first 3 rows with ties

-- expect: read
select set_config('TimeZone', 'UTC', false)

-- expect: read
select (information_schema._pg_expandarray(i.indkey)).n, i.indexrelid from pg_catalog.pg_index i
