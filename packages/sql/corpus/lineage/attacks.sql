-- attack: plain
select ssn from people

-- attack: star
select * from people

-- attack: table
table people

-- attack: alias
select p.ssn as harmless from people as p

-- attack: column aliases of the table
select c from people as x(a, b, c)

-- attack: qualified
select public.people.ssn from public.people

-- attack: quoted and folded
SELECT "people"."ssn" FROM "public"."people"

-- attack: unicode identifier
select U&"\0073sn" from U&"peopl\0065"

-- attack: cast
select ssn::varchar from people

-- attack: cast by function
select cast(ssn as character varying) from people

-- attack: name cast
select ssn::name from people

-- attack: bytea
select ssn::bytea from people

-- attack: convert
select convert_to(ssn, 'utf8') from people

-- attack: hex
select encode(ssn::bytea, 'hex') from people

-- attack: base64
select encode(convert_to(ssn, 'utf8'), 'base64') from people

-- attack: domain
select ssn::people_text from people

-- attack: substring
select substr(ssn, 1, 12) from people

-- attack: left and right
select left(ssn, 8), right(ssn, 8) from people

-- attack: overlay
select overlay(ssn placing '' from 1 for 0) from people

-- attack: concat operator
select '' || ssn from people

-- attack: concat
select concat('a', ssn), concat_ws('-', 'a', ssn) from people

-- attack: format
select format('%s', ssn) from people

-- attack: upper of lower
select upper(lower(ssn)), ssn from people

-- attack: reverse
select reverse(reverse(ssn)) from people

-- attack: replace
select replace(ssn, 'x', 'y') from people

-- attack: translate
select translate(ssn, '', '') from people

-- attack: regexp
select regexp_replace(ssn, '^', '>') from people

-- attack: regexp matches
select regexp_matches(ssn, '.*') from people

-- attack: substring from pattern
select substring(ssn from '.*') from people

-- attack: split
select split_part(ssn, '~', 1) from people

-- attack: string to array
select string_to_array(ssn, '~') from people

-- attack: lpad
select lpad(ssn, 40, '*') from people

-- attack: quote
select quote_literal(ssn), quote_ident(ssn) from people

-- attack: to_json
select to_json(ssn) from people

-- attack: row_to_json
select row_to_json(p) from people p

-- attack: to_jsonb of row and back
select to_jsonb(p) ->> 'ssn' from people p

-- attack: json_build
select json_build_object('k', ssn), json_build_array(ssn) from people

-- attack: standard json constructors
select json_object('k': ssn), json_array(ssn), json_scalar(ssn) from people

-- attack: json array of a query
select json_array(select ssn from people)

-- attack: json aggregates
select json_agg(ssn), jsonb_agg(p), json_object_agg(id, ssn) from people p

-- attack: standard json aggregates
select json_arrayagg(ssn), json_objectagg(id: ssn) from people

-- attack: json_each
select e.key, e.value from people p, json_each(row_to_json(p)) e

-- attack: json_each star
select e.* from people p, lateral jsonb_each_text(to_jsonb(p)) e

-- attack: json_populate_record
select x.* from people p, json_populate_record(null::people, row_to_json(p)) x

-- attack: json_to_record
select x.ssn from people p, json_to_record(row_to_json(p)) as x(ssn text)

-- attack: json table
select t.s from people p, json_table(to_jsonb(p), '$' columns (s text path '$.ssn')) t

-- attack: json query
select json_value(to_jsonb(p), '$.ssn') from people p

-- attack: jsonb path
select jsonb_path_query(to_jsonb(p), '$.ssn') from people p

-- attack: whole row
select people from people

-- attack: whole row as text
select people::text from people

-- attack: star as text
select p.*::text from people p

-- attack: field of a row
select (p).ssn from people p

-- attack: expansion of a row
select (p).* from people p

-- attack: row constructor
select row(p.*) from people p

-- attack: row of columns
select row(id, ssn) from people

-- attack: functional notation of a column
select ssn(people) from people

-- attack: functional notation of a cast
select text(p.ssn) from people p

-- attack: functional notation of a function
select p.row_to_json from people p

-- attack: own function of the row by notation
select p.people_label from people p

