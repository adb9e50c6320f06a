// What a session's statements come from, while tables and views change under it.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Lineage, systemClock, type TargetAccess } from '@portcullis/kernel'
import { createSqlAnalyzer } from '@portcullis/sql'
import { createCatalogues } from './catalogues.ts'
import { createSessionCatalogue } from './session-catalogue.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
const table = { schema: 'public', kind: 'r', columns: ['id', 'ssn'] }
let reads = 0
let path = ['public']
const catalogues = createCatalogues({
  analyzer,
  clock: systemClock,
  log: { warn: (fields) => assert.fail(JSON.stringify(fields)) },
  load: async () => {
    reads++
    const tables = [
      { ...table, id: 1, name: 'people' },
      { ...table, id: 2, name: 'pets' },
      { ...table, id: 3, name: 'twice' },
      { ...table, id: 4, name: 'twice', schema: 'other' },
    ]
    return {
      data: { functions: [], relations: [], tables, operators: [], casts: [], domains: [] },
      path,
    }
  },
})
after(async () => {
  await catalogues.stop()
  await analyzer.close()
})

const access: TargetAccess = {
  ...{
    name: 'x',
    hosts: [{ host: 'h', port: 1 }],
    sessionAttrs: 'any',
    loadBalance: 'disable',
    database: 'd',
  },
  ...{ tls: { mode: 'disable' }, connectTimeoutMs: 1, keepalive: { idleSec: 1, intervalSec: 1, count: 1 } },
  ...{ credentials: { user: 'u', password: 'secret' }, timeouts: {}, catalogueRefreshMs: 60_000 },
}

function opened() {
  const seat = catalogues.value.join(access)
  const session = createSessionCatalogue(seat, {}, 'u')
  const analyses = (sql: string) =>
    session.refine(analyzer.analyzeNow(Buffer.from(sql), 0, Buffer.from(sql).length))
  return {
    shown: (sql: string) => session.lineagesOf(analyses(sql)).map(word).join('; '),
    runs: (sql: string) => analyses(sql).forEach((one) => void session.runs(one)),
    settled: () => session.settled(),
    leave: () => session.leave(),
  }
}

function word({ columns, others }: Lineage): string {
  const sources = columns.length > 0 ? columns.map((one) => one.sources) : [others.sources]
  return sources
    .map((one) =>
      one === 'lost'
        ? 'lost'
        : one.map(
            ({ schema, table, column }) => `${schema === 'public' ? '' : `${schema}.`}${table}.${column}`,
          ),
    )
    .join()
}

async function readAgain(before: number): Promise<void> {
  for (let n = 0; reads <= before && n < 500; n++) await sleep(10)
  await sleep(10)
}

test('where a column comes from is told of what stands as it was read, and of nothing else', async () => {
  const [one, other] = [opened(), opened()]
  assert.equal(one.shown('select ssn from people'), 'lost', 'not read yet')
  await readAgain(0)
  assert.equal(one.shown('select ssn from people'), 'people.ssn')
  assert.equal(one.shown('select ssn from nobody'), 'lost')

  // What is made in a transaction says nothing of other tables, there or elsewhere.
  one.runs('create table pets as select 1 as ssn')
  assert.equal(one.shown('select ssn from people'), 'people.ssn')
  assert.equal(one.shown('select ssn from pets'), 'lost')
  assert.equal(other.shown('select ssn from pets'), 'lost', 'it may be there any moment')
  one.runs('create index on people (id)')
  assert.equal(one.shown('select ssn from people'), 'people.ssn')
  // Whatever has another name or other parts may be anything, here at once, elsewhere from the end of its transaction on.
  one.runs('alter table pets rename to people')
  assert.equal(one.shown('select ssn from people'), 'lost')
  assert.equal(other.shown('select ssn from people'), 'people.ssn')
  const before = reads
  one.settled()
  assert.equal(other.shown('select ssn from people'), 'lost')
  await readAgain(before)
  assert.equal(other.shown('select ssn from people'), 'people.ssn')

  // In one text what comes after a definition is not known.
  assert.equal(
    other.shown('select ssn from people; create view v as select 1; select ssn from people'),
    'people.ssn; lost; lost',
  )
  one.leave()
  other.leave()
})

test('a session keeps the path that it was opened with, whatever the default is since', async () => {
  const before = opened()
  assert.equal(before.shown('select ssn from twice'), 'twice.ssn')
  const count = reads
  path = ['other']
  before.runs('alter database d set search_path = other')
  before.settled()
  const between = opened()
  await readAgain(count)
  const later = opened()
  // Which of them has which path no server before 18 says.
  assert.equal(before.shown('select ssn from twice'), 'twice.ssn,other.twice.ssn')
  assert.equal(between.shown('select ssn from twice'), 'twice.ssn,other.twice.ssn')
  assert.equal(later.shown('select ssn from twice'), 'other.twice.ssn')
  for (const one of [before, between, later]) one.leave()
})
