-- What no text can tell: names that the target's own catalogue gives a meaning. `expect` is what the text alone says, the
-- `catalogue` line what it comes to where the catalogue is known. Blocks with `write` or `delete` there are refused by a
-- server in a read-only transaction; a test holds it to that.

-- expect: read
-- catalogue: read delete execute
select lower(t) from t

-- expect: read
-- catalogue: read delete execute
select t.wipe from t

-- expect: read
-- catalogue: read execute
select id from wiping_view

-- expect: read
-- catalogue: read execute
select id from app.view_of_view

-- expect: read
-- catalogue: read execute
select 'x'::wiping_domain

-- expect: read
-- catalogue: read delete execute
select row(1, 2)::pair::mood

-- expect: read execute
-- catalogue: read execute
select wiping_domain('x')

-- expect: read
-- catalogue: read delete execute
select 1 @@@ 2

-- expect: read execute
-- catalogue: read write execute
select 1 operator(app.@+@) 2

-- expect: read execute
-- catalogue: read write execute
select app.touch(7)

-- expect: read execute
-- catalogue: read write execute
select app.calls_on()

-- expect: read execute
-- catalogue: read write execute
select app.of_own_path()

-- expect: read execute
-- catalogue: read write execute
select app.standard_write(3)

-- expect: read execute
-- catalogue: read execute
select app.wipes(id) from t

-- expect: read execute
-- catalogue: read execute
select harmless_looking()

-- expect: read execute
-- catalogue: read execute
select app.settled()

-- expect: read
-- catalogue: read execute
select * from guarded

-- expect: read execute
-- catalogue: read write execute
with q as (select app.touch(1) as n) select n from q

-- expect: execute unknown
-- catalogue: delete execute
call app.purge()

-- Those that only read, though the text cannot know it.

-- expect: read execute
-- catalogue: read
select app.half(4), app.standard(1), app.adds(b) from t group by b

-- expect: read execute
-- catalogue: read
select app.count_of_users()

-- expect: read execute
-- catalogue: read
select app.forever(1)

-- expect: read
-- catalogue: read
select half from app.safe_view

-- expect: write execute
-- catalogue: write
insert into t (id, b) values (3, app.half(4))

-- expect: execute unknown
-- catalogue: read execute
call app.look()

-- expect: read execute
-- catalogue: read execute
explain select app.touch(1)

-- expect: read
-- catalogue: read
explain delete from logged

-- Power, and what is done beside what was asked for.

-- expect: read execute
-- catalogue: read execute privileged
select app.as_owner()

-- expect: read
-- catalogue: read privileged
select usename from app.secrets

-- expect: delete
-- catalogue: write delete
delete from logged

-- expect: write
-- catalogue: write
insert into logged values (1)

-- expect: write
-- catalogue: write execute privileged
insert into watched values (1)

-- expect: write
-- catalogue: write execute
insert into app.answering values (1)

-- expect: read export
-- catalogue: read execute export
copy (select id from wiping_view) to stdout

-- expect: read
-- catalogue: read execute
select * from far_away

-- expect: read
-- catalogue: read execute
prepare through_view as select * from wiping_view

-- expect: read define execute privileged
-- catalogue: read define execute privileged
select cron.schedule('* * * * *', 'delete from t')