-- attack: array
select array[ssn, name] from people

-- attack: array of a query
select array(select ssn from people)

-- attack: array_agg
select array_agg(ssn) from people

-- attack: array_agg of rows
select array_agg(p) from people p

-- attack: unnest of an aggregate
select unnest(array_agg(ssn)) from people

-- attack: unnest in from
select u from people, unnest(array[ssn]) u

-- attack: unnest of rows
select (u).ssn from (select array_agg(p) as r from people p) x, unnest(x.r) u

-- attack: array element
select (array_agg(ssn))[1] from people

-- attack: array_to_string
select array_to_string(array_agg(ssn), ',') from people

-- attack: string_agg
select string_agg(ssn, ',') from people

-- attack: min and max
select min(ssn), max(ssn) from people

-- attack: any_value
select any_value(ssn) from people

-- attack: mode
select mode() within group (order by ssn) from people

-- attack: percentile
select percentile_disc(0.5) within group (order by ssn) from people

-- attack: own aggregate
select people_concat(ssn) from people

-- attack: filter
select max(ssn) filter (where id > 0) from people

-- attack: window
select first_value(ssn) over (order by id), lag(ssn, 0) over w from people window w as (order by id)

-- attack: window aggregate
select string_agg(ssn, ',') over (partition by team) from people

-- attack: case
select case when id > 0 then ssn end from people

-- attack: case compares
select case ssn when 'q' then 'x' else ssn end from people

-- attack: coalesce
select coalesce(ssn, 'none') from people

-- attack: nullif
select nullif(ssn, 'none') from people

-- attack: greatest
select greatest(ssn, ''), least(ssn, 'zzzzzz') from people

-- attack: subquery
select s from (select ssn as s from people) x

-- attack: nested subqueries
select z from (select y as z from (select ssn as y from people) a) b

-- attack: scalar subquery
select (select ssn from people where id = 1)

-- attack: correlated subquery
select (select p.ssn) from people p

-- attack: correlated through two levels
select (select (select p.ssn || '') from people_teams limit 1) from people p

-- attack: row out of a subquery
select (x).ssn from (select p as x from people p) q

-- attack: row through a scalar subquery
select ((select p from people p where id = 1)).ssn

-- attack: lateral
select l.v from people p, lateral (select p.ssn as v) l

-- attack: lateral join
select l.v from people p left join lateral (select p.ssn as v) l on true

-- attack: cte
with c as (select ssn from people) select * from c

-- attack: cte with column names
with c(x) as (select ssn from people) select x from c

-- attack: cte of a cte
with a as (select ssn s from people), b as (select s as t from a) select t from b

-- attack: cte in a subquery
select * from (with c as (select ssn from people) select * from c) x

-- attack: recursive cte
with recursive r(n, v) as (select 1, ssn from people where id = 1 union all select n + 1, v from r where n < 3) select v from r

-- attack: recursive cte that moves a column each round
with recursive r(a, b, c) as (select '', '', ssn from people where id = 1 union all select b, c, '' from r where b <> '' or c <> '') select a from r

-- attack: recursive union with search
with recursive r(id) as (select 1 union all select p.id from r join people p on p.id = r.id + 1) search depth first by id set o select (select ssn from people p where p.id = r.id) from r

-- attack: recursive cte of rows that moves a field each round
with recursive r(n, x) as (select 1, row(''::text, ''::text, ''::text) union all select n + 1, row((to_json(x) ->> 'f2'), (to_json(x) ->> 'f3'), p.ssn) from r join people p on p.id = n where n < 5) select to_json(x) ->> 'f1' from r

-- attack: recursive cte that names a later one (lost)
with recursive a as (select * from b), b as (select ssn from people) select * from a

-- attack: cte that changes
with u as (update people set team = 1 returning ssn) select * from u

-- attack: cte that deletes
with d as (delete from people where id = 1 returning *) select ssn from d

-- attack: values
values ((select ssn from people where id = 1))

-- attack: values in from
select v.x from people p, lateral (values (p.ssn)) v(x)

-- attack: union
select name from people union select ssn from people

-- attack: union all in the second place
select name from people union all select ssn from people

