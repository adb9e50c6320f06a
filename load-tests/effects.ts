/**
 * Is the analyzer right about what a statement does? The judges are a server and statements that nobody here wrote:
 * PostgreSQL's regression SQL, run by psql through a tap that asks the server about each statement first, and what
 * language models wrote for BIRD's questions. Prints every statement on which the two differ; writes
 * load-tests/results/effects.json.
 *
 *   npm run eval:effects [-- NAME …]      only these files of the regression suite, and nothing else
 */
import { chmodSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSqlAnalyzer, type StatementAnalysis } from '@portcullis/sql'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { createCatalogues } from './effects/catalogues.ts'
import { type LineageOpinion, lineageOpinionOf } from './effects/lineage.ts'
import { judgeModelQuery, modelQueries } from './effects/models.ts'
import { type Opinion, opinionOf } from './effects/oracle.ts'
import { findRegress, type Regress, runFile, schedule } from './effects/regress.ts'
import { type Asking, startTap } from './effects/tap.ts'
import { type Row, report } from './report.ts'

interface Judged {
  readonly from: string
  readonly sql: string
  /** From the text alone. */
  readonly analyses: readonly StatementAnalysis[]
  /** With the catalogue. */
  readonly refined: readonly StatementAnalysis[]
  readonly opinion: Opinion
  /** undefined: it gave no rows to judge by. */
  readonly traced: LineageOpinion | undefined
}

const fileMsMax = 600_000
const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
const server = await startPostgres({
  version: 'debian',
  auth: 'trust',
  settings: { max_prepared_transactions: 5, wal_level: 'logical', lc_messages: 'C', shared_buffers: '128MB' },
})
const rows: Row[] = []
try {
  const cacheDir = join(import.meta.dirname, '../node_modules/.cache/portcullis/effects')
  mkdirSync(cacheDir, { recursive: true })
  const regress = findRegress(cacheDir)
  if ('missing' in regress) console.log(`regression SQL skipped: ${regress.missing}`)
  else rows.push(...summary('regression SQL', await judgeRegress(regress, server.value)))
  const queries = process.argv.length > 2 ? [] : modelQueries()
  if (queries === undefined)
    console.log('SQL by language models skipped: ../shared/data/bird-llm-sql is not here')
  else if (queries.length > 0)
    rows.push(...summary('SQL by language models', await judgeModels(queries, server.value)))
} finally {
  await server.stop()
  await analyzer.close()
}
report('effects', rows)

async function judgeRegress(regress: Regress, { host, port, query }: Postgres): Promise<readonly Judged[]> {
  const judged: Judged[] = []
  let from = ''
  const { rows: versions } = await query<{ server_version_num: string }>('show server_version_num')
  const catalogues = createCatalogues(analyzer, Number(versions[0]?.server_version_num))
  const tap = await startTap({ host, port }, async (sql, asking) => {
    const bytes = Buffer.from(sql)
    const analyses = analyzer.analyzeNow(bytes, 0, bytes.length)
    const known = await catalogues.refine(analyses, asking)
    const opinion = await opinionOf(sql, known, asking)
    const [only, ...more] = known.traced
    const traced =
      only && more.length === 0 && opinion.writes === false
        ? await lineageOpinionOf(sql, only, asking)
        : undefined
    judged.push({ from, sql, analyses, refined: known.refined, opinion, traced })
    catalogues.changed(analyses)
  })
  const outputDir = mkdtempSync(join(tmpdir(), 'portcullis-effects-'))
  // The server writes there as another user.
  mkdirSync(join(outputDir, 'results'))
  for (const folder of [outputDir, join(outputDir, 'results')]) chmodSync(folder, 0o777)
  await query('create database regression template template0')
  await query("alter database regression set timezone_abbreviations to 'Default'")
  const wanted = process.argv.slice(2)
  try {
    for (const name of schedule(regress)) {
      if (wanted.length > 0 && !wanted.includes(name) && name !== 'test_setup') continue
      from = name
      const sinceMs = performance.now()
      const before = judged.length
      const session = { port: tap.value.port, user: 'postgres', database: 'regression' }
      const isDone = await runFile(regress, name, session, outputDir, fileMsMax)
      const seconds = ((performance.now() - sinceMs) / 1000).toFixed(1)
      console.log(
        `${name}: ${judged.length - before} statements, ${seconds} s${isDone ? '' : ', not finished'}`,
      )
    }
  } finally {
    await tap.stop()
    rmSync(outputDir, { recursive: true, force: true })
  }
  return judged
}

