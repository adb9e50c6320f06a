import assert from 'node:assert/strict'
import { test } from 'node:test'
import { systemClock } from '@portcullis/kernel'
import {
  createLocalKeys,
  createSealed,
  createSealer,
  createSealing,
  createSources,
  createVault,
  masterKeyOf,
  Secret,
  type Sealed,
  VaultError,
} from './index.ts'
import { readLocal } from './sources/local.ts'

process.env.PC_TEST_MASTER = Buffer.alloc(32, 5).toString('base64')
const quiet = { info: () => undefined, warn: () => undefined }
const times = { cacheMs: 60_000, staleMs: 60_000, clock: systemClock, log: quiet }

test('sealed: what is put anew is used at once, and a master key elsewhere is asked once for each text', async () => {
  const keys = createLocalKeys([{ id: 'k', key: 'env:PC_TEST_MASTER' }], readLocal)
  let asked = 0
  let isAway = false
  const sealer = createSealer({
    ...keys,
    async unwrap(...args) {
      asked++
      if (isAway) throw new VaultError('unavailable', 'away')
      return keys.unwrap(...args)
    },
  })
  const put = async (value: string, version: number) => {
    const context = { aggregateId: 'secret/db', name: 'db', version }
    log.set('db', { ...context, sealed: await sealer.seal(new Secret(value), context) })
  }
  const log = new Map<string, Sealed>()
  const { value: vault } = createVault({ ...times, sources: { sealed: createSealed(log, sealer) } })
  const now = async () => (await vault.borrow(['sealed:db'])).secrets[0]?.reveal()
  await put('first', 1)
  assert.deepEqual(await Promise.all([now(), now(), now()]), ['first', 'first', 'first'])
  assert.equal(asked, 1)
  const open = await vault.borrow(['sealed:db'])
  await put('second', 2)
  isAway = true
  await assert.rejects(now(), { code: 'unavailable' })
  isAway = false
  assert.equal(await now(), 'second')
  isAway = true
  assert.equal(await now(), 'second')
  // Of a session that the target refused with the password before.
  assert.equal(open.secrets[0]?.reveal(), 'first')
  assert.equal(await open.renew(), true)
  assert.equal(open.secrets[0]?.reveal(), 'second')
  log.delete('db')
  await assert.rejects(now(), { code: 'not_found' })
})

test('a configuration makes one sealer, for whoever seals and for whoever opens', async () => {
  const settings = { timeoutMs: 1000, sealing: { keys: [{ id: 'k', key: 'env:PC_TEST_MASTER' }] } }
  const { value: sealer } = createSealing(settings, systemClock)
  const context = { aggregateId: 'secret/db', name: 'db', version: 1 }
  const sealed = await sealer.seal(new Secret('canary'), context)
  assert.equal(masterKeyOf(sealed), 'k')
  const log = new Map([['db', { ...context, sealed }]])
  const { value: vault } = createVault({ ...times, sources: createSources(settings, systemClock, log) })
  assert.equal((await vault.resolve('sealed:db')).reveal(), 'canary')
  const { value: without } = createVault({ ...times, sources: createSources(settings, systemClock) })
  await assert.rejects(without.resolve('sealed:db'), { code: 'reference' })
  assert.throws(() => createSealing({ timeoutMs: 1000 }, systemClock), { code: 'reference' })
})
