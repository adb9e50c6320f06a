-- Statements that try to look like less than they are. Each block: the effects of all its statements together, then
-- the text, then an empty line. `privileged` where it uses power beyond data. A past evasion stays for ever.

-- expect: read write
with w as (insert into t (id) values (9) returning id) select id from w

-- expect: read write
with w as (update t set a = 'x' returning *) select count(*) from w

-- expect: read delete
with d as (delete from t returning *) select * from d

-- expect: read delete
with recursive r as (select 1 as n union all select n + 1 from r where n < 3), d as (delete from s returning 1) select n from r

-- expect: read write delete
with src as (select * from s), m as (merge into t using src on t.id = src.t_id when matched and t.b > 100 then delete when matched then update set b = 0 returning t.id) select * from m

-- expect: read write
select * from (with w as (select 1) select * from w) q, t for update of t

-- expect: read write
select * from t for share

-- expect: read write
select * from t for no key update skip locked

-- expect: read write
select * from t for key share nowait

-- expect: read write
select (select id from t for update limit 1)

-- expect: read write define
select * into stolen from users

-- expect: read write define
select * into temp stolen_temp from users

-- expect: read write define
select 1 as a into unlogged one_row union select 2

-- expect: read write define
create table copy_of_users as select * from users

-- expect: read write define
create table if not exists copy_2 (x) as table users

-- expect: read write define
create materialized view mv2 as select * from t with no data

-- expect: write define execute unknown
create table from_prepared as execute p1

-- expect: read write execute
select nextval('seq')

-- expect: read write execute
select setval('seq', 5)

-- expect: read write execute
select NEXTVAL('app.seq')

-- expect: read write execute
select "nextval"('seq')

-- expect: read write execute
select pg_catalog.nextval('seq')

-- expect: read write execute
select U&"\006eextval"('seq')

-- expect: read write execute
select /* harmless */ next/**/val from t, nextval('seq') as n

-- expect: read write execute
select * from nextval('seq')

-- expect: read write execute
select id from t order by nextval('seq')

-- expect: read write execute
select id from t group by id having nextval('seq') > 0

-- expect: read write execute
select id from t where id in (select nextval('seq'))

-- expect: read write execute
select count(*) filter (where nextval('seq') > 0) from t

-- expect: read write execute
select sum(id) over (order by nextval('seq')) from t

-- expect: read write execute
select case when false then nextval('seq') end

-- expect: read write execute
select * from t limit nextval('seq')

-- expect: read write execute
select * from t join lateral (select nextval('seq') as n) q on true

-- expect: read write execute
values (nextval('seq'))

-- expect: read write execute
select array[nextval('seq')]

-- expect: read write execute
select (row(nextval('seq'), 2)).f1

-- expect: read write execute
select coalesce(null, nextval('seq'))

-- expect: read write execute
select distinct on (nextval('seq')) id from t

-- expect: read write execute
select id from t union select nextval('seq')

-- expect: read execute
select app.touch(7)

-- expect: read execute
select harmless_looking()

-- expect: read execute
select * from harmless_looking() as t(id)

-- expect: read execute
select public.lower(t) from t

-- expect: read execute
select 1 operator(app.@+@) 2

-- expect: read execute
select t.* from t where t.id operator(app.@+@) 1 > 0

-- expect: execute unknown
call app.purge()

-- expect: execute unknown privileged
do $$ begin delete from t; end $$

-- expect: execute unknown privileged
do language plpgsql 'begin execute ''del'' || ''ete from t''; end'

-- expect: read delete
explain analyze delete from t

-- expect: read delete
explain (analyze) delete from t

-- expect: read delete
explain (analyze true, costs off) delete from t

-- expect: read delete
explain (costs off, analyze 1) delete from t

-- expect: read delete
EXPLAIN (ANALYZE 'on') DELETE FROM t

-- expect: read delete
explain (analyze off, analyze) delete from t

-- expect: read delete
explain analyze verbose with d as (delete from t returning 1) select * from d

-- expect: read write define
explain analyze create table ea as select 1 as x

-- expect: read execute
explain select app.touch(1)

-- expect: delete
prepare gone as delete from t

-- expect: delete
prepare gone2 as delete from t; execute gone2

-- expect: delete execute unknown
prepare gone3 as delete from t; deallocate all; execute gone3

-- expect: delete execute unknown
execute gone4; prepare gone4 as delete from t

-- expect: read delete
prepare gone5 as delete from t; explain execute gone5

-- expect: read delete
prepare gone6 as delete from t; explain analyze execute gone6

-- expect: read write define
prepare filled as select * from t; create table from_filled as execute filled

