// The same statement in other words is decided alike: the whole of our own corpus, and a part of the shared set of injections
// (`npm run eval:policy` takes all of it, and a real gate).
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { loadModule } from 'libpg-query'
import { tallyOf } from './equality.ts'
import { createJudge, type Judge } from './judge.ts'
import { injectedTexts, ownTexts } from './texts.ts'

const wrong = (of: ReturnType<typeof tallyOf>) => [...of.different, ...of.waved, ...of.weaker].slice(0, 10)
let judge: Judge
before(async () => {
  await loadModule()
  judge = await createJudge()
})
after(() => judge.close())

test('every statement of the corpus, in every spelling and hiding place', (t) => {
  const tally = tallyOf(ownTexts(), judge, 4)
  assert.deepEqual(wrong(tally), [])
  t.diagnostic(`${tally.statements} statements, ${tally.spellings} spellings, ${tally.hidden} hidden`)
  assert.ok(tally.canonical > 700 && tally.spellings > 4000 && tally.hidden > 800)
})

test('SQL injection inputs', (t) => {
  const texts = injectedTexts()
  if (texts === undefined) return t.skip('../shared/data/libinjection is not here')
  const tally = tallyOf(
    texts.filter((_, at) => at % 160 < 4),
    judge,
    4,
  )
  assert.deepEqual(wrong(tally), [])
  assert.ok(tally.statements > 200, `${tally.statements}`)
  return undefined
})

test('a difference is found', () => {
  const blind: Judge = {
    decide: (sql) => (/U&"/.test(sql) ? { rank: 0, rules: '', rests: '' } : judge.decide(sql)),
    close: async () => undefined,
  }
  assert.equal(tallyOf(['drop table t'], blind).different.length, 2)
  const waving: Judge = { decide: () => ({ rank: 0, rules: '', rests: '' }), close: async () => undefined }
  assert.equal(tallyOf(['drp table t'], waving).waved.length, 1)
  const weak: Judge = {
    decide: (sql) => ({ rank: sql.startsWith('do ') ? 0 : 2, rules: '', rests: '' }),
    close: async () => undefined,
  }
  assert.equal(tallyOf(['drop table t'], weak).weaker.length, 3)
})
