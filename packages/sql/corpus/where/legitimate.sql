delete from users where id = 3
update users set updated_at = now() where id = $1
delete from users where deleted_at is not null
update users set status = 'done' where status = 'open' and owner_id = $1
delete from users where created_at < now() - interval '30 days'
update users set name = $1 where id in (1, 2, 0)
delete from users where id = any($1)
update users set counter = counter + 1 where lower(email) = lower($1) returning id
delete from users where name like 'test-%'
update users set flag = true where flag = false or flag is null
delete from users where id between 0 and 99
update users set price = price * 1.1 from categories c where users.category_id = c.id and c.name = 'chairs'
delete from users using customers c where users.customer_id = c.id and c.closed
delete from users where not exists (select 1 from parents p where p.id = users.parent_id)
delete from users where id in (select user_id from expired where day = current_date)
with old as (select id from users where seen_at < $1 limit 100) delete from users where id in (select id from old)
update users set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from users a using users b where a.ctid < b.ctid and a.email = b.email
update users set parent_id = null where parent_id is not null and archived
delete from users where id > 1000 and id <= $1
update users set balance = 0 where balance > 0
delete from users where retries >= 5
update users set locked_by = $1 where id = (select id from users where locked_by is null order by id limit 1 for update skip locked) returning *
delete from orders where id = 4
update orders set updated_at = now() where id = $1
delete from orders where deleted_at is not null
update orders set status = 'done' where status = 'open' and owner_id = $1
delete from orders where created_at < now() - interval '30 days'
update orders set name = $1 where id in (1, 2, 1)
delete from orders where id = any($1)
update orders set counter = counter + 1 where lower(email) = lower($1) returning id
delete from orders where name like 'test-%'
update orders set flag = true where flag = false or flag is null
delete from orders where id between 100 and 199
update orders set price = price * 1.1 from categories c where orders.category_id = c.id and c.name = 'chairs'
delete from orders using customers c where orders.customer_id = c.id and c.closed
delete from orders where not exists (select 1 from parents p where p.id = orders.parent_id)
delete from orders where id in (select order_id from expired where day = current_date)
with old as (select id from orders where seen_at < $1 limit 100) delete from orders where id in (select id from old)
update orders set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from orders a using orders b where a.ctid < b.ctid and a.email = b.email
update orders set parent_id = null where parent_id is not null and archived
delete from orders where id > 1001 and id <= $1
update orders set balance = 0 where balance > 0
delete from orders where retries >= 5
update orders set locked_by = $1 where id = (select id from orders where locked_by is null order by id limit 1 for update skip locked) returning *
delete from products where id = 5
update products set updated_at = now() where id = $1
delete from products where deleted_at is not null
update products set status = 'done' where status = 'open' and owner_id = $1
delete from products where created_at < now() - interval '30 days'
update products set name = $1 where id in (1, 2, 2)
delete from products where id = any($1)
update products set counter = counter + 1 where lower(email) = lower($1) returning id
delete from products where name like 'test-%'
update products set flag = true where flag = false or flag is null
delete from products where id between 200 and 299
update products set price = price * 1.1 from categories c where products.category_id = c.id and c.name = 'chairs'
delete from products using customers c where products.customer_id = c.id and c.closed
delete from products where not exists (select 1 from parents p where p.id = products.parent_id)
delete from products where id in (select product_id from expired where day = current_date)
with old as (select id from products where seen_at < $1 limit 100) delete from products where id in (select id from old)
update products set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from products a using products b where a.ctid < b.ctid and a.email = b.email
update products set parent_id = null where parent_id is not null and archived
delete from products where id > 1002 and id <= $1
update products set balance = 0 where balance > 0
delete from products where retries >= 5
update products set locked_by = $1 where id = (select id from products where locked_by is null order by id limit 1 for update skip locked) returning *
delete from sessions where id = 6
update sessions set updated_at = now() where id = $1
delete from sessions where deleted_at is not null
update sessions set status = 'done' where status = 'open' and owner_id = $1
delete from sessions where created_at < now() - interval '30 days'
update sessions set name = $1 where id in (1, 2, 3)
delete from sessions where id = any($1)
update sessions set counter = counter + 1 where lower(email) = lower($1) returning id
delete from sessions where name like 'test-%'
update sessions set flag = true where flag = false or flag is null
delete from sessions where id between 300 and 399
update sessions set price = price * 1.1 from categories c where sessions.category_id = c.id and c.name = 'chairs'
delete from sessions using customers c where sessions.customer_id = c.id and c.closed
delete from sessions where not exists (select 1 from parents p where p.id = sessions.parent_id)
delete from sessions where id in (select session_id from expired where day = current_date)
with old as (select id from sessions where seen_at < $1 limit 100) delete from sessions where id in (select id from old)
update sessions set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from sessions a using sessions b where a.ctid < b.ctid and a.email = b.email
update sessions set parent_id = null where parent_id is not null and archived
delete from sessions where id > 1003 and id <= $1
update sessions set balance = 0 where balance > 0
delete from sessions where retries >= 5
update sessions set locked_by = $1 where id = (select id from sessions where locked_by is null order by id limit 1 for update skip locked) returning *
delete from invoices where id = 7
update invoices set updated_at = now() where id = $1
delete from invoices where deleted_at is not null
update invoices set status = 'done' where status = 'open' and owner_id = $1
delete from invoices where created_at < now() - interval '30 days'
update invoices set name = $1 where id in (1, 2, 4)
delete from invoices where id = any($1)
update invoices set counter = counter + 1 where lower(email) = lower($1) returning id
delete from invoices where name like 'test-%'
update invoices set flag = true where flag = false or flag is null
delete from invoices where id between 400 and 499
update invoices set price = price * 1.1 from categories c where invoices.category_id = c.id and c.name = 'chairs'
delete from invoices using customers c where invoices.customer_id = c.id and c.closed
delete from invoices where not exists (select 1 from parents p where p.id = invoices.parent_id)
delete from invoices where id in (select invoice_id from expired where day = current_date)
with old as (select id from invoices where seen_at < $1 limit 100) delete from invoices where id in (select id from old)
update invoices set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from invoices a using invoices b where a.ctid < b.ctid and a.email = b.email
update invoices set parent_id = null where parent_id is not null and archived
delete from invoices where id > 1004 and id <= $1
update invoices set balance = 0 where balance > 0
delete from invoices where retries >= 5
update invoices set locked_by = $1 where id = (select id from invoices where locked_by is null order by id limit 1 for update skip locked) returning *
delete from audit_log where id = 8
update audit_log set updated_at = now() where id = $1
delete from audit_log where deleted_at is not null
update audit_log set status = 'done' where status = 'open' and owner_id = $1
delete from audit_log where created_at < now() - interval '30 days'
update audit_log set name = $1 where id in (1, 2, 5)
delete from audit_log where id = any($1)
update audit_log set counter = counter + 1 where lower(email) = lower($1) returning id
delete from audit_log where name like 'test-%'
update audit_log set flag = true where flag = false or flag is null
delete from audit_log where id between 500 and 599
update audit_log set price = price * 1.1 from categories c where audit_log.category_id = c.id and c.name = 'chairs'
delete from audit_log using customers c where audit_log.customer_id = c.id and c.closed
delete from audit_log where not exists (select 1 from parents p where p.id = audit_log.parent_id)
delete from audit_log where id in (select audit_lo_id from expired where day = current_date)
with old as (select id from audit_log where seen_at < $1 limit 100) delete from audit_log where id in (select id from old)
update audit_log set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from audit_log a using audit_log b where a.ctid < b.ctid and a.email = b.email
update audit_log set parent_id = null where parent_id is not null and archived
delete from audit_log where id > 1005 and id <= $1
update audit_log set balance = 0 where balance > 0
delete from audit_log where retries >= 5
update audit_log set locked_by = $1 where id = (select id from audit_log where locked_by is null order by id limit 1 for update skip locked) returning *
delete from payments where id = 9
update payments set updated_at = now() where id = $1
delete from payments where deleted_at is not null
update payments set status = 'done' where status = 'open' and owner_id = $1
delete from payments where created_at < now() - interval '30 days'
update payments set name = $1 where id in (1, 2, 6)
delete from payments where id = any($1)
update payments set counter = counter + 1 where lower(email) = lower($1) returning id
delete from payments where name like 'test-%'
update payments set flag = true where flag = false or flag is null
delete from payments where id between 600 and 699
update payments set price = price * 1.1 from categories c where payments.category_id = c.id and c.name = 'chairs'
delete from payments using customers c where payments.customer_id = c.id and c.closed
delete from payments where not exists (select 1 from parents p where p.id = payments.parent_id)
delete from payments where id in (select payment_id from expired where day = current_date)
with old as (select id from payments where seen_at < $1 limit 100) delete from payments where id in (select id from old)
update payments set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from payments a using payments b where a.ctid < b.ctid and a.email = b.email
update payments set parent_id = null where parent_id is not null and archived
delete from payments where id > 1006 and id <= $1
update payments set balance = 0 where balance > 0
delete from payments where retries >= 5
update payments set locked_by = $1 where id = (select id from payments where locked_by is null order by id limit 1 for update skip locked) returning *
delete from carts where id = 10
update carts set updated_at = now() where id = $1
delete from carts where deleted_at is not null
update carts set status = 'done' where status = 'open' and owner_id = $1
delete from carts where created_at < now() - interval '30 days'
update carts set name = $1 where id in (1, 2, 7)
delete from carts where id = any($1)
update carts set counter = counter + 1 where lower(email) = lower($1) returning id
delete from carts where name like 'test-%'
update carts set flag = true where flag = false or flag is null
delete from carts where id between 700 and 799
update carts set price = price * 1.1 from categories c where carts.category_id = c.id and c.name = 'chairs'
delete from carts using customers c where carts.customer_id = c.id and c.closed
delete from carts where not exists (select 1 from parents p where p.id = carts.parent_id)
delete from carts where id in (select cart_id from expired where day = current_date)
with old as (select id from carts where seen_at < $1 limit 100) delete from carts where id in (select id from old)
update carts set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from carts a using carts b where a.ctid < b.ctid and a.email = b.email
update carts set parent_id = null where parent_id is not null and archived
delete from carts where id > 1007 and id <= $1
update carts set balance = 0 where balance > 0
delete from carts where retries >= 5
update carts set locked_by = $1 where id = (select id from carts where locked_by is null order by id limit 1 for update skip locked) returning *
delete from tickets where id = 11
update tickets set updated_at = now() where id = $1
delete from tickets where deleted_at is not null
update tickets set status = 'done' where status = 'open' and owner_id = $1
delete from tickets where created_at < now() - interval '30 days'
update tickets set name = $1 where id in (1, 2, 8)
delete from tickets where id = any($1)
update tickets set counter = counter + 1 where lower(email) = lower($1) returning id
delete from tickets where name like 'test-%'
update tickets set flag = true where flag = false or flag is null
delete from tickets where id between 800 and 899
update tickets set price = price * 1.1 from categories c where tickets.category_id = c.id and c.name = 'chairs'
delete from tickets using customers c where tickets.customer_id = c.id and c.closed
delete from tickets where not exists (select 1 from parents p where p.id = tickets.parent_id)
delete from tickets where id in (select ticket_id from expired where day = current_date)
with old as (select id from tickets where seen_at < $1 limit 100) delete from tickets where id in (select id from old)
update tickets set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from tickets a using tickets b where a.ctid < b.ctid and a.email = b.email
update tickets set parent_id = null where parent_id is not null and archived
delete from tickets where id > 1008 and id <= $1
update tickets set balance = 0 where balance > 0
delete from tickets where retries >= 5
update tickets set locked_by = $1 where id = (select id from tickets where locked_by is null order by id limit 1 for update skip locked) returning *
delete from jobs where id = 12
update jobs set updated_at = now() where id = $1
delete from jobs where deleted_at is not null
update jobs set status = 'done' where status = 'open' and owner_id = $1
delete from jobs where created_at < now() - interval '30 days'
update jobs set name = $1 where id in (1, 2, 9)
delete from jobs where id = any($1)
update jobs set counter = counter + 1 where lower(email) = lower($1) returning id
delete from jobs where name like 'test-%'
update jobs set flag = true where flag = false or flag is null
delete from jobs where id between 900 and 999
update jobs set price = price * 1.1 from categories c where jobs.category_id = c.id and c.name = 'chairs'
delete from jobs using customers c where jobs.customer_id = c.id and c.closed
delete from jobs where not exists (select 1 from parents p where p.id = jobs.parent_id)
delete from jobs where id in (select job_id from expired where day = current_date)
with old as (select id from jobs where seen_at < $1 limit 100) delete from jobs where id in (select id from old)
update jobs set state = case when retries > 3 then 'dead' else 'retry' end where state = 'failed'
delete from jobs a using jobs b where a.ctid < b.ctid and a.email = b.email
update jobs set parent_id = null where parent_id is not null and archived
delete from jobs where id > 1009 and id <= $1
update jobs set balance = 0 where balance > 0
delete from jobs where retries >= 5
update jobs set locked_by = $1 where id = (select id from jobs where locked_by is null order by id limit 1 for update skip locked) returning *
merge into stock s using deliveries d on s.item_id = d.item_id when matched then update set n = s.n + d.n when not matched then insert values (d.item_id, d.n)
merge into users u using staged s on u.id = s.id when matched and s.deleted then delete
update employees e set manager_name = m.name from employees m where e.manager_id = m.id
delete from only logs where at < '2026-01-01'
update t set a = 1 where current of c
insert into users (id, n) values (1, 1) on conflict (id) do update set n = excluded.n
explain delete from users where id = 1
delete from users where (data->>'kind') = 'test'
delete from users where tags @> array['spam']
update users set n = n + 1 where (first_name, last_name) = ('Ada', 'Byron')
delete from users where date_trunc('day', created_at) = $1
delete from users where active is not true
update users set note = '1=1' where note = 'where true'
delete from users where is_test
delete from users where not active
update users set x = 1 where coalesce(deleted_at, now()) < $1
delete from users where id <> 1 and role <> 'admin'
delete from users where extract(year from born) < 1900
delete from users where length(name) = 0
delete from users where length(name) > 20
delete from users where email !~ '@'
update users set n = 2 where n is distinct from 2
