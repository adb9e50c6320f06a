import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { openFailure } from './open-failure.ts'

test('a platform without the engine is told to use a server', () => {
  const missing = Object.assign(new Error("Cannot find module '@chdb/lib-linux-x64-musl'"), {
    code: 'MODULE_NOT_FOUND',
  })
  const { code, message } = openFailure('/nowhere', missing)
  assert.equal(code, 'engine_unsupported')
  assert.match(message, /audit\.url/)
})

test('a directory that a living process holds is told apart from one that a dead process left', () => {
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-open-'))
  const failed = new Error('Failed to create connection')
  writeFileSync(join(dir, 'status'), `PID: ${process.ppid}\nStarted at: now\n`)
  assert.equal(openFailure(dir, failed).code, 'engine_locked')
  assert.match(openFailure(dir, failed).message, new RegExp(`process ${process.ppid}`))
  writeFileSync(join(dir, 'status'), 'PID: 2147483646\n')
  assert.equal(openFailure(dir, failed).code, 'engine_failed')
  rmSync(dir, { recursive: true })
  assert.equal(openFailure(dir, failed).code, 'engine_failed')
})
