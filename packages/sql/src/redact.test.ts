import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { createSqlAnalyzer } from './index.ts'
import { withoutCredentials, withoutLiterals } from './redact.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 100, cacheBytesMax: 1 << 20 })

function textOf(sql: string): string {
  const bytes = Buffer.from(sql)
  return analyzer
    .analyzeNow(bytes, 0, bytes.length)
    .map((analysis) => analysis.text)
    .join(';')
}

const exact: readonly (readonly [string, string])[] = [
  ["alter user bob password 'hunter2'", "alter user bob password '***'"],
  [
    "ALTER ROLE bob WITH LOGIN ENCRYPTED PASSWORD  'hunter2' VALID UNTIL '2027-01-01'",
    "ALTER ROLE bob WITH LOGIN ENCRYPTED PASSWORD  '***' VALID UNTIL '2027-01-01'",
  ],
  ["create user bob password E'hunter\\x32'", "create user bob password '***'"],
  ["create user bob password U&'hunter!0032' uescape '!'", "create user bob password '***' uescape '!'"],
  ['create user bob password $x$hunter2$x$', "create user bob password '***'"],
  ["alter user bob password /* it's */ 'hunter2'", "alter user bob password /* it's */ '***'"],
  ["alter user bob password 'hun'\n  'ter2'", "alter user bob password '***'"],
  [
    "select 1 from u where password is not distinct from 'hunter2'",
    "select 1 from u where password is not distinct from '***'",
  ],
  ["select 1 from u where password = text 'hunter2'", "select 1 from u where password = text '***'"],
  ["select 1 from u where 'hunter2' = u.password", "select 1 from u where '***' = u.password"],
  [
    "select format('alter user %I password %L', 'bob', 'hunter2')",
    "select format('alter user %I password %L', '***', '***')",
  ],
  [`select '{"token": "hunter2"}'::json`, "select '***'::json"],
  [
    "do $$ declare password text := 'hunter2'; begin end $$",
    "do $$ declare password text := '***'; begin end $$",
  ],
  ['alter user bob password null', 'alter user bob password null'],
  [
    "create subscription s connection 'host=h user=u' publication p",
    "create subscription s connection '***' publication p",
  ],
  [
    "create user mapping for bob server x options (user 'u', password 'hunter2')",
    "create user mapping for bob server x options (user 'u', password '***')",
  ],
  [
    "alter server x options (set \"password\" 'hunter2', host 'h')",
    "alter server x options (set \"password\" '***', host 'h')",
  ],
  [
    'create user mapping for bob server x options (U&"p\\0061ssword" \'hunter2\')',
    'create user mapping for bob server x options (U&"p\\0061ssword" \'***\')',
  ],
  [
    "select * from dblink('host=h password=hunter2', 'select 1') as t(x int)",
    "select * from dblink('***', '***') as t(x int)",
  ],
  [
    "select dblink_connect('c', 'host=h ' || 'pass' || 'word=hunter2')",
    "select dblink_connect('***', '***' || '***' || '***')",
  ],
  ["select pgp_sym_encrypt(note, 'hunter2') from s", "select pgp_sym_encrypt(note, '***') from s"],
  ["select crypt('hunter2', gen_salt('bf'))", "select crypt('***', gen_salt('***'))"],
  ["select 'postgres://bob:hunter2@h/db' as url, 'kept'", "select '***' as url, 'kept'"],
  ["select 'é', 'postgres://bob:hunter2@h/db' as \"日本\"", "select 'é', '***' as \"日本\""],
  ["set my.password = 'hunter2'", "set my.password = '***'"],
  ['set my.api_key to hunter2', "set my.api_key to '***'"],
  ["select set_config('my.secret', 'hunter2', false)", "select set_config('my.secret', '***', false)"],
  ["select set_config('search_path', 'app', false)", "select set_config('search_path', 'app', false)"],
  [
    "update users set password = 'hunter2', name = 'bob' where id = 1",
    "update users set password = '***', name = 'bob' where id = 1",
  ],
  [
    "select * from users where password in ('hunter2', 'hunter3') and name = 'bob'",
    "select * from users where password in ('***', '***') and name = 'bob'",
  ],
  ['select 1 -- password: hunter2\n, 2', 'select 1 -- ***\n, 2'],
  ['select 1 /* postgres://bob:hunter2@h */, 2', 'select 1 /* *** */, 2'],
  [
    "do $$ begin alter user bob password 'hunter2'; perform 'kept'; end $$",
    "do $$ begin alter user bob password '***'; perform 'kept'; end $$",
  ],
  [
    "create function f() returns void language sql as $f$ select dblink_exec('password=hunter2', 'x') $f$",
    "create function f() returns void language sql as $f$ select dblink_exec('***', '***') $f$",
  ],
  ["do 'begin execute ''alter user bob password ''''hunter2''''''; end'", "do '***'"],
  ["copy t to program 'PGPASSWORD=hunter2 psql'", "copy t to program '***'"],
  ["select E'\\x70assword=hunter2'", "select '***'"],
  ["select 'eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJib2IifQ.hunter2'", "select '***'"],
  ['insert into t (a) values (\'{"password": "hunter2"}\')', "insert into t (a) values ('***')"],
]

test('a credential is replaced and every other byte stays', () => {
  for (const [sql, expected] of exact) assert.equal(textOf(sql), expected)
})

