/**
 * Credentials out of Vault (its stand-in), through the real proxy, to a real PostgreSQL: rotated, lent, and with Vault
 * away. Each password is a canary, searched for at the end in all that was written anywhere and sent to any client.
 */
import assert from 'node:assert/strict'
import { connect, createServer, type AddressInfo, type Server } from 'node:net'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Started } from '@portcullis/kernel'
import { allFiles } from '@portcullis/testkit/all-files'
import { allTables } from '@portcullis/testkit/all-tables'
import { until } from '@portcullis/testkit/chaos/settle'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startSystem, type System } from '@portcullis/testkit/system'
import { startVaultStandIn, type VaultStandIn } from '@portcullis/testkit/vault-stand-in'
import pg from 'pg'

const marker = 'marker-3f1c'
const passwords = ['Canary-first-5a', 'Canary-second-6b', 'Canary-wrong-7c']
let postgres: Started<Postgres>
let vault: Started<VaultStandIn>
let system: Started<System>
/** Stands between the clients and the gate, and keeps what passes. */
let wire: Server
const toClients: Buffer[] = []

before(async () => {
  postgres = await startPostgres()
  vault = await startVaultStandIn(postgres.value)
  vault.value.databaseRole('app', { ttlSec: 60, maxTtlSec: 600 })
  await change(passwords[0] ?? '', 'create role canary_shop login password')
  system = await startSystem({
    postgres: postgres.value,
    parts: ['proxy', 'projector', 'query-api'],
    workers: 1,
    credentials: "{ user: 'vault:secret/data/shop#user', password: 'vault:secret/data/shop#password' }",
    env: { CANARY_VAULT_TOKEN: vault.value.root },
    extra: {
      secrets: `cacheSec: 2
staleSec: 4
timeoutMs: 500
vault: { address: '${vault.value.url}', auth: { token: 'env:CANARY_VAULT_TOKEN' } }`,
      shop: `roles:
  lent:
    groups: [agents]
    credentials: { user: 'vault:database/creds/app#username', password: 'vault:database/creds/app#password' }`,
    },
  })
  wire = createServer((client) => {
    const gate = connect(system.value.port(), '127.0.0.1')
    gate.on('data', (chunk) => toClients.push(chunk))
    client.pipe(gate).pipe(client)
    for (const socket of [client, gate]) socket.on('error', () => socket.destroy())
  })
  await new Promise<void>((resolve) => wire.listen(0, '127.0.0.1', resolve))
})
after(async () => {
  wire?.close()
  await system?.stop()
  await vault?.stop()
  await postgres?.stop()
})

/** At the server and then in Vault, as a rotation does. */
async function change(password: string, sql = 'alter role canary_shop password'): Promise<void> {
  await postgres.value.query(`${sql} '${password}'`)
  vault.value.putKv('secret/data/shop', { user: 'canary_shop', password })
}

async function open(user = 'shop'): Promise<pg.Client> {
  const { port } = wire.address() as AddressInfo
  const client = new pg.Client({
    ...{ host: '127.0.0.1', port, user, database: 'postgres' },
    password: await system.value.token('agent'),
  })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

async function works(client: pg.Client): Promise<void> {
  const { rows } = await client.query(`select '${marker}' as seen`)
  assert.equal(rows[0].seen, marker)
}

async function refusedWith(user = 'shop'): Promise<pg.DatabaseError> {
  const error = await open(user).then(
    (client) => client.end().then(() => assert.fail('it was let in')),
    (failure: pg.DatabaseError) => failure,
  )
  return error
}

/** All sessions and commands of the trail, once the last refusal is among them. */
async function trailWithRefusals(): Promise<string> {
  const { apiUrl, apiToken } = system.value
  const read = async (what: string) => {
    const headers = { authorization: `Bearer ${apiToken}` }
    const answer = await fetch(`${apiUrl}/v1/${what}?limit=200`, { headers })
    return answer.ok ? answer.text() : ''
  }
  let sessions = ''
  await until('the refusals in the trail', 30_000, async () => {
    sessions = await read('sessions')
    return sessions.includes('credentials_unavailable')
  })
  return sessions + (await read('commands'))
}

/** Who is signed in at the server. */
const users = async () =>
  (
    await postgres.value.query("select usename from pg_stat_activity where backend_type = 'client backend'")
  ).rows.map(({ usename }) => String(usename))

test('a rotated password is used by the next session, with no restart; the open one lives on', async () => {
  const before = await open()
  await works(before)
  await sleep(1100)
  await change(passwords[1] ?? '')
  const next = await open()
  await works(next)
  await works(before)
  assert.ok((await users()).includes('canary_shop'))
  await Promise.all([before.end(), next.end()])
})

test('a password that is wrong at its source: the gate says so in its own words', async () => {
  await sleep(1100)
  vault.value.putKv('secret/data/shop', { user: 'canary_shop', password: passwords[2] ?? '' })
  await sleep(2000)
  const error = await refusedWith()
  assert.equal(error.message, 'portcullis: the gate cannot sign in at target "shop"')
  assert.equal(error.code, '08006')
  const [, decision = ''] = /^reason=target_sign_in decision=(\w+)$/.exec(error.detail ?? '') ?? []
  const { apiUrl, apiToken } = system.value
  await until('why, in the trail', 30_000, async () => {
    const headers = { authorization: `Bearer ${apiToken}` }
    const answer = await fetch(`${apiUrl}/v1/sessions?decision=${decision}`, { headers })
    return /"detail":"target not reached: sign_in: [^"]*password authentication failed/.test(
      await answer.text(),
    )
  })
  vault.value.putKv('secret/data/shop', { user: 'canary_shop', password: passwords[1] ?? '' })
  await sleep(1100)
  const client = await open()
  await works(client)
  await client.end()
})