async function judgeModels(
  queries: NonNullable<ReturnType<typeof modelQueries>>,
  { url, query: ask }: Postgres,
): Promise<readonly Judged[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const { rows } = await ask<{ server_version_num: string }>('show server_version_num')
  const version = Number(rows[0]?.server_version_num)
  // The model's statements are all there is in its transaction.
  const asking: Asking = { status: 'I', ask: (sql) => askBy(client, sql) }
  const judged: Judged[] = []
  for (const query of queries) {
    const { analyses, opinion } = await judgeModelQuery(query, analyzer, asking)
    const [only, ...more] = (await createCatalogues(analyzer, version).refine(analyses, asking)).traced
    const traced = only && more.length === 0 ? await lineageOpinionOf(query.sql, only, asking) : undefined
    judged.push({ from: query.model, sql: query.sql, analyses, refined: analyses, opinion, traced })
  }
  await client.end()
  return judged
}

async function askBy(client: pg.Client, sql: string): ReturnType<Asking['ask']> {
  try {
    const result: unknown = await client.query({ text: sql, rowMode: 'array' })
    const last = Array.isArray(result) ? result.at(-1) : result
    const rows = (last as pg.QueryArrayResult).rows.map((row) =>
      row.map((value) => (typeof value === 'string' || value === null ? value : JSON.stringify(value))),
    )
    const fields = (last as pg.QueryArrayResult).fields.map(({ tableID, columnID }) => ({
      table: tableID,
      attribute: columnID,
    }))
    return { rows, fields, code: '', message: '', position: 0 }
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    const { code = '', message, position } = error
    return { rows: [], fields: [], code, message, position: Number(position ?? 0) }
  }
}

function onlyReads(analyses: readonly StatementAnalysis[]): boolean {
  return analyses.every(({ effects }) => effects.every((effect) => effect === 'read'))
}

function summary(name: string, judged: readonly Judged[]): readonly Row[] {
  const writing = judged.filter(({ opinion }) => opinion.writes === true)
  const reading = judged.filter(({ opinion }) => opinion.writes === false)
  const lies = writing.filter(({ refined }) => onlyReads(refined))
  const compared = judged.filter(({ opinion }) => opinion.tables)
  const differ = compared.filter(
    ({ opinion: { tables } }) => tables && (tables.missed.length > 0 || tables.invented.length > 0),
  )
  const planned = compared.filter(({ opinion: { tables } }) => tables && tables.plannedAway.length > 0)
  for (const { from, sql } of lies) console.log(`called a read, but writes: ${from}: ${oneLine(sql)}`)
  for (const { from, sql, opinion } of differ)
    console.log(
      `tables differ: ${from}: missed [${opinion.tables?.missed}] invented [${opinion.tables?.invented}]: ${oneLine(sql)}`,
    )
  const traced = judged.flatMap(({ from, sql, traced: one }) => (one ? [{ from, sql, ...one }] : []))
  const told = traced.filter(({ isLost }) => !isLost)
  const missing = told.filter(({ missed }) => missed.length > 0)
  for (const { from, sql, missed } of missing)
    console.log(`lineage misses: ${from}: [${missed}]: ${oneLine(sql)}`)
  if (process.env.LINEAGE_LOST)
    for (const { from, sql } of traced.filter(({ isLost }) => isLost))
      console.log(`lineage lost: ${from}: ${oneLine(sql)}`)
  const count = (row: string, value: number, more: Partial<Row> = {}): Row => ({
    row: `${name}: ${row}`,
    value,
    unit: 'statements',
    ...more,
  })
  return [
    count('statements', judged.length),
    count('that the server gave no answer to', judged.length - writing.length - reading.length),
    count('that the server says write', writing.length),
    count(
      'of these called a read, by the text alone',
      writing.filter(({ analyses }) => onlyReads(analyses)).length,
    ),
    count('of these called a read, with the catalogue', lies.length, { aim: { atMost: 0 } }),
    count('that the server ran in a read-only transaction', reading.length),
    count(
      'of these called more than a read, by the text alone',
      reading.filter(({ analyses }) => !onlyReads(analyses)).length,
    ),
    count(
      'of these called more than a read, with the catalogue',
      reading.filter(({ refined }) => !onlyReads(refined)).length,
    ),
    count('with the tables of their plan', compared.length - differ.length, {
      against: compared.length,
      aim: { atLeast: 0.99 },
    }),
    count('of these naming tables that the planner needed no more', planned.length),
    count('with rows to judge lineage by', traced.length),
    count('of these lost', traced.length - told.length),
    count('of the others with every column that the server names', told.length - missing.length, {
      against: told.length,
      // A plan names what a view counts, which is in no result.
      aim: { atLeast: 0.998 },
    }),
    {
      row: `${name}: longest time for one lineage`,
      value: traced.reduce((most, { ms }) => Math.max(most, ms), 0),
      unit: 'ms',
    },
  ]
}

function oneLine(sql: string): string {
  const line = sql.replaceAll(/\s+/g, ' ')
  return line.length > 400 ? `${line.slice(0, 400)} …` : line
}
