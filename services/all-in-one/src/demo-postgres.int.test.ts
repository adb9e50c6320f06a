import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { findPsql } from '@portcullis/testkit/postgres'
import { newDemoPasswords, startDemoPostgres } from './demo-postgres.ts'
import { shopRoles } from './demo-shop.ts'
import { logToFiles } from './supervisor-log.ts'

test("the demo's database keeps its data over a restart and over the death of its wrapper, under new passwords", async (t) => {
  const psql = findPsql()
  if (!psql) return t.skip('psql is not installed')
  const folder = mkdtempSync(join(tmpdir(), 'portcullis-demo-'))
  chmodSync(folder, 0o711)
  const log = logToFiles(join(folder, 'log'), () => undefined)
  const ask = async (port: number, password: string, sql: string) => {
    const args = [`postgres://${shopRoles.agent}@127.0.0.1:${port}/shop`, '-Atc', sql]
    const child = spawn(psql, args, {
      env: { ...process.env, PGPASSWORD: password },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const chunks: Buffer[] = []
    child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
    child.stderr.on('data', (chunk: Buffer) => chunks.push(chunk))
    await once(child, 'close')
    return Buffer.concat(chunks).toString().trim()
  }
  const start = (passwords = newDemoPasswords()) => {
    const order = { dataDir: join(folder, 'postgres'), port: 0, passwords }
    return startDemoPostgres(order, log, new AbortController().signal)
  }
  try {
    const passwords = newDemoPasswords()
    const first = await start(passwords)
    assert.equal(await ask(first.value.port, passwords.agent, 'select count(*) from order_items'), '40000')
    assert.equal(
      await ask(first.value.port, passwords.agent, 'update products set stock = 7 where id = 1'),
      'UPDATE 1',
    )
    assert.match(await ask(first.value.port, passwords.agent, 'drop table products'), /must be owner/)
    const postmaster = Number(readFileSync(join(folder, 'postgres/postmaster.pid'), 'utf8').split('\n')[0])
    process.kill(first.value.pid, 'SIGKILL')
    await first.value.exited
    process.kill(postmaster, 0)

    const changed = newDemoPasswords()
    const second = await start(changed)
    assert.match(await ask(second.value.port, passwords.agent, 'select 1'), /password authentication failed/)
    assert.equal(await ask(second.value.port, changed.agent, 'select stock from products where id = 1'), '7')
    await second.stop()
    await assert.rejects(async () => readFileSync(join(folder, 'postgres/postmaster.pid')), /ENOENT/)
  } finally {
    log.close()
    rmSync(folder, { recursive: true, force: true })
  }
})
