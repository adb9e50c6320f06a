/** The demo's target database: a small shop with a year of orders, and two roles for the gate to sign in as. */
export const shopDatabase = 'shop'

/** What `shop` and `shop+report` are at the server; no agent ever sees these names. */
export const shopRoles = { agent: 'shop_backend', report: 'shop_reader' } as const

/** Run in the database `postgres`, before the database is there. `create database` must stand alone. */
export const shopSetup: readonly string[] = [
  `create role ${shopRoles.agent} login`,
  `create role ${shopRoles.report} login`,
  `create database ${shopDatabase}`,
]

/** Run in the database `shop`, once, as one transaction. Rows follow from their numbers, so every demo has the same. */
export const shopSchema = `
begin;
create table customers (
  id int primary key generated always as identity,
  name text not null, email text not null unique, city text not null, since date not null
);
create table products (
  id int primary key generated always as identity,
  name text not null, price_cents int not null check (price_cents > 0), stock int not null check (stock >= 0)
);
create table orders (
  id int primary key generated always as identity,
  customer_id int not null references customers, placed_at timestamptz not null,
  status text not null check (status in ('new', 'paid', 'sent', 'returned'))
);
create table order_items (
  order_id int not null references orders, product_id int not null references products,
  quantity int not null check (quantity > 0), primary key (order_id, product_id)
);
insert into customers (name, email, city, since)
select (array['Ada','Grace','Alan','Edsger','Barbara','Donald','Radia','Ken'])[1 + n % 8] || ' ' ||
       (array['North','Rivers','Stone','Field','Brook','Hill','Wood','Lake'])[1 + n / 8 % 8],
       'customer' || n || '@shop.example',
       (array['Berlin','Lyon','Porto','Oslo','Turin','Gdansk','Ghent'])[1 + n % 7],
       date '2024-01-01' + n % 500
from generate_series(1, 5000) n;
insert into products (name, price_cents, stock)
select (array['Lamp','Chair','Desk','Shelf','Clock','Rug'])[1 + n % 6] || ' ' || n, 500 + n * 37 % 20000, n * 13 % 400
from generate_series(1, 400) n;
insert into orders (customer_id, placed_at, status)
select 1 + n * 7919 % 5000, timestamptz '2025-01-01 00:00+00' + n * interval '26 minutes',
       (array['sent','sent','sent','paid','new','returned'])[1 + n % 6]
from generate_series(1, 20000) n;
insert into order_items (order_id, product_id, quantity)
select o, 1 + (o * 31 + i * 97) % 400, 1 + (o + i) % 4
from generate_series(1, 20000) o, generate_series(1, 2) i;
grant select, insert, update on all tables in schema public to ${shopRoles.agent};
grant delete on order_items to ${shopRoles.agent};
grant select on all tables in schema public to ${shopRoles.report};
commit;
analyze;
`
