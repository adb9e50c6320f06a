import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { createSqlAnalyzer, type SqlAnalyzer } from '@portcullis/sql'
import { createPolicy, exampleProblems, libraryNames, parsePolicy } from './index.ts'
import { libraryText } from './library.ts'
import { live, subject } from './testing/subject.ts'

let analyzer: SqlAnalyzer
before(async () => {
  analyzer = await createSqlAnalyzer({ cacheEntries: 1000, cacheBytesMax: 1 << 24 })
})
after(() => analyzer.close())

const read = (sql: string) => {
  const text = Buffer.from(sql)
  return analyzer.analyzeNow(text, 0, text.length)
}
const lines = (file: string) =>
  readFileSync(new URL(`../../sql/corpus/where/${file}.sql`, import.meta.url), 'utf8')
    .trim()
    .split('\n')

test('every file of the library does what its examples say', () => {
  const names = libraryNames()
  assert.equal(names.length, 8)
  for (const name of names) {
    const policy = parsePolicy(libraryText(name) ?? '', `library/${name}.yaml`)
    assert.ok(policy.examples.length >= 3, name)
    assert.deepEqual(exampleProblems(policy, read), [])
  }
})

test('missing and tautological WHERE: every one held, no legitimate statement', () => {
  const rules = 'rules: [{ use: where-missing }, { name: rest, action: allow }]'
  const ruleset = createPolicy(parsePolicy(rules, 'x').rules).rulesFor(subject())
  const actionsOf = (sql: string) => read(sql).map((analysis) => ruleset.judge(analysis, live).action)
  const held = (sql: string) => actionsOf(sql).includes('hold')
  assert.deepEqual(
    lines('tautologies').filter((sql) => !held(sql)),
    [],
  )
  assert.deepEqual(lines('legitimate').filter(held), [])
})

test('the whole library at once, and everything else allowed, lets a plain day of work pass', () => {
  const uses = libraryNames().map((name) => `  - use: ${name}`)
  const rules = `rules:\n${uses.join('\n')}\n  - { name: rest, action: allow }\n`
  const ruleset = createPolicy(parsePolicy(rules, 'x').rules).rulesFor(subject())
  const stopped = lines('legitimate').filter((sql) =>
    read(sql).some((analysis) => ruleset.judge(analysis, live).action !== 'allow'),
  )
  assert.deepEqual(stopped, [])
})