-- attack: union under another name
select a from (select name as a from people union all select ssn from people) x

-- attack: nested set operations
(select 'x' union select 'y') union all (select ssn from people intersect select ssn from people)

-- attack: except
select ssn from people except select 'x'

-- attack: order by over a union
select ssn as x from people union select name from people order by 1

-- attack: distinct
select distinct ssn from people

-- attack: distinct on
select distinct on (id) ssn from people

-- attack: group by
select ssn, count(*) from people group by ssn

-- attack: group by position
select ssn from people group by 1

-- attack: grouping sets
select ssn, count(*) from people group by grouping sets ((ssn), ())

-- attack: join
select b.ssn from people a join people b using (id)

-- attack: join on
select b.ssn from people a join people b on a.id = b.id

-- attack: join using the column
select ssn from people a join people b using (ssn)

-- attack: natural join
select ssn from people a natural join people b

-- attack: star over a join with using
select * from people_teams t join people p using (id)

-- attack: alias of a join
select j.ssn from (people p join people_teams t on t.id = p.team) j

-- attack: alias of a join with columns
select j.c from (people p join people_teams t on t.id = p.team) as j(a, b, c)

-- attack: alias of a using
select u.ssn from people a join people b using (ssn) as u

-- attack: cross join lateral of a table
select q.ssn from people p cross join lateral (select * from people x where x.id = p.id) q

-- attack: view
select ssn from people_all

-- attack: view with other names
select b from people_renamed

-- attack: view of a view
select c from people_nested

-- attack: view with a case
select who from people_case

-- attack: view of rows
select (rec).ssn from people_whole

-- attack: view of json
select j from people_json

-- attack: view of a union
select v from people_union

-- attack: view whose column was renamed
select became from people_ren

-- attack: materialized view
select m from people_mat

-- attack: pairs of a view
select (pair).x from people_pairs

-- attack: pair through a function
select people_cell(pair) from people_pairs

-- attack: partitioned
select ssn from people_log

-- attack: partition
select ssn from people_log_1

-- attack: second partition whole
select x from people_log_2 x

-- attack: child
select ssn from people_child

-- attack: parent
select ssn from people_base

-- attack: only
select ssn from only people

-- attack: tablesample
select ssn from people tablesample system (100)

-- attack: function
select people_ssn(1)

-- attack: function in from
select * from people_ssn(1)

-- attack: function in from with alias
select z from people_ssn(1) z

-- attack: function of rows
select ssn from people_rows()

-- attack: function of rows whole
select people_rows()

-- attack: function of rows expanded
select (people_rows()).*

-- attack: function of a table
select what from people_table()

-- attack: function of a table with column names
select y from people_table() as f(x, y)

-- attack: out arguments
select what from people_out()

-- attack: out arguments expanded
select (people_out()).*

-- attack: atomic body
select people_atomic(1)

-- attack: return body
select people_return(1)

-- attack: function whose body is not read (lost)
select people_hidden(1)

-- attack: function that says it is immutable (lost)
select people_lied(1)

-- attack: function of a row
select people_label(p) from people p

-- attack: function that echoes
select people_echo(ssn) from people

-- attack: function that echoes a row
select (people_echo(p)).ssn from people p

-- attack: function of named arguments
select people_first(b => 'x', a => ssn) from people

-- attack: function with a default
select people_glue(ssn) from people

-- attack: view that calls a function
select called_ssn from people_calling

-- attack: variadic
select people_any('a', name, ssn) from people

-- attack: variadic array
select people_any(variadic array['a', ssn]) from people

-- attack: function whose default looks
select people_late(1)

-- attack: planning shows what a function gave (lost)
explain (verbose) select people_lied(1)

-- attack: planning shows what a function in a view gave (lost)
explain (verbose) select * from people_folded where x <> 'a'

-- attack: function calls function
select people_calls(1)

-- attack: function with a path of its own
select people_own_path()

-- attack: record with a column list
select a from people_record() as (a text, b int)

-- attack: function that changes
select people_written(1)

-- attack: several statements in a function
select people_both(1)

-- attack: rows from
select * from rows from (people_table(), generate_series(1, 2)) as x(a, b, c)

