/**
 * What each agent of the fleet does when it is driven through a real gate: statements that run against `liveSchema`, at
 * a pace its history calls usual. A description only: whoever drives brings driver and clock.
 */
export interface LivePart {
  readonly subject: string
  readonly statements: readonly [string, ...string[]]
  readonly everyMs: number
}

/** Run once, as a user that may create in schema public. */
export const liveSchema = `
create table customers (id int primary key, name text not null, email text not null);
create table orders (id int primary key, customer_id int not null references customers, total_cents int not null);
create table jobs (id int primary key, state text not null);
create table facts (batch int not null, value int not null);
insert into customers select n, 'Customer ' || n, 'customer' || n || '@shop.example' from generate_series(1, 500) n;
insert into orders select n, 1 + n % 500, n * 37 % 20000 from generate_series(1, 2000) n;
insert into jobs select n, (array['done','new','failed'])[1 + n % 3] from generate_series(1, 100) n;
`

export const liveParts: readonly LivePart[] = [
  {
    subject: 'cron/nightly-billing',
    statements: ["select id, state from jobs where state = 'new'", 'select count(*) from orders'],
    everyMs: 3_000,
  },
  {
    subject: 'ci/pipeline',
    statements: ['select max(id) from orders', "select count(*) from jobs where state = 'failed'"],
    everyMs: 1_500,
  },
  {
    subject: 'agent/support-copilot',
    statements: [
      "select * from customers where name like 'Customer 4%' limit 20",
      'select * from orders where customer_id = 42',
      'select sum(total_cents) from orders where customer_id = 42',
    ],
    everyMs: 5_000,
  },
  {
    subject: 'batch/warehouse-loader',
    statements: ['insert into facts values (1, 1)', 'select max(batch) from facts'],
    everyMs: 4_000,
  },
  {
    subject: 'dashboard/ops-wall',
    statements: ['select state, count(*) from jobs group by state'],
    everyMs: 30_000,
  },
  {
    subject: 'job/weekly-reports',
    statements: ['select customer_id, sum(total_cents) from orders group by 1 order by 2 desc limit 10'],
    everyMs: 12_000,
  },
]

/** The copilot's credential in other hands: the customers table, row by row, as fast as it comes. */
export const hijack = {
  subject: 'agent/support-copilot',
  statement: (at: number) => `select id, name, email from customers where id = ${1 + (at % 500)}`,
  clients: 4,
  everyMs: 60,
} as const
