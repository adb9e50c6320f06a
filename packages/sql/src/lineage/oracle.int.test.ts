// A real server as judge: every statement of corpus/lineage is run, and wherever a canary of a masked column is seen, the
// lineage must have said so, or that it is lost. The same statements about tables that nobody masks must be clean.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { ColumnRef, Lineage, Sources } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import pg from 'pg'
import { catalogueOf, catalogueQuery } from '../catalogue-query.ts'
import { createSqlAnalyzer, type Refiner, resolveNames } from '../index.ts'
import { canaryOf, lineageForms, lineageSeed, maskedColumns, twinOf } from '../testing/lineage-corpus.ts'

const rowsCount = 5
const canaries = Array.from({ length: rowsCount }, (_, at) => canaryOf(at + 1))
const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
let postgres: Postgres
let stop: () => Promise<void>
let client: pg.Client
let refiner: Refiner
let notices: string[] = []
let copied: Buffer[] = []

before(async () => {
  const started = await startPostgres({ version: 'embedded' })
  postgres = started.value
  stop = started.stop
  await postgres.query(lineageSeed(rowsCount))
  client = new pg.Client({
    connectionString: postgres.url,
    statement_timeout: 5000,
    types: { getTypeParser: () => String },
  })
  client.on('notice', ({ message, detail, hint, where }) =>
    notices.push([message, detail, hint, where].join('\n')),
  )
  await client.connect()
  const { connection } = client as pg.Client & { connection: NodeJS.EventEmitter }
  connection.on('copyData', ({ chunk }: { chunk: Buffer }) => copied.push(Buffer.from(chunk)))
  await client.query('set search_path = pg_catalog')
  const { rows } = await client.query({ text: catalogueQuery(180_000), rowMode: 'array' })
  refiner = analyzer.catalogue(catalogueOf(rows as string[][])).under(['public'])
  await client.query('reset search_path')
})
after(async () => {
  await client?.end()
  await analyzer.close()
  await stop?.()
})

test('wherever a masked column shows, its lineage says so, or that it is lost', async () => {
  const wrong: string[] = []
  for (const form of lineageForms().filter(({ kind }) => kind === 'attack')) {
    const seen = await run(form.sql)
    const fails = (what: string) => wrong.push([`${form.name}: ${what}`, ...seen.map(shown)].join('\n  '))
    for (const { lineage, leaks, said } of seen) {
      for (const at of leaks)
        if (!isTainted(columnAt(lineage, at))) fails(`column ${at} shows what it does not say`)
      if (said && !isTainted(lineage.raises)) fails('an error or notice tells what it does not say')
    }
    // An attack that does not work proves nothing.
    if (form.by === 'rows' && !seen.some(({ leaks }) => leaks.length > 0)) fails('no canary was seen')
    if (form.by === 'raises' && !seen.some(({ said }) => said)) fails('no canary was told')
    if (form.by === 'copies' && !seen.some(({ lineage }) => isTainted(lineage.copies)))
      fails('copies nothing')
    if (form.by === 'reads' && !seen.some(({ lineage }) => isTainted(lineage.reads))) fails('reads nothing')
    if ((form.by === 'rows' || form.by === 'reads') && seen.some(({ error }) => error)) fails('failed')
  }
  assert.deepEqual(wrong, [], wrong.join('\n\n'))
})

test('what shows nothing of a masked column is clean, and so is every attack on a column that is not masked', async () => {
  const wrong: string[] = []
  for (const form of lineageForms()) {
    if (form.isLost) continue
    const seen = await run(form.kind === 'benign' ? form.sql : twinOf(form.sql))
    const fails = (what: string) => wrong.push([`${form.name}: ${what}`, ...seen.map(shown)].join('\n  '))
    for (const { lineage, fields, error } of seen) {
      if (error && form.kind === 'benign') fails('failed')
      for (const at of fields.keys()) if (isTainted(columnAt(lineage, at))) fails(`column ${at}`)
      if (form.kind === 'benign' && isTainted(lineage.copies)) fails('copies')
    }
  }
  assert.deepEqual(wrong, [], wrong.join('\n\n'))
})