-- attack: with ordinality
select * from people_table() with ordinality

-- attack: own operator
select ssn <~> '' from people

-- attack: own operator that looks by itself (lost)
select 'x' <?> 1

-- attack: operator spelled out
select ssn operator(pg_catalog.||) '' from people

-- attack: xml forest
select xmlforest(ssn as x) from people

-- attack: xml element
select xmlelement(name x, xmlattributes(ssn as a)), xmlelement(name y, ssn) from people

-- attack: xml aggregate
select xmlagg(xmlelement(name x, ssn)) from people

-- attack: xml table
select x.v from people p, xmltable('/r' passing xmlelement(name r, p.ssn) columns v text path '.') x

-- attack: query_to_xml (lost)
select query_to_xml('select ssn from people', true, false, '')

-- attack: table_to_xml (lost)
select table_to_xml('people', true, false, '')

-- attack: schema_to_xml (lost)
select schema_to_xml('public', true, false, '')

-- attack: database_to_xml (lost)
select database_to_xml(true, false, '')

-- attack: cursor_to_xml (lost)
begin; declare c cursor for select ssn from people; select cursor_to_xml('c', 5, true, false, ''); rollback

-- attack: ts_stat (lost)
select word from ts_stat('select to_tsvector(''simple'', ssn) from people')

-- attack: tsvector
select to_tsvector('simple', ssn) from people

-- attack: headline
select ts_headline('simple', ssn, to_tsquery('simple', 'a')) from people

-- attack: crosstab (lost)
select * from crosstab('select id, 1, ssn from people order by 1') as c(a int, b text)

-- attack: dblink (lost)
select * from dblink('SELF', 'select ssn from people') as d(x text)

-- attack: hstore of a row
select hstore(p) -> 'ssn' from people p

-- attack: hstore of values
select hstore('k', ssn) from people

-- attack: hstore each
select e.value from people p, each(hstore(p)) e

-- attack: citext
select ssn::citext from people

-- attack: trigrams
select show_trgm(ssn), ssn from people

-- attack: statistics (lost)
select most_common_vals, histogram_bounds from pg_stats where tablename = 'people' and attname = 'ssn'

-- attack: statistics whole (lost)
select * from pg_stats where tablename = 'people'

-- attack: statistics of the catalogue (lost)
select stavalues1 from pg_statistic where starelid = 'people'::regclass

-- attack: statistics as a row (lost)
select s::text from pg_stats s where tablename = 'people'

-- attack: returning of insert
insert into people (id, name, ssn) select 9000 + id, name, ssn || '!' from people where id < 4 returning ssn

-- attack: returning of update
update people set team = 2 where id = 1 returning ssn

-- attack: returning star
update people set team = 2 where id = 1 returning *

-- attack: returning old and new
update people set team = 2 where id = 1 returning old.ssn, new.ssn

-- attack: returning old whole
update people set team = 2 where id = 1 returning old

-- attack: returning with aliases
update people set team = 2 where id = 1 returning with (old as o) o.ssn

-- attack: returning of a delete
delete from people where id = 2 returning ssn

-- attack: returning of a joined update
update people_teams t set label = 'x' from people p where p.team = t.id returning p.ssn

-- attack: returning of merge
merge into people p using people_teams t on p.team = t.id when matched then update set twin = 'x' returning p.ssn

-- attack: returning of merge of the source
merge into people_teams t using people p on p.id = t.id when matched then update set label = 'x' returning p.*

-- attack: update through a view
update people_all set team = 3 where id = 1 returning ssn

-- attack: update through a rule (lost)
update people_set set twin = 'x' where id = 1 returning twin

-- attack: insert through a view of a table with a rule (lost)
insert into people_answering values (1, 'x') returning twin

-- attack: upsert
insert into people (id, name) values (1, 'x') on conflict (id) do update set name = 'y' returning ssn

-- attack: copy
copy people to stdout

-- attack: copy of a column
copy people (ssn) to stdout

-- attack: copy of a query
copy (select 'a', ssn from people) to stdout

-- attack: copy as csv
copy (select p from people p) to stdout with (format csv, header)

-- attack: cursor
begin; declare c cursor for select ssn from people; fetch all in c; rollback

