/**
 * Forged tokens against the whole gate, by a real driver: every mistake of RFC 8725 and 1,000 mutations of a real token.
 * All are refused in the same words, each leaves its reason in the audit trail, and the gate serves on.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import type { Started } from '@portcullis/kernel'
import { connectAudit } from '@portcullis/platform/connect'
import { forgedTokens, mutatedTokens } from '@portcullis/testkit/forged-tokens'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import pg from 'pg'

const condition = '"agents" in claims.groups'
let postgres: Started<Postgres>
let system: Started<System>

before(async () => {
  postgres = await startPostgres()
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'projector'],
    extra: { issuer: `authorizedParties: [ci]\nconditions: ['${condition}']` },
  })
})
after(async () => {
  await system?.stop()
  await postgres?.stop()
})

test('each is refused in the same words, with its reason in the trail', async () => {
  const { issuer } = system.value
  const real = await issuer.sign({ sub: 'ann', azp: 'ci', groups: ['agents'] }, { ttlSec: 3600 })
  assert.equal(await login(real, 'before'), 'let in')
  const workers = workersOf()
  const byCondition = {
    name: 'condition',
    code: 'condition',
    token: await issuer.sign({ sub: 'mallory', azp: 'ci', groups: ['others'] }),
  }
  const corpus = [...(await forgedTokens(issuer)), byCondition]
  const mutated = mutatedTokens(real, 1000).map((token, at) => ({ name: `mutated-${at}`, token }))

  const queue = [...corpus, ...mutated]
  const heard = new Map<string, string>()
  const client = async () => {
    for (let next = queue.shift(); next; next = queue.shift())
      heard.set(next.name, await login(next.token, next.name))
  }
  await Promise.all(Array.from({ length: 8 }, client))

  assert.equal(heard.size, corpus.length + mutated.length)
  assert.deepEqual([...new Set(heard.values())], ['FATAL 28000: portcullis: not authorised'])
  assert.equal(await login(real, 'after'), 'let in')
  assert.deepEqual(workersOf(), workers, 'no worker died of them')

  const refused = await refusedSessions(heard.size)
  assert.equal(refused.size, heard.size)
  for (const { name, code } of corpus) assert.match(refused.get(name) ?? '', new RegExp(`^${code}: `), name)
  for (const { name } of mutated) assert.match(refused.get(name) ?? '', /^[a-z_]+: ./, name)
  assert.equal(
    refused.get('condition'),
    `condition: the condition ${JSON.stringify(condition)} does not hold`,
  )
  const [, , signature = ''] = real.split('.')
  const everything = `${[...refused.values()].join('\n')}\n${system.value.log()}`
  assert.ok(!everything.includes(signature), 'a token stands in the trail or the log')
})

/** What a driver hears; the client's name finds the session in the trail. */
async function login(token: string, name: string): Promise<string> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: system.value.port(),
    user: 'shop',
    password: token,
    database: 'postgres',
    application_name: name,
  })
  try {
    await client.connect()
    await client.query('select 1')
    return 'let in'
  } catch (error) {
    const { severity, code, message } = error as pg.DatabaseError
    return `${severity} ${code}: ${message}`
  } finally {
    await client.end().catch(() => undefined)
  }
}

function workersOf(): number[] {
  return system.value.childrenOf('proxy', 'worker.ts')
}

/** Client's name -> the reason in words. */
async function refusedSessions(expected: number): Promise<Map<string, string>> {
  const { engine } = system.value
  assert.ok(engine)
  const store = connectAudit('embedded:', { engine, username: 'default', password: '', log: quiet })
  try {
    const deadline = Date.now() + 20_000
    for (;;) {
      const rows = (await store.query(
        `select client, detail, subject from sessions where phase = 'refused' and decision_reason = 'not_authorised'`,
      )) as { client: string; detail: string; subject: string }[]
      if (rows.length >= expected || Date.now() > deadline) {
        const named = rows.filter(({ subject }) => subject !== '').map(({ client }) => client)
        assert.deepEqual(named, ['expired'], 'only what was proven once names somebody')
        return new Map(rows.map(({ client, detail }) => [client, detail]))
      }
      await new Promise((resolve) => setTimeout(resolve, 200))
    }
  } finally {
    await store.close()
  }
}

const quiet = { info: () => undefined, warn: () => undefined, error: () => undefined, debug: () => undefined }
