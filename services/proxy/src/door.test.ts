/** Who is refused at the door: what the client hears, and what the record and the log have of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Budgets, LoginRequest, Recorder, SessionRecord } from '@portcullis/kernel'
import { createSessions, type DoorDeps } from './door.ts'
import { createRules } from './ruling.ts'
import type { Gate } from './gate.ts'
import { createVerdictTable } from './verdicts.ts'

const clock = { nowUs: () => 1_000_000, monotonicMs: () => 1 }
const ann = {
  issuer: 'https://idp.test',
  subject: 'ann',
  groups: ['agents'],
  delegation: [],
  instance: 'a-1',
  task: '',
  ancestors: [],
}
const origin = { address: '192.0.2.1', country: '', region: '', asn: 0, asOrg: '' }

/** Logs in once with what every refusal needs, and nothing that only a session would. */
async function refusedWith(deps: Partial<DoorDeps>) {
  const records: { record: SessionRecord; detail: string }[] = []
  const logged: object[] = []
  const { door } = createSessions({
    rules: createRules(undefined),
    verify: async () => ({ identity: ann, expiresAtUs: 2_000_000, scope: {}, tokenId: 'a-1' }),
    judgeUse: () => ({ attributes: {} }),
    withdrawn: () => undefined,
    grants: { find: () => undefined, isInForce: () => false },
    targets: { version: '1', authorise: () => ({ allowed: false, why: 'no such target' }) },
    gate: {} as Gate,
    recorder: {
      session: (record, _phase, _decision, detail) => records.push({ record, detail }),
      commit: () => undefined,
    } as Partial<Recorder> as Recorder,
    budgets: {} as Budgets,
    verdicts: createVerdictTable(clock),
    clock,
    ids: () => 'id',
    mode: 'enforce',
    controlFresh: () => true,
    log: { warn: (fields) => void logged.push(fields) },
    onLogin: () => undefined,
    ...deps,
  })
  const request = {
    connection: { origin },
    ...{ protocol: 'postgres', target: 'shop', role: '', database: '', token: 't', client: 'psql', tls: '' },
  } as Partial<LoginRequest> as LoginRequest
  const refusal = await door.login(request)
  assert.ok('message' in refusal)
  const [recorded] = records
  assert.ok(recorded)
  return { message: refusal.message, ...recorded, logged: JSON.stringify(logged) }
}

test('a client hears "not authorised", the record why', async () => {
  const { message, detail, record } = await refusedWith({})
  assert.equal(message, 'not authorised')
  assert.equal(detail, 'no such target')
  assert.equal(record.identity?.subject, 'ann')
})

test('who comes with an expired token stands in the record; whom a token never proved does not', async () => {
  const proven = { identity: ann, expiresAtUs: 500_000 }
  const expired = await refusedWith({
    verify: () => Promise.reject(Object.assign(new Error('it is over'), { code: 'expired', proven })),
  })
  assert.equal(expired.message, 'not authorised')
  assert.equal(expired.record.identity?.subject, 'ann')
  assert.equal(expired.record.tokenExpiresAt, 500_000)
  assert.match(expired.logged, /"why":"expired: it is over".*"subject":"ann"/)
  const forged = await refusedWith({ verify: () => Promise.reject(new Error('bad signature')) })
  assert.equal(forged.record.identity, null)
})

test('a token that is good for other targets or roles is refused, whatever its groups may', async () => {
  const authorise = () => assert.fail('the groups were asked')
  for (const [scope, why] of [
    [{ targets: ['orders'] }, /target \[orders\] only, not for "shop"/],
    [{ targets: [] }, /only, not for "shop"/],
    [{ targets: ['shop'], roles: ['reader'] }, /role \[reader\] only, not without one/],
  ] as const) {
    const { message, detail, record } = await refusedWith({
      verify: async () => ({ identity: ann, expiresAtUs: 2_000_000, scope, tokenId: 'a-1' }),
      targets: { version: '1', authorise },
    })
    assert.equal(message, 'not authorised')
    assert.match(detail, why)
    assert.equal(record.identity?.subject, 'ann')
  }
})

test("a fault of the gate's own is told as that, without its reason", async () => {
  const told = 'the gate cannot sign in at target "shop"'
  const { message, detail } = await refusedWith({
    targets: {
      version: '1',
      authorise: () => ({ allowed: false, why: `${told}: env:NOPE: not set`, told }),
    },
  })
  assert.equal(message, told)
  assert.equal(detail, `${told}: env:NOPE: not set`)
})

test('a token that may not be used from here is refused with its reason, and whose it was', async () => {
  const authorise = () => assert.fail('the groups were asked')
  const { message, detail, record } = await refusedWith({
    judgeUse: (_token, { tokenId }, address) => ({ why: `replay: ${tokenId} from ${address}` }),
    targets: { version: '1', authorise },
  })
  assert.equal(message, 'not authorised')
  assert.equal(detail, 'replay: a-1 from 192.0.2.1')
  assert.equal(record.identity?.subject, 'ann')
})
