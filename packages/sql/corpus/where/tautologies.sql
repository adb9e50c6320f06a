delete from accounts
update accounts set balance = 0
delete from accounts where true
delete from accounts where 1 = 1
update accounts set balance = 0 where 'a' = 'a'
delete from accounts where not false
delete from accounts where not (1 = 2)
delete from accounts where id = id
delete from accounts a where a.id = id
update accounts set balance = 0 where id = id + 0
delete from accounts where id - id = 0
delete from accounts where (id, owner) = (id, owner)
delete from accounts where id is not null
delete from accounts where id > 0
delete from accounts where 0 <= account_id
update accounts set balance = 0 where owner = 'bob' or true
delete from accounts where owner = 'bob' or 2 > 1
delete from accounts where owner = 'bob' or not owner = 'bob'
delete from accounts where owner = 'bob' or owner <> 'bob'
delete from accounts where owner is null or owner is not null
delete from accounts where balance > 10 or balance <= 10
delete from accounts where balance < 100 or balance > 5
delete from accounts where 1 in (1)
delete from accounts where id in (id, 7)
delete from accounts where id between id and id
delete from accounts where 5 between 1 and 10
delete from accounts where exists (select 1)
update accounts set balance = 0 where 1 in (select 1)
delete from accounts where id in (select id from accounts)
delete from accounts where (select true)
delete from accounts where length('') = 0
delete from accounts where length(owner) >= 0
delete from accounts where lower('A') = 'a'
delete from accounts where owner like '%'
delete from accounts where owner ilike '%%'
delete from accounts where owner ~ '.*'
delete from accounts where owner similar to '%'
update accounts set balance = 0 where coalesce(null, true)
update accounts set balance = 0 where coalesce(owner = 'bob', true) is not null or true
delete from accounts where case when 1 = 1 then true else false end
delete from accounts where case when owner = 'bob' then true else true end
delete from accounts where nullif(1, 2) = 1
delete from accounts where greatest(1, 2) = 2
delete from accounts where 't'
delete from accounts where '1'::boolean
delete from accounts where 1::boolean
delete from accounts where true is true
delete from accounts where null is null
delete from accounts where not null is not null
delete from accounts where id is not distinct from id
delete from accounts where not (id <> id)
delete from accounts where (1 = 1) = true
delete from accounts where 'x' || 'y' = 'xy'
delete from accounts where owner || '' = owner
delete from accounts where id::text = id::text
delete from accounts where ctid = ctid
delete from accounts where tableoid is not null
delete from accounts where 1 = any (array[1, 2])
delete from accounts where starts_with(owner, '')
delete from accounts where true and (1 = 1 or owner = 'bob')
delete from accounts where now() > '2000-01-01'
delete from accounts where current_user = current_user
delete from accounts where random() < 2
delete from accounts where pg_backend_pid() > 0
delete from accounts where $1
delete from accounts where $1 = $2
delete from accounts where $1 = 1 or id = 5
delete from accounts where exists (select 1 from pg_class)
delete from accounts where (select count(*) from pg_class) > 0
delete from accounts using accounts b where accounts.id = b.id
delete from accounts using other o where o.flag
update accounts a set balance = 0 from other o where o.id = o.id
with gone as (delete from accounts returning *) select count(*) from gone
with ids as (select 1) delete from accounts where 1 = 1
merge into accounts a using other o on true when matched then delete
merge into accounts a using other o on false when not matched by source then delete
explain analyze delete from accounts
prepare p as delete from accounts where 1 = 1
delete /* where id = 5 */ from accounts -- where id = 5
delete from only accounts where 1 = 1
update accounts set balance = 0 where 0 = 0 returning id
delete from accounts where not (id <= 0)
delete from accounts where 1 < 2 and 2 < 3
delete from accounts where owner = 'bob' or (owner is not null or owner is null)
delete from accounts where 0x1 = 1
delete from accounts where '1' = 1
delete from accounts where -1 < 0
delete from accounts where 2 * 3 = 6
delete from accounts where (((true)))
delete from accounts where "id" = ID
delete from accounts where owner not in ('bob') or owner in ('bob')
delete from accounts where owner is true or owner is not true
delete from accounts where owner between 'a' and 'b' or owner not between 'a' and 'b'
delete from accounts where U&'\0061' = 'a'
delete from accounts where $$a$$ = 'a'
delete from accounts where E'\x61' = 'a'
delete from accounts where concat('a', 'b') = 'ab'
delete from accounts where id >= 1