-- attack: cursor backwards
begin; declare c scroll cursor for select id, ssn from people; move last in c; fetch prior from c; rollback

-- attack: prepared
prepare q as select ssn from people; execute q; deallocate q

-- attack: prepared with an argument
prepare q(int) as select ssn from people where id = $1; execute q(1); deallocate q

-- attack: generated column
select ssn_up from people

-- attack: order by under another name
select ssn as name from people order by name

-- attack: hidden by an alias of a clean column
select name from (select ssn as name, name as ssn from people) x

-- attack: the other way round by a join
select a.name from (select id, ssn as name from people) a join people b on a.id = b.id

-- attack: shadowed cte
with people as (select id, ssn as name from people) select name from people

-- attack: outer reference from a cte
select (with c as (select p.ssn as v) select v from c) from people p

-- attack: exists and value
select case when exists (select 1 from people q where q.ssn = p.ssn) then p.ssn end from people p

-- attack: multi-column subquery
select (x).f1 from (select row(ssn, 1) as x from people) y

-- attack: composite of a subselect star
select x.x from (select * from (select p as x from people p) a) x

-- attack: extract through a date
select to_char(id, '9') || ssn from people

-- attack: collate
select ssn collate "C" from people

-- attack: at the end of many columns
select p.*, t.label, p.ssn || 'x' as last from people p, people_teams t

-- attack: unnest star then column
select u.*, p.ssn from people p, unnest(p.tags) u

-- attack: digest
select decode(encode(ssn::bytea, 'hex'), 'hex') from people

-- attack copies: settings
select set_config('app.leak', ssn, false) from people where id = 1

-- attack copies: insert select
insert into people_empty (body) select ssn from people

-- attack copies: insert of a subquery in values
insert into people_empty (body) values ((select ssn from people where id = 1))

-- attack copies: create table as
create table people_ctas as select ssn as x from people

-- attack copies: select into
select ssn into people_into from people

-- attack copies: create table as execute
prepare q as select ssn from people; create table people_ctas2 as execute q

-- attack copies: update of another column
update people set twin = ssn

-- attack copies: update from
update people_empty e set body = p.ssn from people p

-- attack copies: multi assignment
update people_teams set (label, lead) = (select ssn, id from people where id = 1)

-- attack copies: on conflict with a column of the row
insert into people (id, name) values (1, 'x') on conflict (id) do update set twin = people.ssn

-- attack copies: excluded
insert into people_teams select id, ssn from people on conflict (id) do update set label = excluded.label

-- attack copies: merge
merge into people_empty e using people p on e.id = p.id when not matched then insert (id, body) values (p.id, p.ssn)

-- attack copies: merge update
merge into people_teams t using people p on t.id = p.id when matched then update set label = p.ssn

-- attack copies: cte inserts
with i as (insert into people_empty (body) select ssn from people returning body) select count(*) from i

-- attack copies: create view
create view people_v9 as select ssn as a from people

-- attack copies: create materialized view
create materialized view people_m9 as select ssn as a from people

-- attack copies: copy to a program
copy people (ssn) to program 'cat > /dev/null'

-- attack copies: notification
select pg_notify('c', ssn) from people where id = 1

-- attack copies: lock as a channel
select pg_advisory_lock(hashtext(ssn)) from people where id = 1

-- attack copies: sequence as a channel
create sequence people_seq9; select setval('people_seq9', ascii(ssn)) from people where id = 1

-- attack copies: large object
select lo_from_bytea(0, ssn::bytea) from people where id = 1

-- attack copies: function
create function people_f9() returns text language sql as 'select ssn from people'

-- attack copies: do block
do $$ begin insert into people_empty (body) select ssn from people; end $$

-- attack copies: rename the column
alter table people rename column ssn to harmless

-- attack copies: rename the table
alter table people rename to people_x9

-- attack copies: generated from it
alter table people add column y9 text generated always as (ssn) stored

-- attack copies: write through a function that echoes
insert into people_empty (body) select people_echo(ssn) from people

-- attack reads: where equals
select id from people where ssn = 'guess'

-- attack reads: where like
select count(*) from people where ssn like 'a%'

