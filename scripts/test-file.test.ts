import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { runTestFile } from './test-file.ts'

const folder = mkdtempSync(join(tmpdir(), 'portcullis-runner-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

function run(name: string, source: string, limitMs = 20_000) {
  const file = join(folder, `${name}.test.ts`)
  writeFileSync(file, `import { describe, it, test } from 'node:test'\n${source}`)
  return runTestFile(file, limitMs)
}

test('passes, failures with their suites, skips with their reasons', async () => {
  const result = await run(
    'mixed',
    `
    test('good', () => {})
    describe('suite', () => {
      it('bad', () => { throw new Error('because') })
      it('good too', () => {})
      it('left out', (t) => t.skip('no Java'))
    })
    test('later', { todo: true }, () => {})
    `,
  )
  assert.equal(result.passed, 2)
  assert.deepEqual(
    result.failures.map(({ name }) => name),
    ['suite > bad'],
  )
  assert.match(result.failures[0]?.detail ?? '', /because/)
  assert.deepEqual(result.skips, [
    { name: 'suite > left out', reason: 'no Java' },
    { name: 'later', reason: 'todo' },
  ])
})

test('a file that hangs is killed with all that it started, and says what was running', async () => {
  const pidFile = join(folder, 'pid')
  const result = await run(
    'hangs',
    `
    import { spawn } from 'node:child_process'
    import { writeFileSync } from 'node:fs'
    test('first', () => {})
    test('never ends', async () => {
      writeFileSync(${JSON.stringify(pidFile)}, String(spawn('sleep', ['600']).pid))
      await new Promise((resolve) => setTimeout(resolve, 600_000))
    })
    `,
    1500,
  )
  assert.equal(result.failures.length, 1)
  assert.match(result.failures[0]?.name ?? '', /^killed after 1.5 s; running: .*never ends/)
  const pid = Number(readFileSync(pidFile, 'utf8'))
  assert.equal(isRunning(pid), false)
})

test('a file that does not load, that exits early, or that holds no test has failed', async () => {
  const broken = await run('broken', "import './nowhere.ts'")
  assert.match(broken.failures[0]?.detail ?? '', /nowhere/)
  const early = await run('early', "test('good', () => {})\nsetImmediate(() => process.exit(3))")
  assert.equal(early.failures.length, 1)
  const empty = await run('empty', 'it; test; describe')
  assert.match(empty.failures[0]?.name ?? '', /holds no test|ended with/)
})

/** A killed orphan stays a zombie where nobody reaps: it exists and does not run. */
function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return execFileSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' }).trim()[0] !== 'Z'
  } catch {
    return false
  }
}
