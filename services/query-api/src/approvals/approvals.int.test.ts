/** Approvals over two replicas of the API and a real bus: who may answer, what stands, and what a second answer is told. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { type Started, systemClock } from '@portcullis/kernel'
import { type ApprovalsBed, identityOf, issuer, startApprovalsBed } from './test-bed.ts'

const access = {
  quorum: [{ groups: ['lead'], count: 1 }],
  ...{ excludesDelegators: true, answerSec: 600, durationSecMax: 7200 },
}
let bed: Started<ApprovalsBed>
before(async () => {
  bed = await startApprovalsBed(() => ({ access }))
})
after(() => bed.stop())

const approve = { answer: 'approve', reason: 'looked at it' }
const answer = (token: string, id: string, given: object = approve, app = bed.value.app) =>
  bed.value.ask(token, 'POST', `/v1/approvals/${id}/answers`, given, app)

test('what waits is listed with all that it takes to judge it, and answered once', async () => {
  const id = await bed.value.hold()
  const { body } = await bed.value.ask('sue:staff', 'GET', '/v1/approvals?target=shop')
  const row = body.items.find((one: { approvalId: string }) => one.approvalId === id)
  assert.equal(row.state, 'pending')
  assert.equal(row.text, 'delete from orders')
  assert.deepEqual(row.delegation, [{ issuer, subject: 'zoe', kind: 'person' }])
  assert.deepEqual(row.quorum, [{ groups: ['dba'], count: 1 }])
  assert.equal(row.estimatedRows, '1200')
  const { status, body: answered } = await answer('ann:dba', id)
  assert.equal(status, 200, JSON.stringify(answered))
  assert.equal(answered.state, 'approved')
  assert.equal(answered.replayed, false)
  assert.deepEqual(
    answered.answers.map(({ at: _, ...rest }: { at: string }) => rest),
    [{ answer: 'approve', by: `${issuer}|ann`, groups: ['dba'], reason: 'looked at it', via: 'api' }],
  )
  assert.ok(Date.parse(answered.usableUntil) > Date.now())
})

test('whoever asks, has it asked or acts for them, a stranger and who has no role cannot answer', async () => {
  const id = await bed.value.hold()
  const refused = async (token: string, why: RegExp) => {
    const { status, body } = await answer(token, id)
    assert.equal(status, 403, `${token}: ${JSON.stringify(body)}`)
    assert.match(body.detail, why)
  }
  await refused('bot:dba', /whoever asks/i)
  await refused('zoe:dba', /on their behalf/)
  // Whoever acts for somebody sees with their groups, and answers for nobody.
  await refused('helper:dba:zoe', /role approver/)
  await refused('lee:lead', /only members of dba/i)
  await refused('sue:staff', /role approver/)
  await refused('nobody:', /none of your groups/)
  const { body } = await bed.value.ask('sue:staff', 'GET', `/v1/approvals/${id}`)
  assert.deepEqual(body.answers, [])
  const groups = [{ issuer: 'https://people.example', group: 'dba' }]
  const elsewhere = await bed.value.hold({ quorum: [{ groups, count: 1 }] })
  const { status, body: why } = await answer('ann:dba', elsewhere)
  assert.equal(status, 403)
  assert.match(why.detail, /only members of dba of https:\/\/people\.example/i)
  const asked = await bed.value.ask('sue:staff', 'GET', `/v1/approvals/${elsewhere}`)
  assert.deepEqual(asked.body.quorum, [{ groups: ['dba of https://people.example'], count: 1 }])
  const { state } = bed.value.control
  assert.equal(state().rejected, 0, 'none of it was written')
})

test('a double click gives the first answer, another one says what stands, at either replica', async () => {
  const id = await bed.value.hold()
  const all = await Promise.all([
    answer('ann:dba', id),
    answer('ann:dba', id),
    answer('ann:dba', id, approve, bed.value.other),
  ])
  assert.deepEqual(
    all.map(({ status, body }) => [status, body.state, body.answers.length]),
    [
      [200, 'approved', 1],
      [200, 'approved', 1],
      [200, 'approved', 1],
    ],
  )
  assert.equal(all.filter(({ body }) => body.replayed === false).length, 1)
  const other = await answer('ann:dba', id, { answer: 'deny' })
  assert.equal(other.status, 409)
  assert.match(other.body.detail, /^https?:\S+\|ann has answered before: approve\.$/)
})

test('two answer at once: the first in the log stands, and both replicas show it', async () => {
  for (let round = 0; round < 5; round += 1) {
    const id = await bed.value.hold({ statement: `delete from orders where id > ${round}` })
    const [one, two] = await Promise.all([
      answer('ann:dba', id),
      answer('ben:dba', id, { answer: 'deny' }, bed.value.other),
    ])
    const won = one.status === 200 ? one : two
    const lost = one.status === 200 ? two : one
    assert.deepEqual([won.status, lost.status], [200, 409])
    assert.match(lost.body.detail, /it was (approved|denied) before/)
    for (const app of [bed.value.app, bed.value.other])
      while (true) {
        const { body } = await bed.value.ask('sue:staff', 'GET', `/v1/approvals/${id}`, undefined, app)
        if (body.state === won.body.state) break
        assert.equal(body.state, 'pending')
        await delay(5)
      }
  }
})

test('two of the one group and one of the other: nobody counts twice', async () => {
  const quorum = [
    { groups: ['dba'], count: 2 },
    { groups: ['lead'], count: 1 },
  ]
  const id = await bed.value.hold({ quorum })
  const states: string[] = []
  for (const token of ['ann:dba,lead', 'ben:dba', 'ann:dba,lead', 'lee:lead'])
    states.push((await answer(token, id)).body.state)
  assert.deepEqual(states, ['pending', 'pending', 'pending', 'approved'])
  const denied = await bed.value.hold({ quorum })
  await answer('ann:dba', denied)
  assert.equal((await answer('ben:dba', denied, { answer: 'deny' })).body.state, 'denied')
  assert.equal((await answer('lee:lead', denied)).status, 409)
})

test('late, of another statement, withdrawn or unknown: refused, and what stands is said', async () => {
  const late = await bed.value.hold({ deadline: systemClock.nowUs() + 300_000 })
  await delay(350)
  const { status, body } = await answer('ann:dba', late)
  assert.equal(status, 409)
  assert.match(body.detail, /time to answer is over/)
  assert.equal((await bed.value.ask('s:staff', 'GET', `/v1/approvals/${late}`)).body.state, 'expired')
  const listed = await bed.value.ask('s:staff', 'GET', '/v1/approvals?limit=500')
  assert.ok(!listed.body.items.some((one: { approvalId: string }) => one.approvalId === late))

  const edited = await bed.value.hold()
  const wrong = await answer('ann:dba', edited, { ...approve, digest: 'a'.repeat(64) })
  assert.equal(wrong.status, 409)
  assert.match(wrong.body.detail, /digest/)

  const proxy = { issuer: 'portcullis', subject: 'gate-1', roles: [] }
  await bed.value.control.write({ type: 'approval.withdrawn', approvalId: edited, reason: 'gone' }, proxy)
  while ((await answer('ann:dba', edited, { ...approve, digest: 'b'.repeat(64) })).status !== 409)
    await delay(5)
  assert.equal((await answer('ann:dba', 'no-such-approval')).status, 404)
})

test('pages are stable, filters are kept, and who has no role sees their own alone', async () => {
  for (let n = 0; n < 5; n += 1)
    await bed.value.hold({ target: 'books', identity: identityOf(n < 3 ? 'cat:agents' : 'dog:agents') })
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const url: string = `/v1/approvals?target=books&limit=2${cursor ? `&cursor=${cursor}` : ''}`
    const { body } = await bed.value.ask('sue:staff', 'GET', url)
    seen.push(...body.items.map(({ approvalId }: { approvalId: string }) => approvalId))
    cursor = body.nextCursor
  } while (cursor)
  assert.equal(new Set(seen).size, 5)
  const cats = encodeURIComponent(`${issuer}|cat`)
  const own = await bed.value.ask('cat:agents', 'GET', '/v1/approvals')
  assert.equal(own.body.items.length, 3)
  assert.equal((await bed.value.ask('dog:agents', 'GET', `/v1/approvals?identity=${cats}`)).status, 403)
  const [ofCat] = own.body.items
  assert.equal((await bed.value.ask('dog:agents', 'GET', `/v1/approvals/${ofCat.approvalId}`)).status, 404)
  assert.equal((await bed.value.ask('cat:agents', 'GET', `/v1/approvals/${ofCat.approvalId}`)).status, 200)
  assert.equal((await bed.value.ask('s:staff', 'GET', '/v1/approvals?state=open')).status, 400)
})

test('access is asked for, given by others, in force for its time, and ended by who was given it', async () => {
  const asked = { target: 'orders', role: 'writer', durationSec: 3600, reason: 'CHG-4711' }
  const first = await bed.value.ask('cy:agents', 'POST', '/v1/grants', asked)
  assert.equal(first.status, 201, JSON.stringify(first.body))
  assert.equal(first.body.kind, 'access')
  assert.equal(first.body.why, 'CHG-4711')
  const id = first.body.approvalId
  const again = await bed.value.ask('cy:agents', 'POST', '/v1/grants', asked)
  assert.equal(again.body.approvalId, id, 'asked for again, it is the same')
  const refusals: [string, object, number, RegExp][] = [
    ['cy:agents', { ...asked, target: 'nope' }, 400, /target/],
    ['cy:agents', { ...asked, role: 'owner' }, 400, /role/],
    ['cy:agents', { ...asked, durationSec: 7201 }, 400, /durationSec/],
    ['cy:agents', { ...asked, reason: '' }, 400, /reason/],
  ]
  for (const [token, given, status, what] of refusals) {
    const { status: got, body } = await bed.value.ask(token, 'POST', '/v1/grants', given)
    assert.equal(got, status)
    assert.match(JSON.stringify(body.errors), what)
  }
  assert.equal((await answer('cy:lead', id)).status, 403, 'not by who asks')
  assert.equal((await answer('ann:dba', id)).status, 403, 'not by another group')
  assert.equal((await answer('lee:lead', id)).body.state, 'approved')
  const inForce = await bed.value.ask('s:staff', 'GET', '/v1/approvals?kind=access&state=approved')
  assert.deepEqual(
    inForce.body.items.map((one: { approvalId: string }) => one.approvalId),
    [id],
  )
  const end = (token: string) =>
    bed.value.ask(token, 'POST', `/v1/approvals/${id}/revoke`, { reason: 'done' })
  assert.equal((await end('dan:agents')).status, 403)
  assert.equal((await end('cy:agents')).body.state, 'revoked')
  assert.equal((await end('root:oncall')).body.state, 'revoked', 'again it changes nothing')
})

test('access that was denied is not asked for again before the time to answer was over, however long it would be for', async () => {
  const asked = { target: 'orders', role: '', durationSec: 600, reason: 'please' }
  const first = await bed.value.ask('eve:agents', 'POST', '/v1/grants', asked)
  await answer('lee:lead', first.body.approvalId, { answer: 'deny', reason: 'no' })
  const again = await bed.value.ask('eve:agents', 'POST', '/v1/grants', { ...asked, durationSec: 60 })
  assert.equal(again.status, 409)
  assert.match(again.body.detail, /denied by https:\/\/idp\.example\|lee; it can be asked for again at 2/)
  const other = await bed.value.ask('eve:agents', 'POST', '/v1/grants', { ...asked, target: 'shop' })
  assert.equal(other.status, 201)
})

test('one identity asks for so much at once and no more', async () => {
  const ask = (durationSec: number) =>
    bed.value.ask('mob:agents', 'POST', '/v1/grants', {
      ...{ target: 'shop', role: '', durationSec, reason: 'more' },
    })
  const answers = []
  for (let n = 0; n < 21; n += 1) answers.push((await ask(60 + n)).status)
  assert.deepEqual(answers, [...Array.from({ length: 20 }, () => 201), 503])
})

test('who watches sees an approval asked for and answered, whole', async () => {
  const address = await bed.value.app.listen({ host: '127.0.0.1', port: 0 })
  const stop = new AbortController()
  const response = await fetch(`${address}/v1/events?type=approval`, {
    headers: { authorization: 'Bearer sue:staff' },
    signal: stop.signal,
  })
  const id = await bed.value.hold({ statement: 'drop table watched' })
  await answer('ann:dba', id)
  let text = ''
  for await (const chunk of response.body ?? []) {
    text += Buffer.from(chunk).toString()
    if (text.includes('"approved"')) break
  }
  stop.abort()
  const states = text
    .split('\n')
    .filter((line) => line.startsWith('data: {'))
    .map((line) => JSON.parse(line.slice(6)))
  assert.deepEqual(
    states.map(({ approvalId, state, text: statement }) => [approvalId, state, statement]),
    [
      [id, 'pending', 'drop table watched'],
      [id, 'approved', 'drop table watched'],
    ],
  )
})
