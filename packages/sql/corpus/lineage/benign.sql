-- benign: plain
select id, name from people

-- benign: twin
select twin from people

-- benign: where on another
select name from people where id = 1

-- benign: where is not null of the masked one
select name from people where ssn is not null

-- benign: count
select count(*) from people

-- benign: count of the column
select count(ssn) from people

-- benign: alias
select p.name as n from people p

-- benign: column aliases
select b from people as x(a, b, c)

-- benign: cast
select id::text, name::varchar from people

-- benign: expression
select id + 1, name || '!' from people

-- benign: function
select upper(name), length(name), coalesce(name, 'x') from people

-- benign: date
select extract(year from born), born::text from people

-- benign: json column
select note ->> 'a', note from people

-- benign: array column
select tags[1], array_length(tags, 1) from people

-- benign: unnest
select p.name, t from people p, unnest(p.tags) t

-- benign: unnest with a name
select p.name, t.tag from people p cross join lateral unnest(p.tags) as t(tag)

-- benign: json each
select p.id, e.key, e.value from people p, jsonb_each(p.note) e

-- benign: generate series
select g, p.name from generate_series(1, 2) g, people p

-- benign: join
select p.name, t.label from people p join people_teams t on t.id = p.team

-- benign: join using
select name from people join people_teams using (id)

-- benign: left join
select p.name, t.label from people p left join people_teams t on t.lead = p.id

-- benign: self join
select a.name, b.name from people a join people b on a.team = b.team

-- benign: subquery
select n from (select name as n, ssn as s from people) x

-- benign: scalar subquery
select (select name from people where id = 1)

-- benign: correlated subquery
select t.label, (select count(*) from people p where p.team = t.id) from people_teams t

-- benign: correlated value
select t.label, (select max(p.name) from people p where p.team = t.id) from people_teams t

-- benign: exists
select t.label from people_teams t where exists (select 1 from people p where p.team = t.id)

-- benign: exists in the select list
select exists (select 1 from people where id = 1)

-- benign: in
select name from people where team in (select id from people_teams)

-- benign: cte
with c as (select * from people) select name from c

-- benign: cte twice
with c as (select id, name, ssn from people), d as (select id, name from c) select * from d

-- benign: recursive
with recursive r(n) as (select 1 union all select n + 1 from r where n < 3) select n, p.name from r, people p

-- benign: recursive tree
with recursive r as (select id, name, 0 as depth from people where id = 1 union all select p.id, p.name, r.depth + 1 from people p join r on p.team = r.id and r.depth < 2) select * from r

-- benign: union
select name from people union select label from people_teams

-- benign: union all with numbers
select id, name from people union all select id, label from people_teams

-- benign: intersect
select id from people intersect select id from people_teams

-- benign: except of the masked
select id from people except select lead from people_teams

-- benign: distinct
select distinct team from people

-- benign: group by
select team, count(*), max(name), avg(id) from people group by team

-- benign: having
select team from people group by team having count(*) > 1

-- benign: order by the masked column
select id, name from people order by ssn

-- benign: order and limit
select name from people order by id desc limit 2 offset 1

-- benign: window
select name, row_number() over (order by id), sum(id) over (partition by team) from people

-- benign: filter
select count(*) filter (where id > 1), string_agg(name, ',') from people

-- benign: case
select case when id = 1 then name else 'other' end from people

-- benign: array aggregate
select array_agg(name order by id) from people

-- benign: json builder
select json_build_object('id', id, 'name', name) from people

-- benign: json aggregate
select json_agg(json_build_object('n', name)) from people

-- benign: row of columns
select row(id, name) from people

-- benign: row of a subquery
select row_to_json(x) from (select id, name from people) x

-- benign: whole row of a subquery
select x from (select id, name from people) x

-- benign: field of a row
select (p).name from people p

-- benign: functional notation
select twin(p) from people p

-- benign: row out of a subquery
select (x).name from (select p as x from people p) q

-- benign: view
select * from people_names

-- benign: view with the masked column
select id, name from people_all

-- benign: renamed view
select a from people_renamed

-- benign: view of a view
select a from people_nested

-- benign: filtered view
select * from people_filtered

-- benign: view of rows
select (rec).name from people_whole

-- benign: view of json
select j from people_safe_json

-- benign: view of aggregates
select * from people_agg

-- benign: materialized view
select id from people_mat

-- benign: clean pair
select (clean).x, (pair).y from people_pairs

-- benign: partition
select id, day from people_log

-- benign: sql function
select people_name(1)

-- benign: sql function in from
select * from people_name(1) as n

-- benign: sql function of rows
select id, name from people_rows()

-- benign: sql function of a table
select who from people_table()

-- benign: out argument
select who from people_out()

-- benign: sql function of a row
select people_title(p) from people p

-- benign: row function by notation
select p.people_title from people p

