import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { auditContract } from '@portcullis/testkit/audit-contract'
import { connectAudit } from '../connect.ts'
import { AuditError, type Engine, startEngine, takeEngineAddress } from './index.ts'

const log = { debug() {}, info() {}, warn() {}, error() {} }
const dir = mkdtempSync(join(tmpdir(), 'portcullis-audit-'))
let engine: Started<Engine>

before(async () => {
  engine = await startEngine({ dir, log })
})
after(async () => {
  await engine.stop()
  rmSync(dir, { recursive: true, force: true })
})

auditContract('embedded engine', async () => engine.value)

const server = process.env.PORTCULLIS_CLICKHOUSE
if (server) {
  const url = new URL(server)
  const username = decodeURIComponent(url.username) || 'default'
  const password = decodeURIComponent(url.password)
  url.username = ''
  url.password = ''
  auditContract('ClickHouse server', async () => ({ url: url.href, username, password }))
} else if (!process.env.CI) {
  // Nothing that CI could install: there it is not even missing.
  test('audit store: ClickHouse server', (t) => t.skip('PORTCULLIS_CLICKHOUSE=url names no server'))
}

test('an insert waits for an engine that is killed and comes back, and is there once', async () => {
  const { url, password, port, pid } = engine.value
  const env: NodeJS.ProcessEnv = { PORTCULLIS_ENGINE_URL: url, PORTCULLIS_ENGINE_PASSWORD: password }
  const store = connectAudit('embedded:x', {
    username: 'ignored',
    password: '',
    database: 'away',
    log,
    engine: takeEngineAddress(env),
  })
  assert.equal(env.PORTCULLIS_ENGINE_PASSWORD, undefined, 'no child inherits the secret')
  await store.command('CREATE DATABASE away', { in: 'server' })
  await store.command('CREATE TABLE kept (a UInt32) ENGINE = ReplacingMergeTree ORDER BY a')
  const table = { name: 'kept', columns: [{ name: 'a', type: 'UInt32', of: (row: number) => row }] }
  process.kill(pid, 'SIGKILL')
  await engine.value.exited
  const inserted = store.insert(table, [1, 2])
  await sleep(200)
  engine = await startEngine({ dir, log, port, password })
  await inserted
  assert.deepEqual(await store.query('SELECT a FROM kept FINAL ORDER BY a'), [{ a: 1 }, { a: 2 }])
  await store.close()
})

test('an embedded trail without its engine says what to do', () => {
  const options = { username: '', password: '', log }
  assert.throws(() => connectAudit('embedded:x', options), /PORTCULLIS_ENGINE_URL/)
  assert.throws(
    () => takeEngineAddress({ PORTCULLIS_ENGINE_URL: 'http://x' }),
    (error) => error instanceof AuditError && error.code === 'invalid_url',
  )
})