test('a lent user: one lease for all sessions of a worker', async () => {
  const [one, two] = [await open('shop+lent'), await open('shop+lent')]
  await works(one)
  await works(two)
  const [lent] = vault.value.users()
  assert.equal(vault.value.users().length, 1)
  assert.ok((await users()).includes(lent ?? ''))
  await Promise.all([one.end(), two.end()])
})

test('Vault gone: open sessions live on, the value serves for its time, then new logins get a clear error', async () => {
  const lives = await open()
  await works(lives)
  const asked = vault.value.url
  await vault.value.close()
  await sleep(2500)
  const stale = await open()
  await works(stale)
  await stale.end()
  await sleep(4500)
  const startMs = performance.now()
  const error = await refusedWith()
  assert.ok(performance.now() - startMs < 3000, 'nothing hangs')
  assert.equal(error.code, '57P03')
  assert.equal(error.message, 'portcullis: the gate cannot get the credentials of this target now')
  assert.match(error.detail ?? '', /^reason=credentials_unavailable decision=[0-9A-Z]{26}$/)
  assert.match(error.hint ?? '', /Retry later/)
  assert.doesNotMatch(
    JSON.stringify({ ...error, stack: error.stack }),
    new RegExp(`${asked}|secret/data|vault:`),
  )
  await works(lives)
  const log = system.value.log()
  assert.match(
    log,
    /"why":"the gate cannot sign in at target \\"shop\\": vault:secret\/data\/shop: http:[^"]* cannot be reached/,
  )
  assert.match(log, /the last good value is too old \(secrets\.staleSec\)/)
  await vault.value.open()
  await until('Vault to be asked again', 20_000, async () => {
    const client = await open().catch(() => undefined)
    await client?.end()
    return client !== undefined
  })
  await works(lives)
  await lives.end()
})

test('what was lent is given back at the end, and no canary is anywhere', async () => {
  await system.value.stopPart('proxy:gate-1')
  const answered = await trailWithRefusals()
  assert.ok(system.value.engine)
  assert.deepEqual(vault.value.users(), [])
  const haystacks = [
    ...allFiles(system.value.dir),
    ...(await allTables(system.value.engine)),
    { file: 'what was answered', text: answered },
    { file: 'the wire to the clients', text: Buffer.concat(toClients).toString('latin1') },
  ]
  const holding = (needle: string) =>
    haystacks.filter(({ text }) => text.includes(needle)).map(({ file }) => file)
  // It would be found: the text of a query is in the events, and its answer on the wire.
  assert.ok(holding(marker).some((file) => /data\.mdb|seg-/.test(file)))
  for (const place of ['the wire to the clients', 'what was answered', 'table commands_log'])
    assert.ok(holding(marker).includes(place), place)
  // Passwords of KV and of leases all begin so.
  assert.deepEqual(holding('Canary-'), [])
  assert.deepEqual(holding(vault.value.root), [])
})
