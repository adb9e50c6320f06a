/**
 * The whole first half of the road by its real processes: clients -> proxy -> segments -> bus -> projector -> ClickHouse.
 * The oracle is the server's own log: every statement it says it ran stands in `commands` exactly once.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { promisify } from 'node:util'
import { connectAudit } from '@portcullis/platform/connect'
import { findPgbench, findPsql, type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import type { Started } from '@portcullis/kernel'
import pg from 'pg'
import postgresJs from 'postgres'

const run = promisify(execFile)
const dir = mkdtempSync(join(tmpdir(), 'portcullis-trail-'))
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres({
    auth: 'scram-sha-256',
    settings: { log_statement: 'all', log_line_prefix: '%a|', log_min_messages: 'warning' },
  })
  await postgres.value.query(
    'create table accounts (id int primary key, balance int); insert into accounts select n, 0 from generate_series(1, 100) n',
  )
  system = await startSystem({ postgres: postgres.value, parts: ['proxy', 'projector'] })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
  rmSync(dir, { recursive: true, force: true })
})

test('psql, two drivers and pgbench: results equal to direct, and the server log stands in commands once', async () => {
  const through = await system.value.url('worker')
  const direct = postgres.value.url
  const env = (name: string) => ({ ...process.env, PGAPPNAME: name, PGSSLMODE: 'disable' })

  const psqlArgs = ['-X', '-v', 'ON_ERROR_STOP=0', '-f', script()]
  const [ours, theirs] = [
    await run(findPsql() ?? 'psql', [`${through}postgres`, ...psqlArgs], { env: env('seen-psql') }),
    await run(findPsql() ?? 'psql', [direct, ...psqlArgs], { env: env('direct') }),
  ]
  assert.equal(ours.stdout, theirs.stdout)
  assert.equal(ours.stderr, theirs.stderr)

  assert.deepEqual(
    await withNodePostgres(`${through}postgres`, 'seen-pg'),
    await withNodePostgres(direct, 'direct'),
  )
  assert.deepEqual(
    await withPostgresJs(`${through}postgres`, 'seen-postgres-js'),
    await withPostgresJs(direct, 'direct'),
  )
  const transfer = join(dir, 'transfer.sql')
  writeFileSync(
    transfer,
    '\\set id random(1, 100)\nbegin;\nupdate accounts set balance = balance + 1 where id = :id;\nselect balance from accounts where id = :id;\ncommit;\n',
  )
  for (const mode of ['simple', 'extended', 'prepared']) {
    const args = ['-n', '-f', transfer, '-M', mode, '-c', '4', '-j', '2', '-t', '50', `${through}postgres`]
    const { stdout } = await run(findPgbench() ?? 'pgbench', args, { env: env(`seen-${mode}`) })
    assert.match(stdout, /actually processed: 200\/200/)
  }
  const { rows } = await postgres.value.query('select sum(balance)::int as n from accounts')
  assert.deepEqual(rows, [{ n: 600 }])

  const logged = statementsOf(postgres.value.log())
  assert.ok(logged.length > 2400, `${logged.length} statements in the server's log`)
  const recorded = await recordedCommands(logged.length)
  assert.deepEqual(counted(recorded), counted(logged))
})

function script(): string {
  const file = join(dir, 'script.sql')
  writeFileSync(
    file,
    `create table t (a int, b text);
insert into t values (1, 'one'), (2, 'two'), (3, null);
select * from t order by a;
\\copy t to '${join(dir, 'copied.txt')}'
\\copy t from '${join(dir, 'copied.txt')}'
select count(*) from t;
select 1/0;
begin; select 1; select no_such_column; rollback;
do $$ begin raise notice 'hello from the server'; end $$;
declare c cursor with hold for select * from t; fetch 2 from c; close c;
prepare p as select $1::int + 1; execute p(41); deallocate p;
\\d accounts
\\dt
drop table t;
`,
  )
  return file
}

async function withNodePostgres(url: string, name: string): Promise<unknown> {
  const client = new pg.Client({ connectionString: url, application_name: name })
  await client.connect()
  const seen: unknown[] = []
  for (const text of [
    'select 1 as n',
    'select \'{"a":1}\'::jsonb as j, now() is not null as t',
    'select * from accounts where false',
  ]) {
    seen.push((await client.query(text)).rows)
  }
  seen.push((await client.query('select $1::int[] as list, $2::text as word', [[1, 2, 3], 'ä€'])).rows)
  for (const id of [1, 2, 3])
    seen.push(
      (await client.query({ name: 'by-id', text: 'select id from accounts where id = $1', values: [id] }))
        .rows,
    )
  seen.push(await client.query('select $1::int / 0', [1]).catch((error) => error.code))
  await client.end()
  return seen
}

/** postgres.js pipelines. */
async function withPostgresJs(url: string, name: string): Promise<unknown> {
  const sql = postgresJs(url, {
    max: 2,
    connection: { application_name: name },
    fetch_types: false,
    onnotice: () => undefined,
  })
  const together = await Promise.all(Array.from({ length: 20 }, (_, n) => sql`select ${n}::int * 2 as n`))
  const inTransaction = await sql.begin(async (tx) => [
    await tx`select 1 as a`,
    await tx`select ${'x'}::text as b`,
  ])
  const failed = await sql`select ${1}::int / 0`.catch((error: { code?: string }) => error.code)
  await sql.end()
  return [together, inTransaction, failed].map((value) => JSON.stringify(value))
}

/** What clients of ours ran: `statement: TEXT` or `execute NAME: TEXT`; continuation lines are indented. */
function statementsOf(log: string): string[] {
  const entries = log.split(/\n(?!\t)/)
  return entries.flatMap((entry) => {
    const match =
      /^seen-[a-z-]*\|LOG:\s+(?:statement|execute [^:]+|execute fetch from [^:]+): ([\s\S]*)$/.exec(entry)
    return match?.[1] === undefined ? [] : [plain(match[1])]
  })
}

async function recordedCommands(expected: number): Promise<string[]> {
  const { engine } = system.value
  assert.ok(engine)
  const store = connectAudit('embedded:', { engine, username: 'default', password: '', log: quiet })
  try {
    const deadline = Date.now() + 20_000
    for (;;) {
      const rows = (await store.query(
        `select text from commands where stage = 'run' and phase = 'finished' and outcome in ('ok', 'error')`,
      )) as { text: string }[]
      if (rows.length >= expected || Date.now() > deadline) return rows.map(({ text }) => plain(text))
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  } finally {
    await store.close()
  }
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined, debug: () => undefined }

/** Of several statements in one message the server logs the message, the gate records each: compare words. */
function plain(text: string): string {
  return text.replace(/\s+/g, ' ').replace(/;\s*$/, '').trim()
}

function counted(texts: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const text of [...texts].sort()) counts[text] = (counts[text] ?? 0) + 1
  return counts
}
