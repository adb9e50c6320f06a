-- A wide mix for pg_dump. :rows is replaced by the runner; a row of work.document is about 2 kB.
create schema shop;
comment on schema shop is 'what is dumped: Grüße, "quotes", back\slash';
create type shop.state as enum ('new', 'paid', 'sent');
create type shop.place as (street text, zip text);
create domain shop.cents as bigint check (value >= 0);
create sequence shop.ticket start 1000 increment 7 cache 5;
create role dump_reader nologin;
create function shop.vat(shop.cents) returns shop.cents language sql immutable return ($1 * 19) / 100;

create table shop.customer (
  id integer generated always as identity primary key,
  name text not null,
  at shop.place,
  tags text[] not null default '{}',
  profile jsonb,
  born date,
  upper_name text generated always as (upper(name)) stored,
  unique nulls not distinct (name, born)
);
create table shop.document (
  id bigint primary key default nextval('shop.ticket'),
  customer integer references shop.customer on delete cascade deferrable initially deferred,
  body text not null,
  scan bytea,
  price shop.cents,
  taxed shop.cents generated always as (shop.vat(price)) stored,
  state shop.state not null default 'new',
  span tstzrange,
  exclude using gist (span with &&) where (state = 'sent')
);
create table shop.event (at timestamptz not null, kind text not null, value float8, note text, seen inet) partition by range (at);
create table shop.event_2025 partition of shop.event for values from ('2025-01-01') to ('2026-01-01');
create table shop.event_2026 partition of shop.event for values from ('2026-01-01') to ('2027-01-01') partition by list (kind);
create table shop.event_2026_a partition of shop.event_2026 for values in ('a', 'b');
create table shop.event_2026_rest partition of shop.event_2026 default;
create index on shop.event (at, kind);

create view shop.paid as select d.id, c.name, d.price from shop.document d join shop.customer c on c.id = d.customer where d.state = 'paid';
create materialized view shop.totals as select customer, sum(price) as total from shop.document group by customer;
create unique index on shop.totals (customer);
create function shop.stamp() returns trigger language plpgsql as $fn$ begin new.name := trim(new.name); return new; end $fn$;
create trigger stamp before insert or update on shop.customer for each row execute function shop.stamp();
create procedure shop.tidy(days integer default 30) language sql begin atomic delete from shop.event where at < now() - make_interval(days => days); end;
create aggregate shop.product (float8) (sfunc = float8mul, stype = float8, initcond = '1');
create rule no_delete as on delete to shop.paid do instead nothing;
alter table shop.customer enable row level security;
create policy readers on shop.customer for select to dump_reader using (born is not null);
grant usage on schema shop to dump_reader;
grant select (id, name) on shop.customer to dump_reader;
create statistics shop.stats (ndistinct, mcv) on state, customer from shop.document;
create publication changes for table shop.customer (id, name), shop.event;
create extension hstore with schema shop;
create table shop.odd ("Weird ""name""" integer, "ünïcode" text, h shop.hstore, x xml, b bit varying(9), m money, p point, c char(5));
insert into shop.odd values (1, E'tab\t newline\n backslash\\ \u00e9', 'a=>1, "b c"=>NULL', '<a>&amp;</a>', B'1010', 12.5, '(1,2)', 'pad'), (null, '', null, null, null, null, null, null), (2, '\.', '', null, '', 0, null, '\N');

insert into shop.customer (name, at, tags, profile, born)
  select 'name ' || n, row('street ' || n, n::text)::shop.place, array['t' || n % 7, null, 'a,b"c'], jsonb_build_object('n', n, 'list', array[n, n + 1], 'none', null), date '1950-01-01' + n % 20000
  from generate_series(1, 20000) n;
insert into shop.document (customer, body, scan, price, state)
  select 1 + n % 20000, string_agg(md5((n * 31 + k)::text) || chr(9) || md5(k::text), chr(10)), decode(string_agg(md5((n * 17 + k)::text), ''), 'hex'), n, (array['new', 'paid', 'sent'])[1 + n % 3]::shop.state
  from generate_series(1, :rows) n, generate_series(1, 20) k group by n order by n;
insert into shop.event select timestamptz '2025-06-01 00:00Z' + n * interval '10 seconds', chr(97 + n % 5), n / 7.0, case when n % 3 = 0 then null else repeat('event ' || n, 8) end, ('10.0.' || n % 256 || '.1')::inet
  from generate_series(1, :rows * 2) n;
select lo_from_bytea(0, decode(repeat(md5(n::text), 40000), 'hex')) from generate_series(1, :rows / 6000 + 3) n;
comment on table shop.document is 'documents';
refresh materialized view shop.totals;
analyze;
