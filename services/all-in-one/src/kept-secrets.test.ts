import assert from 'node:assert/strict'
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { keptApiToken, keptOwnKey } from './kept-secrets.ts'

test('the secrets are the same at every start and for their owner alone; what is none is replaced', () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-token-'))
  test.after(() => rmSync(folder, { recursive: true, force: true }))
  const file = join(folder, 'api-token')
  const token = keptApiToken(folder)
  assert.match(token, /^[\w-]{32}$/)
  chmodSync(file, 0o644)
  assert.equal(keptApiToken(folder), token)
  assert.equal(statSync(file).mode & 0o077, 0)
  const key = keptOwnKey(folder)
  assert.equal(Buffer.from(key, 'base64').length, 32)
  assert.equal(keptOwnKey(folder), key)
  writeFileSync(file, 'x')
  assert.match(keptApiToken(folder), /^[\w-]{32}$/)
})
