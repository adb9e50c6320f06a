import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { readResults } from './pg-regress.ts'
import { compare, faultsOf, type Result, rowsOf, type SuiteRun, writePage } from './side-by-side.ts'

const runOf = (results: Record<string, Result>, outputs: Record<string, string> = {}): SuiteRun => ({
  results: new Map(Object.entries(results)),
  outputs: new Map(Object.entries(outputs)),
  seconds: 1,
})
const direct = runOf({ a: 'passed', b: 'passed', c: 'failed', d: 'passed' }, { a: 'x', b: 'y' })
const gate = runOf({ a: 'passed', b: 'failed', c: 'passed', d: 'skipped' }, { a: 'x', b: 'z' })

test('a test that passes only directly is a fault until it is explained', () => {
  const none = compare({ name: 's', version: '1', explanations: [] }, direct, gate)
  assert.deepEqual(none.lost, ['b', 'd'])
  assert.deepEqual(none.won, ['c'])
  assert.deepEqual(none.outputs, { kept: 2, equal: 1 })
  assert.equal(faultsOf(none).length, 2)
  assert.equal(rowsOf(none)[1]?.value, 2)
  const explanations = ['b', 'd'].map((name) => ({ test: name, why: 'because' }))
  assert.deepEqual(faultsOf(compare({ name: 's', version: '1', explanations }, direct, gate)), [])
})

test('an explanation of nothing, and a suite that did not run, are faults', () => {
  const explanations = [{ test: 'a', why: 'because' }]
  assert.match(
    faultsOf(compare({ name: 's', version: '1', explanations }, direct, direct))[0] ?? '',
    /a is explained/,
  )
  const sometimes = [{ test: 'a', why: 'a race', sometimes: true }]
  assert.deepEqual(
    faultsOf(compare({ name: 's', version: '1', explanations: sometimes }, direct, direct)),
    [],
  )
  const nothing = runOf({ a: 'failed' })
  assert.match(
    faultsOf(compare({ name: 's', version: '1', explanations: [] }, nothing, nothing))[0] ?? '',
    /nothing was compared/,
  )
})

test('the page has each difference with its reason', () => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-page-'))
  const explanations = [{ test: 'b', why: 'because' }]
  writePage(join(dir, 'page.md'), '# Title\n', [
    compare({ name: 's', version: '1', explanations }, direct, gate),
  ])
  const page = readFileSync(join(dir, 'page.md'), 'utf8')
  writePage(
    join(dir, 'page.md'),
    '# Title\n',
    [compare({ name: 'other', version: '2', explanations: [] }, direct, direct)],
    ['s', 'other'],
  )
  const later = readFileSync(join(dir, 'page.md'), 'utf8')
  rmSync(dir, { recursive: true })
  for (const line of page.trim().split('\n'))
    assert.ok(later.includes(line), 'what did not run keeps its lines')
  assert.match(later, /^\| other \| 2 \| 4 \| 3 \| 3 \| 0 \| 0 \| 2 of 2 \|$/m)
  assert.match(page, /^\| s \| 1 \| 4 \| 3 \| 2 \| 2 \| 1 \| 1 of 2 \|$/m)
  assert.match(page, /^\| s \| `b` \| because \|$/m)
  assert.match(page, /^\| s \| `d` \| \*\*not explained\*\* \|$/m)
})

test('what pg_regress prints is read, alone and in a parallel group', () => {
  const printed = [
    '============== creating database "regression"         ==============',
    'test tablespace                   ... ok          610 ms',
    'parallel group (3 tests):  boolean char name',
    '     boolean                      ... ok          107 ms',
    '     char                         ... FAILED      166 ms',
    '     name                         ... failed (ignored)       31 ms',
    'test stats                        ... FAILED (test process exited with exit code 2)      5 ms',
    ' 3 of 5 tests failed, 1 of these failures ignored. ',
  ].join('\n')
  assert.deepEqual(
    [...readResults(printed)],
    [
      ['tablespace', 'passed'],
      ['boolean', 'passed'],
      ['char', 'failed'],
      ['name', 'failed'],
      ['stats', 'failed'],
    ],
  )
})