-- benign: echo
select people_echo(name), people_glue(name), people_first(name, ssn) from people

-- benign: own operator
select name <~> 'x' from people

-- benign: own aggregate
select people_concat(name) from people

-- benign: generated column of a clean one
select name_up from people

-- benign: insert
insert into people (id, name, ssn) values (9001, 'new', 'x-y-z') returning id, name

-- benign: upsert
insert into people (id, name, ssn) values (1, 'a', 'b') on conflict (id) do update set ssn = excluded.ssn, name = excluded.name returning id

-- benign: update
update people set name = 'x' where id = 1 returning id, name

-- benign: update of the masked one by the client
update people set ssn = 'mine' where id = 1 returning id

-- benign: update to itself
update people set ssn = ssn where id = 1

-- benign: returning new
update people set name = 'z' where id = 1 returning old.name, new.name

-- benign: delete
delete from people where id = 3 returning id

-- benign: insert select
insert into people_empty (id, body) select id, name from people returning body

-- benign: create table as
create temp table t9 as select id, name from people

-- benign: merge
merge into people_teams t using people p on t.id = p.id when matched then update set label = p.name returning t.label

-- benign: copy
copy people (id, name) to stdout

-- benign: copy of a query
copy (select name from people) to stdout

-- benign: cursor
begin; declare c cursor for select id, name from people; fetch 2 from c; rollback

-- benign: prepared
prepare q(int) as select name from people where id = $1; execute q(1); deallocate q

-- benign: explain
explain select * from people

-- benign: explain analyze
explain (analyze, timing off) select name from people where id = 1

-- benign: catalogue
select relname, relkind from pg_class where relname = 'people'

-- benign: catalogue of columns
select attname, format_type(atttypid, atttypmod) from pg_attribute where attrelid = 'people'::regclass and attnum > 0

-- benign: catalogue star
select * from pg_namespace

-- benign: information schema
select column_name, data_type from information_schema.columns where table_name = 'people'

-- benign: information schema star
select * from information_schema.tables where table_name = 'people'

-- benign: drivers ask
select n.nspname, c.relname, pg_get_userbyid(c.relowner), obj_description(c.oid) from pg_class c left join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'v') and n.nspname !~ '^pg_toast'

-- benign: statistics without values
select tablename, attname, null_frac, n_distinct from pg_stats where tablename = 'people'

-- benign: activity
select pid, state from pg_stat_activity

-- benign: locks
select locktype, mode from pg_locks

-- benign: version and settings
select version(), current_user, current_setting('server_version'), now() is not null

-- benign: show
show server_version

-- benign: show all
show all

-- benign: constants
select 1, 'a', null, true, array[1, 2], row(1, 2), interval '1 day'

-- benign: values
values (1, 'a'), (2, 'b')

-- benign: bind values
prepare q(text, int) as select $1 || 'x', $2 + 1; execute q('a', 1); deallocate q

-- benign: system columns
select ctid, tableoid::regclass, id from people

-- benign: tablesample
select id from people tablesample bernoulli (100)

-- benign: json path on a clean column
select jsonb_path_query(note, '$.a') from people

-- benign: star of another table
select t.* from people p join people_teams t on t.id = p.team

-- benign: star beside elements
select p.id, u.* from people p, unnest(p.tags) with ordinality u

-- benign: lateral
select p.name, l.n from people p, lateral (select count(*) as n from people q where q.team = p.team) l

-- benign: grouping sets
select team, name, grouping(team), count(*) from people group by rollup (team, name)

-- benign: distinct on
select distinct on (team) team, name from people order by team, ssn

-- benign: coalesce of a join
select coalesce(p.name, t.label) from people p full join people_teams t on t.id = p.id

-- benign: sequences and uuid
select gen_random_uuid() is not null, random() < 2

-- benign: dates
select date_trunc('day', now()), generate_series(now(), now(), '1 day'), age(born) from people

-- benign: hstore of clean values
select hstore('k', name) -> 'k' from people

-- benign: similarity
select similarity(name, 'x'), name % 'y' from people

-- benign: digest of a clean value
select encode(digest(name, 'sha256'), 'hex') from people

-- benign: begin and end
begin; select name from people where id = 1; commit

-- benign: comments and case
SELECT /* ssn */ NAME -- ssn
FROM PEOPLE

-- benign: procedure of nothing
set local search_path = public; reset search_path

-- benign: variadic and defaults
select people_any('a', name), people_late(1, name) from people

-- benign: explain of functions
explain (verbose) select people_name(1), upper(name) from people where id = 1

-- benign: view that calls a function
select called_name from people_calling

-- benign: explain with a function of a column
explain (verbose) select id from people where people_hidden(id) is not null

-- benign: cast like a function
select to_tsvector('simple', name) @@ tsquery('x'), jsonb('{}') from people
