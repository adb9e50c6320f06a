// Text that nobody here wrote, read in place and never copied: SQL by language models, SQL injection inputs. Where the
// sets are absent the tests are skipped; they are no part of the project.
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { test } from 'node:test'
import * as libpg from 'libpg-query'
import { createSqlAnalyzer, type StatementAnalysis } from './index.ts'

const data = new URL('../../../../shared/data/', import.meta.url)
const analyzer = await createSqlAnalyzer({ cacheEntries: 5000, cacheBytesMax: 32 << 20 })
await libpg.loadModule()

function analyze(text: string): readonly StatementAnalysis[] {
  const sql = Buffer.from(text)
  return analyzer.analyzeNow(sql, 0, sql.length)
}

function parses(text: string): boolean {
  try {
    libpg.parseSync(text)
    return true
  } catch {
    return false
  }
}

test('SQL by language models: a read wherever PostgreSQL parses it and knows the functions', (t) => {
  const folder = new URL('bird-llm-sql/', data)
  if (!existsSync(folder)) return t.skip('../shared/data/bird-llm-sql is not here')
  let total = 0
  let parsed = 0
  const calls = new Set<string>()
  let beyond = 0
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.json'))) {
    const entries: unknown = JSON.parse(readFileSync(new URL(file, folder), 'utf8'))
    for (const entry of Object.values(entries as Record<string, unknown>)) {
      const sql = String(entry).split('\t----- bird -----\t')[0] ?? ''
      const analyses = analyze(sql)
      total += 1
      if (total % 5 === 0) assert.equal(analyses[0]?.verb !== 'UNKNOWN', parses(sql), sql)
      if (analyses[0]?.verb === 'UNKNOWN') continue
      parsed += 1
      // They call functions of other databases (YEAR, DIVIDE): for all the text says, those could do anything.
      const effects = new Set(analyses.flatMap((each) => each.effects))
      if (effects.has('execute')) beyond += 1
      effects.delete('read')
      effects.delete('execute')
      assert.equal(effects.size, 0, sql)
      assert.ok(!analyses.some((each) => each.privileged), sql)
      for (const object of analyses.flatMap((each) => each.objects))
        if (object.effect === 'execute') calls.add(object.name)
    }
  }
  t.diagnostic(
    `${total} queries, ${parsed} parse, ${beyond} call what PostgreSQL has not: ${[...calls].join(' ')}`,
  )
  for (const name of ['count', 'sum', 'avg', 'extract', 'to_char', 'round', 'lower', 'age', 'date_part'])
    assert.ok(!calls.has(name), name)
  assert.ok(beyond < parsed * 0.08)
  return undefined
})

test('SQL injection inputs: never a crash, and never a read where a second statement writes', (t) => {
  const folder = new URL('libinjection/', data)
  if (!existsSync(folder)) return t.skip('../shared/data/libinjection is not here')
  let total = 0
  let lines = 0
  let unknown = 0
  let beyondRead = 0
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
    for (const line of readFileSync(new URL(file, folder), 'utf8').split('\n')) {
      lines += 1
      // Every sixth is enough for each run; the sets are long and alike.
      if (lines % 6 !== 0 || line.startsWith('#') || line.trim() === '') continue
      let input = line
      try {
        input = decodeURIComponent(line.replaceAll('+', ' '))
      } catch {
        // Not percent-encoded after all.
      }
      // Where an application pastes input: into a number's place, and into a string's.
      for (const sql of [`select a from t where id = ${input}`, `select a from t where a = '${input}'`]) {
        const analyses = analyze(sql)
        total += 1
        assert.ok(analyses.length > 0)
        if (analyses[0]?.verb === 'UNKNOWN') unknown += 1
        else if (analyses.some((each) => each.effects.some((effect) => effect !== 'read'))) beyondRead += 1
        const verbs = /;\s*(drop|delete|update|insert|alter|create|truncate|exec|grant)\s+\w/i.test(
          analyses.length > 1 ? analyses.map((each) => each.text).join(';') : '',
        )
        if (verbs && !/'[^']*;/.test(sql))
          assert.ok(
            analyses.some((each) => each.effects.some((effect) => effect !== 'read')),
            sql,
          )
      }
    }
  }
  t.diagnostic(`${total} texts, ${unknown} unknown, ${beyondRead} more than a read`)
  return undefined
})