-- expect: read execute unknown
fetch all in somebodys_cursor

-- expect: read write
begin; declare locking cursor for select * from t for update; fetch locking

-- expect: read execute unknown
begin; declare c cursor for select 1; close c; fetch c

-- expect: execute
set constraints all immediate

-- expect: read execute unknown
select * from xpath_table('id', 'a', 't', '/x', 'true') as r(id int, x text)

-- expect: read execute privileged
select postgres_fdw_disconnect_all()

-- expect: execute unknown
execute anything(1)

-- expect: read write
begin; declare c cursor for select * from t for update

-- expect: read write execute
begin; declare c cursor with hold for select nextval('seq')

-- expect: read delete
select 1; delete from t

-- expect: read delete define
select 1;;; /* ; */ select ';'; -- ; nothing
drop table s

-- expect: delete
; ; truncate s

-- expect: delete
truncate table s, t cascade

-- expect: delete
truncate part restart identity

-- expect: delete
delete from t where 1 = 1

-- expect: delete
delete from only t where true

-- expect: read delete
delete from t using s where t.id = s.t_id and false

-- expect: write
update t set a = a where id = id

-- expect: write
update only t set (a, b) = ('x', 1) where 'a' = 'a'

-- expect: read write
update t set a = q.note from (select note from s limit 1) q

-- expect: read write
insert into t (id) select 100 + id from s

-- expect: write
insert into t (id, a) values (1, 'x') on conflict (id) do update set a = excluded.a

-- expect: write
insert into t default values

-- expect: read write
insert into t (id) values (77) returning (select password from users limit 1)

-- expect: read write
merge into t using s on t.id = s.t_id when not matched then insert (id) values (s.id)

-- expect: write
insert into v (id) values (5)

-- expect: read write
/*! select */ insert /**/ into/**/t(id) /* /* nested */ */ values(44) returning id

-- expect: delete
DeLeTe/**/fRoM"t"

-- expect: delete
delete
from
t -- where id = 1

-- expect: read export
copy t to stdout

-- expect: read export
copy t to stdout (format binary)

-- expect: read export
copy (select * from users) to stdout with csv

-- expect: read delete export
copy (delete from t returning *) to stdout

-- expect: read write execute export
copy (select nextval('seq')) to stdout

-- expect: read execute export privileged
copy t to program 'cat > /dev/null'

-- expect: read execute export privileged
COPY/**/t TO/**/PROGRAM $$cat > /dev/null$$

-- expect: write execute privileged
copy t from program 'true'

-- expect: read export privileged
copy t to '/tmp/portcullis-corpus-never-written'

-- expect: write privileged
copy t from '/etc/passwd'

-- expect: write
copy t from stdin

-- expect: read execute privileged
select pg_read_file('PG_VERSION')

-- expect: read execute privileged
select PG_CATALOG . "pg_read_binary_file" ( 'PG_VERSION' )

-- expect: read execute privileged
select * from pg_ls_dir('.') as d

-- expect: read execute privileged
select (pg_stat_file('PG_VERSION')).size

-- expect: read execute privileged
select pg_ls_logdir()

-- expect: read write execute privileged
select lo_import('/etc/passwd')

-- expect: read execute export privileged
select lo_export(1, '/tmp/x')

-- expect: read write execute
select lo_create(0)

-- expect: read write execute
select lo_from_bytea(0, 'x')

-- expect: read write execute
select lo_put(1, 0, 'x')

-- expect: read delete execute
select lo_unlink(1)

-- expect: read write execute unknown privileged
select * from dblink('dbname=postgres', 'delete from t') as r(x int)

-- expect: read write execute unknown privileged
select public.dblink_exec('dbname=postgres', 'delete from t')

-- expect: read execute unknown
select query_to_xml('delete from t returning 1', true, true, '')

-- expect: read execute unknown
select table_to_xml('users', true, true, '')

-- expect: read execute unknown
select database_to_xml(true, true, '')

-- expect: read execute unknown
select * from ts_stat('select ''a''::tsvector')

-- expect: read execute unknown
select ts_rewrite('a & b'::tsquery, 'select ''a''::tsquery, ''c''::tsquery')

-- expect: read execute privileged
select pg_terminate_backend(0)

-- expect: read execute privileged
select pg_cancel_backend(0)

-- expect: read write execute privileged
select pg_reload_conf()

-- expect: read write execute privileged
select pg_switch_wal()

-- expect: read write execute privileged
select pg_create_physical_replication_slot('corpus')

-- expect: read write execute privileged
select pg_logical_emit_message(true, 'a', 'b')

