import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { loadGrammar } from './grammar.ts'

// As workers of the proxy do: the optimising compiler takes hundreds of megabytes for a while, whenever it likes.
setFlagsFromString('--liftoff-only')
setFlagsFromString('--expose-gc')
const collectGarbage: () => void = runInNewContext('gc')

const grammar = await loadGrammar()

test('statements come with byte offsets, also behind characters of several bytes', () => {
  const sql = Buffer.from("select 'é日本';  select 2 ; -- x")
  const statements = grammar.parse(sql)
  assert.deepEqual(
    statements?.map(({ start, end }) => sql.subarray(start, end).toString()),
    ["select 'é日本'", 'select 2 '],
  )
})

test('what PostgreSQL does not parse is undefined, for the tree and for the fingerprint', () => {
  assert.equal(grammar.parse(Buffer.from('selec 1')), undefined)
  assert.equal(grammar.fingerprint(Buffer.from('selec 1')), undefined)
  assert.deepEqual(grammar.parse(Buffer.from(' ; ')), [])
  assert.match(grammar.fingerprint(Buffer.from('select 1')) ?? '', /^[0-9a-f]{16}$/)
})

test('the parser is replaced after its stack overflowed, and answers meanwhile', async () => {
  const before = grammar.replaced
  assert.equal(grammar.parse(Buffer.from(`select ${'(select '.repeat(3000)}1${')'.repeat(3000)}`)), undefined)
  assert.equal(grammar.parse(Buffer.from('select 1'))?.length, 1)
  await grammar.settled()
  assert.equal(grammar.replaced, before + 1)
  assert.equal(grammar.parse(Buffer.from('select 1'))?.length, 1)
})

test('memory stays flat over many texts, those that fail and those that overflow among them', async () => {
  const good = Buffer.from(
    `select ${Array.from({ length: 40 }, (_, at) => `c${at}`).join(', ')} from t where a = 'x'`,
  )
  const bad = Buffer.from(`${good} where`)
  const deep = Buffer.from(`select ${'(select '.repeat(1500)}1${')'.repeat(1500)}`)
  const round = async (): Promise<number> => {
    for (let at = 0; at < 150; at += 1) {
      grammar.parse(good)
      grammar.fingerprint(good)
      grammar.parse(bad)
    }
    for (let at = 0; at < 10; at += 1) {
      grammar.parse(deep)
      await grammar.settled()
    }
    // An instance that was let go is memory of the collector's, not of ours.
    for (let at = 0; at < 3; at += 1) {
      collectGarbage()
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return process.memoryUsage().rss / 1e6
  }
  await round()
  const first = Math.min(await round(), await round())
  await round()
  await round()
  await round()
  // Fifty instances kept would be 110 MB and more.
  const last = Math.min(await round(), await round())
  assert.ok(last - first < 60, `grew from ${first} to ${last} MB`)
})
