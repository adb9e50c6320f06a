/** A changed policy at SIGHUP: no worker is replaced, sessions that are open are held to it, mistakes change nothing. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { until } from '@portcullis/testkit/chaos/settle'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { edit, reload, workersOf } from '@portcullis/testkit/reloading'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'

let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres()
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy'],
    extra: { proxy: 'drainSecMax: 20' },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

function write(rules: string): void {
  writeFileSync(join(system.value.dir, 'policy.yaml'), rules)
}

async function connected(): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: await system.value.url('ann') })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function isRefused(client: pg.Client, sql: string, reason: string): Promise<boolean> {
  return client.query(sql).then(
    () => false,
    (error: { detail?: string }) => error.detail?.includes(`reason=${reason} `) ?? false,
  )
}

const open = 'rules: [{ name: all, action: allow }]\n'
const reads = `rules: [{ name: reads, when: 'command.effects.all(e, e == "read")', action: allow }]\n`

test('rules come, change and are wrong, while a session is open', async () => {
  write(open)
  edit(system.value, /\ntargets:/, '\npolicy: { file: ./policy.yaml }\ntargets:')
  const idle = await connected()
  await idle.query('create table before_rules (a int)')
  await reload(system.value)
  const workers = workersOf(system.value)
  const client = await connected()
  try {
    await client.query('create table with_open_rules (a int)')

    write(reads)
    await reload(system.value)
    await until('the open session to be held to it', 5000, () =>
      isRefused(client, 'drop table with_open_rules', 'policy_default'),
    )
    await client.query('select 1')
    assert.ok(await isRefused(idle, 'drop table before_rules', 'policy_default'))

    write('rules:\n  - { name: all, actoin: allow }\n')
    const log = await reload(system.value, 'is refused')
    assert.match(log, /policy\.yaml:2:18: rules\.0\.actoin: unknown key/)
    assert.ok(await isRefused(client, 'drop table with_open_rules', 'policy_default'))

    write(open)
    await reload(system.value)
    await until('what was refused to pass', 5000, async () => {
      return !(await isRefused(client, 'drop table if exists with_open_rules', 'policy_default'))
    })
    assert.ok(workers.every((pid) => workersOf(system.value).includes(pid)))
  } finally {
    await client.end()
    await idle.end()
  }
})
