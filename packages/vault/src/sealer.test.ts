import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createLocalKeys, createSealer, Secret, VaultError } from './index.ts'
import { readLocal } from './sources/local.ts'

process.env.PC_TEST_MASTER_A = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'
process.env.PC_TEST_MASTER_B = Buffer.alloc(32, 7).toString('base64')
const a = { id: '2026-a', key: 'env:PC_TEST_MASTER_A' }
const b = { id: '2026/b.new', key: 'env:PC_TEST_MASTER_B' }
const context = { aggregateId: 'target:shop', name: 'shop-password', version: 3 }
const secret = new Secret('hunter2 — canary')
const sealer = createSealer(createLocalKeys([a], readLocal))
const unsealable = (error: unknown) => error instanceof VaultError && error.code === 'unsealable'

/** Made on 26 November 2026 with bytes that count up instead of random ones. They must open for ever. */
const golden = [
  'pcs1.MjAyNi1h.LC0uLzAxMjM0NTY3UvwnFWaU4ss-wZftN-5kF8UbOt9ycDG4TXGIhwe4hp1TQ0vd7JPZFdEK3mpFgDSf.ICEiIyQlJicoKSor.uk_IBAnqKC74_NbuonmamKIwIAJxoNWUWuXryHo6ONVSfA',
]

test('texts that were sealed long ago open, and the same bytes make the same text', async () => {
  for (const text of golden) assert.equal((await sealer.open(text, context)).reveal(), secret.reveal())
  let next = 0
  const counting = (bytes: number) => Buffer.from(Array.from({ length: bytes }, () => next++ & 0xff))
  const fixed = createSealer(createLocalKeys([a], readLocal, counting), counting)
  assert.equal(await fixed.seal(secret, context), golden[0])
})

test('another reader of the written form opens it: WebCrypto, by the header of sealer.ts alone', async () => {
  const [, keyId, wrapped, nonce, body] = (golden[0] ?? '')
    .split('.')
    .map((part) => Buffer.from(part, 'base64url'))
  assert.ok(keyId && wrapped && nonce && body)
  assert.equal(keyId.toString(), '2026-a')
  const words = ['portcullis sealed secret 1', 'target:shop', 'shop-password', '3']
  const additionalData = Buffer.concat(
    words.map((word) => Buffer.concat([Buffer.from([0, 0, 0, word.length]), Buffer.from(word)])),
  )
  const open = async (
    raw: Uint8Array<ArrayBuffer>,
    iv: Uint8Array<ArrayBuffer>,
    data: Uint8Array<ArrayBuffer>,
  ) => {
    const key = await crypto.subtle.importKey('raw', raw, 'AES-GCM', false, ['decrypt'])
    return new Uint8Array(await crypto.subtle.decrypt({ name: 'AES-GCM', iv, additionalData }, key, data))
  }
  const master = new Uint8Array(Buffer.from(process.env.PC_TEST_MASTER_A ?? '', 'hex'))
  const dataKey = await open(
    master,
    new Uint8Array(wrapped.subarray(0, 12)),
    new Uint8Array(wrapped.subarray(12)),
  )
  const plain = await open(dataKey, new Uint8Array(nonce), new Uint8Array(body))
  assert.equal(Buffer.from(plain).toString(), secret.reveal())
})

test('it opens only where it was sealed for', async () => {
  const sealed = await sealer.seal(secret, context)
  assert.equal((await sealer.open(sealed, context)).reveal(), secret.reveal())
  assert.doesNotMatch(sealed, /hunter2/)
  const elsewhere = [
    { ...context, aggregateId: 'target:shop2' },
    { ...context, name: 'other' },
    { ...context, version: 4 },
    // Lengths stand before each part: nothing can move from one into the next.
    { ...context, aggregateId: 'target:shopshop', name: '-password' },
  ]
  for (const other of elsewhere) await assert.rejects(sealer.open(sealed, other), unsealable)
})

test('a data key of one secret does not open another, and no altered character passes', async () => {
  const one = (await sealer.seal(secret, context)).split('.')
  const two = (await sealer.seal(new Secret('other'), { ...context, name: 'other' })).split('.')
  const mixed = [one[0], one[1], two[2], one[3], one[4]].join('.')
  await assert.rejects(sealer.open(mixed, context), unsealable)
  const text = one.join('.')
  for (let at = 0; at < text.length; at++) {
    const altered = text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
    const opened = await sealer.open(altered, context).then(
      (value) => value.reveal(),
      (error: unknown) => {
        assert.ok(unsealable(error))
      },
    )
    // The last character of a part has bits that base64url drops.
    if (opened !== undefined) assert.deepEqual(bytesOf(altered), bytesOf(text))
  }
  for (const odd of ['', 'pcs1', 'pcs2.a.b.c.d', `${text}.x`, text.slice(0, -30)])
    await assert.rejects(sealer.open(odd, context), unsealable)
})

test('rotation: a new master key seals, the old one still opens; rewrapped, the old one can go', async () => {
  const old = await sealer.seal(secret, context)
  const both = createSealer(createLocalKeys([b, a], readLocal))
  assert.equal((await both.open(old, context)).reveal(), secret.reveal())
  assert.ok(both.isOld(old) && !sealer.isOld(old))
  const rewrapped = await both.rewrap(old, context)
  const anew = await both.rewrap(old, context, 'anew')
  assert.equal(rewrapped.split('.').at(-1), old.split('.').at(-1))
  assert.notEqual(anew.split('.').at(-1), old.split('.').at(-1))
  const after = createSealer(createLocalKeys([b], readLocal))
  for (const text of [rewrapped, anew]) {
    assert.ok(!both.isOld(text))
    assert.equal((await after.open(text, context)).reveal(), secret.reveal())
    await assert.rejects(sealer.open(text, context), unsealable)
  }
  await assert.rejects(after.open(old, context), unsealable)
  await assert.rejects(both.rewrap(old, { ...context, version: 9 }), unsealable)
})

test('a master key that is none is said so, without its bytes', async () => {
  process.env.PC_TEST_MASTER_SHORT = 'c2hvcnQ='
  const short = createSealer(createLocalKeys([{ id: 's', key: 'env:PC_TEST_MASTER_SHORT' }], readLocal))
  await assert.rejects(
    short.seal(secret, context),
    (error: Error) => /must be 32 bytes/.test(error.message) && !error.message.includes('c2hvcnQ='),
  )
  assert.throws(() => createLocalKeys([a, { ...b, id: a.id }], readLocal), /same id/)
})

function bytesOf(sealed: string): string[] {
  return sealed.split('.').map((part) => Buffer.from(part, 'base64url').toString('hex'))
}