-- attack reads: exists
select exists (select 1 from people where ssn > 'm')

-- attack reads: join as an oracle
select p.id from people p join (values ('guess')) v(g) on p.ssn = v.g

-- attack reads: using as an oracle
select id from people join (values ('guess')) v(ssn) using (ssn)

-- attack reads: order by
select id from people order by ssn

-- attack reads: order by an expression
select id from people order by substr(ssn, 3, 1)

-- attack reads: limit
select id from people limit (select ascii(ssn) from people where id = 1)

-- attack reads: having
select team from people group by team having max(ssn) > 'm'

-- attack reads: filter of an aggregate
select count(*) filter (where ssn like 'a%') from people

-- attack reads: group by only
select count(*) from people group by ssn

-- attack reads: window order
select id, rank() over (order by ssn) from people

-- attack reads: partition by
select count(*) over (partition by substr(ssn, 1, 1)) from people

-- attack reads: distinct count
select count(distinct ssn) from people

-- attack reads: distinct over a subquery
select count(*) from (select distinct ssn from people) x

-- attack reads: not in
select id from people_teams where label not in (select ssn from people)

-- attack reads: except counts
select name from people except select ssn from people

-- attack reads: delete by it
delete from people_teams where label = (select ssn from people where id = 1)

-- attack reads: update by it
update people_teams set lead = 1 from people p where p.ssn like 'a%'

-- attack reads: function with a predicate
select people_glue('a') from people where people_echo(ssn) = 'b'

-- attack reads: explain
explain select 1 from people where ssn = 'guess'

-- attack reads: explain analyze
explain (analyze, timing off) select 1 from people where ssn like 'a%'

-- attack reads: as many rows as it says
select 1 from people, generate_series(1, ascii(ssn)) where id = 1

-- attack reads: group by a name that an output has, too
select 1 as ssn, count(*) from people group by ssn

-- attack reads: prepared oracle
prepare q(text) as select id from people where ssn = $1; execute q('guess'); deallocate q

-- attack reads: sleep
select pg_sleep(ascii(ssn) / 1e6) from people where id = 1

-- attack reads: merge by it
merge into people_teams t using people p on t.label = p.ssn when matched then delete

-- attack reads: row comparison
select id from people where (ssn, id) > ('m', 1)

-- attack reads: whole row comparison
select id from people p where p::text like '%guess%'

-- attack reads: view predicate
select a from people_renamed where b = 'guess'

-- attack reads: partition predicate
select id from people_log_1 where ssn = 'guess'

-- attack reads: statistics oracle
select people_name(1) from people where upper(ssn) = 'X'

-- attack raises: cast error
select id from people where ssn::int = 1

-- attack raises: cast error in a column that is not shown
select 1 from (select ssn::numeric as n from people offset 0) x where n > 0

-- attack raises: unique violation
update people set ssn = (select ssn from people where id = 2) where id = 1

-- attack raises: duplicate key quotes the row
insert into people (id, name, ssn) select 9500, 'x', ssn from people where id = 1

-- attack raises: not null quotes the row
update people set name = null where id = 1

-- attack raises: check constraint quotes the row
insert into people_strict select id, ssn || '-' from people where id = 1

-- attack raises: json error
select ssn::json from people

-- attack raises: date error
select ssn::date from people limit 1

-- attack raises: enum-like error
select ('{' || ssn)::text[] from people limit 1

-- attack raises: function raises
select people_complains()

-- attack raises: trigger raises a notice
update people_watched set ssn = 'x' where id = 1

-- attack raises: xml error
select xmlparse(document ssn) from people limit 1

-- attack raises: settings error
select set_config(ssn, 'x', false) from people limit 1

-- attack raises: regclass error
select ssn::regclass from people limit 1

-- attack raises: unique index
create unique index on people_log_1 (ssn)

-- attack: procedure
call people_proc('x')

-- attack: values of a row in a subquery
select (select array_agg(x) from (values (p.ssn)) v(x)) from people p

-- attack: star of a lateral star
select q.* from people p, lateral (select p.*) q

-- attack: row of a subquery
select p from (select * from people) p

