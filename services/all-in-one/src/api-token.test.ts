import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { keptApiToken } from './api-token.ts'

test('the token is the same at every start and for its owner alone; what is none is replaced', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-token-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'api-token')
  const token = keptApiToken(folder)
  assert.match(token, /^[\w-]{32}$/)
  chmodSync(file, 0o644)
  assert.equal(keptApiToken(folder), token)
  assert.equal(statSync(file).mode & 0o077, 0)
  writeFileSync(file, 'x')
  assert.match(keptApiToken(folder), /^[\w-]{32}$/)
})
