/**
 * What psql can show: its \d commands against psql-objects.sql, and scripts of its other commands. Left out is what tells
 * where one is connected (\conninfo), sizes of whole databases (\l+, \db+), the numbers
 * of other sessions' temporary schemas (\dnS+), times (\timing) and what asks a person.
 */

const raw = String.raw

/** psql 15 and later; in one session, with psql-objects.sql in place. */
export const describing: readonly string[] = raw`
  \d, \d+, \dS, \dS+, \dt, \dt+, \dtS, \di, \di+, \diS, \dv, \dv+, \dvS+, \dm, \dm+, \ds, \ds+, \dE,
  \dE+, \dP, \dP+, \dPn+, \dPit, \df, \df+, \dfa, \dfan+, \dfp+, \dft+, \dfw, \dfS, \dT, \dT+, \dTS+,
  \dD, \dD+, \dDS, \do, \do+, \doS, \da, \da+, \daS, \dc, \dcS+, \dC, \dC+, \dO, \dO+, \dOS+, \du, \du+,
  \duS+, \dg, \dg+, \drds, \dn, \dn+, \dp, \z, \ddp, \db, \dL, \dL+, \dLS+, \dx, \dx+, \dy, \dy+,
  \dX, \dF, \dF+, \dFd, \dFd+, \dFp, \dFp+, \dFt, \dFt+, \des, \des+, \det, \det+, \deu, \deu+, \dew,
  \dew+, \dRp, \dRp+, \dRs, \dRs+, \dA, \dA+, \dAc, \dAc+, \dAf, \dAf+, \dAo, \dAp, \dl, \dl+, \dd, \ddS,
  \l, \encoding, \sv+ work.rich, \sv work.rich, \sf work.add, \sf+ work.tell, \d work.account,
  \d+ work.account, \d+ work.entry, \d+ work.measure, \d+ work.measure_2026, \d+ work.rich,
  \d+ work.heir, \d+ work.far_away, \d+ work.counter, \d+ work.entry_account, \d work.*, \dt *.*,
  \d nothing_there, \df work.add integer, \do * integer, \dT+ work.*, \dp work.*, \dconfig work_mem,
  \dconfig+ *timeout, \dx *
`
  .trim()
  .split(/,\s+/)

/** psql 16 to 18. */
export const newerDescribing: readonly string[] = raw`\drg \drgS \dtx \dAx \dP+x \dfx \dux`.split(' ')

/** Each is run by itself. */
export const scripts: readonly string[] = [
  raw`select 1 as a, null as b, 'x' as c \gdesc`,
  raw`select n % 2 as even, n % 3 as three, n from generate_series(1, 6) n \crosstabview even three n`,
  raw`select n, n * 2 as m from generate_series(1, 2) n \gx`,
  'select 7 as seven \\gset pre_\n\\echo :pre_seven\nselect :pre_seven + 1;',
  raw`select format('select %s', n) from generate_series(1, 3) n \gexec`,
  "create temp sequence s;\nselect 10 / (4 - nextval('s')) as left \\watch 0.05\nselect 1;",
  raw`\copy (select n, t from work.numbers order by n limit 5) to stdout with (format csv, header)`,
  raw`\copy (select * from work.account) to program 'sort -r'`,
  'create temp table t(a int, b text);\n\\copy t from program \'printf "1\\\\tx\\\\n2\\\\ty\\\\n"\'\ntable t;',
  'create temp table t(a int);\n\\copy t from pstdin\n1\n2\n\\.\ntable t;',
  'create temp table t(a int);\ncopy t from stdin;\n1\nx\n\\.\ntable t;',
  '\\c still\n\\set ECHO_HIDDEN on\n\\d work.account',
  "\\encoding LATIN1\nselect 'abc', convert_to('ü', 'LATIN1');\n\\encoding UTF8\nselect 'ü';",
  "\\pset format csv\nselect 1 as a, 'x,y' as b;\n\\pset format html\nselect '<' as c;\n\\pset format latex\nselect 1;",
  '\\if :{?nothing}\nselect 1;\n\\else\nselect 2;\n\\endif',
  '\\set SINGLELINE on\nselect 1\nselect 2',
  'explain (costs off) select * from work.account join work.entry on account = account.id;\nexplain (analyze, costs off, timing off, summary off, buffers off) select 1;',
  'begin;\ndeclare c scroll cursor for select n from work.numbers order by n;\nfetch 3 from c;\nmove forward 10 from c;\nfetch backward 2 from c;\nclose c;\nend;',
  "do $$ begin raise notice 'done'; end $$;\ncall work.do_it(4);",
  'set statement_timeout = 50;\nselect pg_sleep(5);\nreset statement_timeout;\nshow statement_timeout;',
  'table work.account;\n\\g | cat -n\n\\g (format=unaligned tuples_only=on)',
  'select 1 \\; select 2 \\; select 3;\n\\set SHOW_ALL_RESULTS off\nselect 1 \\; select 2;',
  'set role work_reader;\nselect current_user, session_user;\nselect owner from work.account;\nselect * from work.entry;\nreset role;',
  'reindex index work.entry_account;\nanalyze work.account;\nvacuum work.copied;\nlock table work.account;',
  "\\prset x 'a''b'\n\\set x 'a''b'\nselect :'x', :\"x\" from (select 1 as \"a'b\") t;",
]

/** psql 16 to 18. */
export const newerScripts: readonly string[] = [
  raw`select $1::int + $2::int as sum \bind 3 4 \g`,
  'select $1::text as named \\parse one\n\\bind_named one hello \\g\n\\close_prepared one\n\\bind_named one again \\g',
  "create temp sequence s;\nselect nextval('s') as n \\watch i=0.01 c=3\nselect nextval('s') as n \\watch i=0.01 min_rows=2\n",
  'select 1 as a \\gdesc\nselect $1::work.mood \\bind sad \\gx',
  raw`\copy (select 1) to stdout (format csv, header true)`,
]