-- attack: json of a widened row
select to_json(x) from (select p.*, 1 as one from people p) x

-- attack: element of an aggregate in a subquery
select x[1] from (select array_agg(ssn) as x from people) y

-- attack: json of a view's row
select json_agg(x) from people_renamed x

-- attack: aliases that shift
select a.ssn from (select id, ssn, name from people) as a(id2, ssn)

-- attack: split to rows
select c from people, regexp_split_to_table(ssn, '~') c

-- attack: field of an element of an array of rows
select (array(select p from people p))[1].ssn

-- attack: field of a cast row
select ((row(ssn, 1))::people_pair).x from people

-- attack: populate and take a field
select (json_populate_record(null::people_pair, json_build_object('x', ssn))).x from people

-- attack: xpath
select xpath('/a/text()', xmlelement(name a, ssn)) from people

-- attack: window over everything
select name, max(ssn) over () from people

-- attack: subquery in returning
insert into people_empty (body) values ('q') returning (select max(ssn) from people)

-- attack: subquery in returning of an update
update people_teams set label = label returning (select ssn from people where id = 1)

-- attack: returning of a joined delete
delete from people_teams t using people p where p.id = t.id returning p.*

-- attack: row of a joined merge
merge into people_teams t using people p on p.id = t.id when matched then update set label = 'x' returning merge_action(), p

-- attack: lag of a row
select lag(p, 0) over (order by id) from people p

-- attack: several percentiles
select percentile_disc(array[0, 0.5, 1]) within group (order by ssn) from people

-- attack: keys of json
select jsonb_object_keys(jsonb_build_object(ssn, 1)) from people

-- attack: json set
select jsonb_set('{"a": 1}', '{a}', to_jsonb(ssn)) from people

-- attack: json of an aggregate as rows
select * from json_each_text((select json_object_agg(ssn, 1) from people))

-- attack: lexemes
select lexeme from unnest(to_tsvector('simple', (select ssn from people where id = 1)))

-- attack: debugging a text search
select (ts_debug('simple', ssn)).token from people

-- attack: parsing a text search
select * from ts_parse('default', (select ssn from people where id = 1))

-- attack: recursive cte that cuts
with recursive r as (select ssn as s from people where id = 1 union all select substr(s, 2) from r where length(s) > 12) select s from r

-- attack: case of rows
select case when true then p end from people p

-- attack: message of an error that is none (lost)
select (pg_input_error_info(ssn, 'integer')).message from people

-- attack: copy of a table command
copy (table people) to stdout

-- attack: copy of a change
copy (update people set team = 1 returning ssn) to stdout

-- attack: cursor of rows
begin; declare c cursor for select p from people p; fetch 3 from c; rollback

-- attack: prepared change
prepare q as update people set team = team returning ssn; execute q; deallocate q

-- attack: natural join of views
select * from people_all natural join people_names

-- attack: rows with numbers
select * from people_rows() with ordinality

-- attack: field of an echo of rows
select (people_echo(people_rows())).ssn

-- attack: values with a subquery in the second row
values (1, 'x'), (2, (select ssn from people where id = 1))

-- attack: group by cube
select ssn from people group by cube (ssn)

-- attack: own function of a star
select people_label(people.*) from people

-- attack: array of rows of columns
select array_agg(row(ssn)) from people

-- attack: unnest of a split
select unnest(string_to_array(ssn, '~')) from people

-- attack: system column beside
select ctid, * from people

-- attack: cast of a row to its own type
select people.*::people from people

-- attack: star of a star of a row
select x.* from (select (people).* from people) x

-- attack: rows beside a value
select generate_series(1, 1), ssn from people

-- attack: lateral values
select a.x from people p left join lateral (values (p.name), (p.ssn)) a(x) on true

-- attack: ordered aggregate with a filter
select string_agg(ssn, ',' order by id) filter (where id > 0) from people

-- attack: rows from a record
select * from rows from (json_to_record((select to_json(p) from people p where id = 1)) as (ssn text), generate_series(1, 1))

-- attack: hstore of arrays
select hstore(array_agg(name), array_agg(ssn)) from people

-- attack: hstore keys
select skeys(hstore(ssn, '1')) from people