test('each column that the server names in its RowDescription is among the sources', async () => {
  const wrong: string[] = []
  let named = 0
  for (const { sql, name } of lineageForms()) {
    for (const { lineage, fields, text } of await run(sql))
      for (const [at, { tableID, columnID }] of fields.entries()) {
        const sources = columnAt(lineage, at)
        // A whole row has its table's id and number 0.
        if (sources === 'lost' || tableID === 0 || columnID <= 0) continue
        const column = refiner.columnAt(tableID, columnID)
        named += 1
        if (column === undefined || !sources.includes(column)) wrong.push(`${name} column ${at}: ${text}`)
      }
  }
  assert.deepEqual(wrong, [])
  assert.ok(named > 150, `only ${named} were named`)
})

interface Seen {
  readonly text: string
  readonly lineage: Lineage
  /** Places of columns in which a canary was seen. */
  readonly leaks: readonly number[]
  readonly fields: readonly { readonly tableID: number; readonly columnID: number }[]
  readonly error?: string
  /** An error or notice had a canary in it. */
  readonly said: boolean
}

/** Runs the statements of one form and undoes them. */
async function run(sql: string): Promise<readonly Seen[]> {
  const text = sql.replaceAll('SELF', () => postgres.url)
  const bytes = Buffer.from(text)
  const analyses = resolveNames(
    analyzer.analyzeNow(bytes, 0, bytes.length).map((one) => refiner.refine(one)),
    () => undefined,
  )
  const seen: Seen[] = []
  await client.query('begin')
  for (const analysis of analyses) {
    // Alone it still has what looks like a credential.
    const one = await runOne(analyses.length === 1 ? text : analysis.text, refiner.lineage(analysis))
    seen.push(one)
    if (one.error !== undefined) break
  }
  await client.query('rollback')
  await client.query('discard all')
  return seen
}

async function runOne(text: string, lineage: Lineage): Promise<Seen> {
  notices = []
  copied = []
  try {
    const { rows, fields = [] } = await client.query({ text, rowMode: 'array' })
    const lines = Buffer.concat(copied).toString().split('\n')
    const values: readonly (readonly (string | null)[])[] = [
      ...rows,
      ...lines.map((line) => line.split('\t')),
    ]
    const leaks = values.flatMap((row) =>
      row.flatMap((value, at) => (value !== null && tells(value) ? at : [])),
    )
    return { text, lineage, leaks: [...new Set(leaks)], fields, said: notices.some(tells) }
  } catch (error) {
    if (!(error instanceof pg.DatabaseError)) throw error
    const { message, detail, hint, where, internalQuery } = error
    const said = [message, detail, hint, where, internalQuery, ...notices].some((one) => one && tells(one))
    return { text, lineage, leaks: [], fields: [], error: message, said }
  }
}

const pieces = canaries.flatMap((canary) =>
  Array.from({ length: canary.length - 9 }, (_, at) => canary.slice(at + 4, at + 10)),
)

/** Whether six characters in a row of a canary stand in it, also as hexadecimal digits or in base64. */
function tells(value: string): boolean {
  const decoded = (pattern: RegExp, encoding: BufferEncoding) =>
    Array.from(value.matchAll(pattern), ([code]) => Buffer.from(code, encoding).toString('latin1'))
  const texts = [value, ...decoded(/([0-9a-f]{2}){6,}/gi, 'hex'), ...decoded(/[a-z0-9+/]{8,}/gi, 'base64')]
  return texts.some((text) => pieces.some((piece) => text.toLowerCase().includes(piece)))
}

function columnAt({ columns, others }: Lineage, at: number): Sources {
  return (columns[at] ?? others).sources
}

function isTainted(sources: Sources): boolean {
  return sources === 'lost' || sources.some(isMasked)
}

function isMasked({ table, column, kin = [] }: ColumnRef): boolean {
  const names = [table, ...kin.map((one) => one.table)].map((name) => `${name}.${column}`)
  return names.some((name) => maskedColumns.includes(name))
}

function shown({ text, lineage: { columns, others, reads, copies, raises }, error }: Seen): string {
  const word = (sources: Sources) =>
    sources === 'lost' ? 'lost' : sources.map(({ table, column }) => `${table}.${column}`).join(' ')
  const results = [...columns, others].map(({ name, sources }) => `${name}: ${word(sources)}`)
  return [
    text,
    ...results,
    `reads ${word(reads)}`,
    `copies ${word(copies)}`,
    `raises ${word(raises)}`,
    error ?? '',
  ].join('\n    ')
}