-- expect: read write execute privileged
select pg_stat_reset()

-- expect: read define execute privileged
select cron.schedule('* * * * *', 'delete from t')

-- expect: read execute
select pg_advisory_lock(1)

-- expect: read execute
select pg_sleep(0)

-- expect: read write execute
select pg_notify('a', 'b')

-- expect: read grant execute privileged
select set_config('role', 'bob', true)

-- expect: read grant execute privileged
select set_config('ro' || 'le', 'bob', true)

-- expect: read
select set_config('search_path', 'app', true)

-- expect: read execute privileged
select set_config('search_path', current_setting('x.y'), true)

-- expect: read execute privileged
select set_config('session_replication_role', 'replica', true)

-- expect: grant privileged
set role bob

-- expect: grant privileged
set local role 'bob'

-- expect: grant privileged
set session authorization bob

-- expect: grant privileged
reset role

-- expect: grant privileged
set role none

-- expect: privileged
set session_replication_role = replica

-- expect: privileged
set row_security = off

-- expect: privileged
set search_path = app, pg_catalog

-- expect: read execute privileged
select set_config('search_path', 'app, "pg_catalog"', false)

-- expect: write privileged
update pg_settings set setting = 'bob' where name = 'role'

-- expect: write privileged
update pg_authid set rolsuper = true where rolname = 'alice'

-- expect: delete privileged
delete from pg_catalog.pg_proc where proname = 'x'

-- expect: read privileged
select rolname, rolpassword from pg_catalog.pg_authid

-- expect: read privileged
select passwd from pg_shadow

-- expect: read privileged
select umoptions from pg_user_mappings

-- expect: grant privileged
grant select on users to public

-- expect: grant privileged
grant all on all tables in schema public to bob with grant option

-- expect: grant privileged
revoke update (a) on t from alice cascade

-- expect: grant privileged
grant bob to alice with admin option

-- expect: grant privileged
alter default privileges in schema app grant select on tables to bob

-- expect: grant privileged
create role mallory superuser login password 'x'

-- expect: grant privileged
alter user alice password 'x'

-- expect: grant privileged
alter role alice set search_path = app

-- expect: delete grant privileged
drop role bob

-- expect: define grant privileged
alter table t owner to bob

-- expect: grant privileged
reassign owned by bob to alice

-- expect: delete define grant privileged
drop owned by bob

-- expect: define grant privileged
create function sneaky() returns int language sql security definer as 'select 1'

-- expect: define grant privileged
alter function harmless_looking() security definer

-- expect: define privileged
create function reader() returns text language plpgsql as $f$ begin return pg_read_file('PG_VERSION'); end $f$

-- expect: define privileged
create or replace function runner() returns void language plpgsql as $f$ begin copy t to program 'true'; end $f$

-- expect: define privileged
create function native() returns int language c as 'libc', 'getpid'

-- expect: define grant privileged
alter table users disable row level security

-- expect: define grant privileged
create policy open on users using (true)

-- expect: define privileged
alter table t disable trigger all

-- expect: define privileged
alter system set log_statement = 'none'

-- expect: define grant privileged
alter database postgres set log_statement = 'none'

-- expect: define execute privileged
create extension if not exists dblink

-- expect: define privileged
create server other foreign data wrapper postgres_fdw options (host 'h')

-- expect: grant privileged
create user mapping for bob server other options (user 'u', password 'x')

-- expect: write define execute privileged
create subscription sub connection 'host=h password=x' publication p with (connect = false)

-- expect: define export privileged
create publication pub for all tables

-- expect: execute privileged
load 'auto_explain'

-- expect: execute privileged
checkpoint

-- expect: define
create rule r as on insert to s do also delete from t

-- expect: define
create trigger tr before insert on t for each row execute function trig()

-- expect: define privileged
create event trigger et on ddl_command_start execute function trig()

-- expect: read define
create view peek as select * from users

-- expect: read define
create recursive view rv (n) as values (1) union all select n + 1 from rv where n < 3

-- expect: read write execute
refresh materialized view mv

-- expect: write
notify ch, 'payload'

-- expect: write
lock table t in exclusive mode

-- expect: write
vacuum t

-- expect: write
reindex table t

-- expect: write
cluster t using t_pkey

-- expect: write
commit prepared 'x'

-- expect: unknown privileged
delet from t

-- expect: unknown privileged
select * from t where a = 'unterminated

-- expect: unknown privileged
select 1; delete from t where (

-- expect: unknown privileged
select $tag$ never closed

-- expect: unknown privileged
/* never closed delete from t

-- expect: unknown privileged
select `id` from t