-- attack: hstore populates
select (populate_record(null::people, hstore(p))).ssn from people p

-- attack: hstore operator
select %% hstore(p) from people p

-- attack: xml parts
select xmlconcat(xmlforest(ssn)), xmlserialize(content xmlelement(name a, ssn) as text), xmlpi(name x, ssn) from people

-- attack: json path over an aggregate
select jsonb_path_query_array(jsonb_agg(p), '$[*].ssn') from people p

-- attack: json serialize
select json_serialize(json_object('a': ssn)) from people

-- attack: json query
select json_query(to_jsonb(p), '$.ssn' with wrapper) from people p

-- attack: nested json table
select jt.* from people p, json_table(to_jsonb(p), '$' columns (nested path '$' columns (s text path '$.ssn'))) jt

-- attack: row of a cte
with t as (select * from people) select t from t

-- attack: row that a change returns
with u as (update people set team = 1 returning people as rec) select (rec).ssn from u

-- attack: values that an insert returns
with d as (select ssn from people), i as (insert into people_empty (body) select ssn from d returning body) select body from i

-- attack: value that an update returns
update people_teams set label = (select ssn from people where id = 1) where id = 1 returning label

-- attack: value that an update of a row returns
update people_teams t set (label, lead) = (select ssn, 1 from people where id = 1) where id = 1 returning t

-- attack: value that a merge returns
merge into people_teams t using people p on p.id = t.id when matched then update set label = p.ssn returning t.label

-- attack: variadic concat
select concat_ws(',', variadic array[ssn, name]) from people

-- attack: two ctes of one name
with a as (select name as x from people) select x from (with a as (select ssn as x from people) select x from a) b

-- attack: materialized cte
with a as materialized (select ssn from people), b as not materialized (select * from a) select * from b

-- attack: set operation of a cte
with a as (select name, ssn from people) select name from a union all select ssn from a

-- attack: limit by all
select ssn from people order by id fetch first 2 rows with ties

-- attack: having value
select max(ssn) from people having max(ssn) is not null

-- attack: join under parentheses
select x.ssn from ((people p join people_teams t on true) join people x on x.id = p.id)

-- attack: full join using
select ssn from people a full join people b using (ssn, id)

-- attack: right join star
select * from people_teams right join people using (id)

-- attack: not a column but a function of a row in a view
select v.people_label from (select p.* from people p) v

-- attack: whole row in a view's function
select people_label(rec) from people_whole

-- attack: bytea of a row
select p::text::bytea from people p

-- attack: type name as function
select text(ssn), name(ssn), bpchar(ssn) from people

-- attack: at time zone of nothing
select ssn || (now() at time zone 'utc')::text from people

-- attack: array slice
select (string_to_array(ssn, '~'))[1:2] from people

-- attack: array of arrays
select array[array[ssn], array[name]] from people

-- attack: json text of a scalar
select to_json(ssn) #>> '{}' from people

-- attack: is json
select case when ssn is json then 'x' else ssn end from people

-- attack: overlaps of constants
select ssn from people where (now(), now()) overlaps (now(), now()) or true

-- attack: quantified value
select case when ssn = any (select ssn from people) then ssn end from people

-- attack copies: default
create table people_d9 (id int, x text default people_ssn(1))

-- attack copies: default of a function whose body is not read (lost)
create table people_h9 (id int, x text default people_hidden(1))

-- attack copies: check
create table people_k9 (id int check (people_ssn(1)::int = id))

-- attack copies: generated by a function that says it is immutable (lost)
create table people_g9 (id int, x text generated always as (people_lied(id)) stored)

-- attack copies: bound of a partition
create table people_p9 (x text) partition by list (x); create table people_p91 partition of people_p9 for values in (people_ssn(1))

-- attack copies: default of a domain
create domain people_dom9 as text default people_ssn(1)

-- attack copies: default of a column that is there
alter table people_teams alter label set default people_ssn(1)

-- attack copies: default of a column that comes
alter table people_teams add column x9 text default people_ssn(1)

-- attack copies: type by an expression
alter table people_teams alter label type text using people_ssn(1)

-- attack copies: index of an expression (lost)
create index on people_teams (people_lied(id))
