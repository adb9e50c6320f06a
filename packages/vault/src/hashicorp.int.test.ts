/** HashiCorp Vault by the stand-in of testkit, whose database roles are real roles of a real PostgreSQL. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, beforeEach, test, type TestContext } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Started, systemClock } from '@portcullis/kernel'
import { type Postgres, startPostgres } from '@portcullis/testkit/postgres'
import { startVaultStandIn, type VaultStandIn } from '@portcullis/testkit/vault-stand-in'
import pg from 'pg'
import { createSealer, createSources, createTransit, createVault, Secret, type VaultError } from './index.ts'
import { createHashicorp } from './sources/hashicorp.ts'
import type { HashicorpAuth } from './sources/hashicorp-login.ts'
import { readLocal } from './sources/local.ts'

const dir = mkdtempSync(join(tmpdir(), 'portcullis-vault-'))
const user = 'vault:database/creds/app#username'
const password = 'vault:database/creds/app#password'
let postgres: Started<Postgres>
let standIn: Started<VaultStandIn>

before(async () => {
  postgres = await startPostgres()
})
beforeEach(async () => {
  await standIn?.stop()
  standIn = await startVaultStandIn(postgres.value)
  process.env.PC_TEST_VAULT_TOKEN = standIn.value.root
})
after(async () => {
  await standIn?.stop()
  await postgres?.stop()
  rmSync(dir, { recursive: true })
})

function open(
  t: TestContext,
  auth: HashicorpAuth = { token: 'env:PC_TEST_VAULT_TOKEN' },
  times: { cacheMs?: number; staleMs?: number; timeoutMs?: number } = {},
) {
  const logged: string[] = []
  const note = (fields: object, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`)
  const { timeoutMs = 1000, cacheMs = 60_000, staleMs = 60_000 } = times
  const sources = createSources({ timeoutMs, vault: { address: standIn.value.url, auth } }, systemClock)
  const { value, stop } = createVault({
    sources,
    clock: systemClock,
    log: { info: note, warn: note },
    cacheMs,
    staleMs,
  })
  t.after(stop)
  return { vault: value, logged, stop }
}

async function signIn([name, word]: readonly Secret[]): Promise<pg.Client> {
  const { host, port, database } = postgres.value
  const client = new pg.Client({
    host,
    port,
    database,
    user: name?.reveal() ?? '',
    password: word?.reveal() ?? '',
  })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

test('KV version 2: fields of the newest version; none, deleted and forbidden are told apart', async (t) => {
  const { vault } = open(t)
  standIn.value.putKv('secret/data/shop', { password: 'canary-kv' })
  assert.equal((await vault.resolve('vault:secret/data/shop#password')).reveal(), 'canary-kv')
  standIn.value.putKv('secret/data/old', undefined)
  standIn.value.denied.add('secret/data/theirs')
  const told = async (reference: string) =>
    vault.resolve(reference).then(
      () => assert.fail(reference),
      (error: VaultError) => error,
    )
  assert.equal((await told('vault:secret/data/none#password')).code, 'not_found')
  assert.equal((await told('vault:secret/data/old#password')).code, 'not_found')
  assert.equal((await told('vault:secret/data/shop#pin')).code, 'not_found')
  assert.equal((await told('vault:sys/seal/x#a')).code, 'reference')
  const denied = await told('vault:secret/data/theirs#password')
  assert.equal(denied.code, 'denied')
  assert.match(denied.message, /^vault:secret\/data\/theirs#password: Vault does not let the gate read it/)
})

test('login by AppRole, Kubernetes and JWT; a wrong one is said so without what it was', async (t) => {
  const { value } = standIn
  value.putKv('secret/data/shop', { password: 'canary-kv' })
  value.known.appRole.push('role-1:canary-secret-id')
  value.known.jwt.push('gate:canary-jwt')
  process.env.PC_TEST_ROLE_ID = 'role-1'
  process.env.PC_TEST_SECRET_ID = 'canary-secret-id'
  process.env.PC_TEST_WRONG = 'canary-wrong'
  const tokenFile = join(dir, 'token')
  writeFileSync(tokenFile, 'canary-jwt\n')
  const good: HashicorpAuth[] = [
    { appRole: { roleId: 'env:PC_TEST_ROLE_ID', secretId: 'env:PC_TEST_SECRET_ID', mount: 'approle' } },
    { kubernetes: { role: 'gate', tokenFile, mount: 'kubernetes' } },
    { jwt: { role: 'gate', token: `file:${tokenFile}`, mount: 'jwt' } },
  ]
  for (const auth of good)
    assert.equal((await open(t, auth).vault.resolve('vault:secret/data/shop#password')).reveal(), 'canary-kv')
  const bad: HashicorpAuth[] = [
    { appRole: { roleId: 'env:PC_TEST_ROLE_ID', secretId: 'env:PC_TEST_WRONG', mount: 'approle' } },
    { jwt: { role: 'gate', token: 'env:PC_TEST_WRONG', mount: 'jwt' } },
    { token: 'env:PC_TEST_WRONG' },
    { token: 'env:PC_TEST_UNSET' },
  ]
  for (const auth of bad) {
    await assert.rejects(
      open(t, auth).vault.resolve('vault:secret/data/shop#password'),
      (error: VaultError) => {
        assert.match(error.code, /^(denied|not_found)$/)
        assert.doesNotMatch(error.stack ?? '', /canary/)
        return true
      },
    )
  }
})

test('a token that was revoked: logged in anew, once; a path that is denied causes no login', async (t) => {
  const { value } = standIn
  value.known.jwt.push('gate:jwt-1')
  process.env.PC_TEST_JWT = 'jwt-1'
  value.putKv('secret/data/a', { x: '1' })
  value.putKv('secret/data/b', { x: '2' })
  const { vault } = open(t, { jwt: { role: 'gate', token: 'env:PC_TEST_JWT', mount: 'jwt' } })
  const logins = () => value.asked.filter((line) => line === 'POST auth/jwt/login').length
  await vault.resolve('vault:secret/data/a#x')
  await value.endTokens()
  assert.equal((await vault.resolve('vault:secret/data/b#x')).reveal(), '2')
  assert.equal(logins(), 2)
  value.denied.add('secret/data/c')
  await assert.rejects(vault.resolve('vault:secret/data/c#x'), { code: 'denied' })
  assert.equal(logins(), 2)
})

test('a login is renewed while it can be, and then made anew before it ends', async (t) => {
  const { value } = standIn
  value.known.jwt.push('gate:jwt-1')
  process.env.PC_TEST_JWT = 'jwt-1'
  Object.assign(value.logins, { ttlSec: 1, maxTtlSec: 2 })
  value.putKv('secret/data/a', { x: '1' })
  const { vault } = open(
    t,
    { jwt: { role: 'gate', token: 'env:PC_TEST_JWT', mount: 'jwt' } },
    { cacheMs: 50 },
  )
  const count = (line: string) => value.asked.filter((asked) => asked === line).length
  for (let n = 0; n < 12; n++) {
    await vault.resolve('vault:secret/data/a#x')
    await sleep(300)
  }
  assert.ok(count('POST auth/token/renew-self') >= 2)
  assert.ok(count('POST auth/jwt/login') >= 2)
})

test('the database engine: user and password of one lease, shared, renewed, and given back', async (t) => {
  const { value } = standIn
  value.databaseRole('app', { ttlSec: 2, maxTtlSec: 60 })
  const { vault, stop } = open(t)
  const [one, two] = await Promise.all([vault.borrow([user, password]), vault.borrow([user, password])])
  assert.ok(one && two)
  assert.equal(value.users().length, 1)
  assert.ok(one.secrets[0]?.equals(two.secrets[0] as Secret))
  const client = await signIn(one.secrets)
  const { rows } = await client.query('select current_user as name')
  assert.equal(rows[0].name, one.secrets[0]?.reveal())
  await sleep(3500)
  // Past its first life: it was renewed, and nobody had to sign in anew.
  assert.deepEqual(value.users(), [one.secrets[0]?.reveal()])
  assert.ok(value.asked.filter((line) => line === 'POST sys/leases/renew').length >= 2)
  await client.end()
  one.release()
  two.release()
  await stop()
  assert.deepEqual(value.users(), [])
  await assert.rejects(signIn(one.secrets))
})

test('a lease at its greatest age: another for new sessions, the old one for those who hold it, until they let go', async (t) => {
  const { value } = standIn
  value.databaseRole('app', { ttlSec: 5, maxTtlSec: 5 })
  const { vault } = open(t)
  const old = await vault.borrow([user, password])
  const client = await signIn(old.secrets)
  let next = await vault.borrow([user, password])
  for (
    const endMs = Date.now() + 5000;
    next.secrets[0]?.equals(old.secrets[0] as Secret) && Date.now() < endMs;
  ) {
    next.release()
    await sleep(100)
    next = await vault.borrow([user, password])
  }
  const [oldName, newName] = [old.secrets[0]?.reveal() ?? '', next.secrets[0]?.reveal() ?? '']
  assert.notEqual(newName, oldName)
  assert.ok(value.users().includes(oldName))
  await (await signIn(next.secrets)).end()
  await client.query('select 1')
  old.release()
  await sleep(150)
  assert.deepEqual(value.users(), [newName])
  next.release()
  await client.end()
})

test('a lease that cannot be renewed at all is replaced at 2/3 of its life', async (t) => {
  const { value } = standIn
  value.databaseRole('app', { ttlSec: 2, maxTtlSec: 2, renewable: false })
  const { vault } = open(t)
  const first = (await vault.resolve(user)).reveal()
  await sleep(1600)
  const second = vault.cached(user)?.reveal()
  assert.ok(second)
  assert.notEqual(second, first)
  assert.equal(value.asked.includes('POST sys/leases/renew'), false)
})

test('the login ends, and with it what it was lent: the next session gets another', async (t) => {
  const { value } = standIn
  value.known.jwt.push('gate:jwt-1')
  process.env.PC_TEST_JWT = 'jwt-1'
  value.databaseRole('app', { ttlSec: 2, maxTtlSec: 60 })
  const { vault } = open(t, { jwt: { role: 'gate', token: 'env:PC_TEST_JWT', mount: 'jwt' } })
  const loan = await vault.borrow([user, password])
  await value.endTokens()
  await sleep(1800)
  const next = await vault.borrow([user, password])
  assert.ok(!next.secrets[0]?.equals(loan.secrets[0] as Secret))
  await (await signIn(next.secrets)).end()
  loan.release()
  next.release()
})

test('Vault away, sealed or silent: the last value serves, nothing hangs, and it is taken up again', async (t) => {
  const { value } = standIn
  value.putKv('secret/data/shop', { password: 'canary-1' })
  const { vault, logged } = open(t, undefined, { cacheMs: 100, staleMs: 60_000, timeoutMs: 300 })
  const now = async () => (await vault.resolve('vault:secret/data/shop#password')).reveal()
  assert.equal(await now(), 'canary-1')
  value.putKv('secret/data/shop', { password: 'canary-2' })
  const ways: [string, () => unknown, () => unknown][] = [
    ['away', () => value.close(), () => value.open()],
    [
      'sealed',
      () => Object.assign(value, { state: 'sealed' }),
      () => Object.assign(value, { state: 'serving' }),
    ],
    [
      'silent',
      () => Object.assign(value, { state: 'silent' }),
      () => Object.assign(value, { state: 'serving' }),
    ],
  ]
  let expected = 'canary-2'
  await sleep(150)
  for (const [way, begin, end] of ways) {
    assert.equal(await now(), expected)
    await begin()
    await sleep(200)
    value.putKv('secret/data/shop', { password: `canary-${way}` })
    const startMs = performance.now()
    assert.equal(await now(), expected, way)
    assert.equal(await now(), expected, way)
    assert.ok(performance.now() - startMs < 900, `${way}: bounded`)
    await assert.rejects(vault.resolve('vault:secret/data/never#x'), { code: 'unavailable' })
    await end()
    expected = `canary-${way}`
    for (const endMs = Date.now() + 4000; (await now()) !== expected && Date.now() < endMs; ) await sleep(50)
    assert.equal(await now(), expected, way)
    await sleep(700)
  }
  assert.doesNotMatch(logged.join('\n'), /canary/)
  assert.ok(
    logged.some((line) =>
      /a secret cannot be read .*cannot be reached.*last good value serves for \d+ s/.test(line),
    ),
  )
})

test('transit seals and opens, follows a rotation of its key, and minds where a secret belongs', async () => {
  const { value } = standIn
  const settings = { address: value.url, auth: { token: 'env:PC_TEST_VAULT_TOKEN' }, timeoutMs: 1000 }
  const { call, source } = createHashicorp(settings, { clock: systemClock, readLocal })
  const sealer = createSealer(createTransit({ mount: 'transit', key: 'master' }, call))
  const context = { aggregateId: 'target:shop', name: 'password', version: 1 }
  const sealed = await sealer.seal(new Secret('canary'), context)
  assert.equal((await sealer.open(sealed, context)).reveal(), 'canary')
  await assert.rejects(sealer.open(sealed, { ...context, version: 2 }), { code: 'unsealable' })
  value.rotateTransit()
  const rewrapped = await sealer.rewrap(sealed, context)
  assert.ok(sealer.isOld(sealed) && !sealer.isOld(rewrapped))
  assert.equal((await sealer.open(rewrapped, context)).reveal(), 'canary')
  value.state = 'sealed'
  await assert.rejects(sealer.open(sealed, context), { code: 'unavailable' })
  source.stop?.()
})
