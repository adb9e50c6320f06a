import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import pg from 'pg'
import { findPsql, startPostgres } from './postgres.ts'

test('a server with scram, an ordinary role and a statement log; stopped, it leaves nothing', async () => {
  const { value: server, stop } = await startPostgres({ settings: { log_statement: 'all' } })
  try {
    const { rows } = await server.query<{ v: string }>('select version() as v')
    assert.match(rows[0]?.v ?? '', /^PostgreSQL 18/)
    const app = new pg.Client({ connectionString: server.app.url })
    await app.connect()
    const role = await app.query(
      'select current_user as u, rolsuper as s from pg_roles where rolname = current_user',
    )
    assert.deepEqual(role.rows, [{ u: 'app', s: false }])
    await app.query('create table mine (a int)')
    await app.end()
    assert.match(server.log(), /statement: create table mine/)
    const wrong = new pg.Client({ connectionString: server.app.url.replace(/:[^:@]*@/, ':wrong@') })
    await assert.rejects(wrong.connect(), /password authentication failed/)
  } finally {
    await stop()
  }
  assert.equal(existsSync(server.dataDir), false)
  assert.throws(() => process.kill(server.pid(), 0), /ESRCH/)
})

test('killed and restarted on the same port it has what was committed', async () => {
  const { value: server, stop } = await startPostgres()
  try {
    await server.query('create table kept as select 1 as a')
    await server.kill9()
    await assert.rejects(server.query('select 1'))
    await server.restart()
    assert.deepEqual((await server.query('select * from kept')).rows, [{ a: 1 }])
  } finally {
    await stop()
  }
})

test('TLS is verified by its CA, and where it is required plaintext is refused', async () => {
  const { value: server, stop } = await startPostgres({ ssl: 'required' })
  try {
    const { rows } = await server.query('select ssl, version from pg_stat_ssl where pid = pg_backend_pid()')
    assert.deepEqual(rows, [{ ssl: true, version: 'TLSv1.3' }])
    const plain = new pg.Client({ connectionString: server.url, ssl: false })
    await assert.rejects(plain.connect(), /no encryption/)
    const psql = findPsql()
    if (psql) {
      const out = execFileSync(psql, [`${server.url}?sslmode=require`, '-Atc', 'select 1'], {
        encoding: 'utf8',
      })
      assert.equal(out, '1\n')
    }
  } finally {
    await stop()
  }
})

for (const auth of ['md5', 'password', 'trust'] as const) {
  test(`authentication by ${auth}`, async () => {
    const { value: server, stop } = await startPostgres({ auth })
    try {
      assert.equal((await server.query('select 1 as one')).rows[0]?.one, 1)
      const { rows } = await server.query("select rolpassword as p from pg_authid where rolname = 'app'")
      assert.match(rows[0]?.p, auth === 'md5' ? /^md5/ : /^SCRAM/)
    } finally {
      await stop()
    }
  })
}

test('a data folder of its own keeps data, and takes new passwords at each start', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-keep-'))
  execFileSync('chmod', ['711', folder])
  const dataDir = join(folder, 'pg')
  try {
    const first = await startPostgres({ dataDir, passwords: { superuser: 'one', app: 'two' } })
    await first.value.query('create table kept as select 7 as a')
    await first.stop()
    const second = await startPostgres({ dataDir, passwords: { superuser: 'three', app: 'four' } })
    assert.deepEqual((await second.value.query('select * from kept')).rows, [{ a: 7 }])
    const old = new pg.Client({ connectionString: second.value.url.replace(':three@', ':one@') })
    await assert.rejects(old.connect(), /password authentication failed/)
    await second.stop()
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})
