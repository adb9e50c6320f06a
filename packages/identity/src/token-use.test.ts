import assert from 'node:assert/strict'
import { test } from 'node:test'
import { createJudgeUse, type Judged, type KnownUses, type Use, type UsePolicy } from './token-use.ts'

const identity = {
  ...{ issuer: 'https://idp.test', subject: 'ann', groups: [], delegation: [] },
  ...{ instance: 'run-1', task: '', ancestors: [] },
}

/** Uses in memory, as the real ones answer. */
function memory(): KnownUses {
  const known = new Map<string, Use[]>()
  return {
    note(key, use) {
      const uses = known.get(key) ?? []
      if (!uses.some(({ place }) => place === use.place)) uses.push(use)
      known.set(key, uses)
      return uses
    },
  }
}

function judging(policy: Partial<UsePolicy>, uses = memory()) {
  const errors: object[] = []
  const log = { error: (fields: object) => void errors.push(fields) }
  const judge = createJudgeUse({ replay: 'finding', pinAddress: 'off', ...policy }, uses, log)
  const from = (address: string, more: object = {}) =>
    judge('eyJ', { identity, expiresAtUs: 1, tokenId: 't', ...more }, address)
  return { from, errors }
}

function attribute(judged: Judged, name: string): unknown {
  assert.ok('attributes' in judged, JSON.stringify(judged))
  const text = judged.attributes[name]
  return text === undefined ? undefined : JSON.parse(text)
}

function refused(judged: Judged, why: RegExp): void {
  assert.ok('why' in judged, JSON.stringify(judged))
  assert.match(judged.why, why)
}

test('where nothing is refused the second address is let in, and told', () => {
  const { from } = judging({})
  assert.equal(attribute(from('10.0.0.1'), 'token.others'), undefined)
  const second = from('10.9.9.9')
  assert.deepEqual(attribute(second, 'token.others'), ['10.0.0.1'])
  assert.equal(attribute(second, 'token.place'), '10.9.9.9')
  assert.match(String(attribute(second, 'token.id')), /^[0-9a-f]{32}$/)
})

test('replay: refuse lets in the first address alone, however it is spelled', () => {
  const { from } = judging({ replay: 'refuse' })
  from('10.0.0.1')
  assert.equal(attribute(from('::ffff:10.0.0.1'), 'token.others'), undefined)
  refused(from('10.0.0.2'), /^replay: the token was first used from 10\.0\.0\.1, and this is 10\.0\.0\.2$/)
  // Whoever is in hears of it with the next session.
  assert.deepEqual(attribute(from('10.0.0.1'), 'token.others'), ['10.0.0.2'])
  // Another token of the same run is another token.
  assert.ok('attributes' in from('10.0.0.2', { tokenId: 'u' }))
})

test("a pin holds whatever replays are; an issuer's own goes before that of all", () => {
  for (const replay of ['off', 'finding', 'refuse'] as const) {
    const { from } = judging({ replay, pinAddress: 'network' })
    from('10.0.0.1')
    assert.ok('attributes' in from('10.0.0.200'), replay)
    refused(from('10.0.1.1'), /^replay/)
    from('10.0.0.1', { pinAddress: 'address', tokenId: 'exact' })
    refused(from('10.0.0.2', { pinAddress: 'address', tokenId: 'exact' }), /^replay/)
  }
  const { from } = judging({ replay: 'off', pinAddress: 'network' })
  from('10.0.0.1', { pinAddress: 'off' })
  assert.deepEqual(from('10.9.9.9', { pinAddress: 'off' }), { attributes: {} })
})

test('where uses cannot be noted, a token that needs it is refused and any other let in', () => {
  const broken = () => {
    throw new Error('disk I/O error')
  }
  const pinned = judging({ pinAddress: 'address' }, { note: broken })
  refused(pinned.from('10.0.0.1'), /cannot be told/)
  assert.equal(pinned.errors.length, 1)
  assert.equal(attribute(judging({}, { note: broken }).from('10.0.0.1'), 'token.others'), undefined)
})

test('keys of the API and certificates are nobody to pin', () => {
  const none = { note: () => assert.fail('it was noted') }
  const judge = createJudgeUse({ replay: 'refuse', pinAddress: 'address' }, none, { error: assert.fail })
  for (const token of ['', 'pck_0123456789abcdef_secret'])
    assert.deepEqual(judge(token, { identity, expiresAtUs: 1, tokenId: 't' }, '10.0.0.1'), { attributes: {} })
})
