-- What the works find, made anew before each client and each side.
drop schema if exists work cascade;
drop publication if exists news;
drop event trigger if exists watch_ddl;
drop foreign data wrapper if exists nothing cascade;
do $$ begin
  if not exists (select from pg_roles where rolname = 'work_reader') then create role work_reader nologin; end if;
end $$;
drop owned by work_reader;
select lo_unlink(oid) from pg_largeobject_metadata;
create schema work;

create type work.mood as enum ('sad', 'ok', 'happy');

create table work.numbers (n integer primary key, t text not null);
insert into work.numbers select n, 'row ' || n from generate_series(1, 100000) n;

create table work.copied (id integer primary key, t text, b bytea, at timestamptz);

create table work.account (
  id integer primary key,
  owner text not null unique,
  balance numeric(12, 2) not null default 0 constraint balance_not_negative check (balance >= 0)
);
insert into work.account values (1, 'ann', 100), (2, 'bob', 50);

create table work.entry (
  id bigint generated always as identity primary key,
  account integer not null references work.account (id),
  amount numeric(12, 2) not null,
  feeling work.mood not null default 'ok',
  doubled numeric(12, 2) generated always as (amount * 2) stored,
  tags text[] not null default '{}'
);
create index entry_account on work.entry (account, id desc);
create view work.rich as select id, owner from work.account where balance > 60;

create function work.tell() returns integer language plpgsql as $$
begin
  raise notice 'told %', 1 using detail = 'a detail', hint = 'a hint';
  raise warning 'warned' using errcode = '01007';
  return 7;
end $$;
