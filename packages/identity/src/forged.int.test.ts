/** The corpus of forged tokens, 1,000 mutations of a real one, and keys that are rotated while agents come in. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type Clock, type Started, systemClock } from '@portcullis/kernel'
import { type ForgedToken, forgedTokens, mutatedTokens } from '@portcullis/testkit/forged-tokens'
import { startTestIssuer, type TestIssuer } from '@portcullis/testkit/tokens'
import { IdentityError } from './errors.ts'
import { createTokenVerifier, type TokenVerifier } from './verifier.ts'

let started: Started<TestIssuer>
let corpus: readonly ForgedToken[]
const verifierOf = (clock: Clock = systemClock): TokenVerifier =>
  createTokenVerifier({
    issuers: [{ issuer: started.value.issuer, audience: ['portcullis'], authorizedParties: ['ci'] }],
    clock,
    log: { info() {}, warn() {} },
  })

before(async () => {
  started = await startTestIssuer()
  corpus = await forgedTokens(started.value)
})
after(() => started.stop())

test('each forged token of the corpus is refused for what is wrong with it', async () => {
  const verifier = verifierOf()
  await verifier.verify(await started.value.sign({ sub: 'ann', azp: 'ci' }))
  assert.ok(corpus.length > 80, `${corpus.length} tokens`)
  for (const { name, token, code } of corpus) {
    const outcome = await outcomeOf(verifier, token)
    assert.equal(outcome, code, name)
    assert.equal(verifier.verifyCached(token), undefined, name)
  }
})

test('1,000 mutations of a real token are refused, before and after the real one is known', async () => {
  const real = await started.value.sign({ sub: 'ann', azp: 'ci' })
  const mutated = mutatedTokens(real, 1000)
  assert.equal(new Set(mutated).size, 1000)
  for (const isKnown of [false, true]) {
    const verifier = verifierOf()
    if (isKnown) await verifier.verify(real)
    const outcomes = await Promise.all(mutated.map((token) => outcomeOf(verifier, token)))
    const proved = mutated.filter((_, at) => outcomes[at] === 'proved')
    assert.deepEqual(proved, [])
    assert.ok(new Set(outcomes).size >= 5, `only ${[...new Set(outcomes)]}`)
    await verifier.verify(real)
  }
})

test('keys rotated under load: whoever is signed for gets in, whose key was withdrawn does not', async () => {
  let shiftMs = 0
  const clock: Clock = {
    nowUs: systemClock.nowUs,
    monotonicMs: () => systemClock.monotonicMs() + shiftMs,
  }
  const verifier = verifierOf(clock)
  const issuer = started.value
  let isRunning = true
  let logins = 0
  const refusedWhy: string[] = []
  const agent = async (name: string) => {
    while (isRunning) {
      const outcome = await outcomeOf(verifier, await issuer.sign({ sub: name, azp: 'ci' }))
      logins += 1
      if (outcome !== 'proved') refusedWhy.push(outcome)
    }
  }
  const agents = ['a', 'b', 'c', 'd'].map(agent)
  for (let rotation = 0; rotation < 5; rotation += 1) {
    const before = logins
    while (logins < before + 20) await new Promise((resolve) => setImmediate(resolve))
    shiftMs += 11_000
    await issuer.rotate({ keepOld: true })
  }
  const old = await issuer.sign({ sub: 'late', azp: 'ci' })
  isRunning = false
  await Promise.all(agents)
  assert.deepEqual(refusedWhy, [])
  shiftMs += 11_000
  await issuer.rotate()
  await verifier.verify(await issuer.sign({ sub: 'new', azp: 'ci' }))
  shiftMs += 11_000
  assert.equal(await outcomeOf(verifier, old), 'unknown_key')
})

async function outcomeOf(verifier: TokenVerifier, token: string): Promise<string> {
  try {
    await verifier.verify(token)
    return 'proved'
  } catch (error) {
    assert.ok(error instanceof IdentityError, `${error}`)
    return error.code
  }
}
