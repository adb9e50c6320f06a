// What the policy makes of statements that hide what they are. Disguises of a missing WHERE, by text, by bind values and by
// EXECUTE, and legitimate statements that look alike, through a real gate with the library's rule; every statement of the
// corpus and of the shared set of injections against each other spelling of it. Writes load-tests/results/policy-eval.json.
//
//   npm run eval:policy
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { startPostgres } from '@portcullis/testkit/postgres'
import { edit, reload } from '@portcullis/testkit/reloading'
import { startSystem } from '@portcullis/testkit/system'
import { loadModule } from 'libpg-query'
import pg from 'pg'
import { type Tally, tallyOf } from './policy-eval/equality.ts'
import { createJudge } from './policy-eval/judge.ts'
import { boundTexts, injectedTexts, lines, ownTexts } from './policy-eval/texts.ts'
import { type Row, report } from './report.ts'

const rows: Row[] = []
const isPlain = (sql: string) => /^(delete|update|with|merge)\b/.test(sql)
const tables = `
  create table accounts (id int primary key, owner text, name text, balance int, email text, tenant int,
    created_at timestamptz default now(), data jsonb default '{}');
  insert into accounts select g, 'o' || g, 'n' || g, g, g || '@example.com', 1 from generate_series(1, 9) g;
  create table other (id int, flag bool, kind text);
  create table vips (user_id int, plan text)`

await throughTheGate()
await spellings()
report('policy-eval', rows)

async function throughTheGate(): Promise<void> {
  const postgres = await startPostgres()
  const system = await startSystem({ postgres: postgres.value, parts: ['proxy'] })
  try {
    const file = join(system.value.dir, 'policy.yaml')
    writeFileSync(file, 'rules: [{ use: where-missing }, { name: rest, action: allow }]\n')
    edit(system.value, /\ntargets:/, '\npolicy: { file: ./policy.yaml }\ntargets:')
    await reload(system.value)
    await postgres.value.query(tables)
    const client = new pg.Client({ connectionString: await system.value.url('ann') })
    await client.connect()
    await disguises(client)
    await client.end()
    const { rows: left } = await postgres.value.query('select count(*)::int as n from accounts')
    rows.push({
      row: 'rows left of those in danger',
      value: left[0]?.n,
      unit: 'rows',
      against: 9,
      aim: { atLeast: 1 },
    })
  } finally {
    await system.stop()
    await postgres.stop()
  }
}

async function disguises(client: pg.Client): Promise<void> {
  const outcome = (query: string | pg.QueryConfig) => outcomeOf(client, query)
  const texts = lines('where/tautologies.sql').filter((sql) => !sql.includes('$1'))
  const legitimate = lines('where/legitimate.sql')
  await counted('disguises of a missing WHERE held, simple', texts, outcome)
  await counted('the same, extended', texts, (text) => outcome({ text, values: [] }))
  await counted('the same, prepared and executed', texts.filter(isPlain), async (sql) => {
    await client.query('deallocate all')
    const prepared = await outcome(`prepare disguised as ${sql}`)
    return prepared === 'held' ? 'held' : outcome('execute disguised')
  })
  const ofBound = async (name: 'tautologies' | 'legitimate') => {
    const came: string[] = []
    for (const { sql, values } of boundTexts(name))
      came.push(await outcome({ text: sql, values: [...values] }))
    return came
  }
  // Where the server cannot tell a value's type nothing is run at all.
  const run = (await ofBound('tautologies')).filter((one) => one === 'held' || one === 'ran')
  const held = run.filter((one) => one === 'held').length
  const row = 'disguises by bind values held, of those that the server takes'
  rows.push({ row, value: held, unit: 'statements', against: run.length, aim: { atLeast: 1 } })
  const others = await ofBound('legitimate')
  for (const sql of legitimate) others.push(await outcome(sql))
  const wrong = others.filter((one) => one === 'held').length
  rows.push({
    row: `legitimate statements held, of ${others.length}`,
    value: wrong,
    unit: 'statements',
    aim: { atMost: 0 },
  })
}

async function counted(
  row: string,
  texts: readonly string[],
  outcome: (sql: string) => Promise<string>,
): Promise<void> {
  let held = 0
  for (const sql of texts) if ((await outcome(sql)) === 'held') held += 1
  rows.push({ row, value: held, unit: 'statements', against: texts.length, aim: { atLeast: 1 } })
}

/** held, ran, or the server's SQLSTATE. Each by itself: nothing of it stays. */
async function outcomeOf(client: pg.Client, query: string | pg.QueryConfig): Promise<string> {
  await client.query('begin')
  const came = await client.query(query as pg.QueryConfig).then(
    () => 'ran',
    ({ code = '', detail = '' }: { code?: string; detail?: string }) =>
      /reason=policy_hold .*rule=where-missing/.test(detail) ? 'held' : code,
  )
  await client.query('rollback')
  return came
}

async function spellings(): Promise<void> {
  await loadModule()
  const judge = await createJudge()
  const injected = injectedTexts()
  if (injected === undefined) console.log('../shared/data/libinjection is not here: its rows are left out')
  told('our own corpus', tallyOf(ownTexts(), judge))
  if (injected) told('injections', tallyOf(injected, judge, 4))
  await judge.close()
}

function told(whose: string, tally: Tally): void {
  for (const one of [...tally.different, ...tally.waved, ...tally.weaker].slice(0, 20)) console.log(one)
  const { statements, canonical, spellings, hidden, different, waved, weaker } = tally
  rows.push(
    { row: `${whose}: statements that PostgreSQL parses`, value: statements, unit: 'statements' },
    { row: `${whose}: said back from the tree`, value: canonical, unit: 'statements' },
    {
      row: `${whose}: decided otherwise, of ${spellings} spellings`,
      value: different.length,
      unit: 'spellings',
      aim: { atMost: 0 },
    },
    {
      row: `${whose}: decided more loosely, of ${hidden} hiding places`,
      value: weaker.length,
      unit: 'texts',
      aim: { atMost: 0 },
    },
    { row: `${whose}: not parsed and let through`, value: waved.length, unit: 'texts', aim: { atMost: 0 } },
  )
}
