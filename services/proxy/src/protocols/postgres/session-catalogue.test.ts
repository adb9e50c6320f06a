// What a session's statements come from, while tables and views change under it.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Lineage, systemClock, type TargetAccess } from '@portcullis/kernel'
import { createSqlAnalyzer } from '@portcullis/sql'
import type { Defined } from '../../defined.ts'
import { createCatalogues } from './catalogues.ts'
import { createSessionCatalogue } from './session-catalogue.ts'

const analyzer = await createSqlAnalyzer({ cacheEntries: 0, cacheBytesMax: 0 })
const table = { schema: 'public', kind: 'r', columns: ['id', 'ssn'] }
let reads = 0
let path = ['public']
const parts = {
  analyzer,
  clock: systemClock,
  log: { warn: (fields: object) => assert.fail(JSON.stringify(fields)) },
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
}
const told: Defined[] = []
const catalogues = createCatalogues({ ...parts, tell: (defined) => told.push(defined) })
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

function opened(of = catalogues, at = access) {
  const seat = of.value.join(at)
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

test('what is defined through another role or another worker counts until it is read, and no longer', async () => {
  let before = reads
  const elsewhere = createCatalogues({ ...parts, tell: (defined) => catalogues.value.heard(defined) })
  const owner = opened(elsewhere)
  const here = opened()
  const role = opened(elsewhere, { ...access, credentials: { user: 'v', password: 'secret' } })
  const stranger = opened(elsewhere, { ...access, database: 'e' })
  const shown = () => [here, role, stranger].map((one) => one.shown('select ssn from pets')).join()
  await readAgain(before + 2)
  assert.equal(shown(), 'pets.ssn,pets.ssn,pets.ssn')

  owner.runs('drop table pets')
  assert.equal(shown(), 'lost,lost,pets.ssn')
  // However often it is read meanwhile: the transaction is open.
  before = reads
  catalogues.value.heard({ kind: 'defined', by: 'x', places: ['h:1/d'], changed: 'all', isOpen: false })
  assert.equal(here.shown('select ssn from people'), 'lost')
  await readAgain(before)
  assert.equal(here.shown('select ssn from people'), 'people.ssn')
  assert.equal(here.shown('select ssn from pets'), 'lost')
  before = reads
  owner.settled()
  assert.equal(shown(), 'lost,lost,pets.ssn')
  await readAgain(before + 2)
  assert.equal(shown(), 'pets.ssn,pets.ssn,pets.ssn')

  // What has no names counts from its end on.
  owner.runs('do $$ begin perform 1; end $$')
  assert.equal(shown(), 'pets.ssn,pets.ssn,pets.ssn')
  before = reads
  owner.settled()
  assert.equal(shown(), 'lost,lost,pets.ssn')
  await readAgain(before + 2)
  for (const one of [owner, here, role, stranger]) one.leave()
  await elsewhere.stop()
})

test('what may have been missed is read and told again, and many calls of functions are told as few', async () => {
  const one = opened()
  let before = reads
  told.length = 0
  one.runs('drop table pets')
  catalogues.value.heard({ kind: 'defined', by: 'x', places: ['h:1/d'], changed: ['people'], isOpen: true })
  assert.equal(one.shown('select ssn from people'), 'lost')
  catalogues.value.missed()
  assert.deepEqual(
    told.map(({ changed, isOpen }) => [changed, isOpen]),
    [
      [['pets'], true],
      [['pets'], true],
    ],
  )
  await readAgain(before)
  // Whoever was killed says no more when it is over.
  assert.equal(one.shown('select ssn from people'), 'people.ssn')
  one.settled()
  before = reads
  await readAgain(before)
  catalogues.value.missed()
  before = reads
  assert.equal(one.shown('select ssn from people'), 'people.ssn')
  await readAgain(before)
  assert.equal(reads, before + 1)

  told.length = 0
  before = reads
  for (let n = 0; n < 1000; n++) {
    one.runs('do $$ begin perform 1; end $$')
    one.settled()
  }
  assert.equal(told.length, 1)
  for (let n = 0; n < 100 && told.length < 2; n++) await sleep(10)
  assert.equal(told.length, 2)
  await readAgain(before)
  one.leave()
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