test('a text without a credential stays byte for byte', () => {
  for (const sql of [
    "select id, token_count, password_changed_at from users where created > '2026-01-01 12:30:00' and key = 1",
    "select 'https://example.com/path?x=1', 'a:b@c', '12:30', 'a=b', 'password' from t",
    "comment on column users.password is 'hashed'",
    "alter table users add column password text not null default ''",
    "insert into t values (E'a\\nb', U&'\\00e9', $$x$$, B'101', 'it''s')",
  ]) {
    assert.equal(textOf(sql), sql)
  }
})

test('the text of what cannot be parsed has no literal left', () => {
  assert.equal(
    textOf(
      "selec 'hunter2', E'h\\'unter2', U&'hunter2', $$hunter2$$, $a$hunter2$a$, B'10', X'1F', 12.5, $1, a1",
    ),
    "selec '***', '***', '***', '***', '***', '***', '***', 0, $1, a1",
  )
  assert.equal(textOf("selec 'hunter2"), "selec '***'")
  assert.equal(textOf('selec $a$ hunter2 $b$'), "selec '***'")
  assert.equal(textOf('selec 1 /* hunter2'), 'selec 0 /* *** */')
  assert.equal(textOf('selec 1 -- hunter2'), 'selec 0 -- ***')
  assert.equal(textOf('selec "hunter2" from "app"."t"'), 'selec "***" from "app"."t"')
  assert.equal(textOf('alter user bob password hunter2'), 'alter user bob password ***')
  assert.equal(textOf('alter user bob password "hunter2"'), 'alter user bob password "***"')
  assert.equal(textOf('alter user bob set password = hunter2 x'), 'alter user bob set password = *** x')
})

test('cost is linear in the text, whatever a client writes', () => {
  const shapes = [
    'a://',
    'a:',
    'eyJ',
    'eyJ.',
    'password ',
    'password=',
    'crypt(',
    "password ' ",
    '$a$b',
    "''",
    'e\\',
    '?pwd',
    '"a"',
  ]
  for (const shape of shapes) {
    for (const [head, tail] of [
      ['selec ', ''],
      ["selec '", "'"],
      ['selec $$', '$$'],
    ] as const) {
      const sql = Buffer.from(head + shape.repeat(131_072 / shape.length) + tail)
      const before = process.cpuUsage()
      withoutCredentials(sql, 0, sql.length)
      withoutLiterals(sql, 0, sql.length)
      const cpuMs = process.cpuUsage(before).user / 1000
      // A quadratic pattern takes ten seconds and more here.
      assert.ok(cpuMs < 2500, `${head}${shape}…: ${cpuMs} ms`)
    }
  }
})

const secret = fc.stringMatching(/^[a-zA-Z0-9]{12,20}$/).map((middle) => `Zq9${middle}Zq9`)
const quotings: readonly ((value: string) => string)[] = [
  (value) => `'${value}'`,
  (value) => `E'${value}'`,
  (value) => `U&'${value}'`,
  (value) => `$$${value}$$`,
  (value) => `$tag$${value}$tag$`,
  (value) => `'${value.slice(0, 3)}'\n'${value.slice(3)}'`,
]
const places: readonly ((literal: (value: string) => string, secret: string) => string)[] = [
  (quote, value) => `alter user bob password ${quote(value)}`,
  (quote, value) => `create role bob encrypted password ${quote(value)} login`,
  (quote, value) => `create subscription s connection ${quote(`host=h password=${value}`)} publication p`,
  (quote, value) => `create user mapping for bob server x options (user 'u', password ${quote(value)})`,
  (quote, value) => `select * from dblink(${quote(`dbname=x password=${value}`)}, 'select 1') as t (a int)`,
  (quote, value) => `select ${quote(`postgresql://bob:${value}@host/db`)}`,
  (quote, value) => `select set_config('app.secret', ${quote(value)}, true)`,
  (quote, value) => `set app.password to ${quote(value)}`,
  (quote, value) => `select pgp_sym_decrypt(a, ${quote(value)}) from t`,
  (quote, value) => `do $body$ begin alter user bob password ${quote(value)}; end $body$`,
  (quote, value) => `select 1 /* password=${value} */ + 1, ${quote('x')}`,
  (quote, value) => `insert into t (a) values (${quote(`mysql://root:${value}@h`)})`,
  (quote, value) => `update users set password = ${quote(value)}`,
]
const wrappings: readonly ((sql: string) => string)[] = [
  (sql) => sql,
  (sql) => `select 'é日本'; ${sql}; select 2`,
  (sql) => `/* it's */ ${sql} -- it's`,
  (sql) => `${sql};`,
  (sql) => `prepare x as select 1; ${sql}`,
  (sql) => (sql.toUpperCase().includes('$') ? sql : sql.replace(/^(\w+)/, (word) => word.toUpperCase())),
  (sql) => `explain ${sql}`,
  (sql) => `${sql} this does not parse`,
]

test('a seeded secret never survives, wherever it stands and however it is quoted', () => {
  fc.assert(
    fc.property(
      secret,
      fc.constantFrom(...quotings),
      fc.constantFrom(...places),
      fc.constantFrom(...wrappings),
      (value, quote, place, wrap) => {
        const sql = wrap(place(quote, value))
        const text = textOf(sql)
        assert.ok(!text.includes(value) && !text.includes(value.slice(4)), `${sql}\n${text}`)
      },
    ),
    { numRuns: 1500 },
  )
})

test('a text cut off anywhere gives no more away than the whole', () => {
  for (const place of places) {
    const sql = place((value) => `'${value}'`, 'Zq9abcdefghijklZq9')
    for (let end = 1; end < sql.length; end += 1) {
      const text = textOf(sql.slice(0, end))
      assert.ok(!text.includes('cdefgh'), `${sql.slice(0, end)}\n${text}`)
    }
  }
})
