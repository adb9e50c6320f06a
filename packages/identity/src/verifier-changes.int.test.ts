/** Issuers that change while tokens are proven: real tokens of a real issuer on loopback. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Started, systemClock } from '@portcullis/kernel'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import type { IssuerConfig } from './issuer-config.ts'
import { createTokenVerifier } from './verifier.ts'

let started: Started<TestIssuer>
let issuer: TestIssuer

before(async () => {
  started = await startTestIssuer()
  issuer = started.value
})
after(() => started.stop())

const config = (more: Partial<IssuerConfig> = {}) => ({
  ...{ issuer: issuer.issuer, audience: ['portcullis'] },
  ...more,
})

const startVerifier = () =>
  createTokenVerifier({ issuers: [config()], clock: systemClock, log: { info() {}, warn() {} } })

test('one that is taken out proves nobody, cached or not, and is trusted again with the keys of then', async () => {
  const by = startVerifier()
  const token = await issuer.sign({ sub: 'alice' })
  await by.verify(token)
  by.replace([])
  await assert.rejects(by.verify(token), { code: 'too_large' })
  by.replace([config({ issuer: 'https://other.example' })])
  await assert.rejects(by.verify(token), { code: 'unknown_issuer' })
  by.replace([config()])
  assert.equal((await by.verify(token)).identity.subject, 'alice')
})

test('one that stays the same keeps its keys, and its tokens are not proven anew', async () => {
  const by = startVerifier()
  const token = await issuer.sign({ sub: 'alice' })
  const proof = await by.verify(token)
  by.replace([config({ issuer: 'https://other.example' }), config()])
  assert.equal(by.verifyCached(token), proof)
  assert.equal(by.status()[1]?.usable, true)
})

test('what is asked of one from now on is asked of tokens that were proven before', async () => {
  const by = startVerifier()
  const token = await issuer.sign({ sub: 'alice', ref: 'refs/heads/topic' })
  await by.verify(token)
  by.replace([config({ conditions: ['claims.ref == "refs/heads/main"'] })])
  await assert.rejects(by.verify(token), { code: 'condition' })
  assert.equal(by.verifyCached(token), undefined)
})

test('a change while a token is being proven counts for that token', async () => {
  const by = startVerifier()
  const proving = by.verify(await issuer.sign({ sub: 'alice' }))
  by.replace([config({ requiredClaims: { sub: ['bob'] } })])
  await assert.rejects(proving, { code: 'unknown_issuer' })
})

test('what cannot be served is told and stays what it was; no other waits for it', async () => {
  const by = startVerifier()
  const token = await issuer.sign({ sub: 'alice' })
  await by.verify(token)
  const other = config({ issuer: 'https://other.example' })
  assert.deepEqual(by.replace([config(), other]), [])
  const bad = (url: string) => config({ issuer: url, audience: [] })
  const refused = by.replace([
    bad(issuer.issuer),
    bad('https://new.example'),
    config({ issuer: 'https://ci.example' }),
  ])
  assert.equal(refused.length, 2)
  for (const [index, url] of [issuer.issuer, 'https://new.example'].entries())
    assert.match(String(refused[index]), new RegExp(`issuer ${url}: audience must name`))
  await by.verify(token)
  // The one that was taken out meanwhile is, and the one that was added too.
  assert.deepEqual(
    by.status().map((one) => one.issuer),
    [issuer.issuer, 'https://ci.example'],
  )
  assert.match(String(by.replace([config(), config({ audience: ['another'] })])), /is configured twice/)
  await by.verify(token)
})
