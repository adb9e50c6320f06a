-- One block at least for every statement that defines or grants, so that each entry of the table is exercised.

-- expect: define
create table n1 (id int primary key, a text default 'x' check (a <> ''), foreign key (id) references t (id))

-- expect: define
create temp table n2 (like t including all)

-- expect: define
create table n3 partition of part for values from ('2027-01-01') to ('2028-01-01')

-- expect: write define execute
create table n4 (id int default nextval('seq')); insert into n4 values (1)

-- expect: define
alter table t add column d int

-- expect: delete define
alter table t drop column a

-- expect: define
alter table t alter column b type bigint using b::bigint

-- expect: define
alter table t rename to t2

-- expect: define
alter table t rename column a to aa

-- expect: define
alter table t replica identity full

-- expect: define
alter table if exists t set schema app

-- expect: delete define
drop table if exists s, t cascade

-- expect: delete define
drop view v

-- expect: delete define
drop materialized view mv

-- expect: delete define
drop sequence seq cascade

-- expect: delete define
drop schema app cascade

-- expect: delete define
drop function app.touch(int)

-- expect: delete define
drop type mood, pair

-- expect: delete define
drop domain posint

-- expect: delete define
drop index t_pkey

-- expect: delete define
drop trigger if exists nope on t

-- expect: delete define
drop operator app.@+@ (int, int)

-- expect: delete define privileged
drop extension if exists dblink

-- expect: delete define privileged
drop server if exists other

-- expect: delete define grant privileged
drop policy if exists p on users

-- expect: delete define privileged
drop cast if exists (text as int)

-- expect: define
create index on t (a)

-- expect: define
create unique index concurrently i2 on t (lower(a)) where b > 1

-- expect: define
create sequence sq2 start 5

-- expect: define
alter sequence seq restart

-- expect: define
create schema n5

-- expect: define grant
create schema authorization bob

-- expect: define grant privileged
create schema n6 create table x (id int) grant select on x to bob

-- expect: define
create type e2 as enum ('a')

-- expect: define
alter type mood add value 'great'

-- expect: define
create type c2 as (a int, b text)

-- expect: define
alter type pair add attribute z int

-- expect: define
create type r2 as range (subtype = int4)

-- expect: define
create domain d2 as text check (value <> '')

-- expect: define
alter domain posint set not null

-- expect: define
alter type base2 set (storage = plain)

-- expect: define privileged
create type base2

-- expect: define
create aggregate agg2 (int) (sfunc = int4pl, stype = int)

-- expect: define
create operator === (leftarg = int, rightarg = int, function = int4eq)

-- expect: define
alter operator app.@+@ (int, int) set (restrict = none)

-- expect: define privileged
create operator class oc for type int using btree as operator 1 <

-- expect: define privileged
create operator family of2 using btree

-- expect: define privileged
alter operator family of2 using btree add operator 1 < (int, int)

-- expect: define
create collation col2 from "C"

-- expect: define
alter collation "C" refresh version

-- expect: define privileged
create conversion con2 for 'UTF8' to 'LATIN1' from utf8_to_iso8859_1

-- expect: define privileged
create cast (mood as int) with inout

-- expect: define
create text search configuration tsc (copy = english)

-- expect: define
alter text search configuration english add mapping for word with simple

-- expect: define
create text search dictionary tsd (template = simple)

-- expect: define
alter text search dictionary simple (accept = false)

-- expect: define
create statistics st2 on a, b from t

-- expect: define
alter statistics st2 set statistics 100

-- expect: define
create function pure(i int) returns int language sql immutable return i + 1

-- expect: read define
create function atomic_body() returns int language sql begin atomic select 1; end

-- expect: define
create procedure pr() language plpgsql as $$ begin null; end $$

-- expect: define
alter function harmless_looking() stable

-- expect: define
alter function harmless_looking() depends on extension plpgsql

-- expect: define
alter function harmless_looking() rename to still_harmless

-- expect: read define
create or replace view v as select id, a from t where b > 0

-- expect: define
alter view v rename to v2

-- expect: define
comment on table t is 'x'

-- expect: define
comment on column t.a is 'x'

-- expect: define grant privileged
security label on table t is 'x'

-- expect: define privileged
create access method am2 type table handler heap_tableam_handler

-- expect: define privileged
create language l2 handler h

-- expect: define execute privileged
create language plperl

-- expect: define privileged
create transform for int language plpgsql (from sql with function f(internal), to sql with function g(internal))

-- expect: define privileged
create foreign data wrapper fdw2

-- expect: define privileged
alter foreign data wrapper fdw2 options (add a 'b')

-- expect: define privileged
alter server other options (set host 'x')

-- expect: define privileged
create foreign table ft (id int) server other

-- expect: read define privileged
import foreign schema public from server other into app

-- expect: grant privileged
alter user mapping for bob server other options (set password 'x')

-- expect: delete grant privileged
drop user mapping for bob server other

-- expect: define execute privileged
alter extension plpgsql update

-- expect: define execute privileged
alter extension plpgsql add table t

-- expect: define privileged
alter event trigger et disable

-- expect: define grant privileged
alter policy p on users using (false)

-- expect: define export privileged
alter publication pub add table t

-- expect: write define privileged
alter subscription sub disable

-- expect: delete define privileged
drop subscription if exists sub

-- expect: define privileged
create database db2

-- expect: define privileged
alter database postgres with connection limit 5

-- expect: define privileged
alter database postgres refresh collation version

-- expect: delete define privileged
drop database if exists db2

-- expect: define privileged
create tablespace ts2 location '/tmp/nowhere'

-- expect: define privileged
alter tablespace pg_default set (random_page_cost = 1)

-- expect: define privileged
alter table all in tablespace pg_default set tablespace pg_default

-- expect: delete define privileged
drop tablespace if exists ts2

-- expect: define grant privileged
alter role bob rename to robert

-- expect: define grant privileged
alter schema app owner to bob

-- expect: define
alter table t add constraint ck check (b > 0) not valid

-- expect: define
alter table part detach partition part_1

-- expect: define grant privileged
alter table users enable row level security, force row level security
