import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { logToFiles } from './supervisor-log.ts'

function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-log-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  return join(folder, 'log')
}

test('a person sees warnings, errors and stray output once, without stack traces; the file has every line', () => {
  const folder = temporary()
  const shown: string[] = []
  const log = logToFiles(folder, (text) => shown.push(text))
  const lines = [
    '{"level":"info","msg":"fine"}',
    '{"level":"error","msg":"bad","err":{"message":"why"}}',
    '{"level":"error","msg":"bad","err":{"message":"why"}}',
    '{"level":"warn","msg":"login refused","why":"expired: the token is over"}',
    'Error: stray',
    '    at somewhere (file:1:1)',
    '}',
  ]
  for (const line of lines) log.line('proxy', line)
  log.info({ part: 'proxy' }, 'not for a person')
  log.close()
  assert.deepEqual(shown, [
    'proxy: error: bad: why',
    'proxy: warn: login refused: expired: the token is over',
    'proxy: Error: stray',
  ])
  assert.equal(readFileSync(join(folder, 'proxy.log'), 'utf8'), `${lines.join('\n')}\n`)
  assert.equal(statSync(join(folder, 'proxy.log')).mode & 0o077, 0)
})

test('files do not grow without end', () => {
  const folder = temporary()
  const log = logToFiles(folder, () => undefined, 1000)
  for (let line = 0; line < 100; line += 1) log.line('proxy', `{"msg":"${'x'.repeat(90)}"}`)
  log.close()
  assert.deepEqual(readdirSync(folder).sort(), ['proxy.1.log', 'proxy.log'])
  for (const file of readdirSync(folder)) assert.ok(statSync(join(folder, file)).size < 1200)
})
