/** Caching, one reading at a time, and what serves while a source is away. The source is this file's own. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { systemClock } from '@portcullis/kernel'
import { createVault, VaultError } from './index.ts'
import type { Document, Source } from './source.ts'

const user = 'vault:secret/data/shop#user'
const password = 'vault:secret/data/shop#password'

function bed(times: { cacheMs?: number; staleMs?: number } = {}) {
  const logged: string[] = []
  const state = { version: 1, reads: 0, waitMs: 0, failure: undefined as VaultError | undefined }
  const source: Source = {
    async read(): Promise<Document> {
      state.reads++
      const { version, failure } = state
      if (state.waitMs > 0) await sleep(state.waitMs)
      if (failure) throw failure
      return {
        fields: new Map([
          ['user', `user-${version}`],
          ['password', `canary-${version}`],
        ]),
      }
    },
  }
  const note = (fields: object, message: string) => void logged.push(`${message} ${JSON.stringify(fields)}`)
  const { value: vault, stop } = createVault({
    sources: { vault: source },
    clock: systemClock,
    log: { info: note, warn: note },
    cacheMs: 60_000,
    staleMs: 60_000,
    ...times,
  })
  return { vault, stop, state, logged }
}

const away = new VaultError('unavailable', 'https://vault.example cannot be reached: refused')
const gone = new VaultError('not_found', 'there is no such secret')

test('a thousand who ask at once make one reading, and later ones none', async () => {
  const { vault, state, stop } = bed()
  state.waitMs = 20
  assert.equal(vault.cached(password), undefined)
  const all = await Promise.all(Array.from({ length: 1000 }, () => vault.resolve(password)))
  assert.ok(all.every((secret) => secret.reveal() === 'canary-1'))
  await vault.resolve(user)
  assert.equal(vault.cached(user)?.reveal(), 'user-1')
  assert.equal(state.reads, 1)
  await stop()
})

test('a user and its password are of one reading, whatever changes between them', async () => {
  const { vault, state, stop } = bed()
  const loan = await vault.borrow([user, password])
  state.version = 2
  assert.deepEqual(
    loan.secrets.map((secret) => secret.reveal()),
    ['user-1', 'canary-1'],
  )
  loan.release()
  await stop()
})

test('a value is read anew before it gets old, without anyone who waits', async () => {
  const { vault, state, stop } = bed({ cacheMs: 100 })
  await vault.resolve(password)
  state.version = 2
  await sleep(95)
  assert.equal(vault.cached(password)?.reveal(), 'canary-2')
  assert.equal(state.reads, 2)
  await stop()
})

test('while the source is away the last good value serves for its time, and then there is a clear error', async () => {
  const { vault, state, stop, logged } = bed({ cacheMs: 50, staleMs: 400 })
  await vault.resolve(password)
  state.failure = away
  await sleep(120)
  assert.equal((await vault.resolve(password)).reveal(), 'canary-1')
  state.waitMs = 300
  const startMs = performance.now()
  assert.equal((await vault.resolve(password)).reveal(), 'canary-1')
  assert.ok(performance.now() - startMs < 100, 'nobody waits for a source that is known to be away')
  state.waitMs = 0
  await sleep(500)
  await assert.rejects(vault.resolve(password), (error: VaultError) => {
    assert.equal(error.code, 'unavailable')
    assert.match(error.message, /^vault:secret\/data\/shop: https:\/\/vault\.example cannot be reached/)
    return true
  })
  assert.equal(vault.cached(password), undefined)
  // Said once, not with every try.
  assert.equal(logged.filter((line) => line.startsWith('a secret cannot be read')).length, 1)
  state.failure = undefined
  state.version = 2
  await sleep(1100)
  assert.equal((await vault.resolve(password)).reveal(), 'canary-2')
  assert.ok(logged.some((line) => line.startsWith('the secret can be read again')))
  assert.doesNotMatch(logged.join(), /canary/)
  await stop()
})

test('what the source takes back serves no longer, however young the last value is', async () => {
  const { vault, state, stop } = bed({ cacheMs: 50, staleMs: 60_000 })
  await vault.resolve(password)
  state.failure = gone
  await sleep(60)
  await assert.rejects(vault.resolve(password), { code: 'not_found' })
  assert.equal(vault.cached(password), undefined)
  await stop()
})

test('a source that fails is not asked by everyone who comes', async () => {
  const { vault, state, stop } = bed()
  state.failure = away
  for (let n = 0; n < 50; n++) await assert.rejects(vault.resolve(password))
  assert.equal(state.reads, 1)
  await stop()
})

test('a target refused it: read anew, at most once a second, and told whether it differs', async () => {
  const { vault, state, stop } = bed()
  const loan = await vault.borrow([password])
  state.version = 2
  assert.equal(await loan.renew(), false)
  assert.equal(state.reads, 1)
  await sleep(1010)
  assert.equal(await loan.renew(), true)
  assert.equal(loan.secrets[0]?.reveal(), 'canary-2')
  assert.equal(await loan.renew(), false)
  assert.equal(state.reads, 2)
  loan.release()
  await stop()
})

test('another session that was refused with the old value gets the new one without a word to the source', async () => {
  const { vault, state, stop } = bed()
  const [one, two] = [await vault.borrow([password]), await vault.borrow([password])]
  state.version = 2
  await sleep(1010)
  assert.deepEqual([await one?.renew(), await two?.renew()], [true, true])
  assert.equal(state.reads, 2)
  await stop()
})

test('a target that refuses everyone while the source is away does not have the source asked by everyone', async () => {
  const { vault, state, stop } = bed()
  const loan = await vault.borrow([password])
  await sleep(1010)
  state.failure = away
  await assert.rejects(loan.renew(), { code: 'unavailable' })
  for (let n = 0; n < 50; n++) assert.equal(await loan.renew(), false)
  assert.equal(state.reads, 2)
  assert.equal(loan.secrets[0]?.reveal(), 'canary-1')
  await stop()
})

test('whoever comes while the vault stops is refused, also where something is being lent at that moment', async () => {
  const revoked: string[] = []
  const source: Source = {
    async read() {
      await sleep(50)
      return {
        fields: new Map([['', 'x']]),
        lease: { id: 'l1', durationMs: 1000, renewable: true, login: 1 },
      }
    },
    revoke: async ({ id }) => void revoked.push(id),
  }
  const log = { info: () => undefined, warn: () => undefined }
  const deps = { sources: { 'aws-sm': source }, clock: systemClock, log, cacheMs: 1000, staleMs: 0 }
  const { value: vault, stop } = createVault(deps)
  const lending = vault.borrow(['aws-sm:x'])
  await stop()
  await assert.rejects(lending, /the gate is stopping/)
  await assert.rejects(vault.borrow(['aws-sm:x']), /the gate is stopping/)
  assert.deepEqual(revoked, ['l1'])
})

test('a field that is not there, and a kind without a source', async () => {
  const { vault, stop } = bed()
  await assert.rejects(vault.resolve('vault:secret/data/shop#pin'), { code: 'not_found' })
  await assert.rejects(vault.borrow([user, 'k8s:shop/db#password']), /no source for k8s:/)
  await assert.rejects(vault.resolve('hunter2'), { code: 'reference' })
  await stop()
})

test('env: and file: are read anew each time', async () => {
  const { vault, stop } = bed()
  process.env.PC_TEST_VAULT = 'one'
  assert.equal((await vault.resolve('env:PC_TEST_VAULT')).reveal(), 'one')
  process.env.PC_TEST_VAULT = 'two'
  assert.equal((await vault.borrow(['env:PC_TEST_VAULT'])).secrets[0]?.reveal(), 'two')
  await assert.rejects(vault.resolve('file:/nowhere/at/all'), /there is no such file/)
  await stop()
})

test('what a source throws that is no word of ours is not repeated', async () => {
  const { vault, state, stop, logged } = bed()
  state.failure = new Error('Unexpected token in "canary"') as VaultError
  await assert.rejects(
    vault.resolve(password),
    (error: Error) => !/canary/.test(`${error.stack}${error.cause}`),
  )
  assert.doesNotMatch(logged.join(), /canary/)
  await stop()
})
