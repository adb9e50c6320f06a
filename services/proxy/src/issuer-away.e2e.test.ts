/** The whole proxy by its own processes, restarted while its issuer is away: agents that it knew are still let in. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startPostgres } from '@portcullis/testkit/postgres'
import { startSystem } from '@portcullis/testkit/system'
import pg from 'pg'

test('a proxy that is killed and started anew while its issuer is away lets in whom it knew', async (t) => {
  const postgres = await startPostgres()
  t.after(() => postgres.stop())
  const system = await startSystem({ postgres: postgres.value, parts: ['proxy'], workers: 1 })
  t.after(() => system.stop())
  const { issuer } = system.value
  const ask = async () => {
    const client = new pg.Client(`${await system.value.url('ann')}postgres`)
    await client.connect()
    const { rows } = await client.query('select 1 as one')
    await client.end()
    return rows
  }
  assert.deepEqual(await ask(), [{ one: 1 }])
  const keys = join(system.value.dir, 'data/proxy/gate-1/keys')
  for (let tries = 0; tries < 100 && !(existsSync(keys) && readdirSync(keys).length > 0); tries += 1)
    await new Promise((resolve) => setTimeout(resolve, 20))
  issuer.pause()
  await system.value.kill9('proxy:gate-1')
  assert.deepEqual(await ask(), [{ one: 1 }])
  assert.match(system.value.log(), /issuer keys of an earlier run serve until it answers/)
})
