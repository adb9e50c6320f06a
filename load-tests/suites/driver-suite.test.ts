import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readCargoTest, readGoTest, readJunit } from './driver-suite.ts'

test('what pytest writes is read: passed, skipped, failed, and failed before it began', () => {
  const xml = `<?xml version="1.0"?><testsuites><testsuite tests="4">
<testcase classname="tests.a.A" name="test_one" time="0.1" />
<testcase classname="tests.a.A" name="test_two" time="0.1"><skipped type="x" message="no">why &gt;</skipped></testcase>
<testcase classname="tests.a.A" name="test_three" time="0.1"><failure message="1 != 2">trace
of lines</failure></testcase>
<testcase classname="" name="tests.b" time="0.0"><error message="collection failure">x</error></testcase>
</testsuite></testsuites>`
  assert.deepEqual(
    [...readJunit(xml)],
    [
      ['tests.a.A.test_one', 'passed'],
      ['tests.a.A.test_two', 'skipped'],
      ['tests.a.A.test_three', 'failed'],
      ['.tests.b', 'failed'],
    ],
  )
})

test('what go test prints is read; a test that never ended has failed', () => {
  const event = (Action: string, Package: string, Test?: string) => JSON.stringify({ Action, Package, Test })
  const printed = [
    event('run', 'x.y/m', 'TestOne'),
    event('output', 'x.y/m', 'TestOne'),
    event('pass', 'x.y/m', 'TestOne'),
    event('run', 'x.y/m/sub', 'TestTwo/file=/tmp/TestTwo123/001'),
    event('skip', 'x.y/m/sub', 'TestTwo/file=/tmp/TestTwo123/001'),
    event('run', 'x.y/m/sub', 'TestThree'),
    event('fail', 'x.y/m/sub'),
    'not an event',
  ].join('\n')
  assert.deepEqual(
    [...readGoTest(printed, 'x.y/m')],
    [
      ['TestOne', 'passed'],
      ['sub TestTwo/file=/tmp/TestTwo/001', 'skipped'],
      ['sub TestThree', 'failed'],
    ],
  )
})

test('what cargo test prints is read, with a warning in the middle of a line', () => {
  const printed = [
    'running 4 tests',
    'test types::test_bool ... ok',
    'test scram ... FAILED',
    'test test::later - should panic ... ignored, not now',
    'test noisy ... warning: something ok',
    '',
    'test result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.03s',
  ].join('\n')
  assert.deepEqual(
    [...readCargoTest(printed)],
    [
      ['types::test_bool', 'passed'],
      ['scram', 'failed'],
      ['test::later', 'skipped'],
      ['noisy', 'passed'],
    ],
  )
})
